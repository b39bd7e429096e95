"""Drawing a symbol, against the distribution worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from molvae.errors import InputError
from molvae.sampling.options import GREEDY, DecodeOptions, choose

LOGITS = torch.tensor([1.0, -2.0, 0.5, 3.0, 2.9, -0.5])
PLACES = (torch.arange(10_000, dtype=torch.float64) + 0.5) / 10_000  # every part of (0, 1) equally


def _shares(options: DecodeOptions) -> np.ndarray:
    """How often each symbol is chosen when the random number runs evenly through (0, 1)."""
    chosen = choose(LOGITS.expand(len(PLACES), -1), options, PLACES)
    return np.bincount(chosen.numpy(), minlength=len(LOGITS)) / len(PLACES)


def _expected(temperature: float = 1.0, top_k: int = 0, top_p: float = 1.0) -> np.ndarray:
    p = np.exp(LOGITS.double().numpy() / temperature)
    p /= p.sum()
    kept, total = set(), 0.0
    for rank, symbol in enumerate(np.argsort(-p)):
        if (top_k and rank >= top_k) or total >= top_p:
            break
        kept.add(int(symbol))
        total += p[symbol]
    p = np.array([value if i in kept else 0.0 for i, value in enumerate(p)])
    return p / p.sum()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"temperature": 0.3},
        {"temperature": 5.0},
        {"top_k": 1},
        {"top_k": 3},
        {"top_k": 99},
        {"top_p": 0.4},
        {"top_p": 0.9},
        {"top_p": 1e-9},
        {"temperature": 0.7, "top_k": 4, "top_p": 0.95},
    ],
)
def test_shares_are_the_probabilities(options):
    np.testing.assert_allclose(_shares(DecodeOptions(**options)), _expected(**options), atol=2e-4)


def test_greedy_takes_the_likeliest():
    assert _shares(GREEDY).tolist() == [0, 0, 0, 1, 0, 0]
    np.testing.assert_allclose(_shares(DecodeOptions(temperature=1e-3)), [0, 0, 0, 1, 0, 0])


def test_rows_are_drawn_apart():
    logits = torch.tensor([[0.0, 100.0], [100.0, 0.0]])
    assert choose(logits, DecodeOptions(), torch.tensor([0.5, 0.5], dtype=torch.float64)).tolist() == [1, 0]


@pytest.mark.parametrize("place", [1e-17, 1 - 1e-16])
def test_the_ends_of_the_interval_are_symbols_too(place):
    for options in (DecodeOptions(), DecodeOptions(top_k=2), DecodeOptions(top_p=0.5)):
        symbol = choose(LOGITS[None], options, torch.tensor([place], dtype=torch.float64))
        assert _expected(top_k=options.top_k, top_p=options.top_p)[symbol.item()] > 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": -1.0}, "temperature must be 0 .greedy. or more, got -1"),
        ({"top_k": -1}, "top_k must be 0"),
        ({"top_p": 0.0}, "top_p must lie above 0"),
        ({"top_p": 1.5}, "top_p must lie above 0"),
    ],
)
def test_impossible_options(options, message):
    with pytest.raises(InputError, match=message):
        DecodeOptions(**options)
