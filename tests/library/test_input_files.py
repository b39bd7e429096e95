"""Estimates of rows: exact for small files and Parquet, approximate for large files."""

from __future__ import annotations

import gzip

import pandas as pd
import pytest

from molvae.library.input_files import estimate_rows

LINES = "".join(f"CCCC{'C' * (i % 13)} name{i}\n" for i in range(100_000))


def test_small_files_are_counted(tmp_path):
    (tmp_path / "a.smi").write_text("CCO\nCCN")
    (tmp_path / "b.sdf").write_text("x\n\n\n$$$$\ny\n\n\n$$$$\n")
    pd.DataFrame({"smiles": ["C"] * 7}).to_parquet(tmp_path / "c.parquet")
    assert [estimate_rows([tmp_path / name]) for name in ("a.smi", "b.sdf", "c.parquet")] == [2, 2, 7]
    assert estimate_rows([tmp_path / "a.smi", tmp_path / "c.parquet"]) == 9
    assert estimate_rows([]) == 0


def test_large_files_are_estimated(tmp_path):
    (tmp_path / "a.smi").write_text(LINES)
    with gzip.open(tmp_path / "b.smi.gz", "wt") as file:
        file.write(LINES)
    assert estimate_rows([tmp_path / "a.smi"]) == pytest.approx(100_000, rel=0.02)
    assert estimate_rows([tmp_path / "b.smi.gz"]) == pytest.approx(100_000, rel=0.25)


def test_unreadable_files_give_none(tmp_path):
    assert estimate_rows([tmp_path / "missing.smi"]) is None
    (tmp_path / "x.smi.gz").write_bytes(b"\x1f\x8b no gzip")
    assert estimate_rows([tmp_path / "x.smi.gz"]) is None
