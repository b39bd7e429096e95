"""The order of training rows as a function of seed and step, so that a resumed run goes on in it."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


class RowOrder:
    """Which rows make up the batch of a step; every pass over the data is a new permutation.

    Nothing is kept between steps but the permutation in use, so any step may be asked for, in any order.
    """

    def __init__(self, size: int, batch_size: int, seed: int) -> None:
        self.size, self.batch_size, self.seed = size, batch_size, seed
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
            order = np.random.default_rng([self.seed, number]).permutation(self.size)
            self._pass = (number, torch.from_numpy(order))
        return self._pass[1]
