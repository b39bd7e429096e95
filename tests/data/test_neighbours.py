"""The neighbour that is nearest to a radius; kept on disk."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from molvae.data.neighbours import FURTHEST, Neighbours
from molvae.errors import InputError


@given(st.lists(st.floats(0.45, 0.94), max_size=4), st.floats(0, 1))
def test_the_nearest_to_the_radius_is_taken(similarities: list[float], radius: float) -> None:
    """Against a search through the list."""
    width = 4
    rows = torch.tensor([[*range(1, len(similarities) + 1), *[-1] * (width - len(similarities))]], dtype=torch.int32)
    likeness = torch.tensor([[*similarities, *[0.0] * (width - len(similarities))]], dtype=torch.float16)
    target, told = Neighbours(rows, likeness).at(torch.tensor([0]), torch.tensor([radius]))
    asked = float(torch.tensor(radius))
    if asked == 0 or not similarities:
        assert (int(target), float(told)) == (0, asked if asked >= FURTHEST else 0)
        return
    distances = [1 - float(x) for x in likeness[0, : len(similarities)]]
    best = min(abs(d - asked) for d in distances)
    assert abs(distances[int(target) - 1] - asked) == pytest.approx(best, abs=1e-6)
    assert float(told) == pytest.approx(asked if asked >= FURTHEST else distances[int(target) - 1])


def some() -> Neighbours:
    return Neighbours(torch.tensor([[1, 2], [0, -1], [-1, -1]], dtype=torch.int32), torch.rand(3, 2).half())


def test_kept_and_read_back(tmp_path: Path) -> None:
    found = some()
    found.save(tmp_path / "neighbours.npz")
    again = Neighbours.load(tmp_path / "neighbours.npz")
    assert torch.equal(found.rows, again.rows)
    assert torch.equal(found.similarity, again.similarity)


def test_a_damaged_file_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "neighbours.npz"
    some().save(path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InputError, match=r"neighbours\.npz is damaged .* delete it to look for neighbours again"):
        Neighbours.load(path)
