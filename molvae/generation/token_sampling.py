"""Sampling of tokens from the distribution that the decoder predicts."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from molvae.errors import InputError


@dataclass(frozen=True)
class SamplingOptions:
    """How tokens are sampled.

    Attributes
    ----------
    temperature
        Divides the logits: below 1 favors likely tokens, 0 is greedy decoding.
    top_k
        Sample from this many most likely tokens; 0: from all.
    top_p
        Sample from the smallest set of most likely tokens with this total probability (nucleus sampling).
    grammar
        Mask the tokens that the grammar of SMILES does not allow.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    grammar: bool = False

    def __post_init__(self) -> None:
        if not self.temperature >= 0:  # NaN included
            raise InputError(f"temperature must be 0 (greedy) or more, got {self.temperature}")
        if self.top_k < 0:
            raise InputError(f"top_k must be 0 (all tokens) or more, got {self.top_k}")
        if not 0 < self.top_p <= 1:
            raise InputError(f"top_p must be greater than 0 and at most 1, got {self.top_p}")

    @property
    def greedy(self) -> bool:
        """Whether the most likely token is always taken."""
        return self.temperature == 0


GREEDY = SamplingOptions(temperature=0.0)


def sample_tokens(
    logits: Tensor,
    options: SamplingOptions,
    uniform: Tensor,
    temperature_scale: Tensor | None = None,
    allowed: Tensor | None = None,
    banned: Tensor | None = None,
) -> Tensor:
    """Sample a token per row by inversion of the cumulative distribution: one random number per token.

    Parameters
    ----------
    logits
        Shape (B, V).
    options
        Temperature, top-k and top-p; `grammar` is applied through `allowed`.
    uniform
        Random numbers in (0, 1), shape (B,).
    temperature_scale
        Factors of the temperature, shape (B,).
    allowed
        Mask of the allowed tokens, shape (B, V).
    banned
        Token id per row that is not sampled unless it is the only one allowed, shape (B,); 0 or less: none.

    Returns
    -------
    Tensor
        Token ids, shape (B,).
    """
    if allowed is not None:
        logits = logits.masked_fill(~allowed, -torch.inf)
    if banned is not None:
        logits = _ban(logits, banned)
    if options.greedy:
        return logits.argmax(1)
    # a tensor: a GPU rounds the division by a Python number differently, and rows must not depend on their batch
    temperature = logits.new_full((1, 1), options.temperature)
    if temperature_scale is not None:
        temperature = temperature * temperature_scale[:, None]
    cumulative = _truncate((logits / temperature).softmax(1), options).cumsum(1)
    tokens = torch.searchsorted(cumulative, (uniform * cumulative[:, -1])[:, None])[:, 0]
    return tokens.clamp_(max=logits.shape[1] - 1)


def token_log_probability(logits: Tensor, tokens: Tensor) -> Tensor:
    """Log-probability (nats) of a token per row at temperature 1 without truncation: (B, V), (B,) -> (B,)."""
    return logits.log_softmax(1).gather(1, tokens[:, None])[:, 0]


def _ban(logits: Tensor, banned: Tensor) -> Tensor:
    """Set the logit of the banned token of each row to -inf, except in rows where no other token is allowed."""
    index = banned.clamp(min=0)[:, None]
    applies = (index > 0) & (logits.isfinite().sum(1, keepdim=True) > 1)
    return logits.scatter(1, index, logits.gather(1, index).masked_fill(applies, -torch.inf))


def _truncate(probabilities: Tensor, options: SamplingOptions) -> Tensor:
    """Set the probabilities, shape (B, V), of tokens outside of top-k and top-p to 0."""
    if not options.top_k and options.top_p == 1:
        return probabilities
    ranked, tokens = probabilities.sort(dim=1, descending=True, stable=True)
    if options.top_k:
        ranked[:, options.top_k :] = 0
    if options.top_p < 1:
        preceding = ranked.cumsum(1) - ranked
        ranked = torch.where(preceding < options.top_p, ranked, 0.0)
    return torch.zeros_like(ranked).scatter_(1, tokens, ranked)
