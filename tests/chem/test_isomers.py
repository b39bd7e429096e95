"""One key for the isomers that count as one proposal."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from molecules import DRUGS
from rdkit import Chem
from rdkit.Chem.MolStandardize.rdMolStandardize import TautomerEnumerator, Uncharger

from molvae.chem.isomers import isomer_key, skeleton_key
from molvae.chem.smiles import parse, silence_rdkit


def key(smiles):
    return isomer_key(Chem.MolFromSmiles(smiles))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("C[C@H](O)F", "C[C@@H](O)F"), ("C/C=C/C", r"C/C=C\C"), ("CC(=O)C", "CC(O)=C"), ("Oc1ccccn1", "O=c1cccc[nH]1"),
        ("Cc1c[nH]cn1", "Cc1cnc[nH]1"), ("CC(=O)[O-]", "CC(=O)O"), ("C[NH3+]", "CN"), ("NC(=N)N", "NC(=[NH2+])N"),
        ("c1cc[nH+]cc1", "c1ccncc1"), ("c1nnn[n-]1", "c1nn[nH]n1"), ("[2H]C([2H])([2H])O", "CO"),
        ("N[C@@H](C)C(=O)O", "[NH3+]C(C)C([O-])=O"), ("CN=C(N)c1ccccc1", "CNC(=N)c1ccccc1"),
        ("O=C1CC(=O)CC1", "O=C1C=C(O)CC1"),
    ],
)  # fmt: skip
def test_isomers_have_one_key(first, second):
    assert key(first) == key(second)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("CCO", "COC"), ("CCN", "CC[N+](C)(C)C"), ("Cc1ccccc1F", "Cc1cccc(F)c1"), ("CC(=O)N", "CC(=S)N"),
        ("CC=O", "CCO"), ("c1ccncc1", "c1ccccc1"), ("C[N+](=O)[O-]", "CN=O"), ("O=C1CCCCC1", "OC1CCCCC1"),
    ],
)  # fmt: skip
def test_other_molecules_have_other_keys(first, second):
    assert key(first) != key(second)


def test_key_does_not_depend_on_the_spelling():
    for smiles in DRUGS.values():
        mol = Chem.MolFromSmiles(smiles)
        for text in Chem.MolToRandomSmilesVect(mol, 3, randomSeed=3):
            assert key(text) == isomer_key(mol)


def test_molecule_is_not_changed():
    mol = Chem.MolFromSmiles("C[C@H]([NH3+])C(=O)[O-]")
    isomer_key(mol)
    assert Chem.MolToSmiles(mol) == "C[C@H]([NH3+])C(=O)[O-]"


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(sorted(DRUGS.values())), st.sampled_from(sorted(DRUGS.values())))
def test_isomers_have_one_skeleton(first, second):
    """Molecules with another skeleton key have another isomer key; a tautomer or charge form keeps both."""
    a, b = parse(first), parse(second)
    with silence_rdkit():
        if isomer_key(a) == isomer_key(b):
            assert skeleton_key(a) == skeleton_key(b)
        for form in (Uncharger().uncharge(a), TautomerEnumerator().Canonicalize(a), Chem.AddHs(a)):
            if isomer_key(form) == isomer_key(a):
                assert skeleton_key(form) == skeleton_key(a)
