"""Placement of several patterns on one molecule without shared atoms."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

MAX_STEPS = 20_000
"""Maximum number of placements that are tried, which takes about a second; then the patterns count as not placed."""


def place_disjoint(candidates: Sequence[Iterable[frozenset[int]]]) -> frozenset[int] | None:
    """Select one set of atoms for each pattern so that no atom is selected twice.

    The pattern with the fewest candidates is placed first, and patterns with the same candidates are placed in a fixed
    order, so that six copies of a small pattern on a long chain do not multiply.

    Parameters
    ----------
    candidates : sequence of iterable of frozenset of int
        For each pattern the sets of atoms that match it.

    Returns
    -------
    frozenset of int or None
        The atoms of all patterns; None if the patterns do not fit, or if no placement was found in `MAX_STEPS` steps.

    Examples
    --------
    >>> sorted(place_disjoint([[frozenset({0, 1}), frozenset({1, 2})], [frozenset({0})]]))
    [0, 1, 2]
    >>> place_disjoint([[frozenset({0, 1})], [frozenset({1, 2})]]) is None
    True
    """
    masks = [tuple(dict.fromkeys(sum(1 << atom for atom in atoms) for atoms in sets)) for sets in candidates]
    taken = _Search().place(masks, 0)
    return None if taken is None else frozenset(i for i in range(taken.bit_length()) if taken >> i & 1)


@dataclass
class _Search:
    """A depth-first search with a limited number of steps."""

    n_steps: int = 0

    def place(self, candidates: Sequence[tuple[int, ...]], taken: int) -> int | None:
        """Bit mask of the atoms after placing all patterns; each candidate is a bit mask that `taken` does not meet."""
        if not candidates:
            return taken
        if not all(candidates) or not _enough_atoms(candidates):
            return None
        position = min(range(len(candidates)), key=lambda i: len(candidates[i]))
        options = candidates[position]
        others = [*candidates[:position], *candidates[position + 1 :]]
        for number, mask in enumerate(options):
            self.n_steps += 1
            if self.n_steps > MAX_STEPS:
                return None
            # another pattern with the same candidates takes a later one: the two are interchangeable
            rest = [tuple(m for m in (own[number + 1 :] if own == options else own) if not m & mask) for own in others]
            if (found := self.place(rest, taken | mask)) is not None:
                return found
        return None


def _enough_atoms(candidates: Sequence[tuple[int, ...]]) -> bool:
    """Whether the candidates cover as many atoms as the patterns need."""
    union = 0
    for own in candidates:
        for mask in own:
            union |= mask
    return union.bit_count() >= sum(min(mask.bit_count() for mask in own) for own in candidates)
