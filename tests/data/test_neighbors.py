"""Neighbors: selection by noise level, tokens, and files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from molvae.chem.tokenizer import END_ID, PAD_ID
from molvae.data.graph_dataset import PackedGraphs
from molvae.data.neighbors import MAX_DISTANCE, Neighbors, SyntheticMolecules
from molvae.errors import InputError


@given(st.lists(st.floats(0.45, 0.94), max_size=4), st.floats(0, 1))
def test_nearest_to_noise_level(similarities: list[float], noise_level: float) -> None:
    """Compared with a linear search."""
    width = 4
    rows = torch.tensor([[*range(1, len(similarities) + 1), *[-1] * (width - len(similarities))]], dtype=torch.int32)
    similarity = torch.tensor([[*similarities, *[0.0] * (width - len(similarities))]], dtype=torch.float16)
    target, distance = Neighbors(rows, similarity).nearest_to(torch.tensor([0]), torch.tensor([noise_level]))
    level = float(torch.tensor(noise_level))
    if level == 0 or not similarities:
        assert (int(target), float(distance)) == (0, level if level >= MAX_DISTANCE else 0)
        return
    distances = [1 - float(x) for x in similarity[0, : len(similarities)]]
    best = min(abs(d - level) for d in distances)
    assert abs(distances[int(target) - 1] - level) == pytest.approx(best, abs=1e-6)
    assert float(distance) == pytest.approx(level if level >= MAX_DISTANCE else distances[int(target) - 1])


def example_neighbors() -> Neighbors:
    """Neighbors of three molecules; the second neighbor of the first is synthetic."""
    synthetic = SyntheticMolecules(torch.tensor([5, 6, END_ID], dtype=torch.int16), torch.tensor([0, 3]))
    return Neighbors(torch.tensor([[1, 3], [0, -1], [-1, -1]], dtype=torch.int32), torch.rand(3, 2).half(), synthetic)


def test_gather_tokens_of_training_and_synthetic_molecules() -> None:
    data = PackedGraphs.from_graphs([])
    data = replace(
        data,
        atom_start=torch.zeros(4, dtype=torch.int64),
        tokens=torch.tensor([7, END_ID, 8, 8, 8, 8, END_ID, END_ID], dtype=torch.int16),
        token_start=torch.tensor([0, 2, 7, 8]),
    )
    tokens = example_neighbors().gather_tokens(torch.tensor([3, 0, 3, 2]), data)
    assert tokens.tolist() == [[5, 6, END_ID], [7, END_ID, PAD_ID], [5, 6, END_ID], [END_ID, PAD_ID, PAD_ID]]
    assert torch.equal(
        example_neighbors().gather_tokens(torch.tensor([1, 0]), data), data.gather_tokens(torch.tensor([1, 0]))
    )


def test_save_and_load(tmp_path: Path) -> None:
    neighbors = example_neighbors()
    neighbors.save(tmp_path / "neighbors.npz")
    loaded = Neighbors.load(tmp_path / "neighbors.npz")
    assert torch.equal(neighbors.rows, loaded.rows)
    assert torch.equal(neighbors.similarity, loaded.similarity)
    assert torch.equal(neighbors.synthetic.tokens, loaded.synthetic.tokens)
    assert torch.equal(neighbors.synthetic.start, loaded.synthetic.start)


def test_damaged_file(tmp_path: Path) -> None:
    path = tmp_path / "neighbors.npz"
    example_neighbors().save(path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InputError, match=r"neighbors\.npz is damaged: .* delete it to compute the neighbors again"):
        Neighbors.load(path)
