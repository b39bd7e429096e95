"""Tables that are kept as they come: what was stored is there again, whatever stopped the run."""

from __future__ import annotations

import shutil

import numpy as np
import pandas as pd
import pytest

from molvae.errors import InputError, MolvaeError
from molvae.io.partial_results import RUN, SETTINGS, Parts

SETTINGS_OF_A_RUN = {"count": 5, "keep": ("mw<500",), "model": "a1"}


def _tables(start, stop):
    """Tables of 0, 1, 2 ... rows."""
    for n in range(start, stop):
        table = pd.DataFrame({"smiles": ["C" * i for i in range(n)], "x": np.arange(n) / 3, "novel": None})
        table.attrs = {"counts": {"used": n, "molecules": 10 * n}}
        yield table


def _stopped_after(n):
    yield from _tables(0, n)
    raise KeyboardInterrupt


def _interrupted(folder, n):
    with pytest.raises(KeyboardInterrupt):
        Parts(folder, SETTINGS_OF_A_RUN).keep(_stopped_after(n))


@pytest.mark.parametrize("n", [0, 1, 4])
def test_a_run_goes_on(tmp_path, n):
    folder = tmp_path / "deep" / "out.parts"
    _interrupted(folder, n)
    parts = Parts(folder, SETTINGS_OF_A_RUN)
    assert parts.tables == n
    assert (parts.counts["used"], parts.counts["molecules"]) == (sum(range(n)), 10 * sum(range(n)))
    found = list(parts.keep(_tables(n, 6)))
    assert parts.counts == {"used": 15, "molecules": 150}
    for table, expected in zip(found, _tables(0, 6), strict=True):
        assert table.to_csv() == expected.to_csv()
        assert table.attrs == expected.attrs
    parts.remove()
    assert not folder.exists()


def test_other_settings_are_named_and_nothing_is_lost(tmp_path):
    _interrupted(tmp_path / "parts", 3)
    with pytest.raises(InputError, match=r"\(count: 5 before, now 7; model: a1 before, now None\)") as error:
        Parts(tmp_path / "parts", {"count": 7, "keep": ["mw<500"]})
    assert "delete the folder" in str(error.value)
    assert Parts(tmp_path / "parts", SETTINGS_OF_A_RUN).tables == 3


def test_settings_may_change_where_there_is_no_table(tmp_path):
    _interrupted(tmp_path / "parts", 0)
    assert Parts(tmp_path / "parts", {"count": 7}).tables == 0
    with pytest.raises(InputError, match="count: 7 before, now 5"):
        Parts(tmp_path / "parts", {"count": 7}).keep(_tables(0, 1)) and Parts(tmp_path / "parts", SETTINGS_OF_A_RUN)


@pytest.mark.parametrize("damage", [b"", b"PAR1", None])
def test_a_table_that_is_not_whole_ends_what_is_there(tmp_path, damage):
    """What a power failure leaves; the tables behind it, and drafts of writers that were killed, are made anew."""
    _interrupted(tmp_path / "parts", 4)
    second = tmp_path / "parts" / "000001.parquet"
    second.write_bytes(second.read_bytes()[:-5] if damage is None else damage)
    (tmp_path / "parts" / f".000004.parquet.{99:032x}").write_bytes(b"half")
    parts = Parts(tmp_path / "parts", SETTINGS_OF_A_RUN)
    assert parts.tables == 1
    assert sorted(file.name for file in parts.folder.iterdir()) == ["000000.parquet", RUN, SETTINGS]
    assert [len(table) for table in parts.keep(_tables(1, 3))] == [0, 1, 2]


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="exists and is no unfinished run"):
        Parts(tmp_path, SETTINGS_OF_A_RUN)
    with pytest.raises(InputError, match="exists and is no unfinished run"):
        Parts(tmp_path / "notes.txt", SETTINGS_OF_A_RUN)
    _interrupted(tmp_path / "parts", 1)
    (tmp_path / "parts" / "notes.txt").write_text("mine")
    Parts(tmp_path / "parts", SETTINGS_OF_A_RUN).remove()
    assert [file.name for file in (tmp_path / "parts").iterdir()] == ["notes.txt"]


def test_damaged_settings(tmp_path):
    _interrupted(tmp_path / "parts", 1)
    (tmp_path / "parts" / SETTINGS).write_text("{")
    with pytest.raises(InputError, match="damaged: delete the folder"):
        Parts(tmp_path / "parts", SETTINGS_OF_A_RUN)


def test_a_folder_that_goes_during_the_run(tmp_path):
    parts = Parts(tmp_path / "parts", SETTINGS_OF_A_RUN)
    parts.keep(_tables(0, 2))
    shutil.rmtree(tmp_path / "parts")
    with pytest.raises(MolvaeError, match="has gone"):
        parts.keep(_tables(2, 3))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("settings", [SETTINGS_OF_A_RUN, {"count": 6}])
def test_of_two_runs_in_one_folder_the_later_goes_on(tmp_path, settings):
    """Whether they are of one command or not: their tables do not mix, and neither removes the other's."""
    first = Parts(tmp_path / "parts", SETTINGS_OF_A_RUN)
    second = Parts(tmp_path / "parts", settings)
    second.keep(_tables(0, 1))
    for method in (lambda: first.keep(_tables(0, 2)), first.remove):
        with pytest.raises(MolvaeError, match="is another run's now"):
            method()
    assert [len(table) for table in second.keep(_tables(1, 3))] == [0, 1, 2]
