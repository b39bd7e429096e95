"""Finds the neighbors of training molecules among each other, for `neighbors`.

Done without comparing all pairs: molecules that are nearest to the same one of some molecules drawn at random make up
a cell, and only those within a cell are compared, in several rounds with other cells. Most neighbors share a cell in
one of the rounds, near ones more surely than far ones.

Of these count only such whose canonical SMILES begin and end alike, so that they differ in one stretch. A small change
may turn a molecule's canonical order around, and then little of what the decoder knows of the seed's string helps it to
write the neighbor's: it would learn to forget the seed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray

from molvae.chem.fingerprints import BYTES, morgan_bits, tanimoto_matrix
from molvae.chem.smiles import parse, silence_rdkit
from molvae.chem.tokenizer import Vocabulary
from molvae.data.graph_dataset import PackedGraphs
from molvae.data.neighbors import MAX_DISTANCE, Neighbors
from molvae.data.parallel import chunked, map_chunks

SIMILARITY_BANDS = (1 - MAX_DISTANCE, 0.55, 0.65, 0.75, 0.95)
"""Bounds of Tanimoto similarity: between each two of them a molecule has `NEIGHBORS_PER_BAND` neighbors, if so many were found.

Above the last are stereoisomers and longer chains.
"""
NEIGHBORS_PER_BAND = 3
MIN_SHARED_FRACTION = 0.5
"""Share of the longer SMILES that two neighbors begin and end with alike, at the very least."""

N_ROUNDS = 5
_CELL = 600  # molecules of a cell, on average
_LARGEST = 1_500  # molecules that are compared with each other: a larger cell is shared out
_LOOKED_UP = 2_048  # molecules that a process finds the cell of at once
_COMPARED = 50_000  # pairs of strings that are compared at once

Ints = NDArray[np.int64]
Bits = NDArray[np.uint8]


class Pairs(NamedTuple):
    """Molecules and neighbors of theirs, N each, with the similarity of the two and what their strings share."""

    row: Ints
    other: Ints
    similarity: NDArray[np.float32]
    shared: NDArray[np.float32]

    def at(self, rows: NDArray[Any]) -> Pairs:
        """Some of them, by number or by a mask."""
        return Pairs(self.row[rows], self.other[rows], self.similarity[rows], self.shared[rows])


class TokenMatrix(NamedTuple):
    """The symbols of M strings, M x L uint8, from the beginning and from the end, filled up with 0; and how many, M."""

    symbols: Bits
    backwards: Bits
    length: Ints

    @classmethod
    def from_packed(cls, data: PackedGraphs) -> Self:
        """What was packed as the molecules' SMILES. Of a vocabulary beyond 255 symbols some look the same."""
        starts = data.token_start.numpy()
        length = np.diff(starts) - 1  # without the end
        row = np.repeat(np.arange(len(length)), length)
        place = _place(row)
        symbols, backwards = np.zeros((2, len(length), int(length.max(initial=0)) + 1), np.uint8)
        symbols[row, place] = data.tokens.numpy()[starts[row] + place]
        backwards[row, length[row] - 1 - place] = symbols[row, place]
        return cls(symbols, backwards, length)

    def shared(self, a: Ints, b: Ints) -> NDArray[np.float32]:
        """The share of the longer string that strings a and b, N each, begin and end with alike, 0 to 1."""
        shared = np.zeros(len(a), np.float32)
        for start in range(0, len(a), _COMPARED):
            i, j = a[start : start + _COMPARED], b[start : start + _COMPARED]
            both = sum((side[i] != side[j]).argmax(axis=1) for side in (self.symbols, self.backwards))
            shorter, longer = np.minimum(self.length[i], self.length[j]), np.maximum(self.length[i], self.length[j])
            shared[start : start + _COMPARED] = np.minimum(both, shorter) / longer
        return shared


