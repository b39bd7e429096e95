"""The best of a stream, each molecule once, in memory that does not grow with the stream."""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass, replace
from math import inf


@dataclass(frozen=True, slots=True)
class Hit:
    """A molecule (canonical SMILES) with its score, where it was read, and how often."""

    score: float
    smiles: str
    name: str
    source: str
    row: int
    n_occurrences: int = 1


class Shortlist:
    """The `top` best hits of all that were added, whatever their order: the best score first, and among equals those
    of `seeds` (canonical SMILES; a fingerprint cannot tell their stereoisomers from them), and then the first SMILES.

    It holds up to twice as many: sorting now and then costs less than keeping a heap in order. A molecule that comes
    again is counted in `n_occurrences` and keeps the first place, by source and row, at which it was read; that count is
    exact for those in the end on the list, for none of them was ever below the floor.
    """

    def __init__(self, top: int, seeds: Container[str] = ()) -> None:
        self.top, self.seeds = top, seeds
        self.floor = -inf
        """No score below this one can be on the list any more."""
        self._hits: dict[str, Hit] = {}

    def add(self, hits: Iterable[Hit]) -> None:
        """Take up those that may be on the list."""
        for hit in hits:
            if hit.score < self.floor:
                continue
            known = self._hits.get(hit.smiles)
            if known is None:
                self._hits[hit.smiles] = hit
            else:
                first = min(known, hit, key=lambda each: (each.source, each.row))
                self._hits[hit.smiles] = replace(first, n_occurrences=known.n_occurrences + hit.n_occurrences)
            if len(self._hits) >= 2 * self.top:
                self._cut()

    def hits(self) -> list[Hit]:
        """The best, in order."""
        self._cut()
        return list(self._hits.values())

    def _cut(self) -> None:
        best = sorted(self._hits.values(), key=self._order)[: self.top]
        self._hits = {hit.smiles: hit for hit in best}
        if len(best) == self.top:
            self.floor = best[-1].score

    def _order(self, hit: Hit) -> tuple[float, bool, str]:
        return (-hit.score, hit.smiles not in self.seeds, hit.smiles)
