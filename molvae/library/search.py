"""Nearest-neighbor search in a library for several queries, with filters and rank fusion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from molvae.chem.filters import Filters
from molvae.chem.smiles import parse, silence_rdkit
from molvae.data.parallel import chunked, map_chunks
from molvae.library.nearest_neighbors import Searcher
from molvae.library.storage import LibraryStorage, Rows
from molvae.similarity.top_k import TopK

FUSION_DEPTH = 1000
"""Minimum length of the lists that are fused. They also have at least ten times as many rows as requested."""
_MIN_PARALLEL = 2000  # fewer molecules are filtered faster than worker processes start


@dataclass(frozen=True)
class SearchHits:
    """The rows found for one query, the nearest first.

    Attributes
    ----------
    rows : ndarray of shape (M,)
        Row numbers.
    scores : ndarray of shape (M,)
        Similarity, or fused score.
    by_searcher : dict of str to ndarray of shape (M,)
        Scores of each searcher.
    """

    rows: Rows
    scores: NDArray[np.float64]
    by_searcher: dict[str, NDArray[np.float64]]


def search_library(
    library: LibraryStorage,
    searchers: Mapping[str, Searcher],
    top: int = 100,
    *,
    rank_by: Sequence[str],
    filters: Filters | None = None,
    workers: int | None = None,
) -> list[SearchHits]:
    """Return the `top` nearest molecules of each query among those that pass the filters.

    Parameters
    ----------
    library : LibraryStorage
        The library.
    searchers : mapping of str to Searcher
        Searchers of the same queries by name. Those that are not in `rank_by` only score the molecules found.
    top : int
        Molecules for each query.
    rank_by : sequence of str
        Names of the searchers that rank; the ranks of several are fused.
    filters : Filters, optional
        Conditions on stored properties and structure.
    workers : int, optional
        Worker processes for substructure filters; default one per core, 0 or 1 for none.

    Returns
    -------
    list of SearchHits
        One for each query.
    """
    search = _FilteredSearch(library, filters or Filters(), workers)
    depth = top if len(rank_by) == 1 else max(FUSION_DEPTH, 10 * top)
    lists = [search.nearest(searchers[name], depth) for name in rank_by]
    found = [
        rankings[0] if len(rank_by) == 1 else reciprocal_rank_fusion(rankings, top)
        for rankings in zip(*lists, strict=True)
    ]
    rows = [best.rows for best in found]
    scores = {name: s.score_rows(library, rows) for name, s in searchers.items() if [name] != list(rank_by)}
    if len(rank_by) == 1:
        scores[rank_by[0]] = [best.scores for best in found]
    return [
        SearchHits(best.rows, best.scores, {name: values[query] for name, values in scores.items()})
        for query, best in enumerate(found)
    ]


def reciprocal_rank_fusion(lists: Sequence[TopK], k: int) -> TopK:
    """Fuse ranked lists: the score of a row is the sum of 1 / (60 + rank) over the lists [1]_.

    Rows with equal scores in a list, such as stereoisomers by fingerprint, have the same rank there, so that the other
    lists decide.

    References
    ----------
    .. [1] Cormack, Clarke and Buettcher, SIGIR 2009, 758.
    """
    rows = np.concatenate([best.rows for best in lists])
    scores = np.concatenate([1 / (61 + np.searchsorted(-best.scores, -best.scores)) for best in lists])
    distinct, index = np.unique(rows, return_inverse=True)
    fused = TopK(k)
    fused.add(distinct, np.bincount(index, scores).astype(np.float64))
    return fused


class _FilteredSearch:
    """Nearest-neighbor search among the molecules that pass filters; structures are checked nearest first."""

    def __init__(self, library: LibraryStorage, filters: Filters, workers: int | None) -> None:
        self.library, self.conditions, self.workers = library, filters.properties, workers
        self.structure_filters = replace(filters, properties=())
        self._accepted: dict[int, bool] = {}

    def nearest(self, searcher: Searcher, k: int) -> list[TopK]:
        """Run `Searcher.nearest` with increasing k until enough molecules pass the structure filters."""
        depth = k
        while True:
            found = searcher.nearest(self.library, depth, self.conditions)
            if not self.structure_filters:
                return found
            passed = self._passing(found, k)
            exhausted = all(len(best.rows) < depth for best in found)
            if exhausted or all(len(best.rows) == k for best in passed):
                return passed
            depth *= 4

    def _passing(self, found: list[TopK], k: int) -> list[TopK]:
        rows = np.unique(np.concatenate([best.rows for best in found]))
        self._check(rows[[row not in self._accepted for row in rows.tolist()]])
        passed = []
        for best in found:
            kept = TopK(k)
            accepted = np.array([self._accepted[row] for row in best.rows.tolist()], dtype=bool)
            kept.add(best.rows[accepted], best.scores[accepted])
            passed.append(kept)
        return passed

    def _check(self, rows: Rows) -> None:
        smiles = self.library.molecules(rows, ["smiles"])["smiles"].tolist()
        workers = self.workers if len(rows) > _MIN_PARALLEL else 0
        results = map_chunks(_accepted, chunked(smiles), workers, shared=self.structure_filters)
        self._accepted.update(zip(rows.tolist(), (result for chunk in results for result in chunk), strict=True))


def _accepted(filters: Filters, smiles: list[str]) -> list[bool]:
    with silence_rdkit():
        return [filters.accept(parse(text)) for text in smiles]
