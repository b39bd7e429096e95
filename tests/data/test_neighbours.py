"""Neighbours against RDKit's Tanimoto of all pairs."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from rdkit import Chem, DataStructs
from rdkit.Chem import rdFingerprintGenerator

from molvae.data import neighbours as module
from molvae.data.neighbours import BANDS, EACH, FURTHEST, Neighbours, find_neighbours, neighbours_of

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
    prints = [generator.GetFingerprint(Chem.MolFromSmiles(smiles)) for smiles in MOLECULES]
    return np.array([DataStructs.BulkTanimotoSimilarity(one, prints) for one in prints])


@pytest.fixture(scope="module")
def found() -> Neighbours:
    return neighbours_of(MOLECULES, workers=1)


def test_neighbours_are_as_similar_as_rdkit_says(found: Neighbours, similarity: np.ndarray) -> None:
    for row, (others, likeness) in enumerate(zip(found.rows.tolist(), found.similarity.tolist(), strict=True)):
        there = [other for other in others if other >= 0]
        assert others[: len(there)] == there, "they come first"
        assert len(set(there)) == len(there)
        assert row not in there
        assert likeness[: len(there)] == pytest.approx(similarity[row, there], abs=1e-3)


def test_every_band_is_filled(found: Neighbours, similarity: np.ndarray) -> None:
    """All these molecules are in one cell: none is missed."""
    assert len(MOLECULES) < 600
    for row, others in enumerate(found.rows.tolist()):
        mine = similarity[row, [other for other in others if other >= 0]]
        everyone = np.delete(similarity[row], row)
        for low, high in pairwise(BANDS):
            there = ((everyone >= low) & (everyone < high)).sum()
            assert ((mine >= low) & (mine < high)).sum() == min(EACH, there)


def test_a_stranger_has_none_and_counts_in_the_share(found: Neighbours) -> None:
    assert found.rows[MOLECULES.index("[Na+]")].tolist() == [-1] * found.rows.shape[1]
    assert found.share == pytest.approx(1 - 3 / len(MOLECULES))


def test_cells_find_most_of_what_there_is(monkeypatch: pytest.MonkeyPatch, similarity: np.ndarray) -> None:
    """With cells of ten a molecule meets few others in a round, but nearly all of the near ones in five."""
    monkeypatch.setattr(module, "_CELL", 10)
    monkeypatch.setattr(module, "_LARGEST", 20)
    some = find_neighbours(module._fingerprints(MOLECULES), workers=1)
    near = (similarity >= 0.65) & (similarity < BANDS[-1])
    there = np.minimum(near.sum(1), EACH).sum()
    got = ((some.similarity >= 0.65) & (some.rows >= 0)).sum(1).clamp(max=EACH).sum()
    assert there > 50
    assert got > 0.8 * there


def test_workers_change_nothing_and_the_seed_does() -> None:
    prints = module._fingerprints(MOLECULES)
    one, two, other = (find_neighbours(prints, workers=w, seed=s) for w, s in ((1, 0), (2, 0), (1, 1)))
    assert torch.equal(one.rows, two.rows)
    assert torch.equal(one.similarity, two.similarity)
    assert not torch.equal(one.rows, other.rows)


@pytest.mark.parametrize("count", [0, 1, 2])
def test_few_molecules(count: int) -> None:
    few = neighbours_of(["CC(=O)Nc1ccc(C)cc1", "CC(=O)Nc1ccc(F)cc1"][:count], workers=1)
    assert len(few) == count
    assert few.share == (count == 2)


@given(st.lists(st.floats(0.45, 0.94), max_size=4), st.floats(0, 1))
def test_the_nearest_to_the_radius_is_taken(similarities: list[float], radius: float) -> None:
    """Against a search through the list."""
    width = 4
    rows = torch.tensor([[*range(1, len(similarities) + 1), *[-1] * (width - len(similarities))]], dtype=torch.int32)
    likeness = torch.tensor([[*similarities, *[0.0] * (width - len(similarities))]], dtype=torch.float16)
    target, told = Neighbours(rows, likeness).at(torch.tensor([0]), torch.tensor([radius]))
    asked = float(torch.tensor(radius))
    if asked == 0 or not similarities:
        assert (int(target), float(told)) == (0, asked)
        return
    distances = [1 - float(x) for x in likeness[0, : len(similarities)]]
    best = min(abs(d - asked) for d in distances)
    assert abs(distances[int(target) - 1] - asked) == pytest.approx(best, abs=1e-6)
    assert float(told) == pytest.approx(asked if asked >= FURTHEST else distances[int(target) - 1])


def test_kept_and_read_back(found: Neighbours, tmp_path) -> None:
    found.save(tmp_path / "neighbours.npz")
    again = Neighbours.load(tmp_path / "neighbours.npz")
    assert torch.equal(found.rows, again.rows)
    assert torch.equal(found.similarity, again.similarity)


def test_a_damaged_file_is_an_error_that_says_what_to_do(found: Neighbours, tmp_path) -> None:
    path = tmp_path / "neighbours.npz"
    found.save(path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(
        module.InputError, match=r"neighbours\.npz is damaged .* delete it to look for neighbours again"
    ):
        Neighbours.load(path)
