"""Synthetic neighbors: similarities, number per molecule, length, and reproducibility."""

from __future__ import annotations

import pytest
import torch
from packed_molecules import packed_of
from rdkit import Chem, DataStructs
from rdkit.Chem import rdFingerprintGenerator

from molvae.chem.tokenizer import Vocabulary
from molvae.data.graph_dataset import PackedGraphs
from molvae.data.neighbor_search import SIMILARITY_BANDS, find_neighbors
from molvae.data.neighbors import Neighbors
from molvae.data.synthetic_neighbors import BAND_BOUNDARY, add_synthetic_neighbors
from molvae.errors import InputError

PARTS = ("C", "F", "Cl", "OC", "C#N", "N(C)C", "C(F)(F)F", "CC", "O", "C(C)C", "C(=O)O", "C(N)=O")
CORES = ("CC(=O)Nc1ccc({})c(C)c1", "O=C(NC1CCN(C({})C)CC1)c1ccccc1", "CC({})CCc1ccncc1", "Cc1cc({})ccc1-c1ccc(C)nc1")
MOLECULES = [Chem.CanonSmiles(core.format(part)) for core in CORES for part in PARTS]


@pytest.fixture(scope="module")
def packed() -> tuple[PackedGraphs, Vocabulary]:
    return packed_of(MOLECULES)


def no_neighbors(molecules: int) -> Neighbors:
    return Neighbors(torch.full((molecules, 3), -1, dtype=torch.int32), torch.zeros(molecules, 3).half())


@pytest.fixture(scope="module")
def synthetic(packed: tuple[PackedGraphs, Vocabulary]) -> Neighbors:
    return add_synthetic_neighbors(no_neighbors(len(packed[0])), *packed, workers=0)


def decoded(neighbors: Neighbors, packed: tuple[PackedGraphs, Vocabulary]) -> list[tuple[str, str, float]]:
    """Return molecule, neighbor and similarity of all pairs."""
    data, vocabulary = packed
    row, column = (neighbors.rows >= 0).nonzero(as_tuple=True)
    tokens = neighbors.gather_tokens(neighbors.rows[row, column].long(), data)
    others = [vocabulary.decode(ids.tolist()) for ids in tokens]
    similarity = neighbors.similarity[row, column].tolist()
    return list(zip((MOLECULES[i] for i in row.tolist()), others, similarity, strict=True))


def test_similarities_equal_those_of_rdkit(synthetic: Neighbors, packed: tuple[PackedGraphs, Vocabulary]) -> None:
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)
    found = decoded(synthetic, packed)
    assert len(found) == len(synthetic.synthetic) >= len(MOLECULES) // 2
    for molecule, other, similarity in found:
        assert other == Chem.CanonSmiles(other) != molecule
        fingerprints = [generator.GetFingerprint(Chem.MolFromSmiles(smiles)) for smiles in (molecule, other)]
        assert DataStructs.TanimotoSimilarity(*fingerprints) == pytest.approx(similarity, abs=1e-3)
        assert SIMILARITY_BANDS[0] <= similarity < SIMILARITY_BANDS[-1]


def test_one_neighbor_on_each_side_of_the_boundary(synthetic: Neighbors) -> None:
    for row, similarity in zip(synthetic.rows, synthetic.similarity, strict=True):
        sides = [s >= BAND_BOUNDARY for s in similarity[row >= 0].tolist()]
        assert len(sides) == len(set(sides))
    assert (synthetic.rows[:, 1:] >= 0).sum() <= (synthetic.rows[:, :1] >= 0).sum()  # missing neighbors come last


def test_added_to_training_neighbors(packed: tuple[PackedGraphs, Vocabulary], synthetic: Neighbors) -> None:
    found = find_neighbors(*packed, workers=1)
    both = add_synthetic_neighbors(found, *packed, workers=0)
    assert sorted(decoded(both, packed)) == sorted(decoded(found, packed) + decoded(synthetic, packed))
    assert both.coverage >= max(found.coverage, synthetic.coverage)
    with pytest.raises(InputError, match="added before"):
        add_synthetic_neighbors(both, *packed, workers=0)


def test_result_does_not_depend_on_workers(packed: tuple[PackedGraphs, Vocabulary], synthetic: Neighbors) -> None:
    again = add_synthetic_neighbors(no_neighbors(len(MOLECULES)), *packed, workers=2)
    assert torch.equal(again.rows, synthetic.rows)
    assert torch.equal(again.synthetic.tokens, synthetic.synthetic.tokens)
    other = add_synthetic_neighbors(no_neighbors(len(MOLECULES)), *packed, workers=0, random_state=1)
    assert not torch.equal(other.synthetic.tokens, synthetic.synthetic.tokens)


def test_neighbors_are_not_longer_than_the_longest_molecule(
    packed: tuple[PackedGraphs, Vocabulary], synthetic: Neighbors
) -> None:
    longest = int(packed[0].token_start.diff().max())
    assert int(synthetic.synthetic.start.diff().max()) <= longest


def test_no_molecules() -> None:
    data, vocabulary = packed_of(["CCO"])
    empty = data.select(torch.zeros(0, dtype=torch.int64))
    assert len(add_synthetic_neighbors(no_neighbors(0), empty, vocabulary, workers=0)) == 0
    assert len(add_synthetic_neighbors(no_neighbors(1), data, vocabulary, workers=0).synthetic) <= 2
