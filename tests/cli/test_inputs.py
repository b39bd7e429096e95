"""Rows from SMILES, files and standard input."""

from __future__ import annotations

import io
import sys

import pandas as pd
import pytest

from molvae.cli.inputs import InputRows, read_rows
from molvae.data.carried_columns import add_columns
from molvae.data.rows import Record
from molvae.errors import InputError


def test_smiles_and_files_can_be_mixed(tmp_path):
    (tmp_path / "two.csv").write_text("id,smiles\n1,CCN\n2,CCC\n")
    rows = list(read_rows(["CC(=O)O", str(tmp_path / "two.csv"), "CCO", ""], None))
    assert [row.smiles for row in rows if isinstance(row, Record)] == ["CC(=O)O", "CCN", "CCC", "CCO"]
    assert rows[0].location == "argument 1"
    assert str(rows[-1]) == "argument 4: the SMILES field is empty"


@pytest.mark.parametrize("name", ["nowhere.smi", "empty.smi", "folder.smi"])
def test_unreadable_file_fails_before_reading(tmp_path, name):
    (tmp_path / "one.smi").write_text("CCO\n")
    (tmp_path / "empty.smi").touch()
    (tmp_path / "folder.smi").mkdir()
    with pytest.raises(InputError, match=name):
        read_rows([str(tmp_path / "one.smi"), str(tmp_path / name)], None)  # fails before the first row is requested


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("id\tsmiles\n1\tCCO\n", [("CCO", "1")]),  # a table
        ("smiles\tnumber\nCCO\t1\n", [("CCO", "1")]),  # a .smi file, whose second field is the name
        ("CCO\tethanol\nCCN\n", [("CCO", "ethanol"), ("CCN", "")]),
    ],
)
def test_standard_input_table_header(monkeypatch, text, rows):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode()), encoding="utf-8"))
    assert [(row.smiles, row.name) for row in read_rows(["-"], None)] == rows


def test_further_columns_follow_the_table(tmp_path):
    (tmp_path / "a.csv").write_text("Compound_ID,SMILES,qed,batch\nZ1,CCO,9,B1\nZ2,,8,B2\n")
    (tmp_path / "b.tsv").write_text("smiles\tid\tplate\nCCN\tZ3\tP1\n")
    found = InputRows([str(tmp_path / "a.csv"), str(tmp_path / "b.tsv"), "CCC"], None)
    rows = list(found)
    assert [row.name for row in rows] == ["Z1", "Z2", "Z3", ""]
    assert found.columns == ("qed", "batch", "plate")
    table = add_columns(pd.DataFrame({"smiles": range(4), "qed": 0.5}), rows, found.columns)
    assert list(table.columns) == ["smiles", "qed", "input_qed", "batch", "plate"]
    assert table[["input_qed", "batch", "plate"]].to_numpy().tolist() == [
        ["9", "B1", ""], ["8", "B2", ""], ["", "", "P1"], ["", "", ""],
    ]  # fmt: skip
