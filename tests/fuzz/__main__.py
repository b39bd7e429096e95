"""Long runs of the fuzz targets: `make fuzz`, or `PYTHONPATH=tests python -m fuzz --n 100000 --processes 2`.

Each target is run in chunks, in worker processes. A chunk is run again by `--target NAME --seed SEED --chunk NUMBER`. A
process that dies, or hangs for `MAX_HANG` seconds, is a failure; the inputs that were running are reported.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from fuzz.driver import CHUNK, print_failures, run, run_chunk
from fuzz.report import WATCH_FILE
from fuzz.targets import TARGETS


def main() -> int:
    """Run the targets, print failures on stderr and the counts; the exit status is 1 if an input broke a rule."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", action="append", choices=list(TARGETS), help="default: all")
    parser.add_argument("--n", type=int, help="inputs, for a target of share 1; default 100,000 without --hours")
    parser.add_argument("--hours", type=float, help="time instead of, or in addition to, a number of inputs")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--chunk", type=int, help="run only this chunk, in this process")
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    names = options.target or list(TARGETS)
    n = options.n if options.n or options.hours else 100_000
    if options.chunk is not None:
        reports = {name: run_chunk(name, options.seed, options.chunk, options.n or CHUNK) for name in names}
        for report in reports.values():
            print_failures(report)
    else:
        with TemporaryDirectory() as folder:
            os.environ[WATCH_FILE] = str(Path(folder) / "input")
            reports = run(names, n, options.hours, options.seed, options.processes)
    for name, report in reports.items():
        print(f"{name}: {report.summary()}")
        print(f"  slowest input: {report.slowest_input[:200]}")
        for rule, number in report.counts.most_common():
            print(f"  {number:,} x {rule}")
    return int(any(report.counts for report in reports.values()))


if __name__ == "__main__":
    sys.exit(main())
