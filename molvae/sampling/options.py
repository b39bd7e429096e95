"""How symbols are drawn from the decoder's distribution."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from molvae.errors import InputError


@dataclass(frozen=True)
class DecodeOptions:
    """Greedy, or sampled at a temperature from the most likely symbols."""

    temperature: float = 1.0  # below 1 favours likely symbols; 0 is greedy
    top_k: int = 0  # only this many most likely symbols; 0: all
    top_p: float = 1.0  # only the likeliest symbols that together have this probability (nucleus)

    def __post_init__(self) -> None:
        if self.temperature < 0:
            raise InputError(f"temperature must be 0 (greedy) or more, got {self.temperature}")
        if self.top_k < 0:
            raise InputError(f"top_k must be 0 (all symbols) or more, got {self.top_k}")
        if not 0 < self.top_p <= 1:
            raise InputError(f"top_p must lie above 0 and at most at 1, got {self.top_p}")

    @property
    def greedy(self) -> bool:
        return self.temperature == 0


GREEDY = DecodeOptions(temperature=0.0)


def choose(logits: Tensor, options: DecodeOptions, uniform: Tensor) -> Tensor:
    """A symbol per row: logits B x V, one number in (0, 1) per row B -> ids B.

    Sampling inverts the cumulative distribution, so that a row needs exactly one random number a step.
    """
    if options.greedy:
        return logits.argmax(1)
    probabilities, symbols = (
        (logits.double() / options.temperature).softmax(1).sort(dim=1, descending=True, stable=True)
    )
    if options.top_k:
        probabilities[:, options.top_k :] = 0
    if options.top_p < 1:
        before = probabilities.cumsum(1) - probabilities
        probabilities = torch.where(before < options.top_p, probabilities, 0.0)
    cumulative = probabilities.cumsum(1)
    rank = torch.searchsorted(cumulative, (uniform * cumulative[:, -1])[:, None]).clamp(max=logits.shape[1] - 1)
    return symbols.gather(1, rank)[:, 0]
