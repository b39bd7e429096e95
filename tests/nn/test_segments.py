"""Sums, softmaxes and rows side by side, of what belongs together: those of torch_geometric, gradients and all."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.utils import scatter, softmax, to_dense_batch

from molvae.nn.segments import segment_softmax, segment_sum, side_by_side

sizes = st.lists(st.integers(0, 6), min_size=1, max_size=8).filter(sum)


def rows(counts: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
    """Values of owners with so many rows each."""
    owner = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    values = torch.randn(len(owner), 3, generator=torch.Generator().manual_seed(0)) * 5
    return values.requires_grad_(), owner


def same(found: torch.Tensor, expected: torch.Tensor, values: torch.Tensor) -> None:
    assert torch.equal(found, expected)
    weights = torch.randn(found.shape, generator=torch.Generator().manual_seed(1))
    mine, theirs = (torch.autograd.grad((out * weights).sum(), values)[0] for out in (found, expected))
    assert torch.equal(mine, theirs)


@given(sizes, st.randoms())
@settings(max_examples=50, deadline=None)
def test_sums_and_softmaxes(counts: list[int], random) -> None:
    """Owners may come in any order, and some may own nothing."""
    values, owner = rows(counts)
    owner = owner[random.sample(range(len(owner)), len(owner))]
    same(segment_sum(values, owner, len(counts)), scatter(values, owner, dim_size=len(counts), reduce="sum"), values)
    same(segment_softmax(values, owner, len(counts)), softmax(values, owner, num_nodes=len(counts)), values)


@given(sizes)
@settings(max_examples=50, deadline=None)
def test_side_by_side(counts: list[int]) -> None:
    values, owner = rows(counts)
    same(side_by_side(values, owner, len(counts)), to_dense_batch(values, owner, batch_size=len(counts))[0], values)


@pytest.mark.parametrize("count", [0, 2])
def test_of_nothing(count: int) -> None:
    nothing, nobody = torch.zeros(0, 3), torch.zeros(0, dtype=torch.long)
    assert torch.equal(segment_sum(nothing, nobody, count), torch.zeros(count, 3))
    assert segment_softmax(nothing, nobody, count).shape == (0, 3)
    assert side_by_side(nothing, nobody, count).shape == (count, 0, 3)
