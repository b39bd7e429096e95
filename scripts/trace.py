"""Count the modules, lines and functions that `molvae analogs SEED -n 100 -o out.csv` uses, and measure import times.

    python scripts/trace.py [--out docs/dev/trace.md]

Modules and lines are those of molvae that are imported; files and functions are those that the main process executes.
Import time is the median of several fresh processes.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
SEED = "Cc1ccc(NC(=O)c2ccc(CN3CCN(C)CC3)cc2)cc1Nc1nccc(-c2cccnc2)n1"  # imatinib
ROUNDS = 5

PROGRAM = """
import sys, threading
package, output = sys.argv[1], sys.argv[2]
called = set()

def profile(frame, event, argument):
    code = frame.f_code
    if event == "call" and code.co_filename.startswith(package) and not code.co_name.startswith("<"):
        called.add((code.co_filename, code.co_qualname))

threading.setprofile(profile)
sys.setprofile(profile)
from molvae.cli.app import app
try:
    app(["analogs", sys.argv[3], "-n", "100", "-o", output, "--device", "cpu"])
except SystemExit as end:
    assert not end.code, end.code
sys.setprofile(None)
paths = [module.__file__ for name, module in sys.modules.items() if name.split(".")[0] == "molvae" and module.__file__]
lines = sum(len(open(path, encoding="utf-8").read().splitlines()) for path in paths)
files = {file for file, name in called}
print(len(paths), lines, len(files), len(called))
"""


def traced() -> tuple[int, int, int, int]:
    """Modules and lines imported, files and functions called."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", PROGRAM, str(ROOT / "molvae"), str(Path(folder) / "out.csv"), SEED]
        done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    modules, lines, files, functions = map(int, done.stdout.split())
    return modules, lines, files, functions


def seconds(code: str) -> float:
    """Median wall time of fresh processes that run the code, in seconds."""
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="write the table to this file")
    arguments = parser.parse_args()
    modules, lines, files, functions = traced()
    package = list((ROOT / "molvae").rglob("*.py"))
    rows = {
        "files of the package": len(package),
        "files at its root": len(list((ROOT / "molvae").glob("*.py"))),
        "lines of the package": f"{sum(len(path.read_text().splitlines()) for path in package):,}",
        "modules imported by the command": modules,
        "lines imported by the command": f"{lines:,}",
        "files with executed functions": files,
        "functions called": functions,
        "`python -c pass`": f"{seconds('pass'):.2f} s",
        "`import torch`": f"{seconds('import torch'):.2f} s",
        "`import molvae`": f"{seconds('import molvae'):.2f} s",
        "`import molvae.generator`": f"{seconds('import molvae.generator'):.2f} s",
        "`import molvae.cli.app`": f"{seconds('import molvae.cli.app'):.2f} s",
    }
    wheels = sorted((ROOT / "dist").glob("*.whl"))
    if wheels:
        rows["size of the wheel"] = f"{wheels[-1].stat().st_size / 1e6:.0f} MB"
    table = "| `molvae analogs SEED -n 100 -o out.csv` | |\n|---|---|\n"
    table += "".join(f"| {name} | {value} |\n" for name, value in rows.items())
    if arguments.out:
        arguments.out.write_text(table)
    print(table)


if __name__ == "__main__":
    main()
