"""Similarity targets, and the allocation of samples to strategies that reach them.

No noise level gives the same similarity around two seeds, and none gives a narrow range. The first samples of a seed
are therefore spread over many strategies, by how often they give the similarity around other molecules, and those whose
samples were accepted get more of the following ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import ceil
from numbers import Real
from statistics import median
from typing import Self

from molvae.errors import InputError
from molvae.generation.strategies import STRATEGIES, Strategy, expected_yield

MEDIAN_HALF_WIDTH = 0.15
"""Molecules up to this far from a target median are accepted, equally many below and above it."""

MEDIAN_TOLERANCE = 0.02
"""A median that differs from the target by at most this much meets it."""

MAX_EXCESS = 25
"""A pool around a target median has more molecules on one side, but from there on no more samples are spent on it."""

DECAY = 0.7
"""Weight of earlier rounds relative to the latest one, because the molecules that are still to be found change."""

PRIOR_SAMPLES, MIN_PRIOR_YIELD = 2, 0.05
"""The yield of a strategy around other molecules counts as much as this many samples; the smallest such yield."""


@dataclass(frozen=True)
class SimilarityTarget:
    """Range of the Tanimoto similarity to the seed.

    Attributes
    ----------
    low, high
        The range, bounds included.
    median
        Median that the molecules should have, or None.
    fill_up
        If the range gives too few molecules, add the most similar of the others.
    """

    low: float
    high: float
    median: float | None = None
    fill_up: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.low < self.high <= 1:
            within = 0 <= self.low <= 1 and 0 <= self.high <= 1
            rule = "a range begins with the lower number, as 0.5:0.7" if within else "similarity goes from 0 to 1"
            raise InputError(f"{rule}, got {self.low:g}:{self.high:g}")

    @classmethod
    def parse(cls, value: str | float | Sequence[float]) -> Self:
        """Read a median (0.6 or "0.6") or a range ("0.5:0.7" or (0.5, 0.7)).

        Raises
        ------
        InputError
            For any other value.
        """
        try:
            if isinstance(value, str):
                numbers = [float(part) for part in value.split(":")]
            elif isinstance(value, float | int | Real):  # NumPy's numbers too
                numbers = [float(value)]
            else:
                low, high = value
                numbers = [float(low), float(high)]
        except (TypeError, ValueError):
            numbers = []
        if len(numbers) == 2:
            return cls(numbers[0], numbers[1])
        if len(numbers) != 1:
            raise InputError(f"similarity must be a median such as 0.6 or a range such as 0.5:0.7, got {value!r}")
        if not 0 <= numbers[0] <= 1:
            raise InputError(f"similarity goes from 0 to 1, got {value!r}: pass 0.6 for a median, 0.5:0.7 for a range")
        if numbers[0] in (0, 1):
            raise InputError(
                f"a median similarity of {numbers[0]:g} would need molecules on both sides of it, but similarity goes "
                f"from 0 to 1: pass a range such as {'0:0.2' if numbers[0] == 0 else '0.8:1'}"
            )
        (target,) = numbers
        return cls(max(0.0, target - MEDIAN_HALF_WIDTH), min(1.0, target + MEDIAN_HALF_WIDTH), target)

    def contains(self, similarity: float) -> bool:
        """Whether a similarity is in the range."""
        return self.low <= similarity <= self.high

    def __str__(self) -> str:
        return f"similarity {self.low:g} to {self.high:g}" if self.median is None else f"similarity {self.median:g}"


DEFAULT_TARGET = SimilarityTarget(0.4, 1.0, fill_up=True)
"""Target if none is requested. Tanimoto 0.4 is a common threshold for calling two molecules analogs."""


@dataclass
class StrategyAllocator:
    """Distributes the samples of one seed over `STRATEGIES` by their yields so far.

    Attributes
    ----------
    target
        The range that accepted molecules are in.
    n_molecules
        Number of molecules requested.
    accepted, drawn
        Accepted and drawn samples per strategy, earlier rounds weighted by `DECAY`.
    n_below, n_above
        Accepted molecules below and above the target median.
    """

    target: SimilarityTarget
    n_molecules: int
    accepted: list[float] = field(default_factory=lambda: [0.0] * len(STRATEGIES))
    drawn: list[float] = field(default_factory=lambda: [0.0] * len(STRATEGIES))
    n_below: int = 0
    n_above: int = 0

    def allocate(self, n_samples: int) -> list[Strategy]:
        """The strategy of each of the next samples: shares are proportional to the squared yields."""
        counted = zip(self._prior, self.accepted, self.drawn, strict=True)
        yields = [((a + PRIOR_SAMPLES * prior) / (d + PRIOR_SAMPLES)) ** 2 for prior, a, d in counted]
        exact = [n_samples * value / sum(yields) for value in yields]
        counts = [int(number) for number in exact]
        by_remainder = sorted(range(len(STRATEGIES)), key=lambda i: counts[i] - exact[i])
        for i in by_remainder[: n_samples - sum(counts)]:
            counts[i] += 1
        return [strategy for strategy, count in zip(STRATEGIES, counts, strict=True) for _ in range(count)]

    @property
    def _prior(self) -> list[float]:
        low, high = self.target.low, self.target.high
        return [max(MIN_PRIOR_YIELD, expected_yield(index, low, high)) for index in range(len(STRATEGIES))]

    def accepts(self, similarity: float) -> bool:
        """Whether a molecule of this similarity is accepted; if so, it is counted.

        With a target median, at most half of the requested molecules are accepted on each side of it.
        """
        if not self.target.contains(similarity):
            return False
        if self.target.median is None:
            return True
        half = ceil(self.n_molecules / 2)
        above = similarity >= self.target.median
        if (self.n_above if above else self.n_below) >= half:
            return False
        self.n_above, self.n_below = self.n_above + above, self.n_below + (not above)
        return True

    def is_crowded(self, similarity: float) -> bool:
        """Whether the side of the target median with this similarity has far more molecules than the other."""
        if self.target.median is None:
            return False
        excess = self.n_above - self.n_below
        return (excess if similarity >= self.target.median else -excess) > MAX_EXCESS

    def update(self, strategies: Sequence[Strategy], accepted: Sequence[bool]) -> None:
        """Record the strategy of each sample of a round, and whether it gave an accepted molecule."""
        self.accepted, self.drawn = ([DECAY * number for number in counts] for counts in (self.accepted, self.drawn))
        index = {strategy: i for i, strategy in enumerate(STRATEGIES)}
        for strategy, is_accepted in zip(strategies, accepted, strict=True):
            self.drawn[index[strategy]] += 1
            self.accepted[index[strategy]] += is_accepted

    def balance(self, similarities: dict[str, float], n_molecules: int | None = None) -> list[str]:
        """Select up to `n_molecules` whose median is the target: equally many below and above it, those closest to it.

        One more on one side is kept if the median still meets the target, or if it completes the requested number.
        """
        n_molecules = self.n_molecules if n_molecules is None else n_molecules
        target = self.target.median
        if target is None:
            return list(similarities)
        upper = sorted((m for m, s in similarities.items() if s >= target), key=similarities.__getitem__)
        lower = sorted((m for m, s in similarities.items() if s < target), key=lambda m: -similarities[m])
        size = min(len(upper), len(lower), n_molecules // 2)
        if n_molecules == 2 * size:
            upper, lower = upper[:size], lower[:size]
        even = {*upper[:size], *lower[:size]}
        odd = even.union(upper[size : size + 1] or lower[size : size + 1])
        keep_odd = (
            not even
            or len(odd) >= n_molecules
            or abs(median(map(similarities.__getitem__, odd)) - target) <= MEDIAN_TOLERANCE
        )
        selected = odd if keep_odd else even
        return [molecule for molecule in similarities if molecule in selected]
