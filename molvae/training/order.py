"""The order of training rows as a function of seed and step, so that a resumed run sees what it would have seen."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset


class RowOrder(IterableDataset[Tensor]):
    """Endless batches of row numbers; every pass over the data is a new permutation.

    Starts at `step` (set it before iterating), and gives each of `world` processes its own part of every batch.
    """

    def __init__(self, size: int, batch_size: int, seed: int, *, rank: int = 0, world: int = 1) -> None:
        self.size, self.batch_size, self.seed = size, batch_size, seed
        self.rank, self.world, self.step = rank, world, 0
        self._pass: tuple[int, Tensor] = (-1, torch.empty(0, dtype=torch.long))

    def __iter__(self) -> Iterator[Tensor]:
        step = self.step
        while True:
            yield self.rows(step)[self.rank :: self.world]
            step += 1

    def rows(self, step: int) -> Tensor:
        """The whole batch of a step, over all processes."""
        wanted = torch.arange(step * self.batch_size, (step + 1) * self.batch_size)
        passes = wanted // self.size
        parts = [self._permutation(int(p))[wanted[passes == p] % self.size] for p in passes.unique()]
        return torch.cat(parts)

    def _permutation(self, number: int) -> Tensor:
        if self._pass[0] != number:
            order = np.random.default_rng([self.seed, number]).permutation(self.size)
            self._pass = (number, torch.from_numpy(order))
        return self._pass[1]
