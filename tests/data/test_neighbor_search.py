"""Neighbor search compared with the Tanimoto similarities of all pairs, computed by RDKit."""

from __future__ import annotations

from itertools import pairwise, takewhile

import numpy as np
import pytest
import torch
from packed_molecules import packed_of
from rdkit import Chem, DataStructs
from rdkit.Chem import rdFingerprintGenerator

from molvae.chem.tokenizer import Vocabulary, tokenize
from molvae.data import neighbor_search
from molvae.data.graph_dataset import PackedGraphs
from molvae.data.neighbor_search import (
    MIN_SHARED_FRACTION,
    NEIGHBORS_PER_BAND,
    SIMILARITY_BANDS,
    TokenMatrix,
    find_neighbors,
    search_fingerprints,
)
from molvae.data.neighbors import Neighbors

GROUPS = (
    "C",
    "CC",
    "C(C)C",
    "O",
    "OC",
    "OCC",
    "F",
    "Cl",
    "Br",
    "N",
    "N(C)C",
    "C#N",
    "C(F)(F)F",
    "C(C)=O",
    "S(C)(=O)=O",
)
CORES = (
    "CC(=O)Nc1ccc({})cc1",
    "O=C(NC1CCCCC1)c1ccc({})cc1",
    "O=S(=O)(NCCc1ccccc1)c1ccc({})cc1",
    "CN1CCN(c2ccc({})cn2)CC1",
    "OC(=O)CCc1cc({})ccc1OCc1ccccc1",
)
MOLECULES = [Chem.CanonSmiles(core.format(group)) for core in CORES for group in GROUPS] + [
    "CCO",
    "[Na+]",
    "CCCCCCCCCC",
]


@pytest.fixture(scope="module")
def similarity() -> np.ndarray:
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)
    fingerprints = [generator.GetFingerprint(Chem.MolFromSmiles(smiles)) for smiles in MOLECULES]
    return np.array([DataStructs.BulkTanimotoSimilarity(one, fingerprints) for one in fingerprints])


@pytest.fixture(scope="module")
def packed() -> tuple[PackedGraphs, Vocabulary]:
    return packed_of(MOLECULES)


@pytest.fixture(scope="module")
def found(packed: tuple[PackedGraphs, Vocabulary]) -> Neighbors:
    return find_neighbors(*packed, workers=1)


def shared_fraction(a: str, b: str) -> float:
    """Fraction of the tokens of the longer SMILES in the common prefix and suffix."""
    first, second = tokenize(a), tokenize(b)
    prefix = len(list(takewhile(lambda pair: pair[0] == pair[1], zip(first, second, strict=False))))
    suffix = len(list(takewhile(lambda pair: pair[0] == pair[1], zip(first[::-1], second[::-1], strict=False))))
    return min(prefix + suffix, len(first), len(second)) / max(len(first), len(second))


def test_similarities_equal_those_of_rdkit(found: Neighbors, similarity: np.ndarray) -> None:
    for row, (others, similarities) in enumerate(zip(found.rows.tolist(), found.similarity.tolist(), strict=True)):
        neighbors = [other for other in others if other >= 0]
        assert others[: len(neighbors)] == neighbors, "missing neighbors come last"
        assert len(set(neighbors)) == len(neighbors)
        assert row not in neighbors
        assert similarities[: len(neighbors)] == pytest.approx(similarity[row, neighbors], abs=1e-3)


def test_bands_hold_the_largest_shared_fractions(found: Neighbors, similarity: np.ndarray) -> None:
    """All molecules are in one cell, so no pair is missed."""
    assert len(MOLECULES) < 600
    for row, others in enumerate(found.rows.tolist()):
        for low, high in pairwise(SIMILARITY_BANDS):
            band = [i for i, s in enumerate(similarity[row]) if low <= s < high and i != row]
            expected = sorted((shared_fraction(MOLECULES[row], MOLECULES[i]) for i in band), reverse=True)
            fractions = sorted(
                (shared_fraction(MOLECULES[row], MOLECULES[i]) for i in others if i in band), reverse=True
            )
            assert fractions == pytest.approx(
                [fraction for fraction in expected if fraction >= MIN_SHARED_FRACTION][:NEIGHBORS_PER_BAND]
            )


def test_pairs_without_common_prefix_and_suffix_are_excluded(similarity: np.ndarray, found: Neighbors) -> None:
    excluded = [
        (i, j) for i, j in np.argwhere((similarity >= 0.55) & (similarity < 0.95))
        if shared_fraction(MOLECULES[i], MOLECULES[j]) < MIN_SHARED_FRACTION
    ]  # fmt: skip
    assert excluded
    assert not any(j in found.rows[i].tolist() for i, j in excluded)


def test_coverage_with_an_isolated_molecule(found: Neighbors) -> None:
    assert found.rows[MOLECULES.index("[Na+]")].tolist() == [-1] * found.rows.shape[1]
    n_covered = sum(any(other >= 0 for other in others) for others in found.rows.tolist())
    assert len(MOLECULES) / 2 < n_covered <= len(MOLECULES) - 3
    assert found.coverage == pytest.approx(n_covered / len(MOLECULES))


def test_small_cells_find_most_pairs(
    packed: tuple[PackedGraphs, Vocabulary], found: Neighbors, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five rounds with ten molecules per cell."""
    monkeypatch.setattr(neighbor_search, "_CELL_SIZE", 10)
    monkeypatch.setattr(neighbor_search, "_MAX_CELL_SIZE", 20)
    approximate = find_neighbors(*packed, workers=1)
    expected, got = (int((n.similarity >= 0.65).sum()) for n in (found, approximate))
    assert expected > 50
    assert got > 0.7 * expected


def test_result_depends_on_random_state_but_not_on_workers(
    packed: tuple[PackedGraphs, Vocabulary], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neighbor_search, "_CELL_SIZE", 10)
    fingerprints, tokens = neighbor_search._fingerprints(MOLECULES), TokenMatrix.from_packed(packed[0])
    runs = ((1, 0), (2, 0), (1, 1))
    one, two, other = (search_fingerprints(fingerprints, tokens, workers=w, random_state=s) for w, s in runs)
    assert torch.equal(one.rows, two.rows)
    assert torch.equal(one.similarity, two.similarity)
    assert not torch.equal(one.rows, other.rows)


@pytest.mark.parametrize("count", [0, 1, 2])
def test_few_molecules(packed: tuple[PackedGraphs, Vocabulary], count: int) -> None:
    similar = [MOLECULES.index(Chem.CanonSmiles(s)) for s in ("CC(=O)Nc1ccc(F)cc1", "CC(=O)Nc1ccc(Cl)cc1")]
    few = find_neighbors(packed[0].select(torch.tensor(similar[:count], dtype=torch.long)), packed[1], workers=1)
    assert len(few) == count
    assert few.coverage == (count == 2)
