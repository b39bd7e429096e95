"""Child processes import nothing from the working directory, and forked processes work."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from molvae.data.downloads import DownloadSource, download
from molvae.data.processes import safe_environment, safe_environment_set
from molvae.errors import InputError

ROOT = str(Path(__file__).parents[2])
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "2", "PYTHONPATH": ROOT}
EARLY = {"encodings", "codecs", "io", "abc", "site", "os", "stat"}
"""Modules that Python itself imports before it looks into any folder."""


@pytest.fixture
def hostile_folder(tmp_path):
    """A folder with a file for every module of the standard library, and for packages that molvae imports.

    Each file writes a file into the folder `marks` when it is executed.
    """
    folder, marks = tmp_path / "hostile", tmp_path / "marks"
    folder.mkdir()
    marks.mkdir()
    packages = {"loky", "torch", "numpy", "rdkit", "pandas", "pyarrow", "pip", "cloudpickle", "typer", "click", "rich"}
    for name in (set(sys.stdlib_module_names) - EARLY) | packages | {"sitecustomize", "usercustomize"}:
        (folder / f"{name}.py").write_text(f"open({str(marks / name)!r}, 'w').close()\n")
    (folder / "seeds.smi").write_text("CCO\nc1ccccc1\n")
    return folder


def executed(folder):
    """The names of the files in the hostile folder that were executed."""
    return sorted(path.name for path in (folder.parent / "marks").iterdir())


def test_workers_execute_no_file_of_the_working_directory(hostile_folder, tmp_path):
    """Workers of both kinds, and the resource trackers; the script itself is in another folder."""
    script = tmp_path / "script.py"
    script.write_text(
        "from molvae.chem.sample_parsing import parse_samples\n"
        "from molvae.data.parallel import WorkerPool, map_chunks\n"
        "print([r.smiles for r in WorkerPool(2).submit(parse_samples, ['OCC', 'c1ccccc1']).result()])\n"
        "print(list(map_chunks(len, [[1, 2], [3]], 2)))\n"
    )
    command = [sys.executable, str(script)]
    done = subprocess.run(command, cwd=hostile_folder, capture_output=True, text=True, timeout=120, env=ENVIRONMENT)
    assert (done.stdout, done.stderr) == ("['CCO', 'c1ccccc1']\n[2, 1]\n", "")
    assert executed(hostile_folder) == []


@pytest.mark.slow
def test_commands_execute_no_file_of_the_working_directory(hostile_folder, tiny_model):
    command = [sys.executable, "-m", "molvae", "screen", "seeds.smi", "--rank-by", "qed", "--workers", "2"]
    done = subprocess.run(command, cwd=hostile_folder, capture_output=True, text=True, timeout=120, env=ENVIRONMENT)
    assert done.returncode == 0, done.stderr
    command = [sys.executable, "-m", "molvae", "analogs", "seeds.smi", "-n", "1001", "--max-samples", "20"]
    command += ["--no-optimize-latents", "--model", str(tiny_model), "-o", "out.csv"]  # 2,002: with worker processes
    done = subprocess.run(command, cwd=hostile_folder, capture_output=True, text=True, timeout=120, env=ENVIRONMENT)
    assert done.returncode == 0, done.stderr
    assert executed(hostile_folder) == []


def test_pip_executes_no_file_of_the_working_directory(hostile_folder, tmp_path, monkeypatch):
    monkeypatch.chdir(hostile_folder)
    monkeypatch.setenv("PIP_NO_INDEX", "1")  # it finds nothing, at once
    wheel = DownloadSource(file="a.csv", wheel="no-such-package==1", member="a.csv")
    with pytest.raises(InputError, match="no-such-package"):
        download([wheel], tmp_path / "data", tmp_path / "wheels", lambda _: None)
    assert executed(hostile_folder) == []


@pytest.mark.parametrize(("before", "after"), [("", ""), ("/a:", "/a"), (":/a:.:/b", "/a:/b")])
@pytest.mark.skipif(os.name != "posix", reason="a colon separates the entries")
def test_working_directory_leaves_pythonpath(before, after, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", before)
    assert safe_environment() == {"PYTHONSAFEPATH": "1", "PYTHONPATH": after}


def test_environment_is_restored(monkeypatch):
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    monkeypatch.setenv("PYTHONPATH", "/a:")
    with safe_environment_set():
        assert os.environ["PYTHONSAFEPATH"] == "1"
    assert "PYTHONSAFEPATH" not in os.environ
    assert os.environ["PYTHONPATH"] == "/a:"


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_blocked_signal_arrives_after_the_block():
    """In a process of one thread, because a signal goes to any thread that does not block it."""
    code = """
import os, signal
from molvae.data.processes import signals_blocked
signal.signal(signal.SIGINT, signal.default_int_handler)  # a parent may have ignored it
try:
    with signals_blocked():
        os.kill(os.getpid(), signal.SIGINT)
        print("in the block")
except KeyboardInterrupt:
    print("interrupted")
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.splitlines() == ["in the block", "interrupted"]


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_forked_processes_work(tiny_model):
    """A process that has decoded molecules is forked, as a process pool in a notebook does, and decodes the same."""
    code = f"""
import multiprocessing, os, sys
from concurrent.futures import ProcessPoolExecutor
import molvae

SEEDS = ["CCO", "Cc1ccccc1"]

def analogs(workers):
    return molvae.analogs(SEEDS, 5, workers=workers, model={str(tiny_model)!r}).to_csv()

first = analogs(2)
with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("fork")) as pool:
    print(list(pool.map(analogs, [0, 2])) == [first, first])
with multiprocessing.get_context("fork").Pool(1) as pool:
    print(pool.map(analogs, [None]) == [first])
if (child := os.fork()) == 0:
    sys.exit(0 if analogs(2) == first else 3)
print(os.waitpid(child, 0)[1], analogs(2) == first)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=240, env=ENVIRONMENT)
    assert done.stdout == "True\nTrue\n0 True\n"
    # under load, loky may warn at the end of a process that it cleans up a semaphore of its own
    of_loky = re.compile(r".*resource_tracker: There appear to be \d+ leaked \w+ objects.*|  warnings\.warn\(")
    assert [line for line in done.stderr.splitlines() if line and not of_loky.fullmatch(line)] == []
