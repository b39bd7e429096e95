"""Molecules as arguments of Python functions: accepted or refused by type."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rdkit import Chem

from molvae.data.arguments import as_paths, as_smiles, as_smiles_iterable, table_records
from molvae.data.rows import InvalidRow
from molvae.errors import InputError

ETHANOL, PHENOL = Chem.MolFromSmiles("OCC"), Chem.MolFromSmiles("Oc1ccccc1")


@pytest.mark.parametrize(
    "molecules",
    [
        ["CCO", "Oc1ccccc1"],
        ("CCO", PHENOL),
        iter([ETHANOL, PHENOL]),
        pd.Series(["CCO", "Oc1ccccc1"], index=[7, 9]),
        np.array(["CCO", "Oc1ccccc1"]),
        pd.DataFrame({"id": [1, 2], "Canonical SMILES": ["CCO", "Oc1ccccc1"]}),
        pd.DataFrame({"mol": [ETHANOL, PHENOL]}),
        ["CCO |r|", "InChI=1S/C6H6O/c7-6-4-2-1-3-5-6/h1-5,7H"],
        io.StringIO("CCO\nOc1ccccc1\n"),
    ],
    ids=["list", "mixed", "mols", "series", "array", "table", "table of mols", "extensions", "stream"],
)
def test_collections_of_molecules_are_accepted(molecules):
    assert [Chem.CanonSmiles(text) for text in as_smiles_iterable(molecules)] == ["CCO", "Oc1ccccc1"]


def test_one_molecule_is_a_list_of_one():
    assert list(as_smiles_iterable("CCO")) == list(as_smiles_iterable(ETHANOL)) == ["CCO"]
    assert as_smiles(PHENOL) == "Oc1ccccc1"


@pytest.mark.parametrize("as_path", [str, Path])
def test_path_is_read(tmp_path, as_path):
    (tmp_path / "a.smi").write_text("CCO ethanol\nC1CC broken\n")
    assert list(as_smiles_iterable(as_path(tmp_path / "a.smi"))) == ["CCO", "C1CC"]


def test_missing_file_raises():
    with pytest.raises(InputError, match=r"seeds\.smi does not exist"):
        as_smiles_iterable("seeds.smi")


def test_values_that_are_no_molecules_stay_rows():
    assert list(as_smiles_iterable(["CCO", None, 3.5])) == ["CCO", None, 3.5]


@pytest.mark.parametrize("molecules", [None, 3, b"CCO", {"ethanol": "CCO"}, pd.DataFrame({"x": ["CCO"]})])
def test_other_types_are_refused(molecules):
    with pytest.raises(InputError, match="SMILES"):
        as_smiles_iterable(molecules)


@pytest.mark.parametrize("files", [3, ETHANOL, pd.DataFrame({"smiles": ["CCO"]}), [ETHANOL], {"a": 1}])
def test_paths_are_required(files):
    with pytest.raises(InputError, match="library must"):
        as_paths(files, "library")


def test_rows_of_a_table():
    table = pd.DataFrame({"SMILES": ["CCO", None, "CC"], "pIC50": [5, 6.5, np.nan]})
    rows = list(table_records(table, None, "pic50"))
    assert [(row.name, row.row) for row in rows] == [("5", 1), ("6.5", 2), ("", 3)]
    assert isinstance(rows[1], InvalidRow)
    with pytest.raises(InputError, match="no column 'activity'"):
        list(table_records(table, None, "activity"))
