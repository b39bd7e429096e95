"""The order of training rows as a function of seed and step, so that a resumed run goes on in it."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


class RowOrder:
    """Which rows make up the batch of a step; every pass over the data is a new permutation.

    With `weights`, one above 0 for each row, it has as many rows, but each comes in proportion to its weight: where
    that is 2.3 times the mean, twice or three times a pass, 2.3 times on average.

    Nothing is kept between steps but the permutation in use, so any step may be asked for, in any order.
    """

    def __init__(self, size: int, batch_size: int, seed: int, weights: Tensor | None = None) -> None:
        self.size, self.batch_size, self.seed = size, batch_size, seed
        self._due = None if weights is None else _due(weights)
        self._pass: tuple[int, Tensor] = (-1, torch.empty(0, dtype=torch.long))

    def rows(self, step: int, *, rank: int = 0, world: int = 1) -> Tensor:
        """The row numbers of a step; of `world` processes each gets its own part of the batch."""
        wanted = torch.arange(step * self.batch_size, (step + 1) * self.batch_size)
        passes = wanted // self.size
        numbers = range(int(passes[0]), int(passes[-1]) + 1)
        parts = [self._permutation(number)[wanted[passes == number] % self.size] for number in numbers]
        return torch.cat(parts)[rank::world]

    def _permutation(self, number: int) -> Tensor:
        if self._pass[0] != number:
            random = np.random.default_rng([self.seed, number])
            rows = np.arange(self.size)
            if self._due is not None:  # systematic sampling: the fractions that are due are added up along the rows
                rows = np.repeat(rows, np.diff(np.floor(self._due + random.random()), prepend=0).astype(np.int64))
            self._pass = (number, torch.from_numpy(random.permutation(rows)))
        return self._pass[1]


def _due(weights: Tensor) -> NDArray[np.float64]:
    """How many rows are due up to each, in a pass of as many rows as there are."""
    due = np.cumsum(weights.double().cpu().numpy())
    due *= len(due) / due[-1]
    due[-1] = len(due)
    return due
