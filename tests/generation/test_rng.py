"""Random numbers: distribution, independence of streams, and independence of the batch. The seeds are fixed."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from molvae.generation.rng import normal, row_keys, uniform

N = 20_000
ROWS = torch.arange(N)


def _distance(values: torch.Tensor) -> float:
    """Kolmogorov-Smirnov statistic: largest difference between the empirical and the uniform distribution function."""
    ordered, positions = np.sort(values.numpy()), np.arange(1, N + 1) / N
    return float(max(np.abs(ordered - positions).max(), np.abs(ordered - positions + 1 / N).max()))


@pytest.mark.parametrize("random_state", [0, 1, 2**62])
@pytest.mark.parametrize("counter", [0, 1, 159])
def test_uniform_over_rows(random_state, counter):
    values = uniform(row_keys(random_state, ROWS), counter)
    assert values.dtype == torch.float64
    assert values.min() > 0
    assert values.max() < 1
    assert _distance(values) < 1.95 / N**0.5  # exceeded with probability 0.001


def test_uniform_along_one_row():
    assert _distance(uniform(row_keys(3, torch.tensor([7])), ROWS)) < 1.95 / N**0.5


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (uniform(row_keys(0, ROWS), 0), uniform(row_keys(0, ROWS), 1)),  # neighboring numbers of a row
        (uniform(row_keys(0, ROWS), 0), uniform(row_keys(0, ROWS + 1), 0)),  # neighboring rows
        (uniform(row_keys(0, ROWS), 0), uniform(row_keys(1, ROWS), 0)),  # neighboring seeds
        (normal(row_keys(0, ROWS), 1)[:, 0], normal(row_keys(0, ROWS), 1, stream=1)[:, 0]),  # neighboring streams
    ],
)
def test_neighboring_streams_are_uncorrelated(a, b):
    assert abs(np.corrcoef(a.numpy(), b.numpy())[0, 1]) < 4 / N**0.5


def test_numbers_do_not_depend_on_the_batch():
    some = torch.tensor([17, 3, 0, 999])
    keys = row_keys(5, torch.arange(1000))
    assert torch.equal(row_keys(5, some), keys[some])
    assert torch.equal(uniform(keys[some], 4), uniform(keys, 4)[some])
    assert torch.equal(normal(keys[some], 6), normal(keys, 6)[some])


def test_counter_per_row():
    keys, positions = row_keys(5, torch.arange(3)), torch.tensor([4, 0, 9])
    expected = [uniform(keys[i : i + 1], int(position)).item() for i, position in enumerate(positions)]
    assert uniform(keys, positions).tolist() == expected


def test_normal_moments():
    values = normal(row_keys(2, torch.arange(2000)), 50).double()
    count = values.numel()
    assert abs(values.mean()) < 4 / count**0.5
    assert abs(values.square().mean() - 1) < 4 * (2 / count) ** 0.5
    assert abs(values.pow(3).mean()) < 4 * (15 / count) ** 0.5
    assert abs(values.pow(4).mean() - 3) < 4 * (96 / count) ** 0.5
    assert torch.isfinite(values).all()


def test_first_numbers_do_not_depend_on_the_size():
    keys = row_keys(2, torch.arange(5))
    assert torch.equal(normal(keys, 8)[:, :3], normal(keys, 3))


@pytest.mark.parametrize("rows", [0, 1])
def test_zero_and_one_row(rows):
    keys = row_keys(0, torch.arange(rows))
    assert uniform(keys, 0).shape == (rows,)
    assert normal(keys, 4).shape == (rows, 4)
