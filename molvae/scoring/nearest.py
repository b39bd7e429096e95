"""Who is nearest to whom by Tanimoto, among very many: exact, and without counting most of the pairs in full.

A query with a set bits, whose best so far is T, can only be beaten by a reference with b set bits if they share at
least c = T / (1 + T) * (a + b). So of any n of the query's bits, such a reference has at least n - (a - c). `nearest`
takes the n rarest bits, where few references get that far, and counts them for 64 references at a time: each bit of
the reference is one row of a matrix, and the rows are added up with the logic of a hardware adder, on whole words.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain

import numpy as np
import torch
from numpy.typing import NDArray

from molvae.chem.fingerprints import bit_counts, common_bits, word_columns, word_rows
from molvae.data.featurise import in_chunks, map_chunks
from molvae.errors import InputError

Ints = NDArray[np.int64]
Words = NDArray[np.uint64]
Floats = NDArray[np.float64]

_BATCH = 256  # queries that go through the reference together
_BLOCK = 128  # words of 64 references that are added up together
_PLANES = 2048  # rows of _BLOCK words added up together, 2 MB: queries times bits of each
_FIRST = 1024  # references of about the query's size, whose best is where its search starts
_SURE, _SPARE = 4.0, 1.0  # count until an unrelated reference fails by so many standard deviations, and bits
_PAIRS = 1024  # words whose candidates are compared in full together: 65,536 pairs at most

_LOTS = 2  # batches or tiles that a process takes at once
_WORTH_PROCESSES = 200_000_000  # pairs that take longer than starting processes does

_ROWS, _TILE = 32, 32  # one step of `power_means`: rows that are compared with words of 64 others
_EXACT = 2048  # float16 holds every integer up to here


def nearest(
    queries: NDArray[np.uint8], reference: NDArray[np.uint8], *, threads: int | None = None, device: str = "cpu"
) -> tuple[Ints, NDArray[np.float32]]:
    """For each query the index of the most similar row of `reference`, and that similarity.

    queries: (N, W), reference: (M, W), packed as by `morgan_bits`; returns (N,) and (N,). The result is that of
    `tanimoto_matrix(queries, reference)`, its `argmax` and its `max`: among equals the smallest index (above 2048 bits
    those only count as equal that are so in double precision). It depends neither on the threads (all cores where
    None; for many pairs they are processes) nor on the device. Beyond two copies of the reference each needs 10 MB.
    Raises `InputError` for an empty reference, another shape or type, or where the widths differ.
    """
    return Finder(reference, device=device).nearest(queries, threads=threads)


class Finder:
    """`nearest` for queries that come in several lots: the reference is prepared once, 2 s for a million.

    reference: (M, W); device and errors as for `nearest`.
    """

    def __init__(self, reference: NDArray[np.uint8], *, device: str = "cpu") -> None:
        (words,) = word_rows(reference)
        if not len(words):
            raise InputError("the reference holds no fingerprint: nothing can be nearest")
        self._packed, self._device = reference, device
        self._sliced = _Reference.of(words) if torch.device(device).type == "cpu" else None

    def nearest(self, queries: NDArray[np.uint8], *, threads: int | None = None) -> tuple[Ints, NDArray[np.float32]]:
        """Index of the most similar reference and that similarity, (N,) each, of queries (N, W)."""
        _check(threads)
        words, _ = word_rows(queries, self._packed)
        sliced = self._sliced
        if sliced is None:
            return _nearest_by_product(queries, self._packed, self._device)
        index, similarity = np.zeros(len(words), dtype=np.int64), np.zeros(len(words), dtype=np.float32)
        order = np.argsort(bit_counts(words), kind="stable")  # those of a size need the same blocks
        lots = np.split(order, range(_BATCH, len(order), _BATCH)) if len(order) else []
        # in processes, for threads would wait for each other between one array operation and the next
        workers = threads if len(words) * len(self._packed) > _WORTH_PROCESSES else 1
        found = map_chunks(_search, in_chunks(lots, _LOTS), workers, shared=(sliced, words))
        for rows, (indices, similarities) in zip(in_chunks(lots, _LOTS), found, strict=True):
            index[np.concatenate(rows)], similarity[np.concatenate(rows)] = indices, similarities
        return index, similarity


def _search(shared: tuple[_Reference, Words], lots: list[Ints]) -> tuple[Ints, NDArray[np.float64]]:
    """What `_Search` finds for some lots of rows, one after the other."""
    sliced, words = shared
    found = [_Search.of(words[rows], sliced).run() for rows in lots]
    return np.concatenate([index for index, _ in found]), np.concatenate([similarity for _, similarity in found])


def threads_of(workers: int | None) -> int | None:
    """What `threads` is for so many worker processes: 0, as 1, are this process alone."""
    return None if workers is None else max(1, workers)


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
    _check(threads)
    n = len(words)
    if not n:
        return np.zeros((len(exponents), 0))
    sliced = _Reference.of(words, _TILE)
    sums = np.zeros((len(exponents), *sliced.planes.shape[::2], 64))  # powers x blocks x words x bits
    tiles = [(a, b) for a in range(len(sliced.planes)) for b in range(a, len(sliced.planes))]
    workers = threads if n * n > _WORTH_PROCESSES else 1
    found = map_chunks(
        _tiles, in_chunks(tiles, _LOTS), workers, shared=(sliced, sliced.set_bits(sliced.words), exponents)
    )
    for (a, b), (of_a, of_b) in zip(tiles, chain.from_iterable(found), strict=True):
        sums[:, a] += of_a.reshape(sums[:, a].shape)
        if a != b:  # in one block the pairs come up from both sides
            sums[:, b] += of_b.reshape(sums[:, b].shape)
    means = np.zeros((len(exponents), n))
    means[:, sliced.order] = (sums.reshape(len(exponents), -1)[:, :n] / n) ** (1 / np.array(exponents)[:, None])
    return means


def _tiles(shared: tuple[_Reference, Ints, list[float]], tiles: list[tuple[int, int]]) -> list[tuple[Floats, Floats]]:
    """For pairs of blocks what each adds to the sums of the other's rows, both (powers, rows)."""
    return [_tile(*shared, a, b) for a, b in tiles]


