"""Worker pools: order of results, crash isolation, start and stop."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

import pytest
from loky.process_executor import ShutdownExecutorError

from molvae.chem.sample_parsing import parse_samples
from molvae.data import parallel
from molvae.data.parallel import POOL_CHUNK_SIZE, SERIAL, WorkerPool, worker_count
from molvae.errors import MolvaeError


def doubled(numbers):
    return [2 * number for number in numbers]


def crash_on_13(numbers):
    """End the process if 13 is among the numbers."""
    if 13 in numbers:
        os._exit(1)
    return doubled(numbers)


def crash(numbers):  # noqa: ARG001
    os._exit(1)


def crash_twice(folders):
    """End the process in the first two calls, and return a result in the third."""
    for folder in folders:
        if len(crashes := list(folder.iterdir())) < 2:
            (folder / str(len(crashes))).touch()
            os._exit(1)
    return [len(list(folder.iterdir())) for folder in folders]


def touch_and_sleep(files):
    """Touch each file, then sleep for ten minutes."""
    for file in files:
        file.touch()
        time.sleep(600)
    return files


def sleep_and_touch(files):
    for file in files:
        time.sleep(0.1)
        file.touch()
    return files


def process_ids(items):
    return [os.getpid() for _ in items]


def doubled_in_workers(numbers):
    return WorkerPool(1).submit(doubled, numbers).result()


class NotUnpicklable:
    """A function that can be pickled but not unpickled."""

    def __reduce__(self):
        return _raise_on_unpickling, ()


def _raise_on_unpickling():
    raise ValueError("cannot be unpickled")


def fail(numbers):
    raise ValueError(f"invalid number {numbers[0]}")


@pytest.mark.parametrize("pool", [SERIAL, WorkerPool(1), WorkerPool(2)])
@pytest.mark.parametrize("count", [0, 1, POOL_CHUNK_SIZE, 3 * POOL_CHUNK_SIZE + 1])
def test_results_in_order(pool, count):
    first, second = pool.submit(doubled, range(count)), pool.submit(doubled, [7])
    assert second.result() == [14]
    assert first.result() == [2 * number for number in range(count)]
    assert first.result() == [2 * number for number in range(count)]  # the result is stored


def test_only_the_item_that_crashes_is_lost():
    """The other items of its chunk, and chunks running at the same time, are computed again."""
    pool, numbers = WorkerPool(2), [*range(6), 13, *range(20, 30)]
    other, crashing = pool.submit(doubled, range(500)), pool.submit(crash_on_13, numbers, size=4)
    progress = []
    assert crashing.result(lambda done: progress.append(len(done))) == [None if n == 13 else 2 * n for n in numbers]
    assert progress == [4, 8, 12, 16, 17]
    assert other.result() == doubled(range(500))
    assert pool.submit(doubled, [1]).result() == [2]


def test_item_survives_occasional_crashes(tmp_path):
    assert WorkerPool(1).submit(crash_twice, [tmp_path]).result() == [2]


def test_stop_and_restart(tmp_path, capfd):
    """Running tasks are killed, queued ones are not started, and nothing is printed."""
    pool, files = WorkerPool(2), [tmp_path / str(number) for number in range(12)]
    pending = pool.submit(touch_and_sleep, files, size=1)
    while not files[1].exists():
        time.sleep(0.01)
    pool.stop()
    pending.cancel()
    with pytest.raises(ShutdownExecutorError):
        pending.result()
    assert [file.name for file in sorted(tmp_path.iterdir())] == ["0", "1"]
    assert WorkerPool(2).submit(doubled, [1]).result() == [2]
    assert capfd.readouterr().err == ""


def test_cancelled_chunks_do_not_run(tmp_path):
    pool, files = WorkerPool(1), [tmp_path / str(number) for number in range(12)]
    pending = pool.submit(sleep_and_touch, files, size=1)
    pending.cancel()
    assert pool.submit(doubled, [1]).result() == [2]
    assert len(list(tmp_path.iterdir())) < 12


def test_workers_that_cannot_start():
    with pytest.raises(MolvaeError, match="before they compute anything"):
        WorkerPool(1, modules=("no_such_module",)).submit(doubled, [1, 2]).result()


def test_workers_that_always_crash(monkeypatch):
    monkeypatch.setattr(parallel, "_identity", crash)
    with pytest.raises(MolvaeError, match="not enough memory for 1 of them; workers=0 runs without"):
        WorkerPool(1).submit(crash, [1]).result()


def test_function_that_cannot_be_unpickled():
    with pytest.raises(BrokenProcessPool, match="un-serialize"):
        WorkerPool(1).submit(NotUnpicklable(), [1, 2]).result()
    assert WorkerPool(1).submit(doubled, [1]).result() == [2]


def test_threads_share_workers():
    found = []
    threads = [
        threading.Thread(target=lambda: found.extend(WorkerPool(1).submit(process_ids, [0]).result())) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 3
    assert len(set(found)) == 1


def test_child_process_with_its_own_workers_exits():
    """A process waits for its children when it exits, so it must shut down its workers first."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        assert pool.submit(doubled_in_workers, [1, 2]).result() == [2, 4]


def test_no_workers_in_a_daemonic_process():
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(worker_count, (4,)) == 0


@pytest.mark.parametrize("pool", [SERIAL, WorkerPool(1)])
def test_exception_of_the_function(pool):
    with pytest.raises(ValueError, match="invalid number 5"):
        pool.submit(fail, [5]).result()


def test_script_without_main_guard(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "from molvae.chem.sample_parsing import parse_samples\n"
        "from molvae.data.parallel import WorkerPool\n"
        "print([r and r.smiles for r in WorkerPool(2).submit(parse_samples, ['OCC', 'C1CC', 'c1ccccc1']).result()])\n"
    )
    completed = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60, check=True)
    assert completed.stdout == "['CCO', None, 'c1ccccc1']\n"


def test_workers_do_not_import_torch():
    assert WorkerPool(1).submit(_modules, [0]).result() == [False]
    assert WorkerPool(1).submit(parse_samples, ["C"]).result()[0].smiles == "C"


def _modules(items):
    return ["torch" in sys.modules for _ in items]
