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
    return finish(draw_around(engine, checkpoint.vocabulary, list(seeds), posterior, draws, noise_aware=True))


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
    assert f"15 of 15 distinct molecules from 600 strings ({filled.valid} valid), " in filled.summary(draws)
    assert f", {len(strict.molecules)} of them at similarity 0.4 to 1" in filled.summary(draws)
    assert f"{len(strict.molecules)} of 15" in strict.summary(draws)


# --- what it would take ---


def _short(**values):
    return Found("CCO", similarity={}, **values)


def test_an_outlook_is_a_max_samples_at_the_pace_of_the_last_strings():
    found = _short(molecules=dict.fromkeys(map(str, range(12)), 0.0))
    found.count(gained=12, drawn=50)
    found.count(gained=0, drawn=65)  # rounds before count seven tenths: 8.4 of 100
    draws = Draws(wanted=20, max_samples=115)
    assert found.outlook(draws) == "8.4 in 100 strings give one by now: it takes a budget of 211, or more"
    found.left_out = 3  # of the eight; they fit once the five others are there
    assert found.outlook(draws) == (
        "3 more were left out, for they lie on one side of the target; "
        "8.4 in 100 strings give one by now: it takes a budget of 175, or more"
    )


def test_no_outlook_where_the_last_strings_gave_nothing():
    found = _short()
    found.count(gained=0, drawn=100)
    assert found.outlook(Draws(max_samples=100)) == "the last strings gave none: ask for another noise level or fewer"
    found.rejected.update(["mw<20", "mw<20", "keep the scaffold"])
    found.gauge = Gauge(NEAREST, 100)
    assert found.outlook(Draws(max_samples=100)) == (
        "3 others were rejected: 2 by mw<20, 1 by keep the scaffold; "
        "the last strings gave none: ask for another similarity, a wider band, other wishes or fewer"
    )
