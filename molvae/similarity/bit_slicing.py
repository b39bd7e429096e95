"""Many fingerprints at once, bit by bit: 64 molecules a word, added up with the logic of a hardware adder.

Turned on their side, fingerprints have a row for each bit. How many of some bits each molecule has is then the sum of
these rows, and of molecules with few bits set only few rows are needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint64]
# what is turned together, so that it stays in a core's cache; the bits are an odd number of its lines of 64, as with a
# power of two all of a column would fall into the same few of them
_ROWS, _BYTES = 2048, 31 * 64 // 8


def turned(packed: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Rows of bits, (N, W) bytes, as columns: (8 W, N / 8 rounded up), the last byte filled up with zeros."""
    planes = np.zeros((8 * packed.shape[1], -(-len(packed) // 8)), np.uint8)
    for row, byte in product(range(0, len(packed), _ROWS), range(0, packed.shape[1], _BYTES)):
        bits = np.unpackbits(packed[row : row + _ROWS, byte : byte + _BYTES], axis=1, bitorder="little")
        columns = np.packbits(np.ascontiguousarray(bits.T), axis=1, bitorder="little")
        planes[8 * byte : 8 * byte + len(columns), row // 8 : row // 8 + columns.shape[1]] = columns
    return planes


def added(rows: Words) -> list[Words]:
    """How many of n rows, (n, ...), have each bit of a word: binary digits, lowest first, (...) each, one at least.

    Full adders on whole words, as in a Wallace tree: three digits of one weight become one of it and one carry of
    twice the weight. `rows` is overwritten.
    """
    digits = [] if len(rows) else [np.zeros(rows.shape[1:], np.uint64)]
    spare, carries = np.empty_like(rows[: len(rows) // 3]), np.empty_like(rows[: len(rows) // 2])
    while len(rows):
        carried = 0
        while len(rows) > 1:
            n = max(len(rows) // 3, 1)
            a, b, carry = rows[:n], rows[n : 2 * n], carries[carried : carried + n]
            if len(rows) == 2:
                np.bitwise_and(a, b, out=carry)
                np.bitwise_xor(a, b, out=b)
                rows = b
            else:
                c, either = rows[2 * n : 3 * n], spare[:n]
                np.bitwise_xor(a, b, out=either)
                np.bitwise_and(a, b, out=a)
                np.bitwise_and(either, c, out=b)
                np.bitwise_or(a, b, out=carry)
                np.bitwise_xor(either, c, out=c)
                rows = rows[2 * n :]
            carried += n
        digits.append(rows[0])
        rows, carries = carries[:carried], np.empty_like(carries[: carried // 2])
    return digits


def numbers(digits: Sequence[Words] | Words) -> NDArray[np.unsignedinteger]:
    """The numbers that have these binary digits, lowest first, (..., L) each: (..., 64 L)."""
    kind = np.uint8 if len(digits) <= 8 else np.uint16
    total = np.zeros((*digits[0].shape[:-1], 64 * digits[0].shape[-1]), kind)
    for weight, digit in enumerate(digits):
        bit = unpacked(digit).astype(kind, copy=False)
        total |= np.left_shift(bit, weight, out=bit)
    return total


def at_least(digits: list[Words], need: NDArray[np.int64]) -> Words:
    """The bits whose number is at least the row's `need`, (G,); digits as by `added`, (G, L) each."""
    reached = np.full_like(digits[0], np.iinfo(np.uint64).max)
    for weight, digit in enumerate(digits):  # the answer for the lower digits decides where this one is equal
        zero = np.where(need >> weight & 1, np.uint64(0), np.iinfo(np.uint64).max)[:, None]
        above = (digit | reached) & zero
        np.bitwise_and(reached, digit, out=reached)
        np.bitwise_or(reached, above, out=reached)
    return reached


def unpacked(words: Words) -> NDArray[np.uint8]:
    """The bits of words, (..., L), each a number of its own, 0 or 1: (..., 64 L)."""
    return np.unpackbits(np.ascontiguousarray(words).view(np.uint8), axis=-1, bitorder="little")
