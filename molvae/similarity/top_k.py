"""The k highest scores of a stream of blocks."""

from __future__ import annotations

from math import inf

import numpy as np
from numpy.typing import NDArray

from molvae.errors import InputError


class TopK:
    """The k rows with the highest scores, in descending order; of equal scores the lower row number comes first.

    >>> best = TopK(2)
    >>> best.add(np.array([0, 1, 2]), np.array([0.1, 0.9, 0.5]))
    >>> best.rows.tolist(), best.threshold
    ([1, 2], 0.5)
    """

    def __init__(self, k: int) -> None:
        if k < 1:
            raise InputError(f"k must be at least 1, got {k}")
        self.k = k
        self.rows = np.zeros(0, np.int64)
        self.scores = np.zeros(0, np.float64)

    @property
    def threshold(self) -> float:
        """Rows with lower scores can no longer enter; -inf while there are fewer than k rows."""
        return float(self.scores[-1]) if len(self.scores) == self.k else -inf

    def add(self, rows: NDArray[np.int64], scores: NDArray[np.float64]) -> None:
        """Add a block of rows and their scores, (N,) each."""
        if len(scores) > 4 * self.k:  # a partition is faster than sorting the whole block
            candidates = scores >= np.partition(scores, -self.k)[-self.k]
            rows, scores = rows[candidates], scores[candidates]
        rows, scores = np.concatenate([self.rows, rows]), np.concatenate([self.scores, scores])
        order = np.lexsort((rows, -scores))[: self.k]
        self.rows, self.scores = rows[order], scores[order]
