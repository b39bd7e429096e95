"""Splits by hash and by scaffold."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rdkit import Chem

from molvae.data.splits import assign_split, scaffold_group
from molvae.errors import InputError, MoleculeError

FRACTIONS = {"train": 0.5, "valid": 0.25, "test": 0.25}
RINGS = ["c1ccccc1", "c1ccncc1", "C1CCNCC1", "c1ccc2[nH]ccc2c1", "C1CC1", "c1ccsc1", "C1CCC(=O)N1"]


@given(st.text(max_size=20), st.integers(0, 5))
def test_split_is_deterministic(smiles: str, random_state: int) -> None:
    split = assign_split(smiles, FRACTIONS, random_state)
    assert split in FRACTIONS
    assert split == assign_split(smiles, dict(FRACTIONS), random_state)


def test_splits_are_the_same_in_all_versions() -> None:
    found = [assign_split("C" * n + "O", FRACTIONS) for n in range(1, 9)]
    assert found == ["valid", "train", "test", "test", "test", "train", "valid", "valid"]


def test_fractions_and_random_state() -> None:
    smiles = [f"{'C' * (n % 100 + 1)}N{'C' * (n // 100)}" for n in range(10_000)]
    first = [assign_split(s, FRACTIONS, 0) for s in smiles]
    other = [assign_split(s, FRACTIONS, 1) for s in smiles]
    counts = Counter(first)
    assert all(abs(counts[name] / 10_000 - fraction) < 0.02 for name, fraction in FRACTIONS.items())
    assert 0.3 < sum(a == b for a, b in zip(first, other, strict=True)) / 10_000 < 0.45


def test_empty_split() -> None:
    fractions = {"none": 0.0, "train": 1.0, "test": 0.0}
    assert {assign_split(f"C{n}", fractions) for n in range(500)} == {"train"}


@pytest.mark.parametrize("fractions", [{}, {"train": 0.9}, {"train": 1.5, "test": -0.5}])
def test_invalid_fractions(fractions: dict[str, float]) -> None:
    with pytest.raises(InputError, match="sum to 1"):
        assign_split("CCO", fractions)


@given(st.sampled_from(RINGS), st.integers(0, 5))
def test_side_chains_do_not_change_the_scaffold(ring: str, length: int) -> None:
    decorated = Chem.MolToSmiles(Chem.MolFromSmiles(f"{'C' * length}{ring}"))
    assert scaffold_group(decorated) == scaffold_group(ring)


def test_scaffold_group() -> None:
    assert scaffold_group("CC(=O)Oc1ccccc1C(=O)O") == "c1ccccc1"
    assert scaffold_group("C[C@H]1CCC[C@@H](C2CC2)C1") == scaffold_group("C[C@@H]1CCC[C@H](C2CC2)C1")
    assert scaffold_group("C[C@H](N)C(=O)O") == "CC(N)C(=O)O", "an acyclic molecule is its own group"
    with pytest.raises(MoleculeError):
        scaffold_group("C1CC")
