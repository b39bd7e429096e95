"""The order of rows: each once a pass, and nothing but a function of seed and step."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from molvae.training.batches import RowSampler

sizes, batches, seeds, steps = st.integers(1, 60), st.integers(1, 40), st.integers(0, 9), st.integers(0, 50)


@given(sizes, batches, seeds)
@settings(max_examples=60, deadline=None)
def test_every_row_comes_once_per_pass(size: int, batch: int, seed: int) -> None:
    order = RowSampler(size, batch, seed)
    rows = torch.cat([order.rows(step) for step in range(-(-3 * size // batch))])[: 3 * size]
    for one_pass in rows.split(size):
        assert sorted(one_pass.tolist()) == list(range(size))


@given(sizes, batches, seeds, steps, st.integers(1, 5))
@settings(max_examples=60, deadline=None)
def test_processes_share_a_batch_without_overlap(size: int, batch: int, seed: int, step: int, world: int) -> None:
    order = RowSampler(size, batch, seed)
    parts = [order.rows(step, rank=rank, world_size=world).tolist() for rank in range(world)]
    whole: list[int] = [0] * batch
    for rank, part in enumerate(parts):
        whole[rank::world] = part
    assert whole == order.rows(step).tolist()


@given(sizes, batches, seeds, st.lists(steps, max_size=6), steps)
@settings(max_examples=60, deadline=None)
def test_order_does_not_depend_on_what_was_asked_before(
    size: int, batch: int, seed: int, before: list[int], step: int
) -> None:
    order = RowSampler(size, batch, seed)
    for other in before:
        order.rows(other)
    assert torch.equal(order.rows(step), RowSampler(size, batch, seed).rows(step))


@given(st.lists(st.floats(0.01, 9), min_size=1, max_size=40), batches, seeds)
@settings(max_examples=60, deadline=None)
def test_rows_come_by_their_weights(weights: list[float], batch: int, seed: int) -> None:
    """In each pass as often as is their share, rounded down or up; all together fill it."""
    size, passes = len(weights), 20
    order = RowSampler(size, batch, seed, torch.tensor(weights))
    rows = torch.cat([order.rows(step) for step in range(-(-passes * size // batch))])[: passes * size]
    share = size * torch.tensor(weights).double() / sum(weights)
    for one_pass in rows.split(size):
        counts = torch.bincount(one_pass, minlength=size)
        assert ((counts - share).abs() < 1 + 1e-6).all()


def test_weights_hold_on_average() -> None:
    weights = torch.tensor([0.3, 1.0, 2.3, 0.4])
    order = RowSampler(4, 4000, 0, weights)
    counts = torch.bincount(torch.cat([order.rows(step) for step in range(4)]), minlength=4) / 4000
    assert (counts - weights).abs().max() < 0.03


def test_seeds_and_passes_differ() -> None:
    first = RowSampler(1000, 1000, 0)
    assert not torch.equal(first.rows(0), first.rows(1))
    assert not torch.equal(first.rows(0), RowSampler(1000, 1000, 1).rows(0))
