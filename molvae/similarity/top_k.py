"""The best of many rows that come block by block."""

from __future__ import annotations

from math import inf

import numpy as np
from numpy.typing import NDArray

from molvae.errors import InputError


class Best:
    """The `most` rows of the highest score, in order; among equals the smaller row is the better."""

    def __init__(self, most: int) -> None:
        if most < 1:
            raise InputError(f"the best of a library are 1 or more, got {most}")
        self.most = most
        self.rows = np.zeros(0, np.int64)
        self.scores = np.zeros(0, np.float64)

    @property
    def floor(self) -> float:
        """No row with a lower score can get in any more."""
        return float(self.scores[-1]) if len(self.scores) == self.most else -inf

    def add(self, rows: NDArray[np.int64], scores: NDArray[np.float64]) -> None:
        """Take up what is good enough of some rows, (N,) each."""
        if len(scores) > 4 * self.most:  # sorting all of them would take longer
            good = scores >= np.partition(scores, -self.most)[-self.most]
            rows, scores = rows[good], scores[good]
        rows, scores = np.concatenate([self.rows, rows]), np.concatenate([self.scores, scores])
        order = np.lexsort((rows, -scores))[: self.most]
        self.rows, self.scores = rows[order], scores[order]
