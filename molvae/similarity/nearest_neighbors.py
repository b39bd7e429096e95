"""Who is nearest to whom by Tanimoto, among very many: exact, on every core or on a GPU."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from molvae.chem.fingerprints import bit_counts, word_rows
from molvae.data.parallel import chunked, map_chunks
from molvae.errors import InputError
from molvae.similarity.bit_slicing import Words
from molvae.similarity.fingerprint_index import BitReference, Ints
from molvae.similarity.pruned_search import NearestSearch

_BATCH = 256  # queries that go through the reference together
_LOTS = 2  # batches that a process takes at once
_WORTH_PROCESSES = 200_000_000  # pairs that take longer than starting processes does
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
        self._sliced = BitReference.of(words) if torch.device(device).type == "cpu" else None

    def nearest(self, queries: NDArray[np.uint8], *, threads: int | None = None) -> tuple[Ints, NDArray[np.float32]]:
        """Index of the most similar reference and that similarity, (N,) each, of queries (N, W)."""
        workers = processes(threads, len(queries) * len(self._packed))
        words, _ = word_rows(queries, self._packed)
        sliced = self._sliced
        if sliced is None:
            return _nearest_by_product(queries, self._packed, self._device)
        index, similarity = np.zeros(len(words), dtype=np.int64), np.zeros(len(words), dtype=np.float32)
        order = np.argsort(bit_counts(words), kind="stable")  # those of a size need the same blocks
        lots = np.split(order, range(_BATCH, len(order), _BATCH)) if len(order) else []
        found = map_chunks(_search, chunked(lots, _LOTS), workers, shared=(sliced, words))
        for rows, (indices, similarities) in zip(chunked(lots, _LOTS), found, strict=True):
            index[np.concatenate(rows)], similarity[np.concatenate(rows)] = indices, similarities
        return index, similarity


def _search(shared: tuple[BitReference, Words], lots: list[Ints]) -> tuple[Ints, NDArray[np.float64]]:
    """What `NearestSearch` finds for some lots of rows, one after the other."""
    sliced, words = shared
    found = [NearestSearch.of(words[rows], sliced).run() for rows in lots]
    return np.concatenate([index for index, _ in found]), np.concatenate([similarity for _, similarity in found])


def processes(threads: int | None, pairs: int) -> int | None:
    """How many processes compare so many pairs, None for one on each core: threads would wait for each other between
    one array operation and the next. Raises `InputError` for fewer than one."""
    if threads is not None and threads < 1:
        raise InputError(f"threads is at least 1, got {threads}")
    return threads if pairs > _WORTH_PROCESSES else 1


def threads_of(workers: int | None) -> int | None:
    """What `threads` is for so many worker processes: 0, as 1, are this process alone."""
    return None if workers is None else max(1, workers)


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
