"""Fingerprints bit by bit: of 65,536 molecules a query looks at the 45 bits that it has set, and not at all 2,048.

Row r of the file is bit r of every molecule, 64 molecules a word. What a molecule has in common with a query is the
sum of the query's rows, added up with the logic of a hardware adder on whole words, ten times as fast as counting the
common bits molecule by molecule. Further rows hold the number of bits each molecule has set, as a binary number.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from molvae.chem.fingerprints import BITS, bit_counts, word_rows
from molvae.errors import InputError

SIZE_ROWS = BITS.bit_length()
_STRIP = 2048  # molecules that are turned on their side together, so that they stay in a core's cache

Words = NDArray[np.uint64]
Counts = NDArray[np.uint16]


class BitPlanes:
    """The fingerprints of K molecules, in memory or mapped from a file: rows (2048 + 12, words) uint64."""

    def __init__(self, rows: Words, count: int) -> None:
        self.rows, self.count = rows, count
        self.sizes: Counts = _as_numbers(list(rows[BITS:]))[:count]

    @classmethod
    def of(cls, packed: NDArray[np.uint8]) -> BitPlanes:
        """From fingerprints (K, 256) as of `morgan_bits`."""
        (words,) = word_rows(packed)
        size = bit_counts(words).astype("<u2")
        sizes = np.unpackbits(size.view(np.uint8).reshape(-1, 2), axis=1, bitorder="little")[:, :SIZE_ROWS]
        # an empty file cannot be mapped: one word at least
        planes = np.zeros((BITS + SIZE_ROWS, 8 * max(1, -(-len(packed) // 64))), np.uint8)
        for start in range(0, len(packed), _STRIP):
            strip = slice(start, start + _STRIP)
            bits = np.concatenate([np.unpackbits(packed[strip], axis=1, bitorder="little"), sizes[strip]], axis=1)
            turned = np.packbits(np.ascontiguousarray(bits.T), axis=1, bitorder="little")
            planes[:, start // 8 : start // 8 + turned.shape[1]] = turned
        return cls(planes.view(np.uint64), len(packed))

    @classmethod
    def load(cls, path: Path, count: int) -> BitPlanes:
        """Map a file that `save` wrote for `count` molecules. Raises `InputError` where it is something else."""
        try:
            rows = np.load(path, mmap_mode="r")
        except (OSError, ValueError, EOFError) as error:
            raise InputError(f"{path}: cannot read the fingerprints ({error}); index the library again") from None
        if rows.shape != (BITS + SIZE_ROWS, max(1, -(-count // 64))) or rows.dtype != np.uint64:
            raise InputError(f"{path}: not the fingerprints of {count:,} molecules; index the library again")
        return cls(rows, count)

    def save(self, path: Path) -> None:
        with path.open("wb") as file:
            np.save(file, self.rows)

    def packed(self) -> NDArray[np.uint8]:
        """The fingerprints molecule by molecule again, (K, 256)."""
        strips = [np.zeros((0, BITS // 8), np.uint8)]
        for start in range(0, self.count, _STRIP):
            columns = np.ascontiguousarray(self.rows[:BITS, start // 64 : (start + _STRIP) // 64])
            bits = np.unpackbits(columns.view(np.uint8), axis=1, bitorder="little")
            strips.append(np.packbits(np.ascontiguousarray(bits.T), axis=1, bitorder="little"))
        return np.concatenate(strips)[: self.count]

    def common(self, bits: NDArray[np.intp]) -> Counts:
        """How many of `bits` each molecule has set, (K,)."""
        # a row of zeros, for there may be no bit at all
        return _as_numbers(_added([np.zeros_like(self.rows[0]), *self.rows[bits]]))[: self.count]

    def common_at(self, bits: NDArray[np.intp], molecules: NDArray[np.int64]) -> Counts:
        """`common` of some molecules only, (M,)."""
        words = self.rows[bits[:, None], molecules >> 6] >> (molecules & 63).astype(np.uint64)
        counts: Counts = (words & np.uint64(1)).sum(axis=0).astype(np.uint16)
        return counts


def set_bits(packed: NDArray[np.uint8]) -> NDArray[np.intp]:
    """The bits that one fingerprint, (256,), has set."""
    return np.flatnonzero(np.unpackbits(packed, bitorder="little"))


def _added(rows: list[Words]) -> list[Words]:
    """The sum of rows of single bits: its ones, its twos, its fours ... Full adders take three rows to two."""
    binary = list[Words]()
    while rows:
        carried = list[Words]()
        while len(rows) > 2:
            a, b, c = rows.pop(), rows.pop(), rows.pop()
            either = a ^ b
            rows.insert(0, either ^ c)  # behind those not yet added: a tree, whose sums are still in the cache
            carried.append((a & b) | (either & c))
        if len(rows) == 2:
            a, b = rows
            rows = [a ^ b]
            carried.append(a & b)
        binary += rows
        rows = carried
    return binary


def _as_numbers(binary: Sequence[Words]) -> Counts:
    """The numbers whose ones, twos, fours ... are these rows; 64 a word. One row at least."""
    numbers = _byte(binary[:8]).astype(np.uint16)
    if len(binary) > 8:
        numbers |= _byte(binary[8:]).astype(np.uint16) << 8
    return numbers


def _byte(binary: Sequence[Words]) -> NDArray[np.uint8]:
    """The same for eight rows at most."""
    numbers = np.zeros(64 * len(binary[0]), np.uint8)
    for place, row in enumerate(binary):
        numbers |= np.unpackbits(np.ascontiguousarray(row).view(np.uint8), bitorder="little") << place
    return numbers