def _tile(sliced: _Reference, bits: Ints, exponents: list[float], a: int, b: int) -> tuple[Floats, Floats]:
    rows = 64 * sliced.planes.shape[2]
    of_a, of_b = np.zeros((len(exponents), rows)), np.zeros((len(exponents), rows))
    size, bits = sliced.size[a * rows :][:rows], bits[a * rows :][:rows]
    others = np.zeros(rows)  # the last block may be short
    others[: len(sliced.size) - b * rows] = sliced.size[b * rows :][:rows]
    for start in range(0, len(size), _ROWS):
        at = slice(start, min(start + _ROWS, len(size)))
        common = _counts(sliced.planes[b], bits[at, : size[at].max()]).astype(np.float64)
        either = size[at, None] + others - common
        similarity = np.divide(common, np.maximum(either, 1, out=either), out=common)
        for k, power in enumerate(exponents):
            raised = similarity if power == 1 else similarity**power
            of_a[k, at] = raised.sum(axis=1)
            of_b[k] += raised.sum(axis=0)
    return of_a, of_b


def _counts(planes: Words, bits: Ints) -> NDArray[np.unsignedinteger]:
    """How many of the `bits` of each of G rows, (G, most), each of the block's references has: (G, 64 L)."""
    rows, length = len(bits), planes.shape[1]
    digits = _add(np.take(planes, bits.T.ravel(), axis=0).reshape(-1, rows, length))
    counts = np.zeros((rows, 64 * length), np.uint8 if len(digits) <= 8 else np.uint16)
    for weight, digit in enumerate(digits):
        bit = np.unpackbits(digit.view(np.uint8), axis=1, bitorder="little").astype(counts.dtype, copy=False)
        counts |= np.left_shift(bit, weight, out=bit)
    return counts


def _check(threads: int | None) -> None:
    if threads is not None and threads < 1:
        raise InputError(f"threads is at least 1, got {threads}")


