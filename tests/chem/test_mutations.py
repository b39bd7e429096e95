"""Variants: molecules that differ in one piece, as RDKit sees them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rdkit import Chem
from rdkit.Chem import rdFMCS

from molvae.chem.filters import alerts
from molvae.chem.mutations import HARDER, LARGEST_BRANCH, Substituents, Variant, mutate, shared_ends
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
def pieces() -> Substituents:
    return Substituents.from_smiles(MOLECULES * 10)


def of(smiles: str, pieces: Substituents, tries: int = 200, seed: int = 0) -> list[Variant]:
    smiles = Chem.CanonSmiles(smiles)
    with silence_rdkit():
        return list(mutate(parse(smiles), smiles, pieces, np.random.default_rng(seed), tries=tries))


@pytest.mark.parametrize("seed", SEEDS)
def test_a_variant_is_another_molecule_that_differs_in_one_piece(seed: str, pieces: Substituents) -> None:
    mol = parse(seed)
    found = of(seed, pieces)
    assert len(found) >= 2
    assert len({v.smiles for v in found}) == len(found)
    for variant in found:
        assert variant.smiles == Chem.CanonSmiles(variant.smiles) != Chem.CanonSmiles(seed)
        assert sum(atom.GetNumRadicalElectrons() for atom in variant.mol.GetAtoms()) == 0
        same = rdFMCS.FindMCS([mol, variant.mol], atomCompare=rdFMCS.AtomCompare.CompareAny, timeout=5)
        assert min(mol.GetNumAtoms(), variant.mol.GetNumAtoms()) - same.numAtoms <= LARGEST_BRANCH


@pytest.mark.parametrize("seed", SEEDS)
def test_a_variant_is_no_harder_to_make(seed: str, pieces: Substituents) -> None:
    mol = parse(seed)
    assert all(sa_score(v.mol) <= sa_score(mol) + HARDER for v in of(seed, pieces))


def test_no_piece_is_an_alert_and_no_exchange_makes_one(pieces: Substituents) -> None:
    drawn = {"".join(piece) for branches, _ in pieces.on.values() for piece in branches}
    assert {"(C)", "(F)", "(Cl)", "(C#N)"} <= drawn
    assert not drawn & {"([N+](=O)[O-])", "(I)", "(C=O)"}
    for seed in SEEDS:
        had = set(alerts(parse(seed), ("BRENK",)))
        new = [v.smiles for v in of(seed, pieces) if not set(alerts(v.mol, ("BRENK",))) <= had]
        assert len(new) <= len(of(seed, pieces)) // 5, new  # a branch may be one together with what it hangs on


def test_pieces_are_what_hangs_on_such_an_atom(pieces: Substituents) -> None:
    assert set(pieces.on) == {"c", "C", "N"}
    assert all(piece[0] == "(" and piece[-1] == ")" for branches, _ in pieces.on.values() for piece in branches)
    assert pieces.draw("n", np.random.default_rng(0)) is None
    assert pieces.draw("c", np.random.default_rng(0)) in pieces.on["c"][0]


def test_the_same_seed_gives_the_same(pieces: Substituents) -> None:
    first, again, other = (of(SEEDS[3], pieces, 20, seed) for seed in (1, 1, 2))
    assert [v.smiles for v in first] == [v.smiles for v in again] != [v.smiles for v in other]


@pytest.mark.parametrize("smiles", ["C", "[Na+]", "N#N", "c1ccccc1"])
def test_of_hardly_any_atoms_there_may_be_none(smiles: str, pieces: Substituents) -> None:
    assert all(v.smiles != smiles for v in of(smiles, pieces, 30))
    assert of(smiles, Substituents({}), 0) == []


def test_what_does_not_fit_is_left_out(pieces: Substituents) -> None:
    seed = Chem.CanonSmiles(SEEDS[0])
    with silence_rdkit():
        found = mutate(parse(seed), seed, pieces, np.random.default_rng(0), tries=100, fits=lambda s: "Cl" in s)
        assert {"Cl" in v.smiles for v in found} == {True}


@given(st.text("CcN(", max_size=8), st.text("CcN(", max_size=8))
def test_shared_against_a_plain_search(a: str, b: str) -> None:
    front = max(n for n in range(min(len(a), len(b)) + 1) if a[:n] == b[:n])
    back = max(n for n in range(min(len(a), len(b)) + 1) if a[len(a) - n :] == b[len(b) - n :])
    expected = min(front + back, len(a), len(b)) / max(len(a), len(b), 1)
    assert shared_ends(a, b) == shared_ends(list(b), list(a)) == expected
    assert 0 <= expected <= 1
    assert (shared_ends(tokenize("CCO"), tokenize("CCO"))) == 1
