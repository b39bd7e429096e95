"""Which molecules make up the batch of each training step.

The order depends only on the random state and the step, so a resumed run continues in the same order.
"""

from __future__ import annotations

from collections.abc import Iterator

import lightning
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

VALIDATION_BATCH_SIZE = 256


class RowSampler:
    """Row indices of the batch of any step; each epoch is a new permutation of the rows.

    Only the current permutation is kept, so steps can be requested in any order.

    Parameters
    ----------
    n_rows
        Number of rows of the training data.
    batch_size
        Rows per step, over all processes.
    random_state
        Seed of the permutations.
    weights
        One positive weight per row, shape (n_rows,). An epoch still has `n_rows` rows, but each row is drawn in
        proportion to its weight: a row with 2.3 times the mean weight occurs two or three times per epoch, 2.3 times
        on average. None: each row once per epoch.
    """

    def __init__(self, n_rows: int, batch_size: int, random_state: int, weights: Tensor | None = None) -> None:
        self.n_rows, self.batch_size, self.random_state = n_rows, batch_size, random_state
        self._cumulative_counts = None if weights is None else _cumulative_counts(weights)
        self._epoch: tuple[int, Tensor] = (-1, torch.empty(0, dtype=torch.long))

    def rows(self, step: int, *, rank: int = 0, world_size: int = 1) -> Tensor:
        """Row indices of a step, int64; process `rank` of `world_size` gets its part of the batch."""
        positions = torch.arange(step * self.batch_size, (step + 1) * self.batch_size)
        epochs = positions // self.n_rows
        numbers = range(int(epochs[0]), int(epochs[-1]) + 1)
        parts = [self._permutation(number)[positions[epochs == number] % self.n_rows] for number in numbers]
        return torch.cat(parts)[rank::world_size]

    def _permutation(self, epoch: int) -> Tensor:
        if self._epoch[0] != epoch:
            random = np.random.default_rng([self.random_state, epoch])
            rows = np.arange(self.n_rows)
            if self._cumulative_counts is not None:  # systematic sampling with a random offset
                ends = np.floor(self._cumulative_counts + random.random())
                rows = np.repeat(rows, np.diff(ends, prepend=0).astype(np.int64))
            self._epoch = (epoch, torch.from_numpy(random.permutation(rows)))
        return self._epoch[1]


def _cumulative_counts(weights: Tensor) -> NDArray[np.float64]:
    """Expected number of draws per epoch of all rows up to each row; the last entry is the number of rows."""
    counts = np.cumsum(weights.double().cpu().numpy())
    counts *= len(counts) / counts[-1]
    counts[-1] = len(counts)
    return counts


class StepDataModule(lightning.LightningDataModule):
    """Gives Lightning one placeholder per step: the training step gathers its own batch by the step's number."""

    def __init__(self, n_valid: int) -> None:
        super().__init__()
        self.n_validation_batches = -(-n_valid // VALIDATION_BATCH_SIZE)

    def train_dataloader(self) -> DataLoader[int]:
        return DataLoader(_EndlessPlaceholders(), batch_size=None)

    def val_dataloader(self) -> DataLoader[int]:
        return DataLoader(range(self.n_validation_batches), batch_size=None)  # type: ignore[arg-type]


class _EndlessPlaceholders(IterableDataset[int]):
    def __iter__(self) -> Iterator[int]:
        while True:
            yield 0
