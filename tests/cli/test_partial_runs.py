"""Interrupted runs of `molvae analogs` resume and give the same output as an uninterrupted run."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest
import torch
from tiny_vae import SMALL
from typer.testing import CliRunner

from molvae.checkpoint import CONFIG_FILE, sign
from molvae.cli.app import app
from molvae.io.partial_results import PartialResults

pytestmark = pytest.mark.slow

GROUP = 8  # seeds per table, fewer than the default of 64 to keep the tests short
MOLVAE = [
    sys.executable, "-W", "ignore", "-c",
    "from molvae import __main__; from molvae.generation import runner; "
    f"runner.GROUP_SIZE = {GROUP}; __main__.main()",
]  # fmt: skip
# the same number of threads as here, because the rounding of likelihoods depends on it
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads()), "TERM": "dumb"}


@pytest.fixture
def molvae(tiny_model, monkeypatch):
    """`molvae analogs` with the tiny model and a check of its exit code."""
    monkeypatch.setattr("molvae.generation.runner.GROUP_SIZE", GROUP)

    def run(*arguments, code=0, stdin=None, model=tiny_model):
        command = ["analogs", *map(str, arguments), "-n", "2", "--model", str(model), "--device", "cpu"]
        result = CliRunner().invoke(app, command, input=stdin)
        assert result.exit_code == code, result.output
        assert "Traceback" not in result.stderr
        return result

    return run


@pytest.fixture
def stopped(molvae, monkeypatch):
    """Like `molvae`, but interrupted after a number of groups."""

    def run(groups, *arguments):
        store, stored = PartialResults._store, []

        def add(parts, table):
            if len(stored) == groups:
                raise KeyboardInterrupt
            store(parts, table)
            stored.append(table)

        with monkeypatch.context() as patch:
            patch.setattr(PartialResults, "_store", add)
            return molvae(*arguments, code=130)

    return run


def _write_seeds(path, count):
    """Write seeds, with invalid rows and rows with unknown tokens between them and at the end."""
    rows = []
    for i in range(count):
        rows.append(f"{SMALL[i % len(SMALL)]} molecule {i}")
        rows += ["C1CC broken"] * (i % 9 == 4) + ["[U] uranium"] * (i % 10 == 6) + ["\tnothing"] * (i % 7 == 5)
    path.write_text("\n".join([*rows, "C1CCC broken", "\tnothing"]) + "\n")
    return path


@pytest.fixture
def seeds(tmp_path):
    return _write_seeds(tmp_path / "seeds.smi", 20)


def _summary(result):
    return result.stderr.splitlines()[-1]


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_resume_after_kill(molvae, tiny_model, tmp_path):
    seeds = _write_seeds(tmp_path / "seeds.smi", 8 * GROUP)
    output, parts = tmp_path / "out.csv", tmp_path / "out.csv.parts"
    command = [*MOLVAE, "analogs", seeds, "-n", 2, "-o", output, "--model", tiny_model, "--device", "cpu"]
    process = subprocess.Popen(list(map(str, command)), stderr=subprocess.DEVNULL, env=ENVIRONMENT)
    deadline = time.monotonic() + 90
    while not (parts / "000001.parquet").exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not output.exists()
    again = molvae(seeds, "-o", output)
    assert again.stderr.startswith("resuming after ")
    uninterrupted = molvae(seeds, "-o", tmp_path / "uninterrupted.csv")
    assert output.read_bytes() == (tmp_path / "uninterrupted.csv").read_bytes()
    assert _summary(again) == _summary(uninterrupted)
    # hidden temporary files may remain if the process was killed while it wrote the output
    assert sorted(tmp_path.glob("[!.]*")) == [output, seeds, tmp_path / "uninterrupted.csv"]


@pytest.mark.parametrize("suffix", [".csv", ".smi", ".sdf", ".parquet", ".html", ".svg"])
def test_resumed_output_equals_uninterrupted(molvae, stopped, seeds, tmp_path, suffix):
    """Compared with a run from standard input, which stores no partial results."""
    arguments = ["--filter", "mw<200", "--rank-by", "tpsa - similarity"]
    uninterrupted_folder, folder = tmp_path / "uninterrupted", tmp_path / "resumed"
    outputs = ["-o", uninterrupted_folder / f"out{suffix}", "--image", uninterrupted_folder / "grid.svg"]
    uninterrupted = molvae("-", *arguments, *outputs, stdin=seeds.read_text())
    command = [seeds, *arguments, "-o", folder / f"out{suffix}", "--image", folder / "grid.svg"]
    first = stopped(1, *command)
    assert [file.name for file in folder.iterdir()] == [f"out{suffix}.parts"]
    again = molvae(*command)
    for file in uninterrupted_folder.iterdir():
        assert (folder / file.name).read_bytes() == file.read_bytes()
    assert sorted(file.name for file in folder.iterdir()) == ["grid.svg", f"out{suffix}"]
    assert _summary(again) == _summary(uninterrupted)
    assert "stored in" in first.stderr


def test_resume_messages(molvae, stopped, seeds, tmp_path):
    """Counts are those of the whole run. The first 8 seeds are 9 rows, because one row between them is invalid."""
    command = [seeds, "-o", tmp_path / "out.csv"]
    lines = stopped(1, *command).stderr.splitlines()
    message = f"9 seeds are finished and stored in {tmp_path / 'out.csv.parts'}: run the same command to resume"
    assert lines[-2:] == [message, "molvae: interrupted"]
    again = molvae(*command)
    assert again.stdout == ""
    assert again.stderr.splitlines()[0] == f"resuming after 9 seeds, stored in {tmp_path / 'out.csv.parts'}"
    assert _summary(again) == "29 seeds: 20 used, 9 rejected; 40 molecules"
    report = "seeds.smi, line 6: cannot read SMILES 'C1CC'"
    assert (report in "\n".join(lines), report in again.stderr) == (True, False)


def test_resume_twice(molvae, stopped, seeds, tmp_path):
    command = [seeds, "-o", tmp_path / "out.csv"]
    stopped(1, *command)
    assert "resuming after 9" in stopped(0, *command).stderr
    assert "resuming after 9" in stopped(1, *command).stderr
    assert "resuming after 18" in molvae(*command).stderr
    assert len(pd.read_csv(tmp_path / "out.csv")) == 40


def test_resume_with_other_settings_fails(molvae, stopped, seeds, tmp_path):
    command = [seeds, "-o", tmp_path / "out.csv"]
    stopped(1, *command)
    for change, message in [
        (["--noise-level", "0.3"], "noise_level: None before, now 0.3"),
        (["--filter", "mw<300"], "filters: [] before, now ['mw<300']"),
        (["--random-seed", "1", "--greedy"], "temperature: None before, now 0.0; random_state: 0 before, now 1"),
        (["CCO"], "input 2: None before, now CCO"),
    ]:
        (line,) = molvae(*command, *change, code=2).stderr.splitlines()
        assert f"molvae: {tmp_path / 'out.csv.parts'} holds an unfinished run with other settings ({message})" in line
        assert "delete the folder to start again, or choose another output" in line
    assert "resuming after 9" in molvae(*command).stderr


def test_resume_with_other_files_fails(molvae, stopped, seeds, tmp_path, tiny_model):
    score = tmp_path / "score.py"
    code = "def atoms(molecules):\n    return [mol.GetNumAtoms() for mol in molecules]\n"
    score.write_text(code)
    command = [seeds, "-o", tmp_path / "out.csv", "--score", f"{score}:atoms"]
    stopped(1, *command)
    text = seeds.read_text()
    seeds.write_text(text + "CCO\n")
    assert "(input 1: seeds.smi (digest " in molvae(*command, code=2).stderr
    seeds.write_text(text)
    score.write_text(code + "\n")
    assert "(score 1: score.py (digest " in molvae(*command, code=2).stderr
    score.write_text(code)
    other = shutil.copytree(tiny_model, tmp_path / "other")
    (other / CONFIG_FILE).write_text((other / CONFIG_FILE).read_text().replace('"tiny"', '"other"'))
    sign(other)
    assert "(model: config.json (digest " in molvae(*command, code=2, model=other).stderr
    assert "resuming after 9" in molvae(*command).stderr


def test_standard_input_is_not_resumable(molvae, monkeypatch, tmp_path):
    """Standard input can be read only once."""
    from molvae.generator import Generator

    tables = Generator.iter_analogs

    def interrupted(*arguments, **options):
        yield next(tables(*arguments, **options))
        raise KeyboardInterrupt

    monkeypatch.setattr(Generator, "iter_analogs", interrupted)
    result = molvae("-", "-o", tmp_path / "out.csv", code=130, stdin="CCO\n" * 20)
    assert "stored in" not in result.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes")
def test_named_pipe_is_not_resumable(molvae, tmp_path):
    pipe = tmp_path / "seeds.smi"
    os.mkfifo(pipe)
    with subprocess.Popen(["sh", "-c", f"echo CCO > '{pipe}'"]):
        molvae(pipe, "-o", tmp_path / "out" / "out.csv")
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["out.csv"]
