"""QED from precomputed descriptors equals RDKit's QED."""

from __future__ import annotations

import pytest
from molecules import DRUGS
from rdkit.Chem import QED

from molvae.chem.properties import compute_properties, qed
from molvae.chem.smiles import parse

DESCRIPTORS = ("mw", "logp", "hbd", "tpsa", "rotatable_bonds")


@pytest.mark.parametrize("smiles", [*DRUGS.values(), "C", "[H][H]", "[2H]C", "[Fe]", "C.C", "[H]C([H])([H])C=O"])
def test_equal_to_rdkit(smiles):
    mol = parse(smiles)
    descriptors = {name: float(values[0]) for name, values in compute_properties([mol], DESCRIPTORS).items()}
    assert qed(mol, **descriptors) == QED.qed(mol)


def test_every_descriptor_changes_qed():
    mol = parse(DRUGS["imatinib"])
    descriptors = {name: float(values[0]) for name, values in compute_properties([mol], DESCRIPTORS).items()}
    for name in DESCRIPTORS:
        assert qed(mol, **{**descriptors, name: descriptors[name] + 1}) != qed(mol, **descriptors)
