"""The table of `molvae.explain`."""

from __future__ import annotations

import pandas as pd
import pytest
from molecules import DRUGS
from rdkit import Chem

import molvae
from molvae.chem.plausibility import PlausibilityChecker
from molvae.chem.precedence import PrecedenceTable
from molvae.errors import InputError
from molvae.metrics.explanation import COLUMNS, explain


def test_plausible_equals_the_checker():
    table = molvae.explain(DRUGS.values())
    assert tuple(table.columns) == COLUMNS
    plausible = table.groupby("smiles", sort=False)["plausible"].first()
    for smiles in DRUGS.values():
        assert plausible[smiles] == (PlausibilityChecker().first_flaw(Chem.MolFromSmiles(smiles)) == "")


def test_atoms_are_those_of_the_canonical_smiles():
    table = explain("FN1CCN(C)CC1.Cl")
    for row in table.to_dict("records"):
        mol = Chem.MolFromSmiles(row["canonical"])
        symbols = [mol.GetAtomWithIdx(int(text)).GetSymbol() for text in row["atoms"].split()]
        assert {"N", "F"} <= set(symbols)


def test_index_of_a_series_is_repeated():
    series = pd.Series(["CN1CCN(F)CC1", "CC(=O)Nc1ccc(O)cc1", None], index=["x", "y", "z"])
    table = explain(series)
    assert table.index.tolist() == ["x", "x", "y", "z"]
    assert table["kind"].tolist()[-2:] == ["no findings", ""]
    assert table["plausible"].tolist()[-1] is None
    assert "not text" in table["error"].tolist()[-1]


def test_own_table(tmp_path):
    PrecedenceTable.from_molecules(["CC(=O)Nc1ccc(O)cc1"]).save(tmp_path / "own.npz")
    (row,) = explain("CC(=O)Nc1ccc(O)cc1", precedence=tmp_path / "own.npz").to_dict("records")
    assert row["kind"] == "no findings"
    pyridine = explain("Oc1ccncc1", precedence=tmp_path / "own.npz")
    assert "c1ccncc1" in pyridine["fragment"].tolist()
    assert "none of 1 real molecules has it" in pyridine["reason"].tolist()


@pytest.mark.parametrize("options", [{"seed": "C1CC"}, {"max_count": -1}, {"precedence": "none.npz"}])
def test_invalid_options(options):
    with pytest.raises(InputError):
        explain("CCO", **options)


def test_no_molecules():
    assert tuple(explain([]).columns) == COLUMNS
    assert len(explain([])) == 0
