"""Fingerprints bit by bit: of 65,536 molecules a query looks at the 45 bits that it has set, and not at all 2,048.

Row r of the file is bit r of every molecule, 64 molecules a word. What a molecule has in common with a query is the
sum of the query's rows, added up with the logic of a hardware adder on whole words, ten times as fast as counting the
common bits molecule by molecule. Further rows hold the number of bits each molecule has set, as a binary number.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from molvae.chem.fingerprints import BITS, bit_counts, word_rows
from molvae.errors import InputError
from molvae.similarity.bit_slicing import Words, added, numbers, turned

SIZE_ROWS = BITS.bit_length()

Counts = NDArray[np.uint16]


class BitPlanes:
    """The fingerprints of K molecules, in memory or mapped from a file: rows (2048 + 12, words) uint64."""

    def __init__(self, rows: Words, count: int) -> None:
        self.rows, self.count = rows, count
        self.sizes: Counts = numbers(rows[BITS:])[:count].astype(np.uint16, copy=False)

    @classmethod
    def of(cls, packed: NDArray[np.uint8]) -> BitPlanes:
        """From fingerprints (K, 256) as of `morgan_bits`."""
        (words,) = word_rows(packed)
        sizes = bit_counts(words).astype("<u2").view(np.uint8).reshape(-1, 2)
        columns = turned(np.concatenate([packed, sizes], axis=1))[: BITS + SIZE_ROWS]
        # whole words, and one at least, as an empty file cannot be mapped
        planes = np.zeros((len(columns), 8 * _words(len(packed))), np.uint8)
        planes[:, : columns.shape[1]] = columns
        return cls(planes.view(np.uint64), len(packed))

    @classmethod
    def load(cls, path: Path, count: int) -> BitPlanes:
        """Map a file that `save` wrote for `count` molecules. Raises `InputError` where it is something else."""
        try:
            rows = np.load(path, mmap_mode="r")
        except (OSError, ValueError, EOFError) as error:
            raise InputError(f"{path}: cannot read the fingerprints ({error}); index the library again") from None
        if rows.shape != (BITS + SIZE_ROWS, _words(count)) or rows.dtype != np.uint64:
            raise InputError(f"{path}: not the fingerprints of {count:,} molecules; index the library again")
        return cls(rows, count)

    def save(self, path: Path) -> None:
        with path.open("wb") as file:
            np.save(file, self.rows)

    def packed(self) -> NDArray[np.uint8]:
        """The fingerprints molecule by molecule again, (K, 256)."""
        return turned(np.ascontiguousarray(self.rows[:BITS]).view(np.uint8))[: self.count]

    def common(self, bits: NDArray[np.intp]) -> Counts:
        """How many of `bits` each molecule has set, (K,)."""
        return numbers(added(self.rows[bits]))[: self.count].astype(np.uint16, copy=False)

    def common_at(self, bits: NDArray[np.intp], molecules: NDArray[np.int64]) -> Counts:
        """`common` of some molecules only, (M,)."""
        words = self.rows[bits[:, None], molecules >> 6] >> (molecules & 63).astype(np.uint64)
        counts: Counts = (words & np.uint64(1)).sum(axis=0).astype(np.uint16)
        return counts


def set_bits(packed: NDArray[np.uint8]) -> NDArray[np.intp]:
    """The bits that one fingerprint, (256,), has set."""
    return np.flatnonzero(np.unpackbits(packed, bitorder="little"))


def _words(count: int) -> int:
    return max(1, -(-count // 64))
