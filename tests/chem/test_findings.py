"""Findings name the fragments that make a molecule implausible, with their atoms."""

from __future__ import annotations

import pytest
from molecules import DRUGS
from rdkit import Chem

from molvae.chem.findings import find, flaw_names
from molvae.chem.plausibility import PlausibilityChecker
from molvae.chem.precedence import PrecedenceTable, environments, shipped_table
from molvae.chem.unstable_groups import unstable_groups

MOLS = [Chem.MolFromSmiles(smiles) for smiles in DRUGS.values()]
IMPLAUSIBLE = [Chem.MolFromSmiles(s) for s in ("CN1CCN(F)CC1", "C1=NC2SC=CC2P1", "CC(=O)OC(C)(O)CCl", "C[Xe]C")]


def test_a_molecule_has_flaws_if_the_checker_rejects_it():
    examples = [Chem.MolFromSmiles(text) for group in unstable_groups().values() for text in group.examples]
    for mol in [*MOLS, *IMPLAUSIBLE, *examples]:
        is_plausible = not PlausibilityChecker().first_flaw(mol)
        assert any(finding.is_flaw for finding in find(mol)) != is_plausible
        assert bool(flaw_names(PlausibilityChecker(), mol)) != is_plausible


def test_atoms_of_findings():
    (environment, group) = find(IMPLAUSIBLE[0])
    assert (environment.fragment, set(environment.atoms)) == ("N(F)(C)C", {3, 4, 5, 6})
    assert (group.fragment, group.atoms, group.n_molecules) == ("N-halogen", (4, 5), None)
    assert group.reference == unstable_groups()["N-halogen"].reference


def test_unprecedented_environments_by_hand():
    """By a table of one molecule, what another one has in common with it is precedented."""
    known, mol = Chem.MolFromSmiles("CCCO"), Chem.MolFromSmiles("CCCN")
    table = PrecedenceTable.from_molecules(["CCCO"])
    found = {(rarity.kind, rarity.smiles) for rarity in table.explain(mol)}
    # the methyl group and its neighbor are known; around N and the carbon next to it nothing is
    assert found == {("environment of radius 1", "NC"), ("environment of radius 1", "C(C)N")}
    assert environments(mol, 1) & environments(known, 1)


def test_environments_of_radius_2_that_contain_others_are_left_out():
    for mol in IMPLAUSIBLE:
        rare = shipped_table().explain(mol)
        narrow = [set(rarity.atoms) for rarity in rare if rarity.kind.endswith("1")]
        wide = [set(rarity.atoms) for rarity in rare if rarity.kind.endswith("2")]
        assert not any(small < large and len(small) > 2 for small in narrow for large in wide)


def test_what_the_seed_has_is_left_out():
    for mol in IMPLAUSIBLE:
        assert find(mol, seed=mol) == []
        checker = PlausibilityChecker.for_seed(mol)
        assert flaw_names(checker, mol) == []
    # the seed has the group, but not in a ring
    found = find(IMPLAUSIBLE[0], seed=Chem.MolFromSmiles("CN(C)F"))
    assert [finding.kind for finding in found] == ["environment of radius 1"]


def test_rare_fragments_are_no_flaws():
    mol = Chem.MolFromSmiles("O=C(O)c1ccc2oc3ccccc3c2c1")
    assert find(mol) == []
    found = find(mol, max_count=1000)
    assert {finding.level for finding in found} == {"rare", "information"}
    assert all(0 < finding.n_molecules <= 1000 for finding in found)


@pytest.mark.parametrize("smiles", ["[Na+].CC(=O)[O-]", "[Xe]", "C", "CN1CCN(F)CC1.[Na+]"])
def test_several_fragments_and_single_atoms(smiles):
    mol = Chem.MolFromSmiles(smiles)
    table = shipped_table()
    assert bool(table.unprecedented_environments(mol)) == bool(
        [rarity for rarity in table.explain(mol) if rarity.kind == "environment of radius 1"]
    )
    for finding in find(mol):
        assert max(finding.atoms) < mol.GetNumAtoms()