@dataclass(frozen=True)
class _Reference:
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
    def of(cls, words: Words, most: int | None = None) -> _Reference:
        """Of M references, 1 or more, in blocks of `most` words of 64 (None: _BLOCK)."""
        size = bit_counts(words).astype(np.int64)
        order = np.argsort(size, kind="stable")
        size, words = size[order], words[order]
        in_words = -(-len(words) // 64)
        blocks = -(-in_words // (most or _BLOCK))
        length = -(-in_words // blocks)
        starts = np.arange(0, len(words), 64 * length)  # rounding up may leave one block fewer
        width = 8 * words.shape[1]
        packed = np.zeros((len(starts), 8 * width + 1, 8 * length), dtype=np.uint8)
        for block, start in zip(packed, starts, strict=True):
            rows = words[start : start + 64 * length].view(np.uint8)
            for byte in range(0, width, 64):
                bits = np.unpackbits(rows[:, byte : byte + 64], axis=1, bitorder="little")
                plane = np.packbits(np.ascontiguousarray(bits.T), axis=1, bitorder="little")
                block[8 * byte : 8 * byte + len(plane), : plane.shape[1]] = plane
        planes = packed.view(np.uint64)
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


@dataclass(frozen=True)
class _Search:
    """Some queries on their way through the blocks of the reference. G queries; `most` bits set in the largest.

    words: (G, bits / 64); size: (G,) bits set; bits: (G, most) the set bits, the rarest first, filled up with the
    empty row of `planes`; related: (G, most) what an unrelated reference has of the first 1, 2, ... at the very most.
    The best so far: index: (G,) as given; common, total: (G,) bits shared, and set in both together;
    similarity: (G,) = common / (total - common).
    """

    reference: _Reference
    words: Words
    size: Ints
    bits: Ints
    related: NDArray[np.float64]
    index: Ints
    common: Ints
    total: Ints
    similarity: NDArray[np.float64]

    @classmethod
    def of(cls, words: Words, reference: _Reference) -> _Search:
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
            stop = min(start + _BATCH // 2, len(rows))
            while stop > start + 1 and counted[stop - 1] * (stop - start) > _PLANES:
                stop = (start + stop) // 2
            at, n = rows[start:stop], int(counted[stop - 1])
            start = stop
            added = np.take(planes, self.bits[at, :n].T.ravel(), axis=0).reshape(n, len(at), length)
            need = least[at] - np.maximum(self.size[at] - n, 0)
            hits = _at_least(_add(added), need).ravel()
            found = np.flatnonzero(hits != 0)
            for i in range(0, len(found), _PAIRS):
                where = found[i : i + _PAIRS]
                place, bit = np.divmod(_places(hits[where]), 64)
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


def _places(words: Words) -> Ints:
    """Of all bits, words one after the other, the numbers of those set; as bools, which NumPy finds in a tenth."""
    return np.flatnonzero(np.unpackbits(words.view(np.uint8), bitorder="little").view(np.bool_))


def _add(rows: Words) -> list[Words]:
    """How many of n rows, (n, ...), have each bit of a word: the number's binary digits, lowest first, (...) each.

    Full adders on whole words, as in a Wallace tree: three digits of one weight become one of it and one carry of
    twice the weight. `rows` is overwritten.
    """
    digits = []
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


def _at_least(digits: list[Words], need: Ints) -> Words:
    """The bits whose number is at least the row's `need`, (G,); digits as by `_add`, (G, L) each."""
    reached = np.full_like(digits[0], np.iinfo(np.uint64).max)
    for weight, digit in enumerate(digits):  # the answer for the lower digits decides where this one is equal
        zero = np.where(need >> weight & 1, np.uint64(0), np.iinfo(np.uint64).max)[:, None]
        above = (digit | reached) & zero
        np.bitwise_and(reached, digit, out=reached)
        np.bitwise_or(reached, above, out=reached)
    return reached


def _nearest_by_product(
    queries: NDArray[np.uint8], reference: NDArray[np.uint8], device: str, rows: int = 4096, columns: int = 16_384
) -> tuple[Ints, NDArray[np.float32]]:
    """`nearest` as blocks of a matrix product in half precision, for a GPU; reference not empty.

    Exact: no partial sum is above 2048. Wider fingerprints are summed in pieces, and their similarities compared in
    double precision, as different ones may be the same in single.
    """
    precision = torch.float32 if 8 * queries.shape[1] <= _EXACT else torch.float64
    index, similarity = np.zeros(len(queries), dtype=np.int64), np.zeros(len(queries), dtype=np.float32)
    others = torch.from_numpy(np.array(reference)).to(device)
    for i in range(0, len(queries), rows):
        some = torch.from_numpy(np.array(queries[i : i + rows])).to(device)
        best = torch.full((len(some),), -1.0, dtype=precision, device=device)
        at = torch.zeros(len(some), dtype=torch.int64, device=device)
        for j in range(0, len(others), columns):
            pairs = _similarities(some, others[j : j + columns], precision)
            top = pairs.amax(dim=1)
            numbers = torch.arange(j, j + pairs.shape[1], device=device)
            first = torch.where(pairs == top[:, None], numbers, len(others)).amin(dim=1)
            better = top > best  # among equals the earlier block's
            best, at = torch.where(better, top, best), torch.where(better, first, at)
        index[i : i + rows], similarity[i : i + rows] = at.cpu().numpy(), best.cpu().numpy()
    return index, similarity


def _similarities(a: torch.Tensor, b: torch.Tensor, precision: torch.dtype) -> torch.Tensor:
    """Tanimoto similarities (n, m) of packed (n, W) and (m, W)."""
    shape = (len(a), len(b))
    common, total = (torch.zeros(shape, dtype=precision, device=a.device) for _ in range(2))
    for byte in range(0, a.shape[1], _EXACT // 8):
        x, y = (_unpack(packed[:, byte : byte + _EXACT // 8]) for packed in (a, b))
        common += x @ y.T
        total += x.sum(dim=1, dtype=precision)[:, None] + y.sum(dim=1, dtype=precision)
    return common / (total - common).clamp_(min=1)


def _unpack(packed: torch.Tensor) -> torch.Tensor:
    """The bits of (n, W) bytes as 0 and 1 in half precision: (n, 8 W)."""
    shifts = torch.arange(8, dtype=torch.uint8, device=packed.device)
    return (packed[:, :, None] >> shifts & 1).reshape(len(packed), -1).to(torch.float16)
