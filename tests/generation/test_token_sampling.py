"""Sampling of tokens, compared with the distribution computed in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from molvae.errors import InputError
from molvae.generation.token_sampling import GREEDY, SamplingOptions, sample_tokens, token_log_probability

LOGITS = torch.tensor([1.0, -2.0, 0.5, 3.0, 2.9, -0.5])
UNIFORM = (torch.arange(10_000) + 0.5) / 10_000  # equally spaced in (0, 1)


def _frequencies(options: SamplingOptions) -> np.ndarray:
    """Frequency of each token over equally spaced random numbers."""
    chosen = sample_tokens(LOGITS.expand(len(UNIFORM), -1), options, UNIFORM)
    return np.bincount(chosen.numpy(), minlength=len(LOGITS)) / len(UNIFORM)


def _expected(temperature: float = 1.0, top_k: int = 0, top_p: float = 1.0) -> np.ndarray:
    p = np.exp(LOGITS.double().numpy() / temperature)
    p /= p.sum()
    kept, total = set(), 0.0
    for rank, token in enumerate(np.argsort(-p)):
        if (top_k and rank >= top_k) or total >= top_p:
            break
        kept.add(int(token))
        total += p[token]
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
def test_frequencies_equal_probabilities(options):
    np.testing.assert_allclose(_frequencies(SamplingOptions(**options)), _expected(**options), atol=2e-4)


def test_greedy_takes_the_most_likely_token():
    assert _frequencies(GREEDY).tolist() == [0, 0, 0, 1, 0, 0]
    np.testing.assert_allclose(_frequencies(SamplingOptions(temperature=1e-3)), [0, 0, 0, 1, 0, 0])


def test_rows_are_sampled_independently():
    logits = torch.tensor([[0.0, 100.0], [100.0, 0.0]])
    assert sample_tokens(logits, SamplingOptions(), torch.tensor([0.5, 0.5])).tolist() == [1, 0]


def test_log_probability_is_that_of_the_model():
    tokens = torch.arange(len(LOGITS))
    scores = token_log_probability(LOGITS.expand(len(LOGITS), -1), tokens)
    np.testing.assert_allclose(scores, np.log(_expected()), rtol=1e-5)


def test_tokens_that_are_not_allowed_are_never_sampled():
    """The allowed ones are renormalized before top-k."""
    allowed = torch.tensor([True, True, True, False, False, True])
    rows = LOGITS.expand(len(UNIFORM), -1)
    chosen = sample_tokens(rows, SamplingOptions(top_k=2), UNIFORM, allowed=allowed.expand(len(UNIFORM), -1))
    frequencies = np.bincount(chosen.numpy(), minlength=len(LOGITS)) / len(UNIFORM)
    two = np.exp([1.0, 0.5])
    np.testing.assert_allclose(frequencies[[0, 2]], two / two.sum(), atol=1e-3)
    assert frequencies[[1, 3, 4, 5]].sum() == 0
    assert sample_tokens(LOGITS[None], GREEDY, UNIFORM[:1], allowed=allowed[None]).item() == 0
    assert torch.equal(rows, LOGITS.expand(len(UNIFORM), -1))


def test_banned_token_is_never_sampled():
    """Other rows do not change."""
    rows = LOGITS.expand(len(UNIFORM), -1)
    best = int(LOGITS.argmax())
    banned = torch.where(torch.arange(len(UNIFORM)) % 2 == 0, best, -best)
    tokens = sample_tokens(rows, SamplingOptions(), UNIFORM, banned=banned)
    assert (tokens[::2] != best).all()
    assert torch.equal(tokens[1::2], sample_tokens(rows, SamplingOptions(), UNIFORM)[1::2])
    frequencies = torch.bincount(tokens[::2], minlength=LOGITS.shape[-1]) / len(tokens[::2])
    expected = LOGITS.flatten().softmax(0).index_fill(0, torch.tensor(best), 0)
    torch.testing.assert_close(frequencies, expected / expected.sum(), atol=1e-3, rtol=0)


@pytest.mark.parametrize("options", [GREEDY, SamplingOptions()])
def test_banned_token_is_sampled_if_no_other_is_allowed(options):
    only = torch.zeros(1, len(LOGITS), dtype=torch.bool).index_fill(1, torch.tensor(3), True)
    chosen = sample_tokens(
        LOGITS.expand(9, -1), options, UNIFORM[::1112], allowed=only.expand(9, -1), banned=torch.full((9,), 3)
    )
    assert chosen.tolist() == [3] * 9


def test_temperature_scale_per_row():
    rows = LOGITS.expand(len(UNIFORM), -1)
    scale = torch.where(torch.arange(len(UNIFORM)) % 2 == 0, 0.5, 3.0)
    mixed = sample_tokens(rows, SamplingOptions(temperature=0.8), UNIFORM, scale)
    for start, temperature in ((0, 0.4), (1, 2.4)):
        alone = sample_tokens(rows[start::2], SamplingOptions(temperature=temperature), UNIFORM[start::2])
        assert torch.equal(mixed[start::2], alone)
    assert torch.equal(sample_tokens(rows, GREEDY, UNIFORM, scale), sample_tokens(rows, GREEDY, UNIFORM))


@pytest.mark.parametrize("value", [1e-17, 1 - 2**-24])
def test_extreme_random_numbers_give_likely_tokens(value):
    for options in (SamplingOptions(), SamplingOptions(top_k=2), SamplingOptions(top_p=0.5)):
        token = sample_tokens(LOGITS[None], options, torch.tensor([value]))
        assert _expected(top_k=options.top_k, top_p=options.top_p)[token.item()] > 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": -1.0}, "temperature must be 0 .greedy. or more, got -1"),
        ({"top_k": -1}, "top_k must be 0"),
        ({"top_p": 0.0}, "top_p must be greater than 0"),
        ({"top_p": 1.5}, "top_p must be greater than 0"),
    ],
)
def test_invalid_options(options, message):
    with pytest.raises(InputError, match=message):
        SamplingOptions(**options)
