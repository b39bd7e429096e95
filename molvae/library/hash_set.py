"""Which molecules have been seen, as 8 bytes each."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

Digests = NDArray[np.uint64]


class SeenDigests:
    """A set of digests that grows batch by batch: 8 bytes a molecule, where a set of Python objects takes 100.

    Sorted runs, each more than twice as long as the next: a look-up is a few binary searches, and a digest is merged
    into a longer run once for each doubling. Two of n molecules share a digest with a chance of n^2 / 2^65: one in
    30 million for a million, one in 40 for a billion.
    """

    def __init__(self) -> None:
        self._runs: list[Digests] = []

    def __len__(self) -> int:
        return sum(map(len, self._runs))

    def accept(self, digests: Digests) -> NDArray[np.bool_]:
        """Which of them (N,) are new, each counted at its first place only; they are seen from now on."""
        new = np.zeros(len(digests), dtype=bool)
        new[np.unique(digests, return_index=True)[1]] = True
        for run in self._runs:
            new &= run[np.searchsorted(run, digests).clip(max=len(run) - 1)] != digests
        if new.any():
            self._add(np.sort(digests[new]))
        return new

    def _add(self, run: Digests) -> None:
        while self._runs and len(self._runs[-1]) <= 2 * len(run):
            run = np.sort(np.concatenate([self._runs.pop(), run]), kind="stable")
        self._runs.append(run)


def digests_of(smiles: Iterable[str]) -> Digests:
    """Of canonical SMILES, (N,); those of `Embedded.keys`."""
    return np.frombuffer(b"".join(hashlib.blake2b(text.encode(), digest_size=8).digest() for text in smiles), np.uint64)
