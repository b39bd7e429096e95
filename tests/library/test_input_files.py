"""The estimate of rows: exact for small files and .parquet, near for large ones."""

from __future__ import annotations

import gzip

import pandas as pd
import pytest

from molvae.library.input_files import expected_rows

LINES = "".join(f"CCCC{'C' * (i % 13)} name{i}\n" for i in range(100_000))


def test_small_files_are_counted(tmp_path):
    (tmp_path / "a.smi").write_text("CCO\nCCN")
    (tmp_path / "b.sdf").write_text("x\n\n\n$$$$\ny\n\n\n$$$$\n")
    pd.DataFrame({"smiles": ["C"] * 7}).to_parquet(tmp_path / "c.parquet")
    assert [expected_rows([tmp_path / name]) for name in ("a.smi", "b.sdf", "c.parquet")] == [2, 2, 7]
    assert expected_rows([tmp_path / "a.smi", tmp_path / "c.parquet"]) == 9
    assert expected_rows([]) == 0


def test_large_files_are_estimated(tmp_path):
    (tmp_path / "a.smi").write_text(LINES)
    with gzip.open(tmp_path / "b.smi.gz", "wt") as file:
        file.write(LINES)
    assert expected_rows([tmp_path / "a.smi"]) == pytest.approx(100_000, rel=0.02)
    assert expected_rows([tmp_path / "b.smi.gz"]) == pytest.approx(100_000, rel=0.25)


def test_what_cannot_be_told_is_none(tmp_path):
    assert expected_rows([tmp_path / "missing.smi"]) is None
    (tmp_path / "x.smi.gz").write_bytes(b"\x1f\x8b no gzip")
    assert expected_rows([tmp_path / "x.smi.gz"]) is None
