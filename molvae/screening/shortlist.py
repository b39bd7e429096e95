"""The best distinct molecules of a stream, in constant memory."""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass, replace
from math import inf


@dataclass(frozen=True, slots=True)
class Hit:
    """A molecule with its score, its first occurrence, and its number of occurrences.

    smiles: canonical; source, row: as in `Record`.
    """

    score: float
    smiles: str
    name: str
    source: str
    row: int
    n_occurrences: int = 1


class Shortlist:
    """The best molecules of all that were added; the order in which they are added does not matter.

    The highest score comes first. Among equal scores, seeds come first (their stereoisomers have the same fingerprint),
    then molecules are in the order of their SMILES. A molecule that is added again increases `n_occurrences` and keeps
    the source and row of its first occurrence. The count is exact for the final list, because its molecules were never
    below the threshold.

    Up to 2 * `top` molecules are stored and sorted when this limit is reached, which is faster than a heap.

    Parameters
    ----------
    top : int
        Molecules to keep.
    seeds : container of str
        Canonical SMILES of the seeds.
    """

    def __init__(self, top: int, seeds: Container[str] = ()) -> None:
        self.top, self.seeds = top, seeds
        self.threshold = -inf
        """Molecules with lower scores can no longer enter the list."""
        self._hits: dict[str, Hit] = {}

    def add(self, hits: Iterable[Hit]) -> None:
        """Add molecules."""
        for hit in hits:
            if hit.score < self.threshold:
                continue
            known = self._hits.get(hit.smiles)
            if known is None:
                self._hits[hit.smiles] = hit
            else:
                first = min(known, hit, key=lambda each: (each.source, each.row))
                self._hits[hit.smiles] = replace(first, n_occurrences=known.n_occurrences + hit.n_occurrences)
            if len(self._hits) >= 2 * self.top:
                self._truncate()

    def hits(self) -> list[Hit]:
        """Return the best molecules in order."""
        self._truncate()
        return list(self._hits.values())

    def _truncate(self) -> None:
        best = sorted(self._hits.values(), key=self._sort_key)[: self.top]
        self._hits = {hit.smiles: hit for hit in best}
        if len(best) == self.top:
            self.threshold = best[-1].score

    def _sort_key(self, hit: Hit) -> tuple[float, bool, str]:
        return (-hit.score, hit.smiles not in self.seeds, hit.smiles)
