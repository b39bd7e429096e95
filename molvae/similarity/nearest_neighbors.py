"""Exact nearest neighbors by Tanimoto similarity among millions of fingerprints, on all CPU cores or on a GPU.

On the CPU most pairs are pruned. Let a query with `a` set bits have a best similarity T so far. A reference with `b`
set bits can only be as similar if both share at least

    c = T / (1 + T) * (a + b)

bits. Of any n of the query's bits, such a reference therefore has at least n - (a - c). The search takes the n rarest
bits of the query, where few references reach that number, and counts them for 64 references at a time. Only references
that reach it are compared in full. The bound on b alone is that of Swamidass and Baldi 2007, J. Chem. Inf. Model. 47,
302.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from molvae.chem.fingerprints import bit_counts, common_bits, word_columns, word_rows
from molvae.data.parallel import chunked, map_chunks
from molvae.errors import InputError
from molvae.similarity.bit_slicing import FingerprintIndex, Ints, Words, add_bit_rows, greater_equal, unpack_words

_BATCH = 256  # queries that are searched for together
_BATCHES_PER_TASK = 2  # batches in one task of a worker process
_MIN_PAIRS_FOR_PROCESSES = 200_000_000  # fewer pairs take less time than starting processes
_FLOAT16_EXACT = 2048  # float16 represents every integer up to this one

_MAX_QUERIES = 128  # queries whose bits are counted together
_MAX_BIT_ROWS = 2048  # bit rows that are added together: 2 MB in blocks of 128 words
_START_SIZE = 1024  # references with about as many bits as the query, compared in full at the start
# bits are counted until the bound exceeds the expected count of an unrelated reference by 4 standard deviations + 1
_STDS, _MARGIN = 4.0, 1.0
_WORDS_PER_COMPARISON = 1024  # words of 64 references whose candidates are compared together


class NearestNeighbors:
    """The most similar reference fingerprint of each query.

    The reference is prepared once, which takes 2 s for a million fingerprints.

    Parameters
    ----------
    reference : array of uint8, shape (M, W)
        Packed fingerprints of 8 W bits as made by `morgan_bits`; M at least 1, W a multiple of 8.
    device : str
        "cpu", or a torch device on which the similarities are computed as matrix products.

    Raises
    ------
    InputError
        If the reference is empty or has another shape or type.
    """

    def __init__(self, reference: NDArray[np.uint8], *, device: str = "cpu") -> None:
        (words,) = word_rows(reference)
        if not len(words):
            raise InputError("the reference is empty: it needs at least one fingerprint")
        self._packed, self._device = reference, device
        self._index = FingerprintIndex.from_words(words) if torch.device(device).type == "cpu" else None

    def query(self, queries: NDArray[np.uint8], *, workers: int | None = None) -> tuple[Ints, NDArray[np.float32]]:
        """The index of the most similar reference and its similarity.

        The result equals `argmax` and `max` over the rows of `tanimoto_matrix(queries, reference)`: of equally similar
        references, the first is returned. Above 2048 bits, references are equally similar only if their similarities
        are equal in double precision. The result depends neither on the workers nor on the device.

        Parameters
        ----------
        queries : array of uint8, shape (N, W)
            Packed fingerprints of the same width as the reference.
        workers : int, optional
            Processes for large inputs: 0 or 1 for this process only, None for one per core. Each needs 10 MB beyond
            two copies of the reference.

        Returns
        -------
        index : array of int64, shape (N,)
        similarity : array of float32, shape (N,)

        Raises
        ------
        InputError
            For queries of another shape, type or width.
        """
        words, _ = word_rows(queries, self._packed)
        if self._index is None:
            return _nearest_by_matrix_product(queries, self._packed, self._device)
        index, similarity = np.zeros(len(words), dtype=np.int64), np.zeros(len(words), dtype=np.float32)
        order = np.argsort(bit_counts(words), kind="stable")  # queries of similar size need the same blocks
        batches = np.split(order, range(_BATCH, len(order), _BATCH)) if len(order) else []
        found = map_chunks(
            _search, chunked(batches, _BATCHES_PER_TASK), limit_workers(workers, len(queries) * len(self._packed)),
            shared=(self._index, words),
        )  # fmt: skip
        for rows, (indices, similarities) in zip(chunked(batches, _BATCHES_PER_TASK), found, strict=True):
            index[np.concatenate(rows)], similarity[np.concatenate(rows)] = indices, similarities
        return index, similarity


def limit_workers(workers: int | None, pairs: int) -> int | None:
    """The number of worker processes for a number of pairs: 1 for few pairs, otherwise `workers`.

    Threads would not help: each of the many short array operations holds the interpreter lock.
    """
    return workers if pairs > _MIN_PAIRS_FOR_PROCESSES else 1


# --- CPU: pruned search ---


def _search(shared: tuple[FingerprintIndex, Words], batches: list[Ints]) -> tuple[Ints, NDArray[np.float64]]:
    """Search for each batch of queries; the indices and similarities of all batches, concatenated."""
    reference, words = shared
    found = [_PrunedSearch.start(words[rows], reference).run() for rows in batches]
    return np.concatenate([index for index, _ in found]), np.concatenate([similarity for _, similarity in found])


@dataclass(frozen=True)
class _PrunedSearch:
    """The state of a search for G queries; `most` is the number of set bits of the largest.

    words: (G, bits / 64). size: (G,) set bits.
    bits: (G, most), the set bits in order of frequency, rarest first, padded with the empty row of `planes`.
    unrelated: (G, most), an upper bound for how many of the first 1, 2, ... bits an unrelated reference has.
    The best so far: index: (G,) in the caller's order; common, total: (G,) shared bits, and the sum of both sizes;
    similarity: (G,) = common / (total - common).
    """

    reference: FingerprintIndex
    words: Words
    size: Ints
    bits: Ints
    unrelated: NDArray[np.float64]
    index: Ints
    common: Ints
    total: Ints
    similarity: NDArray[np.float64]

    @classmethod
    def start(cls, words: Words, reference: FingerprintIndex) -> _PrunedSearch:
        """Compare the queries in full with references of about their size."""
        size = bit_counts(words).astype(np.int64)
        bits = reference.set_bits(words)
        frequency = reference.frequency[bits]
        std = np.sqrt(np.cumsum(frequency * (1 - frequency), axis=1))

        middle = int(np.searchsorted(reference.size, size[len(size) // 2]))
        low = min(max(middle - _START_SIZE // 2, 0), max(len(reference.size) - _START_SIZE, 0))
        compared = slice(low, low + _START_SIZE)
        shared = common_bits(word_columns(words), word_columns(reference.words[compared]))
        first = (shared / np.maximum(size[:, None] + reference.size[compared] - shared, 1)).argmax(axis=1)
        common = shared[np.arange(len(words)), first].astype(np.int64)
        total = size + reference.size[low + first]
        return cls(
            reference=reference, words=words, size=size, bits=bits,
            unrelated=np.cumsum(frequency, axis=1) + _STDS * std + _MARGIN,
            index=np.where(common > 0, reference.order[low + first], 0),  # without shared bits all are equally similar
            common=common, total=np.maximum(total, 1), similarity=common / np.maximum(total - common, 1),
        )  # fmt: skip

    def run(self) -> tuple[Ints, NDArray[np.float64]]:
        """Index and similarity of the nearest, (G,) each. Blocks of about the queries' size are searched first."""
        reference, middle = self.reference, self.size[len(self.size) // 2]
        distance = np.abs(np.clip(middle, reference.smallest, reference.largest) - middle)
        for block in np.argsort(distance, kind="stable"):
            needed = self._needed(reference.smallest[block])
            reachable = (needed <= self.size) & (self._needed(reference.largest[block]) <= reference.largest[block])
            rows = np.flatnonzero(reachable)
            if len(rows):
                # bits to count until an unrelated reference is excluded; all bits if that never happens
                missing = (self.size - needed)[rows]
                enough = np.arange(1, self.bits.shape[1] + 1) - missing[:, None] >= self.unrelated[rows]
                counted = np.where(enough.any(axis=1), enough.argmax(axis=1) + 1, self.size[rows])
                by_count = np.argsort(counted, kind="stable")
                self._search_block(block, rows[by_count], needed, counted[by_count])
        return self.index, self.similarity

    def _needed(self, other_size: np.int64) -> Ints:
        """Bits, (G,), that a reference of this size must share to be as similar as the best so far; at least 1."""
        return np.maximum(-(-self.common * (self.size + other_size) // self.total), 1)

    def _search_block(self, block: np.intp, rows: Ints, needed: Ints, counted: Ints) -> None:
        """Compare `rows` with all references of a block that may be as similar as their best; `counted` ascends."""
        planes, start = self.reference.planes[block], 0
        length = planes.shape[1]
        while start < len(rows):
            stop = min(start + _MAX_QUERIES, len(rows))
            while stop > start + 1 and counted[stop - 1] * (stop - start) > _MAX_BIT_ROWS:
                stop = (start + stop) // 2
            batch, n = rows[start:stop], int(counted[stop - 1])
            start = stop
            bit_rows = np.take(planes, self.bits[batch, :n].T.ravel(), axis=0).reshape(n, len(batch), length)
            least = needed[batch] - np.maximum(self.size[batch] - n, 0)
            candidates = greater_equal(add_bit_rows(bit_rows), least).ravel()
            found = np.flatnonzero(candidates != 0)
            for i in range(0, len(found), _WORDS_PER_COMPARISON):
                chunk = found[i : i + _WORDS_PER_COMPARISON]
                is_candidate = unpack_words(candidates[chunk]).view(np.bool_)  # flatnonzero is 10 times faster on bools
                position, bit = np.divmod(np.flatnonzero(is_candidate), 64)
                word = chunk[position]
                self._compare(batch[word // length], 64 * (block * length + word % length) + bit)

    def _compare(self, rows: Ints, others: Ints) -> None:
        """Compare pairs in full and keep the better ones; the pairs of a row are adjacent."""
        shared = np.bitwise_count(self.words.take(rows, axis=0) & self.reference.words.take(others, axis=0))
        # a matrix product, because sums over many short rows are slow; exact, as the sums are below 2 ** 24
        common = (shared.astype(np.float32) @ np.ones(shared.shape[1], np.float32)).astype(np.int64)
        total = self.size[rows] + self.reference.size[others]
        similarity = common / (total - common)
        kept = np.flatnonzero(similarity >= self.similarity[rows])
        run = np.cumsum(np.diff(rows[kept], prepend=-1) != 0)
        by_rank = kept[np.lexsort((self.reference.order[others[kept]], -similarity[kept], run))]
        best = by_rank[np.diff(run, prepend=0) != 0]  # the first of each run: highest similarity, then lowest index
        row, index = rows[best], self.reference.order[others[best]]
        better = (similarity[best] > self.similarity[row]) | (index < self.index[row])
        row, best = row[better], best[better]
        self.index[row], self.similarity[row] = index[better], similarity[best]
        self.common[row], self.total[row] = common[best], total[best]


# --- GPU: matrix products ---


def _nearest_by_matrix_product(
    queries: NDArray[np.uint8], reference: NDArray[np.uint8], device: str, rows: int = 4096, columns: int = 16_384
) -> tuple[Ints, NDArray[np.float32]]:
    """The same result by blocks of a matrix product in half precision.

    Exact, because no partial sum is above 2048. Wider fingerprints are summed in pieces, and their similarities are
    compared in double precision, because different ones may be equal in single precision.
    """
    dtype = torch.float32 if 8 * queries.shape[1] <= _FLOAT16_EXACT else torch.float64
    index, similarity = np.zeros(len(queries), dtype=np.int64), np.zeros(len(queries), dtype=np.float32)
    others = torch.from_numpy(np.array(reference)).to(device)
    for i in range(0, len(queries), rows):
        batch = torch.from_numpy(np.array(queries[i : i + rows])).to(device)
        best = torch.full((len(batch),), -1.0, dtype=dtype, device=device)
        best_index = torch.zeros(len(batch), dtype=torch.int64, device=device)
        for j in range(0, len(others), columns):
            block = _tanimoto(batch, others[j : j + columns], dtype)
            highest = block.amax(dim=1)
            indices = torch.arange(j, j + block.shape[1], device=device)
            first = torch.where(block == highest[:, None], indices, len(others)).amin(dim=1)
            better = highest > best  # of equally similar references, that of the earlier block is kept
            best, best_index = torch.where(better, highest, best), torch.where(better, first, best_index)
        index[i : i + rows], similarity[i : i + rows] = best_index.cpu().numpy(), best.cpu().numpy()
    return index, similarity


def _tanimoto(a: torch.Tensor, b: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Tanimoto similarities (n, m) of packed fingerprints (n, W) and (m, W)."""
    common, total = (torch.zeros((len(a), len(b)), dtype=dtype, device=a.device) for _ in range(2))
    for byte in range(0, a.shape[1], _FLOAT16_EXACT // 8):
        x, y = (_unpack_bits(packed[:, byte : byte + _FLOAT16_EXACT // 8]) for packed in (a, b))
        common += x @ y.T
        total += x.sum(dim=1, dtype=dtype)[:, None] + y.sum(dim=1, dtype=dtype)
    return common / (total - common).clamp_(min=1)


def _unpack_bits(packed: torch.Tensor) -> torch.Tensor:
    """The bits of (n, W) bytes as 0 and 1 in half precision: (n, 8 W)."""
    shifts = torch.arange(8, dtype=torch.uint8, device=packed.device)
    return (packed[:, :, None] >> shifts & 1).reshape(len(packed), -1).to(torch.float16)
