"""Each molecule's mean similarity to all the others, by several kinds of mean: internal diversity is made of it."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from molvae.chem.fingerprints import word_rows
from molvae.data.parallel import chunked, map_chunks
from molvae.errors import InputError
from molvae.similarity.bit_slicing import Words, added, numbers
from molvae.similarity.fingerprint_index import BitReference, Ints
from molvae.similarity.nearest_neighbors import processes

Floats = NDArray[np.float64]

_ROWS, _TILE = 32, 32  # one step: rows that are compared with words of 64 others
_LOTS = 2  # tiles that a process takes at once


def power_means(
    fingerprints: NDArray[np.uint8], powers: Iterable[float] = (1, 2), *, threads: int | None = None
) -> NDArray[np.float64]:
    """Each molecule's mean similarity to all N, itself included, for several kinds of mean: (powers, N).

        result[k, i] = (1/N sum_j similarity[i, j] ** powers[k]) ** (1 / powers[k])

    fingerprints: (N, W), packed as by `morgan_bits`; `powers` above 0. One minus the mean of a row is the internal
    diversity of MOSES, IntDiv_p (Polykovskiy et al. 2020). Each pair is compared once; the matrix is never whole.
    Raises `InputError` for another shape or type, or a power of 0 or less.
    """
    (words,) = word_rows(fingerprints)
    exponents = [float(power) for power in powers]
    if any(not power > 0 for power in exponents):
        raise InputError(f"powers are above 0, got {exponents}")
    n = len(words)
    if not n:
        return np.zeros((len(exponents), 0))
    sliced = BitReference.of(words, _TILE)
    sums = np.zeros((len(exponents), *sliced.planes.shape[::2], 64))  # powers x blocks x words x bits
    tiles = [(a, b) for a in range(len(sliced.planes)) for b in range(a, len(sliced.planes))]
    workers = processes(threads, n * n)
    found = map_chunks(
        _tiles, chunked(tiles, _LOTS), workers, shared=(sliced, sliced.set_bits(sliced.words), exponents)
    )
    for (a, b), (of_a, of_b) in zip(tiles, chain.from_iterable(found), strict=True):
        sums[:, a] += of_a.reshape(sums[:, a].shape)
        if a != b:  # in one block the pairs come up from both sides
            sums[:, b] += of_b.reshape(sums[:, b].shape)
    means = np.zeros((len(exponents), n))
    means[:, sliced.order] = (sums.reshape(len(exponents), -1)[:, :n] / n) ** (1 / np.array(exponents)[:, None])
    return means


def _tiles(shared: tuple[BitReference, Ints, list[float]], tiles: list[tuple[int, int]]) -> list[tuple[Floats, Floats]]:
    """For pairs of blocks what each adds to the sums of the other's rows, both (powers, rows)."""
    return [_tile(*shared, a, b) for a, b in tiles]


def _tile(sliced: BitReference, bits: Ints, exponents: list[float], a: int, b: int) -> tuple[Floats, Floats]:
    rows = 64 * sliced.planes.shape[2]
    of_a, of_b = np.zeros((len(exponents), rows)), np.zeros((len(exponents), rows))
    size, bits = sliced.size[a * rows :][:rows], bits[a * rows :][:rows]
    others = np.zeros(rows)  # the last block may be short
    others[: len(sliced.size) - b * rows] = sliced.size[b * rows :][:rows]
    for start in range(0, len(size), _ROWS):
        at = slice(start, min(start + _ROWS, len(size)))
        common = _common(sliced.planes[b], bits[at, : size[at].max()]).astype(np.float64)
        either = size[at, None] + others - common
        similarity = np.divide(common, np.maximum(either, 1, out=either), out=common)
        for k, power in enumerate(exponents):
            raised = similarity if power == 1 else similarity**power
            of_a[k, at] = raised.sum(axis=1)
            of_b[k] += raised.sum(axis=0)
    return of_a, of_b


def _common(planes: Words, bits: Ints) -> NDArray[np.unsignedinteger]:
    """How many of the `bits` of each of G rows, (G, most), each of the block's references has: (G, 64 L)."""
    return numbers(added(np.take(planes, bits.T.ravel(), axis=0).reshape(-1, len(bits), planes.shape[1])))
