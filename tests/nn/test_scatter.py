"""Scatter operations equal those of torch_geometric, including gradients."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric import utils as pyg

from molvae.nn.scatter import scatter_sum, softmax, to_dense_batch

group_sizes = st.lists(st.integers(0, 6), min_size=1, max_size=8).filter(sum)


def grouped_rows(sizes: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
    """Random rows (N x 3) and the group of each, ascending."""
    index = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    rows = torch.randn(len(index), 3, generator=torch.Generator().manual_seed(0)) * 5
    return rows.requires_grad_(), index


def assert_equal_with_gradients(found: torch.Tensor, expected: torch.Tensor, rows: torch.Tensor) -> None:
    assert torch.equal(found, expected)
    weights = torch.randn(found.shape, generator=torch.Generator().manual_seed(1))
    gradients = [torch.autograd.grad((out * weights).sum(), rows)[0] for out in (found, expected)]
    assert torch.equal(*gradients)


@given(group_sizes, st.randoms())
@settings(max_examples=50, deadline=None)
def test_scatter_sum_and_softmax_equal_pyg(sizes: list[int], random) -> None:
    """Groups are in any order, and some are empty."""
    rows, index = grouped_rows(sizes)
    index = index[random.sample(range(len(index)), len(index))]
    n = len(sizes)
    assert_equal_with_gradients(scatter_sum(rows, index, n), pyg.scatter(rows, index, dim_size=n, reduce="sum"), rows)
    assert_equal_with_gradients(softmax(rows, index, n), pyg.softmax(rows, index, num_nodes=n), rows)


@given(group_sizes)
@settings(max_examples=50, deadline=None)
def test_to_dense_batch_equals_pyg(sizes: list[int]) -> None:
    rows, batch = grouped_rows(sizes)
    expected, _ = pyg.to_dense_batch(rows, batch, batch_size=len(sizes))
    assert_equal_with_gradients(to_dense_batch(rows, batch, len(sizes)), expected, rows)


@pytest.mark.parametrize("groups", [0, 2])
def test_no_rows(groups: int) -> None:
    rows, index = torch.zeros(0, 3), torch.zeros(0, dtype=torch.long)
    assert torch.equal(scatter_sum(rows, index, groups), torch.zeros(groups, 3))
    assert softmax(rows, index, groups).shape == (0, 3)
    assert to_dense_batch(rows, index, groups).shape == (groups, 0, 3)
