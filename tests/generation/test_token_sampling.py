"""Drawing a symbol, against the distribution worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from molvae.errors import InputError
from molvae.generation.token_sampling import GREEDY, SamplingOptions, sample_tokens, token_log_probability

LOGITS = torch.tensor([1.0, -2.0, 0.5, 3.0, 2.9, -0.5])
PLACES = (torch.arange(10_000) + 0.5) / 10_000  # every part of (0, 1) equally


def _shares(options: SamplingOptions) -> np.ndarray:
    """How often each symbol is chosen when the random number runs evenly through (0, 1)."""
    chosen = sample_tokens(LOGITS.expand(len(PLACES), -1), options, PLACES)
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
    np.testing.assert_allclose(_shares(SamplingOptions(**options)), _expected(**options), atol=2e-4)


def test_greedy_takes_the_likeliest():
    assert _shares(GREEDY).tolist() == [0, 0, 0, 1, 0, 0]
    np.testing.assert_allclose(_shares(SamplingOptions(temperature=1e-3)), [0, 0, 0, 1, 0, 0])


def test_rows_are_drawn_apart():
    logits = torch.tensor([[0.0, 100.0], [100.0, 0.0]])
    assert sample_tokens(logits, SamplingOptions(), torch.tensor([0.5, 0.5])).tolist() == [1, 0]


def test_log_probability_is_the_models_own():
    symbols = torch.arange(len(LOGITS))
    scores = token_log_probability(LOGITS.expand(len(LOGITS), -1), symbols)
    np.testing.assert_allclose(scores, np.log(_expected()), rtol=1e-5)


def test_what_is_not_allowed_is_never_chosen():
    """And what is comes as often as it would among itself, before the cut."""
    allowed = torch.tensor([True, True, True, False, False, True])
    rows = LOGITS.expand(len(PLACES), -1)
    chosen = sample_tokens(rows, SamplingOptions(top_k=2), PLACES, allowed=allowed.expand(len(PLACES), -1))
    shares = np.bincount(chosen.numpy(), minlength=len(LOGITS)) / len(PLACES)
    two = np.exp([1.0, 0.5])
    np.testing.assert_allclose(shares[[0, 2]], two / two.sum(), atol=1e-3)
    assert shares[[1, 3, 4, 5]].sum() == 0
    assert sample_tokens(LOGITS[None], GREEDY, PLACES[:1], allowed=allowed[None]).item() == 0
    assert torch.equal(rows, LOGITS.expand(len(PLACES), -1))


def test_what_is_barred_is_never_chosen():
    """In its row; the others are the same to the last bit."""
    rows = LOGITS.expand(len(PLACES), -1)
    best = int(LOGITS.argmax())
    barred = torch.where(torch.arange(len(PLACES)) % 2 == 0, best, -best)
    symbols = sample_tokens(rows, SamplingOptions(), PLACES, banned=barred)
    assert (symbols[::2] != best).all()
    assert torch.equal(symbols[1::2], sample_tokens(rows, SamplingOptions(), PLACES)[1::2])
    shares = torch.bincount(symbols[::2], minlength=LOGITS.shape[-1]) / len(symbols[::2])
    expected = LOGITS.flatten().softmax(0).index_fill(0, torch.tensor(best), 0)
    torch.testing.assert_close(shares, expected / expected.sum(), atol=1e-3, rtol=0)


@pytest.mark.parametrize("options", [GREEDY, SamplingOptions()])
def test_what_is_barred_comes_where_nothing_else_is_allowed(options):
    only = torch.zeros(1, len(LOGITS), dtype=torch.bool).index_fill(1, torch.tensor(3), True)
    chosen = sample_tokens(
        LOGITS.expand(9, -1), options, PLACES[::1112], allowed=only.expand(9, -1), banned=torch.full((9,), 3)
    )
    assert chosen.tolist() == [3] * 9


def test_heat_is_a_temperature_for_each_row():
    rows = LOGITS.expand(len(PLACES), -1)
    heat = torch.where(torch.arange(len(PLACES)) % 2 == 0, 0.5, 3.0)
    mixed = sample_tokens(rows, SamplingOptions(temperature=0.8), PLACES, heat)
    for start, temperature in ((0, 0.4), (1, 2.4)):
        alone = sample_tokens(rows[start::2], SamplingOptions(temperature=temperature), PLACES[start::2])
        assert torch.equal(mixed[start::2], alone)
    assert torch.equal(sample_tokens(rows, GREEDY, PLACES, heat), sample_tokens(rows, GREEDY, PLACES))


@pytest.mark.parametrize("place", [1e-17, 1 - 2**-24])
def test_the_ends_of_the_interval_are_symbols_too(place):
    for options in (SamplingOptions(), SamplingOptions(top_k=2), SamplingOptions(top_p=0.5)):
        symbol = sample_tokens(LOGITS[None], options, torch.tensor([place]))
        assert _expected(top_k=options.top_k, top_p=options.top_p)[symbol.item()] > 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": -1.0}, "temperature must be 0 .greedy. or more, got -1"),
        ({"top_k": -1}, "top_k must be 0"),
        ({"top_p": 0.0}, "top_p must be greater than 0"),
        ({"top_p": 1.5}, "top_p must be greater than 0"),
    ],
)
def test_impossible_options(options, message):
    with pytest.raises(InputError, match=message):
        SamplingOptions(**options)
