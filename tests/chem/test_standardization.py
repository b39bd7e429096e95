"""`prepare`: one identity for all spellings of a molecule, and notes of what was changed."""

import pytest
from rdkit import Chem

from molvae.chem.standardization import prepare

PAIRS = [
    ("C[S+]([O-])c1ccccc1", "CS(=O)c1ccccc1"),
    ("C[S@+]([O-])c1ccccc1", "C[S@](=O)c1ccccc1"),
    ("[O-][S@@+](C)c1ccccc1", "C[S@](=O)c1ccccc1"),
    ("C[S+2]([O-])([O-])C", "CS(C)(=O)=O"),
    ("C[P+](C)(C)[O-]", "CP(C)(C)=O"),
    ("C[Se+]([O-])C", "C[Se](C)=O"),
    ("C[S+](C)[CH2-]", "C=S(C)C"),
    ("CN(=O)=O", "C[N+](=O)[O-]"),
    ("O=n1ccccc1", "[O-][n+]1ccccc1"),
    ("C[N-][N+]#N", "CN=[N+]=[N-]"),
    ("CN=N#N", "CN=[N+]=[N-]"),
    ("[CH2-][N+]#N", "C=[N+]=[N-]"),
    ("C[C-]=[N+]=O", "CC#[N+][O-]"),
    ("CC([O-])=[NH2+]", "CC(N)=O"),
    ("[O-]c1cccc[nH+]1", "O=c1cccc[nH]1"),
    ("[O-]c1cc[nH+]cc1", "O=c1cc[nH]cc1"),
    ("[H]/N=C(/N)c1ccccc1", "N=C(N)c1ccccc1"),
    ("CC/C=C/[H]", "C=CCC"),
    ("[CH3:1][OH:2]", "CO"),
    ("CC(=O)[O-].[Na+]", "CC(=O)[O-]"),
    ("O=C1c2ccccc2C(=O)N1C(=O)c1ccccc1C(=O)N1C(=O)c2ccccc2C1=O",
     "O=C(c1ccccc1C(=O)N1C(=O)c2ccccc2C1=O)N1C(=O)c2ccccc2C1=O"),
]  # fmt: skip


@pytest.mark.parametrize(("spelling", "identity"), PAIRS)
def test_two_spellings_are_one_molecule(spelling, identity):
    assert prepare(spelling).smiles == prepare(identity).smiles == identity


@pytest.mark.parametrize("smiles", ["C[n+]1cccc(C(=O)[O-])c1", "C[N+](C)(C)CC(=O)[O-]", "[NH3+]CC(=O)[O-]", "[H][H]"])
def test_charges_that_belong_to_the_molecule_stay(smiles):
    mol = prepare(smiles)
    assert mol.smiles == Chem.CanonSmiles(smiles)
    assert mol.notes == ()
