"""The command as a process: pipes, signals, terminals, and fast imports."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest

from molvae.cli.outputs import GRID_FORMATS, image_output, single_table
from molvae.viz.table_image import save_table_image

pytestmark = pytest.mark.slow

MOLVAE = [sys.executable, "-W", "ignore", "-m", "molvae"]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "80", "TERM": "dumb"}


def _run_python(code):
    """The output of code in a new Python process."""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=ENVIRONMENT, check=True)
    return result.stdout


def test_help_imports_no_heavy_library():
    code = (
        "import sys\nfrom molvae.cli.app import app\n"
        "try: app(['--help'])\nexcept SystemExit as end: assert end.code == 0\n"
        "heavy = {'torch', 'rdkit', 'pandas', 'numpy', 'lightning', 'torch_geometric', 'pyarrow'} & set(sys.modules)\n"
        "print('heavy:', sorted(heavy))"
    )
    assert _run_python(code).splitlines()[-1] == "heavy: []"


def test_package_import_is_light():
    code = "import sys, molvae; print(sorted({'torch', 'rdkit', 'pandas', 'numpy'} & set(sys.modules)))"
    assert _run_python(code) == "[]\n"


def test_analogs_avoid_slow_imports():
    """torch_geometric and torch's compiler take as long as torch itself, and are not needed."""
    code = (
        "import sys, molvae\n"
        "found = molvae.analogs('CC(=O)Oc1ccccc1C(=O)O', 3, workers=0)\n"
        "heavy = {'torch_geometric', 'torch._dynamo', 'sympy', 'lightning', 'sklearn'} & set(sys.modules)\n"
        "print(len(found), sorted(heavy))"
    )
    assert _run_python(code) == "3 []\n"


def test_pipe_is_utf8(tiny_model, tmp_path):
    """Data in a pipe is UTF-8 even if the default encoding of stdout is another, as on Windows."""
    (tmp_path / "a.smi").write_text("CCO\t\u03b2-ethanol\nCCN\t\u00e9thylamine\n", encoding="utf-8")
    command = [*MOLVAE, "encode", str(tmp_path / "a.smi"), "--model", str(tiny_model)]
    result = subprocess.run(command, capture_output=True, env={**ENVIRONMENT, "PYTHONIOENCODING": "cp1252"})
    assert result.returncode == 0
    lines = result.stdout.decode("utf-8").split("\n")
    assert [line.split(",")[1] for line in lines[1:3]] == ["\u03b2-ethanol", "\u00e9thylamine"]


@pytest.mark.skipif(os.name != "posix", reason="a shell's pipe")
def test_pipe_between_commands(tiny_model):
    first = [*MOLVAE, "sample", "-n", "3", "--model", str(tiny_model)]
    second = [*MOLVAE, "reconstruct", "-", "--model", str(tiny_model)]
    with subprocess.Popen(first, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT) as source:
        result = subprocess.run(second, stdin=source.stdout, capture_output=True, text=True, env=ENVIRONMENT)
        source.communicate()
    assert (source.returncode, result.returncode) == (0, 0)
    assert len(result.stdout.splitlines()) == 4
    assert result.stdout.startswith("smiles,name,reconstruction,exact,error,note")
    assert result.stderr.splitlines()[-1].startswith("3 rows: ")


