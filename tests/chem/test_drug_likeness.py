"""QED from given descriptors is RDKit's QED."""

from __future__ import annotations

import pytest
from molecules import DRUGS
from rdkit.Chem import QED

from molvae.chem.properties import compute_properties, qed
from molvae.chem.smiles import parse

NEEDS = ("mw", "logp", "hbd", "tpsa", "rotatable_bonds")


@pytest.mark.parametrize("smiles", [*DRUGS.values(), "C", "[H][H]", "[2H]C", "[Fe]", "C.C", "[H]C([H])([H])C=O"])
def test_it_is_that_of_rdkit_to_the_last_digit(smiles):
    mol = parse(smiles)
    given = {name: float(values[0]) for name, values in compute_properties([mol], NEEDS).items()}
    assert qed(mol, **given) == QED.qed(mol)


def test_every_descriptor_counts():
    mol = parse(DRUGS["imatinib"])
    given = {name: float(values[0]) for name, values in compute_properties([mol], NEEDS).items()}
    for name in NEEDS:
        assert qed(mol, **{**given, name: given[name] + 1}) != qed(mol, **given)
