"""A run that was killed and resumed is identical to an uninterrupted one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from tiny_run import run_tiny

from molvae.errors import CheckpointError
from molvae.training.checkpoints import AtomicCheckpointIO
from molvae.training.curves import MetricsFile, read_metrics

pytestmark = pytest.mark.slow

TESTS = Path(__file__).parents[1]


def start_run(folder: Path, steps: int) -> subprocess.Popen[bytes]:
    """Start a long run in another process and return when it has logged so many steps."""
    path = os.pathsep.join([str(TESTS), str(TESTS.parent), os.environ.get("PYTHONPATH", "")])
    script, settings = TESTS / "tiny_run.py", ["max_steps=1000000", "decay_fraction=0.0"]
    command = [sys.executable, str(script), str(folder), *settings]
    process = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": path}, stderr=subprocess.PIPE)
    try:
        deadline = time.monotonic() + 60
        while not (rows := read_metrics(folder / "metrics.csv")) or rows[-1]["step"] < steps:
            assert process.poll() is None, "the run ended early"
            assert time.monotonic() < deadline, "the run is too slow"
            time.sleep(0.005)
    except BaseException:
        process.kill()
        process.communicate()
        raise
    return process


def kill_after(folder: Path, steps: int) -> None:
    """Kill a run with SIGKILL when it has logged so many steps."""
    process = start_run(folder, steps)
    process.send_signal(signal.SIGKILL)
    process.communicate()


def test_second_run_in_a_folder_stops_the_first(tmp_path: Path) -> None:
    """The first run fails with an error, and the metrics are those of the second run alone."""
    earlier = start_run(tmp_path / "run", 13)
    try:
        later = run_tiny(tmp_path / "run", max_steps=40, decay_fraction=0.0)
        _, stderr = earlier.communicate(timeout=60)
    finally:
        earlier.kill()
    assert b"is in use by a run that was started later" in stderr
    assert later.steps >= 40
    trained = [row["step"] for row in read_metrics(tmp_path / "run" / "metrics.csv") if "train/loss" in row]
    assert trained == list(range(later.steps))
    assert not (tmp_path / "run" / "run").exists()


def test_resumed_run_is_identical_to_an_uninterrupted_one(tmp_path: Path) -> None:
    """The same weights and metrics, bit for bit; no step is missing or repeated in metrics.csv."""
    killed, uninterrupted_folder = tmp_path / "killed", tmp_path / "whole"
    kill_after(killed, 13)
    before = torch.load(killed / "last.ckpt", weights_only=True)["global_step"]
    assert before >= 10
    last = before + 15
    resumed = run_tiny(killed, max_steps=last, decay_fraction=0.0)
    uninterrupted = run_tiny(uninterrupted_folder, max_steps=last, decay_fraction=0.0)
    assert resumed.steps == uninterrupted.steps == last
    for name, value in uninterrupted.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[name]), name
    assert read_metrics(killed / "metrics.csv") == read_metrics(uninterrupted_folder / "metrics.csv")
    trained = [row["step"] for row in read_metrics(killed / "metrics.csv") if "train/loss" in row]
    assert trained == list(range(last))


def test_finished_run_is_read_back(tmp_path: Path) -> None:
    first = run_tiny(tmp_path)
    begin = time.monotonic()
    again = run_tiny(tmp_path)
    assert time.monotonic() - begin < 2
    assert (again.steps, again.metrics, again.minutes) == (first.steps, first.metrics, first.minutes)
    assert not again.model.training
    for name, value in first.model.state_dict().items():
        assert torch.equal(value, again.model.state_dict()[name])


def test_finished_run_can_be_extended(tmp_path: Path) -> None:
    """Lightning saves the end of a run as the end of an epoch; the extended run must not start a new epoch."""
    run_tiny(tmp_path / "two", max_steps=20, decay_fraction=0.0)
    longer = run_tiny(tmp_path / "two", max_steps=33, decay_fraction=0.0)
    run_tiny(tmp_path / "one", max_steps=33, decay_fraction=0.0)
    assert longer.steps == 33
    assert longer.minutes > 0
    one, two = (read_metrics(tmp_path / name / "metrics.csv") for name in ("one", "two"))
    assert [row for row in two if "train/loss" in row] == [row for row in one if "train/loss" in row]


def test_damaged_checkpoint(tmp_path: Path) -> None:
    run_tiny(tmp_path, max_steps=2)
    checkpoint = tmp_path / "last.ckpt"
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match=r"last\.ckpt is damaged"):
        run_tiny(tmp_path, max_steps=4)


@pytest.mark.parametrize("change", [{"batch_size": 8}, {"model": {"latent_dim": 8}}, {"data": {"file": "b"}}])
def test_resuming_with_other_settings(tmp_path: Path, change: dict[str, object]) -> None:
    run_tiny(tmp_path, max_steps=2, data={"file": "a"})
    name = next(iter(change["model"] if "model" in change else change.get("data", change)))  # type: ignore[call-overload]
    with pytest.raises(CheckpointError, match=f"other settings .*{name}"):
        run_tiny(tmp_path, **{"max_steps": 4, "data": {"file": "a"}, **change})


def test_failed_checkpoint_keeps_the_previous_one(tmp_path: Path) -> None:
    path, io = tmp_path / "last.ckpt", AtomicCheckpointIO()
    io.save_checkpoint({"step": 1}, path)
    with pytest.raises(Exception, match="pickle"):
        io.save_checkpoint({"step": 2, "bad": lambda: 0}, path)
    assert torch.load(path, weights_only=True) == {"step": 1}


def test_metrics_file_with_incomplete_line_and_new_columns(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    table = MetricsFile(path)
    for step in range(3):
        table.add(step, {"train/loss": step / 3})
    table.add(2, {"valid/loss": 0.1})
    with path.open("a") as file:
        file.write("3,0.12")
    assert [row["step"] for row in read_metrics(path)] == [0, 1, 2, 2]
    MetricsFile(path).truncate(2)
    resumed = MetricsFile(path)
    resumed.add(2, {"train/loss": 0.5, "valid/exact": 1.0})
    assert read_metrics(path) == [
        {"step": 0, "train/loss": 0.0},
        {"step": 1, "train/loss": 1 / 3},
        {"step": 2, "train/loss": 0.5, "valid/exact": 1.0},
    ]