def test_image_is_drawn_after_broken_pipe(tmp_path):
    """The reader closes the pipe after the only table, or after the first of several tables."""
    table = pd.DataFrame({"smiles": ["CCO", "CCN"], "seed": "CCO", "similarity": [1.0, 0.5]})
    table.attrs["summary"] = []

    def break_pipe(context):
        with context as write:
            write(table)
            raise BrokenPipeError

    for context in (
        single_table(None, tmp_path / "whole.png", save_table_image, GRID_FORMATS),
        image_output(tmp_path / "parts.png"),
    ):
        with pytest.raises(BrokenPipeError):
            break_pipe(context)
    for name in ("whole.png", "parts.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


@pytest.mark.skipif(os.name != "posix", reason="a shell's pipe")
def test_closed_pipe_exits_0(tiny_model, tmp_path):
    seeds = tmp_path / "seeds.smi"
    seeds.write_text("CCO\n" * 200)  # four groups of seeds; the pipe is closed after the first
    command = [*MOLVAE, "analogs", str(seeds), "-n", "2", "--model", str(tiny_model)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT) as source:
        assert source.stdout is not None
        source.stdout.readline()
        source.stdout.close()
        errors = source.stderr.read().decode() if source.stderr else ""
    assert source.returncode == 0
    assert "Traceback" not in errors
    assert "BrokenPipe" not in errors


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_interrupt_exits_130(tiny_model, tmp_path):
    output = tmp_path / "out.csv"
    command = [*MOLVAE, "sample", "-n", "1000000", "--model", str(tiny_model), "-o", str(output)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT, text=True,
        # tests that run in the background of a shell inherit an ignored Ctrl+C
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while not list(tmp_path.iterdir()) and time.monotonic() < deadline:
        time.sleep(0.1)  # a temporary output file is created before the model is loaded
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    try:
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()  # does nothing if it has ended
    assert process.returncode == 130, errors
    assert errors.splitlines()[-1] == "molvae: interrupted"
    assert "Traceback" not in errors
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize("interrupted", ["molvae.cli.app", "torch"])
def test_interrupt_during_import_exits_130(interrupted, tiny_model, tmp_path):
    # libraries call exec while they are imported; an interrupt there must also exit with 130
    hook = (
        "import builtins, os, signal, time\n"
        "original_import = builtins.__import__\n"
        "def interrupted_import(name, *args, **kwargs):\n"
        f"    if name == {interrupted!r}:\n"
        "        exec('os.kill(os.getpid(), signal.SIGINT); time.sleep(30)')\n"
        "    return original_import(name, *args, **kwargs)\n"
        "builtins.__import__ = interrupted_import\n"
    )
    (tmp_path / "sitecustomize.py").write_text(hook)
    command = [*MOLVAE, "sample", "-n", "3", "--model", str(tiny_model)]
    result = subprocess.run(
        command, capture_output=True, text=True, env={**ENVIRONMENT, "PYTHONPATH": str(tmp_path)},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL), timeout=60,
    )  # fmt: skip
    assert (result.returncode, result.stdout, result.stderr) == (130, "", "molvae: interrupted\n")


@pytest.mark.skipif(os.name != "posix", reason="a terminal")
def test_terminal_table_has_20_rows(tiny_model):
    main, side = pty.openpty()
    command = [*MOLVAE, "sample", "-n", "25", "--model", str(tiny_model)]
    with subprocess.Popen(command, stdout=side, stderr=subprocess.PIPE, env=ENVIRONMENT) as process:
        os.close(side)
        text = _read_all(main)
    assert process.returncode == 0
    lines = [line for line in text.splitlines() if line.strip()]
    assert lines[-1].startswith("... 5 more; -o FILE writes all")
    assert 22 <= len(lines) <= 24


def _read_all(terminal: int) -> str:
    content = b""
    while True:
        try:
            chunk = os.read(terminal, 65_536)
        except OSError:  # on Linux, the other end is closed
            break
        if not chunk:
            break
        content += chunk
    os.close(terminal)
    return content.decode()


def _start(arguments, **options):
    """Start a command whose Ctrl+C is not ignored, as it is in the background of a shell."""
    return subprocess.Popen(
        [*MOLVAE, *arguments], stderr=subprocess.PIPE, text=True, env=ENVIRONMENT,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL), **options,
    )  # fmt: skip


@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGHUP", 129)])
def test_termination_removes_temporary_files(name, code, tiny_model, tmp_path):
    """The output of an earlier run stays."""
    output = tmp_path / "out.csv"
    output.write_text("old")
    process = _start(["sample", "-n", "1000000", "--model", str(tiny_model), "-o", str(output)])
    deadline = time.monotonic() + 60
    while len(list(tmp_path.iterdir())) < 2 and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(getattr(signal, name))
    try:
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert (process.returncode, errors) == (code, f"molvae: ended by {name}\n")
    assert [path.name for path in tmp_path.iterdir()] == ["out.csv"]
    assert output.read_text() == "old"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a device that is always full")
def test_full_stdout(tiny_model):
    with open("/dev/full", "w") as full:
        _, errors = (process := _start(["sample", "-n", "3", "--model", str(tiny_model)], stdout=full)).communicate()
    assert process.returncode == 1
    assert errors.splitlines()[-1] == "molvae: cannot write to standard output: no space left on the device"
    assert "Traceback" not in errors


@pytest.mark.skipif(os.name != "posix", reason="limits of a process")
def test_file_that_cannot_grow(tiny_model, tmp_path):
    """As on a full disk: an error that names the output, and nothing half-written."""
    import resource

    output = tmp_path / "out.csv"
    output.write_text("old")
    command = [*MOLVAE, "encode", "CCO", "--model", str(tiny_model), "-o", str(output)]
    done = subprocess.run(
        command, capture_output=True, text=True, env=ENVIRONMENT,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100)),
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(f"molvae: cannot write {output}: File too large; make room")
    assert [path.name for path in tmp_path.iterdir()] == ["out.csv"]
    assert output.read_text() == "old"


@pytest.mark.skipif(os.name != "posix", reason="pipes")
def test_closed_stderr_is_a_failure(tiny_model, tmp_path):
    """The reader of messages has gone, so the output may not be written: exit code 1."""
    reader, writer = os.pipe()
    os.close(reader)
    output = tmp_path / "out.csv"
    command = [*MOLVAE, "encode", "CCO", "C1CC", "--model", str(tiny_model), "-o", str(output)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=writer, env=ENVIRONMENT)
    os.close(writer)
    assert done.returncode == 1
    assert list(tmp_path.iterdir()) == []
