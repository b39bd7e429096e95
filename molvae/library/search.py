"""Many seeds against a library: the nearest that pass the filters, by fingerprint, by latent or by both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from molvae.chem.filters import Filters
from molvae.chem.smiles import parse, silence_rdkit
from molvae.data.parallel import chunked, map_chunks
from molvae.library.measures import Measure, fused
from molvae.library.storage import Library, Rows
from molvae.similarity.top_k import TopK

DEPTH = 1000
"""Rows of each list that are fused, or ten times as many as are wanted."""
_FEW = 2000  # molecules that are looked at before starting processes would be done


@dataclass(frozen=True)
class Hits:
    """The rows found for one seed, the best first: their score (similarity, or fused), and each measure of them."""

    rows: Rows
    scores: NDArray[np.float64]
    measured: dict[str, NDArray[np.float64]]


def search(
    library: Library,
    measures: Mapping[str, Measure],
    top: int = 100,
    *,
    by: Sequence[str],
    filters: Filters | None = None,
    workers: int | None = None,
) -> list[Hits]:
    """The `top` best of each query; `by` names the measures that rank them, fused where there are several.

    The other measures are computed of what is found. Filters come before ranks: a list holds only what passes.
    """
    passing = _Passing(library, filters or Filters(), workers)
    deep = top if len(by) == 1 else max(DEPTH, 10 * top)
    lists = [passing.best(measures[name], deep) for name in by]
    found = [of_seed[0] if len(by) == 1 else fused(of_seed, top) for of_seed in zip(*lists, strict=True)]
    rows = [best.rows for best in found]
    measured = {name: measure.of_rows(library, rows) for name, measure in measures.items() if [name] != list(by)}
    if len(by) == 1:  # its figures are the scores
        measured[by[0]] = [best.scores for best in found]
    return [
        Hits(best.rows, best.scores, {name: figures[query] for name, figures in measured.items()})
        for query, best in enumerate(found)
    ]


class _Passing:
    """The part of a library that passes some filters. Substructures are searched for in the nearest first."""

    def __init__(self, library: Library, filters: Filters, workers: int | None) -> None:
        self.library, self.windows, self.workers = library, filters.properties, workers
        self.patterns = replace(filters, properties=())
        self._known: dict[int, bool] = {}

    def best(self, measure: Measure, most: int) -> list[TopK]:
        """As `Measure.best`. With substructures it asks for more until enough of them pass."""
        asked = most
        while True:
            found = measure.best(self.library, asked, self.windows)
            if not self.patterns:
                return found
            passed = self._passing(found, most)
            exhausted = all(len(best.rows) < asked for best in found)
            if exhausted or all(len(best.rows) == most for best in passed):
                return passed
            asked *= 4

    def _passing(self, found: list[TopK], most: int) -> list[TopK]:
        rows = np.unique(np.concatenate([best.rows for best in found]))
        self._look_at(rows[[row not in self._known for row in rows.tolist()]])
        passed = []
        for best in found:
            kept = TopK(most)
            good = np.array([self._known[row] for row in best.rows.tolist()], dtype=bool)
            kept.add(best.rows[good], best.scores[good])
            passed.append(kept)
        return passed

    def _look_at(self, rows: Rows) -> None:
        smiles = self.library.molecules(rows, ["smiles"])["smiles"].tolist()
        workers = self.workers if len(rows) > _FEW else 0
        answers = map_chunks(_accepted, chunked(smiles), workers, shared=self.patterns)
        self._known.update(zip(rows.tolist(), (answer for chunk in answers for answer in chunk), strict=True))


def _accepted(patterns: Filters, smiles: list[str]) -> list[bool]:
    with silence_rdkit():
        return [patterns.accept(parse(text)) for text in smiles]