def find_neighbors(
    data: PackedGraphs,
    vocabulary: Vocabulary,
    *,
    workers: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> Neighbors:
    """`search_fingerprints` of packed molecules; on two cores about four minutes for a million."""
    parts = map_chunks(_fingerprints, chunked(data.smiles(vocabulary)), workers)
    prints = np.concatenate([np.zeros((0, BYTES), np.uint8), *parts])
    return search_fingerprints(prints, TokenMatrix.from_packed(data), workers=workers, progress=progress)


def _fingerprints(smiles: list[str]) -> Bits:
    with silence_rdkit():
        return morgan_bits([parse(text, conjugation=False) for text in smiles])


def search_fingerprints(
    fingerprints: Bits,
    strings: TokenMatrix,
    *,
    rounds: int = N_ROUNDS,
    seed: int = 0,
    workers: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> Neighbors:
    """Neighbors of every one of M molecules among the others, by their fingerprints, M x `BYTES` as by `morgan_bits`.

    Those of many are kept whose strings share most. The cells are drawn at random, by `seed`. `progress` is called with
    the number of each round that is done.
    """
    random = np.random.default_rng(seed)
    found = Pairs(*np.zeros((2, 0), np.int64), *np.zeros((2, 0), np.float32))
    rounds = rounds if len(fingerprints) > 1 else 0
    folded = np.bitwise_or.reduce(fingerprints.reshape(-1, 4, BYTES // 4), axis=1)
    for done in range(1, rounds + 1):
        jobs = chunked(_cells(folded, random, workers), 8)
        parts = [part for some in map_chunks(_alike, jobs, workers, shared=(fingerprints, strings)) for part in some]
        found = _chosen(Pairs(*map(np.concatenate, zip(found, *parts, strict=True))))
        if progress:
            progress(done)
    return _table(found, len(fingerprints))


def _cells(folded: Bits, random: np.random.Generator, workers: int | None) -> list[Ints]:
    """Molecules by the one, of some drawn at random, that they are most like."""
    pivots = folded[random.choice(len(folded), max(1, len(folded) // _CELL), replace=False)]
    rows = chunked(range(len(folded)), _LOOKED_UP)
    nearest = np.concatenate(list(map_chunks(_nearest, rows, workers, shared=(folded, pivots))))
    order = random.permutation(len(folded))
    order = order[np.argsort(nearest[order], kind="stable")]
    cells = np.split(order, np.flatnonzero(np.diff(nearest[order])) + 1)
    return [part for cell in cells for part in np.array_split(cell, -(-len(cell) // _LARGEST)) if len(part) > 1]


def _nearest(shared: tuple[Bits, Bits], rows: list[int]) -> Ints:
    folded, pivots = shared
    nearest: Ints = tanimoto_matrix(folded[rows[0] : rows[-1] + 1], pivots).argmax(axis=1)
    return nearest


def _alike(shared: tuple[Bits, TokenMatrix], cells: list[Ints]) -> list[Pairs]:
    """Neighbors within each cell."""
    fingerprints, strings = shared
    found = []
    for members in cells:
        similarity = tanimoto_matrix(fingerprints[members], fingerprints[members])
        i, j = np.nonzero((similarity >= SIMILARITY_BANDS[0]) & (similarity < SIMILARITY_BANDS[-1]))
        pairs = Pairs(members[i], members[j], similarity[i, j], strings.shared(members[i], members[j]))
        found.append(_chosen(pairs.at(pairs.shared >= MIN_SHARED_FRACTION)))
    return found


def _chosen(pairs: Pairs) -> Pairs:
    """Of each molecule's neighbors in each band the `NEIGHBORS_PER_BAND` that share most of its string; by molecule and band."""
    band = np.searchsorted(np.array(SIMILARITY_BANDS, np.float32), pairs.similarity, side="right")
    group = pairs.row * (len(SIMILARITY_BANDS) + 1) + band
    order = np.lexsort((pairs.other, -pairs.shared, group))
    again = (np.diff(group[order], prepend=-1) == 0) & (np.diff(pairs.other[order], prepend=-1) == 0)
    order = order[~again]
    order = order[_place(group[order]) < NEIGHBORS_PER_BAND]
    return pairs.at(order)


def _place(group: Ints) -> Ints:
    """The place of each row within its group; the rows of a group follow each other."""
    first = np.flatnonzero(np.diff(group, prepend=-1))
    return np.arange(len(group)) - np.repeat(first, np.diff(first, append=len(group)))


def _table(pairs: Pairs, molecules: int) -> Neighbors:
    shape = (molecules, NEIGHBORS_PER_BAND * (len(SIMILARITY_BANDS) - 1))
    rows, similarity = np.full(shape, -1, np.int32), np.zeros(shape, np.float16)
    place = _place(pairs.row)
    rows[pairs.row, place], similarity[pairs.row, place] = pairs.other, pairs.similarity
    return Neighbors(torch.from_numpy(rows), torch.from_numpy(similarity))
