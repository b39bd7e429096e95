"""Partial results: stored tables are read back after an interruption, a crash or a power failure."""

from __future__ import annotations

import shutil

import numpy as np
import pandas as pd
import pytest

from molvae.errors import InputError, MolvaeError
from molvae.io.partial_results import LOCK, SETTINGS, PartialResults

RUN_SETTINGS = {"count": 5, "filters": ("mw<500",), "model": "a1"}


def tables(start, stop):
    """Tables of 0, 1, 2 ... rows."""
    for n in range(start, stop):
        table = pd.DataFrame({"smiles": ["C" * i for i in range(n)], "x": np.arange(n) / 3, "not_in_training": None})
        table.attrs = {"counts": {"used": n, "molecules": 10 * n}}
        yield table


def interrupt_after(folder, n):
    """A run that is interrupted after `n` tables."""

    def interrupted():
        yield from tables(0, n)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        PartialResults(folder, RUN_SETTINGS).extend(interrupted())


@pytest.mark.parametrize("n", [0, 1, 4])
def test_interrupted_run_is_resumed(tmp_path, n):
    folder = tmp_path / "deep" / "out.parts"
    interrupt_after(folder, n)
    results = PartialResults(folder, RUN_SETTINGS)
    assert results.n_tables == n
    assert (results.counts["used"], results.counts["molecules"]) == (sum(range(n)), 10 * sum(range(n)))
    stored = list(results.extend(tables(n, 6)))
    assert results.counts == {"used": 15, "molecules": 150}
    for table, expected in zip(stored, tables(0, 6), strict=True):
        assert table.to_csv() == expected.to_csv()
        assert table.attrs == expected.attrs
    results.remove()
    assert not folder.exists()


def test_changed_settings_are_named_and_tables_are_kept(tmp_path):
    interrupt_after(tmp_path / "parts", 3)
    with pytest.raises(
        InputError, match=r"\(count: 5 before, now 7; model: a1 before, now None\): .*delete the folder"
    ):
        PartialResults(tmp_path / "parts", {"count": 7, "filters": ["mw<500"]})
    assert PartialResults(tmp_path / "parts", RUN_SETTINGS).n_tables == 3


def test_settings_may_change_before_the_first_table(tmp_path):
    interrupt_after(tmp_path / "parts", 0)
    results = PartialResults(tmp_path / "parts", {"count": 7})
    assert results.n_tables == 0
    results.extend(tables(0, 1))
    with pytest.raises(InputError, match="count: 7 before, now 5"):
        PartialResults(tmp_path / "parts", RUN_SETTINGS)


@pytest.mark.parametrize("damage", [b"", b"PAR1", None])
def test_tables_after_an_incomplete_one_are_recomputed(tmp_path, damage):
    """A power failure can leave incomplete tables. Temporary files of killed processes are deleted as well."""
    interrupt_after(tmp_path / "parts", 4)
    second = tmp_path / "parts" / "000001.parquet"
    second.write_bytes(second.read_bytes()[:-5] if damage is None else damage)
    (tmp_path / "parts" / f".000004.parquet.{99:032x}").write_bytes(b"half")
    results = PartialResults(tmp_path / "parts", RUN_SETTINGS)
    assert results.n_tables == 1
    assert sorted(file.name for file in results.folder.iterdir()) == ["000000.parquet", LOCK, SETTINGS]
    assert [len(table) for table in results.extend(tables(1, 3))] == [0, 1, 2]


def test_other_folders_and_files_are_not_changed(tmp_path):
    (tmp_path / "notes.txt").write_text("notes")
    for path in (tmp_path, tmp_path / "notes.txt"):
        with pytest.raises(InputError, match="exists and is not an unfinished run"):
            PartialResults(path, RUN_SETTINGS)
    interrupt_after(tmp_path / "parts", 1)
    (tmp_path / "parts" / "notes.txt").write_text("notes")
    PartialResults(tmp_path / "parts", RUN_SETTINGS).remove()
    assert [file.name for file in (tmp_path / "parts").iterdir()] == ["notes.txt"]


def test_damaged_settings_are_an_error(tmp_path):
    interrupt_after(tmp_path / "parts", 1)
    (tmp_path / "parts" / SETTINGS).write_text("{")
    with pytest.raises(InputError, match=r"damaged: .*delete the folder"):
        PartialResults(tmp_path / "parts", RUN_SETTINGS)


def test_deleting_the_folder_during_a_run_is_an_error(tmp_path):
    results = PartialResults(tmp_path / "parts", RUN_SETTINGS)
    results.extend(tables(0, 2))
    shutil.rmtree(tmp_path / "parts")
    with pytest.raises(MolvaeError):
        results.extend(tables(2, 3))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("settings", [RUN_SETTINGS, {"count": 6}])
def test_second_run_in_a_folder_stops_the_first(tmp_path, settings):
    """Their tables do not mix, and the first does not delete those of the second."""
    first = PartialResults(tmp_path / "parts", RUN_SETTINGS)
    second = PartialResults(tmp_path / "parts", settings)
    second.extend(tables(0, 1))
    for method in (lambda: first.extend(tables(0, 2)), first.remove):
        with pytest.raises(MolvaeError):
            method()
    assert [len(table) for table in second.extend(tables(1, 3))] == [0, 1, 2]
