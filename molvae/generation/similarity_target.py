"""The similarity dial: molecules this similar to the seed, by finding out how far from it to draw.

No noise level gives the same similarity around two seeds, and none a narrow one. So each seed's first strings are drawn in
many ways; those that gave what was asked for get more of the next ones, and what is outside is not kept. A way has
three axes: how far the latent is moved, how hot the symbols are drawn, and whether the string has to leave the seed's.
The last is what reaches molecules near the seed: around a latent that is hardly moved nearly every string is the seed's
own, and one that has left it goes on as the seed does as far as it can.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import ceil
from numbers import Real
from statistics import median
from typing import NamedTuple, Self

from molvae.errors import InputError


class Way(NamedTuple):
    """How a string is drawn."""

    noise_level: float  # how far its latent is moved from the seed's: 0 to 1
    heat: float = 1.0  # multiplies the temperature
    departs: bool = False  # it is the seed's up to a place drawn at random, and another symbol stands there


WAYS = (
    *(Way(noise_level) for noise_level in (0.2, 0.35, 0.5, 0.65, 0.8, 0.95)),
    *(Way(noise_level, departs=True) for noise_level in (0.0, 0.05, 0.1, 0.2, 0.35, 0.5, 0.8)),
    *(Way(noise_level, heat=1.4, departs=True) for noise_level in (0.05, 0.1, 0.35)),
)
HALF_WIDTH = 0.15
"""A target is met by what lies this far to either side, as much below as above."""

NEAR = 0.02  # how far a median may be off a target to count as met
MEMORY = 0.7  # what a round before counts beside this one: what is left to find changes
_PRIOR = 0.02  # a yield that a way is taken to have until its strings say otherwise


@dataclass(frozen=True)
class Dial:
    """Tanimoto similarity to the seed, `low` to `high`; with a `target` the median is to be that.

    One that `fills` turns nothing away: where its band gives too few, the nearest to the seed of the others follow.
    """

    low: float
    high: float
    target: float | None = None
    fills: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.low < self.high <= 1:
            raise InputError(f"similarity is a band such as 0.5:0.7 within 0 to 1, got {self.low:g}:{self.high:g}")

    @classmethod
    def of(cls, asked: str | float | Sequence[float]) -> Self:
        """From a target (0.6 or "0.6") or a band ("0.5:0.7" or (0.5, 0.7)). Raises `InputError` for anything else."""
        try:
            if isinstance(asked, str):
                numbers = [float(part) for part in asked.split(":")]
            elif isinstance(asked, float | int | Real):  # NumPy's numbers too
                numbers = [float(asked)]
            else:
                low, high = asked
                numbers = [float(low), float(high)]
        except (TypeError, ValueError):
            numbers = []
        if len(numbers) == 2:
            return cls(numbers[0], numbers[1])
        if len(numbers) != 1 or not 0 < numbers[0] < 1:
            raise InputError(f"similarity is a target such as 0.6 or a band such as 0.5:0.7, got {asked!r}")
        (target,) = numbers
        return cls(max(0.0, target - HALF_WIDTH), min(1.0, target + HALF_WIDTH), target)

    def holds(self, similarity: float) -> bool:
        """Whether a similarity lies in the band."""
        return self.low <= similarity <= self.high

    def __str__(self) -> str:
        return f"similarity {self.low:g} to {self.high:g}" if self.target is None else f"similarity {self.target:g}"


NEAREST = Dial(0.4, 1.0, fills=True)
"""What is asked for where nothing is: 0.4 is where the field lets a molecule be an analog of another."""


@dataclass
class Gauge:
    """What one seed's strings have taught about the ways to draw. A function of that seed's own strings alone."""

    dial: Dial
    wanted: int
    kept: list[float] = field(default_factory=lambda: [0.0] * len(WAYS))
    drawn: list[float] = field(default_factory=lambda: [0.0] * len(WAYS))
    below: int = 0
    above: int = 0

    def ways(self, strings: int) -> list[Way]:
        """How to draw each of the next strings: each way as often as its yield so far deserves."""
        shares = [((k + _PRIOR) / (d + 1)) ** 2 for k, d in zip(self.kept, self.drawn, strict=True)]
        exact = [strings * share / sum(shares) for share in shares]
        counts = [int(number) for number in exact]
        by_rest = sorted(range(len(WAYS)), key=lambda place: counts[place] - exact[place])
        for place in by_rest[: strings - sum(counts)]:
            counts[place] += 1
        return [way for way, count in zip(WAYS, counts, strict=True) for _ in range(count)]

    def accepts(self, similarity: float) -> bool:
        """Whether a molecule is wanted; with a target each half takes up to half of them. Counts those it admits."""
        if not self.dial.holds(similarity):
            return False
        if self.dial.target is None:
            return True
        half = ceil(self.wanted / 2)
        upper = similarity >= self.dial.target
        if (self.above if upper else self.below) >= half:
            return False
        self.above, self.below = self.above + upper, self.below + (not upper)
        return True

    def learn(self, ways: Sequence[Way], kept: Sequence[bool]) -> None:
        """Take in a round: how each string was drawn, and whether it gave a molecule that was kept."""
        self.kept, self.drawn = ([MEMORY * number for number in numbers] for numbers in (self.kept, self.drawn))
        place = {way: number for number, way in enumerate(WAYS)}
        for way, good in zip(ways, kept, strict=True):
            self.drawn[place[way]] += 1
            self.kept[place[way]] += good

    def balanced(self, similarities: dict[str, float]) -> list[str]:
        """With a target, as many below as above it, those nearest to it, so that the median is what was asked for.

        One more on one side stays where the median is still `NEAR` the target, and where it makes up what is wanted.
        """
        target = self.dial.target
        if target is None:
            return list(similarities)
        upper = sorted((m for m, s in similarities.items() if s >= target), key=similarities.__getitem__)
        lower = sorted((m for m, s in similarities.items() if s < target), key=lambda m: -similarities[m])
        most = min(len(upper), len(lower))
        even = {*upper[:most], *lower[:most]}
        odd = even.union(upper[most : most + 1] or lower[most : most + 1])
        stays = not even or len(odd) >= self.wanted or abs(median(map(similarities.__getitem__, odd)) - target) <= NEAR
        chosen = odd if stays else even
        return [molecule for molecule in similarities if molecule in chosen]
