"""Streams of analogs: groups of seeds, worker processes, crashes and interrupts."""

from __future__ import annotations

import threading
import warnings

import pandas as pd
import pytest

from molvae.data.parallel import SERIAL, WorkerPool
from molvae.errors import MolvaeWarning
from molvae.generation import runner

pytestmark = pytest.mark.slow

SEEDS = ["CCO", "c1ccccc1", "CC(=O)O", "OCCO"]


def ignore_warnings(method, *args, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MolvaeWarning)
        return method(*args, **options)


@pytest.fixture(scope="module")
def found(tiny) -> pd.DataFrame:
    return ignore_warnings(tiny.analogs, SEEDS, 12, random_state=1)


def test_stream_equals_table(tiny, found, monkeypatch):
    monkeypatch.setattr(runner, "GROUP_SIZE", 1)
    frames = ignore_warnings(lambda: list(tiny.iter_analogs(iter(SEEDS), 12, random_state=1)))
    assert len(frames) == len(SEEDS)
    pd.testing.assert_frame_equal(pd.concat(frames, ignore_index=True), found, rtol=1e-4)


@pytest.mark.parametrize("parts_per_worker", [1, 100])
def test_workers_do_not_change_results(tiny, monkeypatch, parts_per_worker):
    """Neither if they share the seeds, nor if they only parse samples; the first group has invalid seeds only."""
    monkeypatch.setattr(runner, "GROUP_SIZE", 2)
    monkeypatch.setattr(runner, "PARTS_PER_WORKER", parts_per_worker)
    options = {
        "n": 12,
        "random_state": 1,
        "filters": ["mw<200"],
        "rank_by": "qed - similarity",
        "similarity": "0.1:0.9",
    }
    serial = ignore_warnings(tiny.analogs, ["C1CC", "x", *SEEDS], workers=0, **options)
    parallel = ignore_warnings(tiny.analogs, ["C1CC", "x", *SEEDS], workers=2, **options)
    pd.testing.assert_frame_equal(serial, parallel)
    assert len(serial) > 12
    assert serial.attrs == parallel.attrs


class _CrashingPool(WorkerPool):
    """Simulates workers that crash at one seed."""

    def submit(self, function, items, size=1):
        pending = SERIAL.submit(function, items, size)
        pending.done = [None if item == SEEDS[1] else one for item, one in zip(items, pending.result(), strict=True)]
        return pending


def test_seed_that_crashes_workers_is_an_error(tiny, found, monkeypatch):
    monkeypatch.setattr(runner, "WorkerPool", _CrashingPool)
    monkeypatch.setattr(runner, "PARTS_PER_WORKER", 1)
    with pytest.warns(MolvaeWarning, match="SMILES c1ccccc1: each worker process that processed this seed crashed"):
        frame = tiny.analogs(SEEDS, 12, random_state=1, workers=2)
    assert list(frame.attrs["errors"]) == [SEEDS[1]]
    others = found[found["seed"] != SEEDS[1]].reset_index(drop=True)
    pd.testing.assert_frame_equal(frame, others, rtol=1e-4)


def test_interrupt_stops_workers(tiny, monkeypatch):
    """Workers are stopped before queued work is canceled, without waiting for the work in progress."""
    calls = []

    def interrupted(_):
        raise KeyboardInterrupt

    class Interrupted(WorkerPool):
        def submit(self, function, items, size=1):
            pending = SERIAL.submit(function, items, size)
            pending.result = interrupted
            pending.cancel = lambda: calls.append("cancel")
            return pending

        def stop(self):
            calls.append("stop")

    monkeypatch.setattr(runner, "WorkerPool", Interrupted)
    monkeypatch.setattr(runner, "GROUP_SIZE", 2)
    monkeypatch.setattr(runner, "PARTS_PER_WORKER", 1)
    with pytest.raises(KeyboardInterrupt):
        tiny.analogs([SEEDS[0]] * 4, 12, workers=2)
    assert calls == ["stop", "cancel", "cancel"]


def test_model_that_cannot_be_pickled_is_decoded_locally(tiny, found, monkeypatch):
    monkeypatch.setattr(runner, "PARTS_PER_WORKER", 1)
    hook = tiny.model.encoder.register_forward_hook(lambda *_, lock=threading.Lock(): None)  # noqa: ARG005
    try:
        frame = ignore_warnings(tiny.analogs, SEEDS, 12, random_state=1, workers=2)
    finally:
        hook.remove()
    pd.testing.assert_frame_equal(frame, found, rtol=1e-4)


@pytest.mark.parametrize(("n_seeds", "n_workers"), [(12, 0), (13, 2)])
def test_no_workers_for_few_molecules(tiny, monkeypatch, n_seeds, n_workers):
    """Only the seeds that decide this are read in advance."""
    pool_sizes = []

    class RecordingPool(WorkerPool):
        def __init__(self, count=0, modules=()):
            super().__init__(0, modules)
            pool_sizes.append(count)

    monkeypatch.setattr(runner, "WorkerPool", RecordingPool)
    monkeypatch.setattr(runner, "worker_count", lambda workers=None: 2 if workers is None else workers)
    monkeypatch.setattr(runner, "MIN_MOLECULES_FOR_WORKERS", 24)
    monkeypatch.setattr(runner, "GROUP_SIZE", 4)
    seeds = iter([SEEDS[0]] * n_seeds)
    next(ignore_warnings(tiny.iter_analogs, seeds, 2, pool_size=2))
    assert pool_sizes == [n_workers]
    assert len(list(seeds)) == 0
    assert (
        sum(map(len, ignore_warnings(lambda: list(tiny.iter_analogs([SEEDS[0]] * n_seeds, 2, pool_size=2)))))
        == 2 * n_seeds
    )


@pytest.mark.parametrize(("memory", "expected_sizes"), [(float("inf"), [3]), (2e9, [2]), (1e9, [])])
def test_memory_limits_the_number_of_models(tiny, monkeypatch, memory, expected_sizes):
    model_pools = []

    class RecordingPool(WorkerPool):
        def __init__(self, count=0, modules=()):
            super().__init__(0, modules)
            model_pools.extend([count] * ("molvae.generation.runner" in modules))
            self.count = count

        def submit(self, function, items, size=1):
            return SERIAL.submit(function, items, size)

    monkeypatch.setattr(runner, "WorkerPool", RecordingPool)
    monkeypatch.setattr(runner, "PARTS_PER_WORKER", 1)
    monkeypatch.setattr(runner, "available_memory", lambda: memory)
    ignore_warnings(tiny.analogs, [SEEDS[0]] * 4, 2, workers=3)
    assert model_pools == expected_sizes


@pytest.mark.parametrize(("workers", "ahead"), [(0, 2), (2, 4)])
def test_number_of_seeds_read_ahead(tiny, monkeypatch, workers, ahead):
    """One group, or two if worker processes compute the properties of the first."""
    monkeypatch.setattr(runner, "GROUP_SIZE", 2)
    read: list[str] = []

    def seeds():
        for seed in SEEDS:
            read.append(seed)
            yield seed

    next(ignore_warnings(tiny.iter_analogs, seeds(), 2, workers=workers))
    assert len(read) == ahead


def test_stream_of_one_seed(tiny):
    (frame,) = tiny.iter_analogs("CCO", 3)
    assert set(frame["seed"]) == {"CCO"}
