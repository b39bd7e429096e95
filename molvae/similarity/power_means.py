"""Power means of each molecule's similarity to all others: the basis of internal diversity."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from molvae.chem.fingerprints import word_rows
from molvae.data.parallel import chunked, map_chunks
from molvae.errors import InputError
from molvae.similarity.bit_slicing import FingerprintIndex, Ints, Words, add_bit_rows, digits_to_numbers
from molvae.similarity.nearest_neighbors import limit_workers

Floats = NDArray[np.float64]

_ROWS, _TILE = 32, 32  # rows that are compared with a block of this many words of 64 molecules at a time
_TILES_PER_TASK = 2  # tiles in one task of a worker process


def power_means(
    fingerprints: NDArray[np.uint8], powers: Iterable[float] = (1, 2), *, workers: int | None = None
) -> NDArray[np.float64]:
    """Power means of each molecule's similarity to all N molecules, itself included.

        result[k, i] = (1/N sum_j similarity[i, j] ** powers[k]) ** (1 / powers[k])

    One minus the mean of row k is the internal diversity of MOSES, IntDiv_p [1]_. Each pair is compared once, and the
    N x N matrix is never held in memory.

    Parameters
    ----------
    fingerprints : array of uint8, shape (N, W)
        Packed fingerprints as made by `morgan_bits`.
    powers : iterable of float
        Exponents above 0.
    workers : int, optional
        Processes for large inputs: 0 or 1 for this process only, None for one per core.

    Returns
    -------
    array of float64, shape (powers, N)

    Raises
    ------
    InputError
        For fingerprints of another shape or type, or a power of 0 or less.

    References
    ----------
    .. [1] Polykovskiy et al. 2020, Frontiers in Pharmacology 11, 565644.
    """
    (words,) = word_rows(fingerprints)
    exponents = [float(power) for power in powers]
    if any(not power > 0 for power in exponents):
        raise InputError(f"powers must be above 0, got {exponents}")
    n = len(words)
    if not n:
        return np.zeros((len(exponents), 0))
    index = FingerprintIndex.from_words(words, _TILE)
    sums = np.zeros((len(exponents), *index.planes.shape[::2], 64))  # powers x blocks x words x bits
    tiles = [(a, b) for a in range(len(index.planes)) for b in range(a, len(index.planes))]
    found = map_chunks(
        _tile_sums, chunked(tiles, _TILES_PER_TASK), limit_workers(workers, n * n),
        shared=(index, index.set_bits(index.words), exponents),
    )  # fmt: skip
    for (a, b), (sums_a, sums_b) in zip(tiles, chain.from_iterable(found), strict=True):
        sums[:, a] += sums_a.reshape(sums[:, a].shape)
        if a != b:  # within a block the first sums contain both orders of each pair
            sums[:, b] += sums_b.reshape(sums[:, b].shape)
    means = np.zeros((len(exponents), n))
    means[:, index.order] = (sums.reshape(len(exponents), -1)[:, :n] / n) ** (1 / np.array(exponents)[:, None])
    return means


def _tile_sums(
    shared: tuple[FingerprintIndex, Ints, list[float]], tiles: list[tuple[int, int]]
) -> list[tuple[Floats, Floats]]:
    """For each pair of blocks, the sums over their similarities for the rows of each block: (powers, rows) each."""
    return [_tile(*shared, a, b) for a, b in tiles]


def _tile(index: FingerprintIndex, bits: Ints, exponents: list[float], a: int, b: int) -> tuple[Floats, Floats]:
    rows = 64 * index.planes.shape[2]
    sums_a, sums_b = np.zeros((len(exponents), rows)), np.zeros((len(exponents), rows))
    size, bits = index.size[a * rows :][:rows], bits[a * rows :][:rows]
    others = np.zeros(rows)  # the last block may be short
    others[: len(index.size) - b * rows] = index.size[b * rows :][:rows]
    for start in range(0, len(size), _ROWS):
        batch = slice(start, min(start + _ROWS, len(size)))
        common = _count_common(index.planes[b], bits[batch, : size[batch].max()]).astype(np.float64)
        union = size[batch, None] + others - common
        similarity = np.divide(common, np.maximum(union, 1, out=union), out=common)
        for k, power in enumerate(exponents):
            raised = similarity if power == 1 else similarity**power
            sums_a[k, batch] = raised.sum(axis=1)
            sums_b[k] += raised.sum(axis=0)
    return sums_a, sums_b


def _count_common(planes: Words, bits: Ints) -> NDArray[np.unsignedinteger]:
    """For G sets of `bits`, (G, most), the number of bits that each reference of a block has set: (G, 64 L)."""
    rows = np.take(planes, bits.T.ravel(), axis=0).reshape(-1, len(bits), planes.shape[1])
    return digits_to_numbers(add_bit_rows(rows))
