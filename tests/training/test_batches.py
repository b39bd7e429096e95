"""Row sampling: each row once per epoch, in an order that depends only on the random state and the step."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from molvae.training.batches import RowSampler

sizes, batches, random_states, steps = st.integers(1, 60), st.integers(1, 40), st.integers(0, 9), st.integers(0, 50)


@given(sizes, batches, random_states)
@settings(max_examples=60, deadline=None)
def test_each_row_occurs_once_per_epoch(size: int, batch: int, random_state: int) -> None:
    sampler = RowSampler(size, batch, random_state)
    rows = torch.cat([sampler.rows(step) for step in range(-(-3 * size // batch))])[: 3 * size]
    for epoch in rows.split(size):
        assert sorted(epoch.tolist()) == list(range(size))


@given(sizes, batches, random_states, steps, st.integers(1, 5))
@settings(max_examples=60, deadline=None)
def test_processes_get_disjoint_parts_of_a_batch(
    size: int, batch: int, random_state: int, step: int, world: int
) -> None:
    sampler = RowSampler(size, batch, random_state)
    parts = [sampler.rows(step, rank=rank, world_size=world).tolist() for rank in range(world)]
    all_rows: list[int] = [0] * batch
    for rank, part in enumerate(parts):
        all_rows[rank::world] = part
    assert all_rows == sampler.rows(step).tolist()


@given(sizes, batches, random_states, st.lists(steps, max_size=6), steps)
@settings(max_examples=60, deadline=None)
def test_rows_do_not_depend_on_earlier_calls(
    size: int, batch: int, random_state: int, before: list[int], step: int
) -> None:
    sampler = RowSampler(size, batch, random_state)
    for other in before:
        sampler.rows(other)
    assert torch.equal(sampler.rows(step), RowSampler(size, batch, random_state).rows(step))


@given(st.lists(st.floats(0.01, 9), min_size=1, max_size=40), batches, random_states)
@settings(max_examples=60, deadline=None)
def test_weighted_rows_per_epoch(weights: list[float], batch: int, random_state: int) -> None:
    """Each row occurs in proportion to its weight, rounded down or up."""
    size, n_epochs = len(weights), 20
    sampler = RowSampler(size, batch, random_state, torch.tensor(weights))
    rows = torch.cat([sampler.rows(step) for step in range(-(-n_epochs * size // batch))])[: n_epochs * size]
    share = size * torch.tensor(weights).double() / sum(weights)
    for epoch in rows.split(size):
        counts = torch.bincount(epoch, minlength=size)
        assert ((counts - share).abs() < 1 + 1e-6).all()


def test_weighted_rows_on_average() -> None:
    weights = torch.tensor([0.3, 1.0, 2.3, 0.4])
    sampler = RowSampler(4, 4000, 0, weights)
    counts = torch.bincount(torch.cat([sampler.rows(step) for step in range(4)]), minlength=4) / 4000
    assert (counts - weights).abs().max() < 0.03


def test_epochs_and_random_states_differ() -> None:
    first = RowSampler(1000, 1000, 0)
    assert not torch.equal(first.rows(0), first.rows(1))
    assert not torch.equal(first.rows(0), RowSampler(1000, 1000, 1).rows(0))
