"""How symbols are drawn from the decoder's distribution."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from molvae.errors import InputError


@dataclass(frozen=True)
class DecodeOptions:
    """Greedy, or sampled at a temperature from the most likely symbols."""

    temperature: float = 1.0  # below 1 favors likely symbols; 0 is greedy
    top_k: int = 0  # only this many most likely symbols; 0: all
    top_p: float = 1.0  # only the likeliest symbols that together have this probability (nucleus)
    grammar: bool = False  # only symbols that the grammar of SMILES allows, as in `mask`

    def __post_init__(self) -> None:
        if not self.temperature >= 0:
            raise InputError(f"temperature must be 0 (greedy) or more, got {self.temperature}")
        if self.top_k < 0:
            raise InputError(f"top_k must be 0 (all symbols) or more, got {self.top_k}")
        if not 0 < self.top_p <= 1:
            raise InputError(f"top_p must lie above 0 and at most at 1, got {self.top_p}")

    @property
    def greedy(self) -> bool:
        return self.temperature == 0


GREEDY = DecodeOptions(temperature=0.0)


def choose(
    logits: Tensor,
    options: DecodeOptions,
    uniform: Tensor,
    heat: Tensor | None = None,
    allowed: Tensor | None = None,
    barred: Tensor | None = None,
) -> Tensor:
    """A symbol per row: logits B x V, one number in (0, 1) per row B -> ids B.

    `heat` B multiplies the temperature; of symbols that are not `allowed` B x V none is chosen, nor the id that is
    `barred` in a row, B (0 or less: none), unless no other is allowed. Sampling inverts the cumulative distribution, so
    that a row needs exactly one random number a step.
    """
    if allowed is not None:
        logits = logits.masked_fill(~allowed, -torch.inf)
    if barred is not None:
        logits = _without(logits, barred)
    if options.greedy:
        return logits.argmax(1)
    # always a tensor: a GPU divides by a number of Python's in another way, and a row must not hang on those beside it
    temperature = logits.new_full((1, 1), options.temperature)
    if heat is not None:
        temperature = temperature * heat[:, None]
    cumulative = _kept((logits / temperature).softmax(1), options).cumsum(1)
    place = torch.searchsorted(cumulative, (uniform * cumulative[:, -1])[:, None])[:, 0]
    return place.clamp_(max=logits.shape[1] - 1)


def log_probability(logits: Tensor, symbols: Tensor) -> Tensor:
    """Of a symbol per row under the model itself, whatever temperature and cut: B x V, B -> B, nats."""
    return logits.log_softmax(1).gather(1, symbols[:, None])[:, 0]


def _without(logits: Tensor, symbols: Tensor) -> Tensor:
    """The logits B x V where a symbol of each row, B, cannot come; rows of none, and of no other, are as they were."""
    place = symbols.clamp(min=0)[:, None]
    bars = (place > 0) & (logits.isfinite().sum(1, keepdim=True) > 1)
    return logits.scatter(1, place, logits.gather(1, place).masked_fill(bars, -torch.inf))


def _kept(probabilities: Tensor, options: DecodeOptions) -> Tensor:
    """The probabilities B x V of what top-k and top-p leave, and 0 elsewhere."""
    if not options.top_k and options.top_p == 1:
        return probabilities
    ranked, symbols = probabilities.sort(dim=1, descending=True, stable=True)
    if options.top_k:
        ranked[:, options.top_k :] = 0
    if options.top_p < 1:
        before = ranked.cumsum(1) - ranked
        ranked = torch.where(before < options.top_p, ranked, 0.0)
    return torch.zeros_like(ranked).scatter_(1, symbols, ranked)
