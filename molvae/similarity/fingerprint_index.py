"""Fingerprints to compare with, by size, as rows and bit by bit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from molvae.chem.fingerprints import bit_counts
from molvae.similarity.bit_slicing import Words, turned

Ints = NDArray[np.int64]

_BLOCK = 128  # words of 64 references that are added up together


@dataclass(frozen=True)
class BitReference:
    """References by size, as rows and bit by bit. M references, `bits` bits each, K blocks of L words.

    order: (M,) their index as given; size: (M,) bits set, ascending; words: (M, bits / 64).
    planes: (K, bits + 1, L); bit r of planes[k, bit] is `bit` of reference 64 L k + r; the last row is 0.
    rarest: (bits,) the bits by frequency; frequency: (bits + 1,) of each bit.
    smallest, largest: (K,) the range of sizes in a block.
    """

    order: Ints
    size: Ints
    words: Words
    planes: Words
    rarest: Ints
    frequency: NDArray[np.float64]
    smallest: Ints
    largest: Ints

    @classmethod
    def of(cls, words: Words, most: int | None = None) -> BitReference:
        """Of M references, 1 or more, in blocks of `most` words of 64 (None: _BLOCK)."""
        size = bit_counts(words).astype(np.int64)
        order = np.argsort(size, kind="stable")
        size, words = size[order], words[order]
        in_words = -(-len(words) // 64)
        blocks = -(-in_words // (most or _BLOCK))
        length = -(-in_words // blocks)
        starts = np.arange(0, len(words), 64 * length)  # rounding up may leave one block fewer
        width = 8 * words.shape[1]
        planes = np.zeros((len(starts), 8 * width + 1, length), dtype=np.uint64)
        for block, start in zip(planes.view(np.uint8), starts, strict=True):
            plane = turned(words[start : start + 64 * length].view(np.uint8))
            block[:-1, : plane.shape[1]] = plane
        count = sum(np.bitwise_count(block).sum(axis=1, dtype=np.int64) for block in planes)
        return cls(
            order=order, size=size, words=words, planes=planes,
            rarest=np.argsort(count[:-1], kind="stable"), frequency=count / len(words),
            smallest=size[starts], largest=size[np.minimum(starts + 64 * length, len(words)) - 1],
        )  # fmt: skip

    def set_bits(self, words: Words) -> Ints:
        """The bits set in each of G rows, the rarest first, filled up with the empty row of `planes`: (G, most)."""
        size, width = bit_counts(words).astype(np.int64), len(self.rarest)
        marked = np.unpackbits(words.view(np.uint8), axis=1, bitorder="little")[:, self.rarest]
        row, rank = np.divmod(np.flatnonzero(marked.view(np.bool_)), width)
        bits = np.full((len(words), int(size.max(initial=0))), width)
        bits[row, np.arange(len(row)) - np.repeat(np.cumsum(size) - size, size)] = self.rarest[rank]
        return bits
