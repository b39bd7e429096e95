"""What is near: by fingerprint, by latent, or by both ranks fused. All are exact: equal to comparing with every row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from molvae.chem.expressions import PropertyFilter
from molvae.chem.fingerprints import BITS
from molvae.errors import InputError
from molvae.library.storage import Library, Rows
from molvae.similarity.bit_slicing import set_bits
from molvae.similarity.top_k import TopK

METRICS = ("cosine", "l2")
_QUERIES = 64  # latents that are compared with a shard together
_SPARE = 1e-5  # of single precision, relative: rows so much below the floor are looked at in double precision

Floats = NDArray[np.float64]
Halves = NDArray[np.float16]


class Measure(Protocol):
    """A way of being near to one of Q queries."""

    def best(self, library: Library, most: int, windows: Sequence[PropertyFilter] = ()) -> list[TopK]:
        """For each query the `most` nearest rows, the highest score first, of those with properties in all windows."""

    def of_rows(self, library: Library, rows: Sequence[Rows]) -> list[Floats]:
        """How near some rows are to each query: an array of them for each."""


class ByFingerprint:
    """Tanimoto similarity to fingerprints (Q, 256), packed as by `morgan_bits`.

    To get past the lowest similarity T among the best so far, a molecule with b bits must share at least
    T / (1 + T) * (a + b) with a query of a bits; the similarity is computed of those that do (the bound of Swamidass
    and Baldi 2007, with the common bits at hand).
    """

    def __init__(self, fingerprints: NDArray[np.uint8]) -> None:
        self._bits = [set_bits(row) for row in fingerprints]

    def best(self, library: Library, most: int, windows: Sequence[PropertyFilter] = ()) -> list[TopK]:
        found = [TopK(most) for _ in self._bits]
        for shard in library.shards:
            planes, accepted = library.planes(shard), library.accepted(shard, windows)
            for bits, best in zip(self._bits, found, strict=True):
                common = planes.count_common(bits)
                places = np.flatnonzero(accepted & (common >= _least(len(bits), best.threshold)[planes.sizes]))
                similarity = _tanimoto(common[places], planes.sizes[places], len(bits))
                best.add(library.starts[shard] + places, similarity)
        return found

    def of_rows(self, library: Library, rows: Sequence[Rows]) -> list[Floats]:
        return [self._of_query(library, bits, of_query) for bits, of_query in zip(self._bits, rows, strict=True)]

    def _of_query(self, library: Library, bits: NDArray[np.intp], rows: Rows) -> Floats:
        out = np.zeros(len(rows))
        of_shard = np.searchsorted(library.starts, rows, side="right") - 1
        for shard in np.unique(of_shard).tolist():
            here = of_shard == shard
            planes, places = library.planes(shard), rows[here] - library.starts[shard]
            out[here] = _tanimoto(planes.count_common_at(bits, places), planes.sizes[places], len(bits))
        return out


class ByLatent:
    """Cosine similarity to latents (Q, D), or with "l2" the negative square of the Euclidean distance.

    A matrix product in single precision, on `device`, finds the rows that may be among the best; those are compared in
    double precision.
    """

    def __init__(
        self, latents: NDArray[np.float32], metric: str = "cosine", device: torch.device | str = "cpu"
    ) -> None:
        if metric not in METRICS:
            raise InputError(f"latents are compared by {' or '.join(METRICS)}, got {metric!r}")
        self.latents, self.metric, self.device = latents, metric, torch.device(device)

    def best(self, library: Library, most: int, windows: Sequence[PropertyFilter] = ()) -> list[TopK]:
        found = [TopK(most) for _ in self.latents]
        for shard in library.shards:
            latents, accepted = library.latents(shard), library.accepted(shard, windows)
            places = np.flatnonzero(accepted)
            block = torch.from_numpy(latents[places]).to(self.device).float()
            for start in range(0, len(found) if len(places) else 0, _QUERIES):
                for query, scores in enumerate(self._scores(block, start), start):
                    good = np.flatnonzero(_may_be_best(scores, found[query]))
                    chosen = places[good]
                    found[query].add(library.starts[shard] + chosen, self._exact(query, latents[chosen]))
        return found

    def of_rows(self, library: Library, rows: Sequence[Rows]) -> list[Floats]:
        distinct = np.unique(np.concatenate(rows)) if rows else np.zeros(0, np.int64)
        latents = library.latents_at(distinct)  # once: queries close to each other find the same molecules
        places = (np.searchsorted(distinct, of_query) for of_query in rows)
        return [self._exact(query, latents[place]) for query, place in enumerate(places)]

    def distance(self, scores: Floats) -> Floats:
        """Scores as distances: 1 - cosine, or Euclidean."""
        return 1 - scores if self.metric == "cosine" else np.sqrt(np.maximum(-scores, 0))

    def _scores(self, block: torch.Tensor, start: int) -> NDArray[np.float32]:
        """Of some queries and a block (K, D): (queries, K)."""
        z = torch.from_numpy(self.latents[start : start + _QUERIES]).to(self.device)
        if self.metric == "cosine":
            scores = torch.nn.functional.normalize(z) @ torch.nn.functional.normalize(block).T
        else:
            scores = 2 * z @ block.T - block.square().sum(1) - z.square().sum(1, keepdim=True)
        array: NDArray[np.float32] = scores.cpu().numpy()
        return array

    def _exact(self, query: int, latents: Halves) -> Floats:
        z, others = self.latents[query].astype(np.float64), latents.astype(np.float64)
        if self.metric == "cosine":
            scores: Floats = others @ z / np.maximum(np.linalg.norm(others, axis=1) * np.linalg.norm(z), 1e-12)
        else:
            scores = -np.square(others - z).sum(axis=1)
        return scores


def fused(lists: Sequence[TopK], most: int) -> TopK:
    """Reciprocal rank fusion (Cormack, Clarke and Buettcher 2009): the sum of 1 / (60 + rank) over the lists.

    Equals of one list, as stereoisomers are by fingerprint, have the same rank there, and the other list decides.
    """
    rows = np.concatenate([best.rows for best in lists])
    scores = np.concatenate([1 / (61 + np.searchsorted(-best.scores, -best.scores)) for best in lists])
    distinct, place = np.unique(rows, return_inverse=True)
    together = TopK(most)
    together.add(distinct, np.bincount(place, scores).astype(np.float64))
    return together


def _least(size: int, floor: float) -> NDArray[np.uint16]:
    """By the bits of the other, 0 to 2048: how many it has to share to be as similar as `floor`."""
    share = floor / (1 + floor) if floor > 0 else 0.0
    least: NDArray[np.uint16] = np.ceil(share * (size + np.arange(BITS + 1)) - 1e-9).astype(np.uint16)
    return least


def _tanimoto(common: NDArray[np.uint16], sizes: NDArray[np.uint16], size: int) -> Floats:
    similarity: Floats = common / np.maximum(sizes.astype(np.float64) + size - common, 1)
    return similarity


def _may_be_best(scores: NDArray[np.float32], best: TopK) -> NDArray[np.bool_]:
    """Which rows of a block may be among the best, whatever single precision has done to their scores."""
    floor = best.threshold
    if len(scores) > best.k:
        floor = max(floor, float(np.partition(scores, -best.k)[-best.k]))
    return scores >= floor - _SPARE * max(1.0, float(np.abs(scores).max()))
