"""Who is nearest, without comparing most of the pairs in full.

A query with a set bits, whose best so far is T, can only be beaten by a reference with b set bits if they share at
least c = T / (1 + T) * (a + b). So of any n of the query's bits, such a reference has at least n - (a - c). The search
takes the n rarest bits, where few references get that far, and counts them for 64 references at a time.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from molvae.chem.fingerprints import bit_counts, common_bits, word_columns
from molvae.similarity.bit_slicing import Words, added, at_least, unpacked
from molvae.similarity.fingerprint_index import BitReference, Ints

_ROWS = 128  # queries that are counted together at most
_PLANES = 2048  # rows of bits added up together, 2 MB where a block has 128 words: queries times bits of each
_FIRST = 1024  # references of about the query's size, whose best is where its search starts
_SURE, _SPARE = 4.0, 1.0  # count until an unrelated reference fails by so many standard deviations, and bits
_PAIRS = 1024  # words whose candidates are compared in full together: 65,536 pairs at most


@dataclass(frozen=True)
class NearestSearch:
    """Some queries on their way through the blocks of the reference. G queries; `most` bits set in the largest.

    words: (G, bits / 64); size: (G,) bits set; bits: (G, most) the set bits, the rarest first, filled up with the
    empty row of `planes`; related: (G, most) what an unrelated reference has of the first 1, 2, ... at the very most.
    The best so far: index: (G,) as given; common, total: (G,) bits shared, and set in both together;
    similarity: (G,) = common / (total - common).
    """

    reference: BitReference
    words: Words
    size: Ints
    bits: Ints
    related: NDArray[np.float64]
    index: Ints
    common: Ints
    total: Ints
    similarity: NDArray[np.float64]

    @classmethod
    def of(cls, words: Words, reference: BitReference) -> NearestSearch:
        size = bit_counts(words).astype(np.int64)
        bits = reference.set_bits(words)
        frequency = reference.frequency[bits]
        spread = np.sqrt(np.cumsum(frequency * (1 - frequency), axis=1))

        middle = int(np.searchsorted(reference.size, size[len(size) // 2]))
        low = min(max(middle - _FIRST // 2, 0), max(len(reference.size) - _FIRST, 0))
        some = slice(low, low + _FIRST)
        shared = common_bits(word_columns(words), word_columns(reference.words[some]))
        first = (shared / np.maximum(size[:, None] + reference.size[some] - shared, 1)).argmax(axis=1)
        common = shared[np.arange(len(words)), first].astype(np.int64)
        total = size + reference.size[low + first]
        return cls(
            reference=reference, words=words, size=size, bits=bits,
            related=np.cumsum(frequency, axis=1) + _SURE * spread + _SPARE,
            index=np.where(common > 0, reference.order[low + first], 0),  # with nothing shared all are as near
            common=common, total=np.maximum(total, 1), similarity=common / np.maximum(total - common, 1),
        )  # fmt: skip

    def run(self) -> tuple[Ints, NDArray[np.float64]]:
        """Index and similarity of the nearest, (G,) each; blocks of about the queries' size come first."""
        reference, middle = self.reference, self.size[len(self.size) // 2]
        away = np.abs(np.clip(middle, reference.smallest, reference.largest) - middle)
        for block in np.argsort(away, kind="stable"):
            least = self._least(reference.smallest[block])
            reachable = (least <= self.size) & (self._least(reference.largest[block]) <= reference.largest[block])
            rows = np.flatnonzero(reachable)
            if len(rows):
                # bits to count until an unrelated reference is no candidate any more; all where that is never
                missing = (self.size - least)[rows]
                enough = np.arange(1, self.bits.shape[1] + 1) - missing[:, None] >= self.related[rows]
                counted = np.where(enough.any(axis=1), enough.argmax(axis=1) + 1, self.size[rows])
                by_need = np.argsort(counted, kind="stable")
                self._block(block, rows[by_need], least, counted[by_need])
        return self.index, self.similarity

    def _least(self, other: np.int64) -> Ints:
        """Bits, (G,), that a reference with `other` bits has to share to be as near as the best, and 1 at least."""
        return np.maximum(-(-self.common * (self.size + other) // self.total), 1)

    def _block(self, block: np.intp, rows: Ints, least: Ints, counted: Ints) -> None:
        """Take up all references of a block that may be as near as the best of `rows`; `counted` ascends."""
        planes, start = self.reference.planes[block], 0
        length = planes.shape[1]
        while start < len(rows):
            stop = min(start + _ROWS, len(rows))
            while stop > start + 1 and counted[stop - 1] * (stop - start) > _PLANES:
                stop = (start + stop) // 2
            at, n = rows[start:stop], int(counted[stop - 1])
            start = stop
            planes_of = np.take(planes, self.bits[at, :n].T.ravel(), axis=0).reshape(n, len(at), length)
            need = least[at] - np.maximum(self.size[at] - n, 0)
            hits = at_least(added(planes_of), need).ravel()
            found = np.flatnonzero(hits != 0)
            for i in range(0, len(found), _PAIRS):
                where = found[i : i + _PAIRS]
                place, bit = np.divmod(
                    np.flatnonzero(unpacked(hits[where]).view(np.bool_)), 64
                )  # bools: a tenth of the time
                word = where[place]
                self._compare(at[word // length], 64 * (block * length + word % length) + bit)

    def _compare(self, rows: Ints, others: Ints) -> None:
        """Compare pairs in full, those of a row in one run, and keep what is better."""
        shared = np.bitwise_count(self.words.take(rows, axis=0) & self.reference.words.take(others, axis=0))
        # a product, for adding up many short rows is slow; exact, as sums below 2 ** 24 are
        common = (shared.astype(np.float32) @ np.ones(shared.shape[1], np.float32)).astype(np.int64)
        total = self.size[rows] + self.reference.size[others]
        similarity = common / (total - common)
        kept = np.flatnonzero(similarity >= self.similarity[rows])
        run = np.cumsum(np.diff(rows[kept], prepend=-1) != 0)
        by_rank = kept[np.lexsort((self.reference.order[others[kept]], -similarity[kept], run))]
        best = by_rank[np.diff(run, prepend=0) != 0]  # the first of each run, by similarity, then by index
        row, index = rows[best], self.reference.order[others[best]]
        better = (similarity[best] > self.similarity[row]) | (index < self.index[row])
        row, best = row[better], best[better]
        self.index[row], self.similarity[row] = index[better], similarity[best]
        self.common[row], self.total[row] = common[best], total[best]
