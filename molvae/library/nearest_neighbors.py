"""Exact nearest-neighbor search in a library, by fingerprint or by latent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from molvae.chem.expressions import PropertyFilter
from molvae.chem.fingerprints import BITS
from molvae.errors import InputError
from molvae.library.storage import LibraryStorage, Rows
from molvae.similarity.bit_slicing import set_bits
from molvae.similarity.top_k import TopK

METRICS = ("cosine", "l2")
_QUERIES = 64  # number of queries that are compared with a shard in one matrix product
_ROUNDING = 1e-5  # relative error of single precision; rows closer to the threshold are compared in double precision

Floats = NDArray[np.float64]
Halves = NDArray[np.float16]


class Searcher(Protocol):
    """Compares Q queries with the molecules of a library; a higher score means nearer."""

    def nearest(self, library: LibraryStorage, k: int, conditions: Sequence[PropertyFilter] = ()) -> list[TopK]:
        """Return for each query the k nearest rows among the molecules that meet the conditions."""

    def score_rows(self, library: LibraryStorage, rows: Sequence[Rows]) -> list[Floats]:
        """Return for each query the scores of the given rows."""


class FingerprintSearcher:
    """Tanimoto similarity to fingerprints.

    To exceed the lowest similarity T among the k best so far, a molecule with b bits must share at least
    T / (1 + T) * (a + b) bits with a query of a bits [1]_. Similarities are computed only for molecules that do.

    Parameters
    ----------
    fingerprints : ndarray of shape (Q, 256), uint8
        Packed Morgan fingerprints of the queries, as from `morgan_bits`.

    References
    ----------
    .. [1] Swamidass and Baldi, J. Chem. Inf. Model. 2007, 47, 302.
    """

    def __init__(self, fingerprints: NDArray[np.uint8]) -> None:
        self._bits = [set_bits(row) for row in fingerprints]

    def nearest(self, library: LibraryStorage, k: int, conditions: Sequence[PropertyFilter] = ()) -> list[TopK]:
        """Return for each query the k rows of highest similarity."""
        found = [TopK(k) for _ in self._bits]
        for shard in library.shards:
            planes, passing = library.fingerprints(shard), library.passing(shard, conditions)
            for bits, best in zip(self._bits, found, strict=True):
                common = planes.count_common(bits)
                needed = _needed_bits(len(bits), best.threshold)[planes.sizes]
                positions = np.flatnonzero(passing & (common >= needed))
                similarity = _tanimoto(common[positions], planes.sizes[positions], len(bits))
                _check_similarity(similarity, library, shard)
                best.add(library.offsets[shard] + positions, similarity)
        return found

    def score_rows(self, library: LibraryStorage, rows: Sequence[Rows]) -> list[Floats]:
        """Return for each query the similarities of the given rows."""
        return [self._score_rows(library, bits, query_rows) for bits, query_rows in zip(self._bits, rows, strict=True)]

    def _score_rows(self, library: LibraryStorage, bits: NDArray[np.intp], rows: Rows) -> Floats:
        similarity = np.zeros(len(rows))
        shards = library.find_shards(rows)
        for shard in np.unique(shards).tolist():
            in_shard = shards == shard
            planes, positions = library.fingerprints(shard), rows[in_shard] - library.offsets[shard]
            similarity[in_shard] = _tanimoto(
                planes.count_common_at(bits, positions), planes.sizes[positions], len(bits)
            )
            _check_similarity(similarity[in_shard], library, shard)
        return similarity


class LatentSearcher:
    """Cosine similarity to latents, or the negative squared Euclidean distance.

    A matrix product in single precision finds the rows that may be among the k best; these are compared in double
    precision.

    Parameters
    ----------
    latents : ndarray of shape (Q, D), float32
        Latents of the queries.
    metric : {"cosine", "l2"}
        Cosine similarity or Euclidean distance.
    device : torch.device or str
        Device of the matrix product.
    """

    def __init__(
        self, latents: NDArray[np.float32], metric: str = "cosine", device: torch.device | str = "cpu"
    ) -> None:
        if metric not in METRICS:
            raise InputError(f"metric must be {' or '.join(METRICS)}, got {metric!r}")
        self.latents, self.metric, self.device = latents, metric, torch.device(device)

    def nearest(self, library: LibraryStorage, k: int, conditions: Sequence[PropertyFilter] = ()) -> list[TopK]:
        """Return for each query the k nearest rows."""
        found = [TopK(k) for _ in self.latents]
        for shard in library.shards:
            latents, passing = library.latents(shard), library.passing(shard, conditions)
            positions = np.flatnonzero(passing)
            block = torch.from_numpy(latents[positions]).to(self.device).float()  # (K, D)
            for start in range(0, len(found) if len(positions) else 0, _QUERIES):
                for query, scores in enumerate(self._approximate_scores(block, start), start):
                    candidates = positions[np.flatnonzero(_may_be_best(scores, found[query]))]
                    exact = self._exact_scores(query, latents[candidates])
                    found[query].add(library.offsets[shard] + candidates, exact)
        return found

    def score_rows(self, library: LibraryStorage, rows: Sequence[Rows]) -> list[Floats]:
        """Return for each query the scores of the given rows."""
        distinct = np.unique(np.concatenate(rows)) if rows else np.zeros(0, np.int64)
        latents = library.latents_at(distinct)  # read once: similar queries find the same molecules
        positions = (np.searchsorted(distinct, query_rows) for query_rows in rows)
        return [self._exact_scores(query, latents[index]) for query, index in enumerate(positions)]

    def distance(self, scores: Floats) -> Floats:
        """Convert scores to distances: 1 - cosine, or the Euclidean distance."""
        return 1 - scores if self.metric == "cosine" else np.sqrt(np.maximum(-scores, 0))

    def _approximate_scores(self, block: torch.Tensor, start: int) -> NDArray[np.float32]:
        """Return the scores of up to 64 queries and a block (K, D) in single precision: (queries, K)."""
        z = torch.from_numpy(self.latents[start : start + _QUERIES]).to(self.device)
        if self.metric == "cosine":
            scores = torch.nn.functional.normalize(z) @ torch.nn.functional.normalize(block).T
        else:
            scores = 2 * z @ block.T - block.square().sum(1) - z.square().sum(1, keepdim=True)
        array: NDArray[np.float32] = scores.cpu().numpy()
        return array

    def _exact_scores(self, query: int, latents: Halves) -> Floats:
        """Return the scores of a query and latents (K, D) in double precision: (K,)."""
        z, others = self.latents[query].astype(np.float64), latents.astype(np.float64)
        if self.metric == "cosine":
            scores: Floats = others @ z / np.maximum(np.linalg.norm(others, axis=1) * np.linalg.norm(z), 1e-12)
        else:
            scores = -np.square(others - z).sum(axis=1)
        return scores


def _needed_bits(size: int, similarity: float) -> NDArray[np.uint16]:
    """Return the number of bits that a molecule of 0 to 2048 bits must share with a query of `size` bits: (2049,)."""
    share = similarity / (1 + similarity) if similarity > 0 else 0.0
    needed: NDArray[np.uint16] = np.ceil(share * (size + np.arange(BITS + 1)) - 1e-9).astype(np.uint16)
    return needed


def _tanimoto(common: NDArray[np.uint16], sizes: NDArray[np.uint16], size: int) -> Floats:
    similarity: Floats = common / np.maximum(sizes.astype(np.float64) + size - common, 1)
    return similarity


def _check_similarity(similarity: Floats, library: LibraryStorage, shard: int) -> None:
    """Raise `DamagedLibraryError` if a molecule shares more bits with a query than it has."""
    if similarity.max(initial=0) > 1:
        raise library.damaged(shard, "bits.npy", "the numbers of set bits are not those of the fingerprints")


def _may_be_best(scores: NDArray[np.float32], best: TopK) -> NDArray[np.bool_]:
    """Return which rows of a block may be among the k best, given the rounding of single precision."""
    threshold = best.threshold
    if len(scores) > best.k:
        threshold = max(threshold, float(np.partition(scores, -best.k)[-best.k]))
    return scores >= threshold - _ROUNDING * max(1.0, float(np.abs(scores).max()))
