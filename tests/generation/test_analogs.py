"""Drawing around seeds: budgets, rounds, and strings per latent."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from molvae.errors import InputError
from molvae.generation.analogs import Draws, Found, draw_around
from molvae.generation.engine import Engine
from molvae.generation.scheduling import finish
from molvae.generation.similarity_target import NEAREST, Dial, Gauge
from molvae.generation.token_sampling import GREEDY, DecodeOptions
from molvae.nn.latents import Posterior


def _found(checkpoint, draws, seeds=("CCO",)):
    z = torch.linspace(-1, 1, len(seeds) * 12).view(len(seeds), 12)
    posterior = Posterior(z, torch.full_like(z, -3.0))
    engine = Engine(checkpoint.model.decoder, 80)
    return finish(draw_around(engine, checkpoint.vocabulary, list(seeds), posterior, draws, noise_conditioned=True))


def test_strings_of_one_latent_share_it(tiny_checkpoint):
    """Greedily a latent has one string, so a budget of one latent's strings gives one molecule at most."""
    one_latent = Draws(wanted=50, noise_level=1.0, samples_per_latent=64, max_samples=64, options=GREEDY, seed=3)
    many_latents = Draws(wanted=50, noise_level=1.0, samples_per_latent=1, max_samples=64, options=GREEDY, seed=3)
    (same,), (different,) = _found(tiny_checkpoint, one_latent), _found(tiny_checkpoint, many_latents)
    assert same.decoded == different.decoded == 64
    assert len(same.molecules) <= 1
    assert len(different.molecules) > 5


def test_several_strings_of_a_latent_differ_when_sampled(tiny_checkpoint):
    draws = Draws(
        wanted=50,
        noise_level=1.0,
        samples_per_latent=64,
        max_samples=64,
        options=DecodeOptions(temperature=2.0),
        seed=3,
    )
    assert len(_found(tiny_checkpoint, draws)[0].molecules) > 1


@pytest.mark.parametrize("max_samples", [1, 100, 777])
def test_the_max_samples_is_kept_to_the_string(tiny_checkpoint, max_samples):
    (found,) = _found(tiny_checkpoint, Draws(wanted=10_000, max_samples=max_samples))
    assert found.decoded == max_samples
    assert len(found.molecules) <= found.valid <= max_samples


def test_no_more_than_wanted_and_no_seed(tiny_checkpoint):
    for found in _found(tiny_checkpoint, Draws(wanted=5, noise_level=0.9), ("CCO", "CCN", "CCC")):
        assert len(found.molecules) == 5
        assert found.seed not in found.molecules


def test_no_seeds(tiny_checkpoint):
    assert _found(tiny_checkpoint, Draws(), ()) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"wanted": 0}, "number of molecules must be 1 or more"),
        ({"noise_level": 1.1}, "noise level must lie in 0"),
        ({"samples_per_latent": 0}, "decodes per latent"),
        ({"max_samples": -1}, "budget must be 0"),
    ],
)
def test_impossible_draws(options, message):
    with pytest.raises(InputError, match=message):
        Draws(**options)


def test_a_dial_that_fills_gives_the_nearest_of_what_it_saw(tiny_checkpoint):
    """Too few are at 0.4 or more of ethanol; a strict dial gives these alone, and says what is missing."""
    draws = Draws(wanted=15, max_samples=600, dial=Dial(0.4, 1.0))
    (strict,) = _found(tiny_checkpoint, draws)
    (filled,) = _found(tiny_checkpoint, dataclasses.replace(draws, dial=NEAREST))
    assert 0 < len(strict.molecules) < 15
    assert len(filled.molecules) == 15
    assert list(filled.molecules)[: len(strict.molecules)] == list(strict.molecules)
    rest = [filled.similarity[name] for name in list(filled.molecules)[len(strict.molecules) :]]
    assert rest == sorted(rest, reverse=True)
    assert rest[0] < 0.4
    unused = set(filled.others) - set(filled.molecules)
    assert max(filled.similarity[name] for name in unused) <= rest[-1]
    statistics = filled.statistics(draws)
    assert statistics["found"] == 15
    assert statistics["in_range"] == len(strict.molecules) == strict.statistics(draws)["found"]
    assert (statistics["samples"], statistics["valid"]) == (600, filled.valid)


# --- estimate of the samples needed ---


def _short(**values):
    return Found("CCO", similarity={}, **values)


def test_samples_needed_follows_the_recent_rate():
    found = _short(molecules=dict.fromkeys(map(str, range(12)), 0.0))
    found.count(gained=12, drawn=50)
    found.count(gained=0, drawn=65)  # earlier rounds are weighted by 0.7: 8.4 of 100
    draws = Draws(wanted=20, max_samples=115)
    assert found.samples_needed(draws) == 211
    assert "8.4 %" in found.outlook(draws)
    found.left_out = 3  # three of the eight missing molecules are there and fit once the median allows them
    assert found.samples_needed(draws) == 175
    assert "3 molecules dropped" in found.outlook(draws)


def test_samples_needed_is_unknown_without_recent_molecules():
    found = _short()
    found.count(gained=0, drawn=100)
    assert found.samples_needed(Draws(max_samples=100)) is None
    assert "another noise level" in found.outlook(Draws(max_samples=100))
    found.rejected.update(["mw<20", "mw<20", "keep_scaffold"])
    found.gauge = Gauge(NEAREST, 100)
    outlook = found.outlook(Draws(max_samples=100))
    assert "3 molecules rejected (2 by mw<20, 1 by keep_scaffold)" in outlook
    assert "a wider similarity range, weaker filters or fewer molecules" in outlook
