"""The SA score equals that of RDKit's Contrib."""

from __future__ import annotations

import pytest
from molecules import DRUGS
from rdkit.Contrib.SA_Score import sascorer

from molvae.chem.properties import sa_score
from molvae.chem.smiles import parse

UNUSUAL = [
    "C", "[H][H]", "[2H]C", "[Fe]", "C.C", "F/C=C/F", "C[C@H](F)Cl", "CC(F)Cl", "C1CCC2(CC1)CCCC2", "C1CC2CCC1CC2",
    "C1CCCCCCCCCC1", "C" * 120, "C12C3C4C1C5C2C3C45", "c1ccccc1",
]  # fmt: skip


@pytest.mark.parametrize("smiles", [*DRUGS.values(), *UNUSUAL])
def test_equal_to_rdkit(smiles):
    assert sa_score(parse(smiles)) == pytest.approx(sascorer.calculateScore(parse(smiles)), rel=1e-12)


def test_unspecified_stereocenters_count():
    specified, unspecified, achiral = (sa_score(parse(text)) for text in ("C[C@H](F)Cl", "CC(F)Cl", "CC(C)Cl"))
    assert specified == unspecified != achiral
