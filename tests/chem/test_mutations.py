"""Mutants are valid molecules that differ from their parent in one branch or atom."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rdkit import Chem
from rdkit.Chem import rdFMCS

from molvae.chem.filters import alerts
from molvae.chem.mutations import MAX_BRANCH_TOKENS, MAX_SA_INCREASE, Mutant, Substituents, mutate, shared_ends
from molvae.chem.properties import sa_score
from molvae.chem.smiles import parse, silence_rdkit
from molvae.chem.tokenizer import tokenize

PARTS = ("C", "F", "Cl", "OC", "C#N", "N(C)C", "C(F)(F)F", "[N+](=O)[O-]", "I", "C=O")
MOLECULES = [
    Chem.CanonSmiles(core.format(part))
    for core in ("CC(=O)Nc1ccc({})c(C)c1", "O=C(NC1CCN({})CC1)c1ccccc1", "CC({})CCc1ccncc1", "O=S(=O)(NC({})C)c1ccccc1")
    for part in PARTS
]
SEEDS = (
    "CC(=O)Nc1ccc(O)cc1",
    "CC(C)Cc1ccc([C@@H](C)C(=O)O)cc1",
    "C[N+](C)(C)CCOC(C)=O",
    "Cc1ccc(NC(=O)c2ccc(CN3CCN(C)CC3)cc2)cc1Nc1nccc(-c2cccnc2)n1",
    "C/C=C/C(=O)Nc1ccccc1",
)


@pytest.fixture(scope="module")
def substituents() -> Substituents:
    return Substituents.from_smiles(MOLECULES * 10)


def mutants(smiles: str, substituents: Substituents, tries: int = 200, random_state: int = 0) -> list[Mutant]:
    smiles = Chem.CanonSmiles(smiles)
    with silence_rdkit():
        return list(mutate(parse(smiles), smiles, substituents, np.random.default_rng(random_state), tries=tries))


@pytest.mark.parametrize("seed", SEEDS)
def test_mutants_differ_in_one_branch(seed: str, substituents: Substituents) -> None:
    mol = parse(seed)
    found = mutants(seed, substituents)
    assert len(found) >= 2
    assert len({mutant.smiles for mutant in found}) == len(found)
    for mutant in found:
        assert mutant.smiles == Chem.CanonSmiles(mutant.smiles) != Chem.CanonSmiles(seed)
        assert sum(atom.GetNumRadicalElectrons() for atom in mutant.mol.GetAtoms()) == 0
        same = rdFMCS.FindMCS([mol, mutant.mol], atomCompare=rdFMCS.AtomCompare.CompareAny, timeout=5)
        assert min(mol.GetNumAtoms(), mutant.mol.GetNumAtoms()) - same.numAtoms <= MAX_BRANCH_TOKENS


@pytest.mark.parametrize("seed", SEEDS)
def test_sa_score_of_mutants_is_limited(seed: str, substituents: Substituents) -> None:
    mol = parse(seed)
    assert all(sa_score(mutant.mol) <= sa_score(mol) + MAX_SA_INCREASE for mutant in mutants(seed, substituents))


def test_mutants_have_few_new_alerts(substituents: Substituents) -> None:
    collected = {"".join(branch) for branches, _ in substituents.by_atom.values() for branch in branches}
    assert {"(C)", "(F)", "(Cl)", "(C#N)"} <= collected
    assert not collected & {"([N+](=O)[O-])", "(I)", "(C=O)"}
    for seed in SEEDS:
        seed_alerts = set(alerts(parse(seed), ("BRENK",)))
        new = [
            mutant.smiles
            for mutant in mutants(seed, substituents)
            if not set(alerts(mutant.mol, ("BRENK",))) <= seed_alerts
        ]
        # a branch can form an alert together with its neighborhood
        assert len(new) <= len(mutants(seed, substituents)) // 5, new


def test_substituents_by_atom(substituents: Substituents) -> None:
    assert set(substituents.by_atom) == {"c", "C", "N"}
    assert all(
        branch[0] == "(" and branch[-1] == ")" for branches, _ in substituents.by_atom.values() for branch in branches
    )
    assert substituents.sample("n", np.random.default_rng(0)) is None
    assert substituents.sample("c", np.random.default_rng(0)) in substituents.by_atom["c"][0]


def test_mutants_depend_only_on_the_random_state(substituents: Substituents) -> None:
    first, again, other = (mutants(SEEDS[3], substituents, 20, random_state) for random_state in (1, 1, 2))
    assert (
        [mutant.smiles for mutant in first]
        == [mutant.smiles for mutant in again]
        != [mutant.smiles for mutant in other]
    )


@pytest.mark.parametrize("smiles", ["C", "[Na+]", "N#N", "c1ccccc1"])
def test_mutants_of_tiny_molecules(smiles: str, substituents: Substituents) -> None:
    assert all(mutant.smiles != smiles for mutant in mutants(smiles, substituents, 30))
    assert mutants(smiles, Substituents({}), 0) == []


def test_accept_rejects_mutants(substituents: Substituents) -> None:
    seed = Chem.CanonSmiles(SEEDS[0])
    with silence_rdkit():
        found = mutate(parse(seed), seed, substituents, np.random.default_rng(0), tries=100, accept=lambda s: "Cl" in s)
        assert {"Cl" in mutant.smiles for mutant in found} == {True}


@given(st.text("CcN(", max_size=8), st.text("CcN(", max_size=8))
def test_shared_ends_equal_brute_force(a: str, b: str) -> None:
    prefix = max(n for n in range(min(len(a), len(b)) + 1) if a[:n] == b[:n])
    suffix = max(n for n in range(min(len(a), len(b)) + 1) if a[len(a) - n :] == b[len(b) - n :])
    expected = min(prefix + suffix, len(a), len(b)) / max(len(a), len(b), 1)
    assert shared_ends(a, b) == shared_ends(list(b), list(a)) == expected
    assert 0 <= expected <= 1
    assert (shared_ends(tokenize("CCO"), tokenize("CCO"))) == 1
