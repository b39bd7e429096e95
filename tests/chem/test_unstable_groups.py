"""The curated set of unstable and reactive groups."""

from __future__ import annotations

import pytest
from rdkit import Chem

from molvae.chem.unstable_groups import LEVELS, find_unstable_groups, unstable_groups
from molvae.data.datasets import sample_library_path

EXAMPLES = [(name, smiles) for name, group in unstable_groups().items() for smiles in group.examples]


@pytest.mark.parametrize(("name", "smiles"), EXAMPLES)
def test_example_has_its_group(name, smiles):
    assert name in find_unstable_groups(Chem.MolFromSmiles(smiles))


def test_groups_are_complete():
    for group in unstable_groups().values():
        assert group.level in LEVELS
        assert group.reason.endswith(".")
        assert group.reference
        assert group.examples


@pytest.mark.parametrize(
    "smiles",
    [
        "CC(=O)Nc1ccc(O)cc1", "FC(F)(F)c1ccccc1", "C1COCCN1", "NC(=O)c1ccccc1", "c1ccc2[nH]ccc2c1",
        "CC(=O)OC", "CS(=O)(=O)N", "CC(=O)NOC", "OB(O)c1ccccc1", "CC(C)(C)OC(=O)N", "C1COC2(O1)CCCC2", "NC(N)=N",
        "Oc1ccccc1", "COC(F)F", "CN(C)C(=O)C=C", "C#CCN", "FS(F)(F)(F)(F)c1ccccc1", "O=C1C=C(O)CC1", "CSC",
        "CC(C)=NO", "CNN=C(C)C", "Nc1ncnc2[nH]cnc12", "OC(C(F)(F)F)(C(F)(F)F)C", "CP(C)(C)=O",
        "CNC(=O)c1ccccc1", "CNC(=S)NC", "Nc1ccccn1", "CC(=O)N(C)O", "C[n+]1ccccc1", "CN1CN(C)c2ccccc21",
        "CC(=O)N1CCOCC1",
    ],
)  # fmt: skip
def test_ordinary_molecules_have_none(smiles):
    assert find_unstable_groups(Chem.MolFromSmiles(smiles)) == []


def test_families_exclude_no_group():
    """Molecules, and the examples of all groups, have the same groups as in a search without families."""
    smiles = [line.split()[0] for line in sample_library_path().read_text(encoding="utf-8").splitlines()]
    smiles += [example for group in unstable_groups().values() for example in group.examples]
    queries = {name: Chem.MolFromSmarts(group.smarts) for name, group in unstable_groups().items()}
    for mol in map(Chem.MolFromSmiles, smiles):
        assert find_unstable_groups(mol) == [name for name, query in queries.items() if mol.HasSubstructMatch(query)]


def test_rate_among_approved_drugs():
    smiles = [line.split()[0] for line in sample_library_path().read_text(encoding="utf-8").splitlines()]
    found = [text for text in smiles if find_unstable_groups(Chem.MolFromSmiles(text))]
    assert 0 < len(found) < 0.06 * len(smiles)
