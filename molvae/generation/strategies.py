"""Strategies to draw samples around a seed, and how often each gives which similarity to the seed.

A strategy has three parts: the noise level of the latent, a temperature scale, and whether the sample branches from the
SMILES of the seed. Branching reaches molecules close to the seed: around a latent with little noise, nearly all other
samples are the seed itself.
"""

from __future__ import annotations

from typing import NamedTuple


class Strategy(NamedTuple):
    """How a sample is drawn around a seed."""

    noise_level: float  # 0 (latent of the seed) to 1 (prior)
    temperature_scale: float = 1.0  # factor of the temperature
    branch: bool = False  # the sample has the tokens of the seed up to a random atom, and another token there


STRATEGIES = (
    *(Strategy(noise_level) for noise_level in (0.2, 0.35, 0.5, 0.65, 0.8, 0.95)),
    *(Strategy(noise_level, branch=True) for noise_level in (0.0, 0.05, 0.1, 0.2, 0.35, 0.5, 0.8)),
    *(Strategy(noise_level, temperature_scale=1.4, branch=True) for noise_level in (0.05, 0.1, 0.35)),
)

SIMILARITY_FREQUENCIES = (
    (0, .001, .008, .032, .079, .155, .232, .202, .060, .008),
    (0, .002, .049, .101, .210, .240, .163, .062, .012, .001),
    (0, .020, .113, .197, .247, .186, .079, .021, .001, .002),
    (.001, .062, .212, .215, .172, .101, .057, .019, .003, .001),
    (.012, .238, .285, .140, .065, .044, .017, .010, .002, 0),
    (.145, .576, .126, .012, .003, .001, 0, 0, .001, 0),
    (0, .001, .004, .008, .025, .060, .135, .173, .103, .013),
    (0, 0, .008, .023, .056, .083, .140, .156, .062, .006),
    (0, .001, .012, .031, .072, .133, .153, .116, .049, .007),
    (0, .002, .022, .050, .129, .140, .153, .104, .034, .002),
    (0, .006, .061, .110, .147, .156, .136, .061, .018, .001),
    (0, .019, .086, .149, .140, .124, .101, .062, .018, .003),
    (.006, .097, .131, .112, .100, .098, .080, .046, .014, .002),
    (0, .002, .010, .032, .047, .092, .116, .099, .035, .007),
    (0, .001, .018, .047, .081, .114, .130, .084, .028, .004),
    (0, .010, .066, .117, .136, .140, .098, .053, .017, .001),
)  # fmt: skip
"""Fraction of the samples of each strategy that are new plausible molecules, by similarity: 0 to 0.1, 0.1 to 0.2, ...

Means over 120 validation molecules of the model `druglike`, measured by scripts/strategy_frequencies.py."""


def expected_yield(index: int, low: float, high: float) -> float:
    """Fraction of the samples of a strategy with a similarity from `low` to `high`.

    >>> round(expected_yield(0, 0.4, 1.0), 2)
    0.74
    """
    bins = enumerate(SIMILARITY_FREQUENCIES[index])
    return sum(share * max(0.0, min(high, (i + 1) / 10) - max(low, i / 10)) * 10 for i, share in bins)
