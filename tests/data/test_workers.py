"""Workers: the same results as here, in order, from a bare script too, and with one that dies."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest
from loky.process_executor import ShutdownExecutorError

from molvae.chem.reading import read
from molvae.data.workers import CHUNK, HERE, Workers


def doubled(numbers):
    return [2 * number for number in numbers]


def fatal(numbers):
    """Takes the whole process down when it meets 13."""
    if 13 in numbers:
        os._exit(1)
    return doubled(numbers)


def unlucky(folders):
    """Is killed by something else, twice, and then does its work."""
    for folder in folders:
        if len(deaths := list(folder.iterdir())) < 2:
            (folder / str(len(deaths))).touch()
            os._exit(1)
    return [len(list(folder.iterdir())) for folder in folders]


def asleep(files):
    """For ten minutes, once it has told so."""
    for file in files:
        file.touch()
        time.sleep(600)
    return files


def broken(numbers):
    raise ValueError(f"not {numbers[0]}")


@pytest.mark.parametrize("workers", [HERE, Workers(1), Workers(2)])
@pytest.mark.parametrize("count", [0, 1, CHUNK, 3 * CHUNK + 1])
def test_results_in_order(workers, count):
    first, second = workers.submit(doubled, range(count)), workers.submit(doubled, [7])
    assert second.result() == [14]
    assert first.result() == [2 * number for number in range(count)]
    assert first.result() == [2 * number for number in range(count)]  # asked again


def test_only_the_item_that_kills_is_lost():
    """Wherever it stands; the others of its chunk and of chunks beside it are worked on again."""
    workers, numbers = Workers(2), [*range(CHUNK), *range(20, 40), 13, *range(300)]
    other, fate = workers.submit(doubled, range(500)), workers.submit(fatal, numbers)
    assert fate.result() == [None if number == 13 else 2 * number for number in numbers]
    assert other.result() == doubled(range(500))
    assert workers.submit(doubled, [1]).result() == [2]


def test_an_item_is_not_to_blame_for_what_ends_a_worker_now_and_then(tmp_path):
    assert Workers(1).submit(unlucky, [tmp_path]).result() == [2]


def test_workers_that_are_stopped_are_gone_and_others_come(tmp_path):
    """What one of them was at is not waited for, and what was not begun never is."""
    workers = Workers(1)
    began, waiting = workers.submit(asleep, [tmp_path / "began"]), workers.submit(asleep, [tmp_path / "waiting"])
    while not (tmp_path / "began").exists():
        time.sleep(0.01)
    waiting.cancel()
    workers.stop()
    with pytest.raises(ShutdownExecutorError):
        began.result()
    assert not (tmp_path / "waiting").exists()
    assert Workers(1).submit(doubled, [1]).result() == [2]


@pytest.mark.parametrize("workers", [HERE, Workers(1)])
def test_an_error_is_raised_where_the_result_is_asked_for(workers):
    with pytest.raises(ValueError, match="not 5"):
        workers.submit(broken, [5]).result()


def test_a_script_needs_no_main_guard(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "from molvae.chem.reading import read\n"
        "from molvae.data.workers import Workers\n"
        "print([r and r.smiles for r in Workers(2).submit(read, ['OCC', 'C1CC', 'c1ccccc1']).result()])\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "['CCO', None, 'c1ccccc1']\n"


def test_workers_do_not_import_torch():
    assert Workers(1).submit(_modules, [0]).result() == [False]
    assert Workers(1).submit(read, ["C"]).result()[0].smiles == "C"


def _modules(items):
    return ["torch" in sys.modules for _ in items]
