"""Search around seeds: sample limits, rounds, samples per latent, and the estimate of the samples needed."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from molvae.errors import InputError
from molvae.generation.analogs import SearchOptions, SeedSearch, search_molecules
from molvae.generation.engine import Engine
from molvae.generation.interruption import SearchInterrupted
from molvae.generation.similarity_target import DEFAULT_TARGET, SimilarityTarget
from molvae.generation.token_sampling import GREEDY, SamplingOptions
from molvae.nn.latents import Posterior


def _search(checkpoint, options, seeds=("CCO",)):
    z = torch.linspace(-1, 1, len(seeds) * 12).view(len(seeds), 12)
    posterior = Posterior(z, torch.full_like(z, -3.0))
    engine = Engine(checkpoint.model.decoder, 80)
    return search_molecules(engine, checkpoint.vocabulary, list(seeds), posterior, options, noise_conditioned=True)


def test_samples_of_a_latent_share_it(tiny_checkpoint):
    """A latent has one greedy sample, so that the samples of one latent give one molecule at most."""
    options = SearchOptions(50, noise_level=1.0, samples_per_latent=64, max_samples=64, sampling=GREEDY, random_state=3)
    (one_latent,) = _search(tiny_checkpoint, options)
    (many_latents,) = _search(tiny_checkpoint, dataclasses.replace(options, samples_per_latent=1))
    assert one_latent.n_samples == many_latents.n_samples == 64
    assert len(one_latent.molecules) <= 1
    assert len(many_latents.molecules) > 5


def test_samples_of_a_latent_differ_when_sampled(tiny_checkpoint):
    high_temperature = SamplingOptions(temperature=2.0)
    options = SearchOptions(
        50, noise_level=1.0, samples_per_latent=64, max_samples=64, sampling=high_temperature, random_state=3
    )
    assert len(_search(tiny_checkpoint, options)[0].molecules) > 1


@pytest.mark.parametrize("max_samples", [1, 100, 777])
def test_max_samples_is_exact(tiny_checkpoint, max_samples):
    (search,) = _search(tiny_checkpoint, SearchOptions(10_000, max_samples=max_samples))
    assert search.n_samples == max_samples
    assert len(search.molecules) <= search.n_valid <= max_samples


def test_requested_number_of_molecules_without_the_seed(tiny_checkpoint):
    for search in _search(tiny_checkpoint, SearchOptions(5, noise_level=0.9), ("CCO", "CCN", "CCC")):
        assert len(search.molecules) == 5
        assert search.seed not in search.molecules


def test_no_seeds(tiny_checkpoint):
    assert _search(tiny_checkpoint, SearchOptions(), ()) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_molecules": 0}, "number of molecules must be 1 or more"),
        ({"noise_level": 1.1}, "noise_level must be between 0"),
        ({"samples_per_latent": 0}, "samples_per_latent must be 1"),
        ({"max_samples": -1}, "max_samples must be 0"),
    ],
)
def test_invalid_options(options, message):
    with pytest.raises(InputError, match=message):
        SearchOptions(**options)


def test_target_that_fills_up_adds_the_most_similar_molecules_outside(tiny_checkpoint):
    """Too few molecules have a similarity of 0.4 or more to ethanol."""
    options = SearchOptions(15, max_samples=600, target=SimilarityTarget(0.4, 1.0))
    (unfilled,) = _search(tiny_checkpoint, options)
    (filled,) = _search(tiny_checkpoint, dataclasses.replace(options, target=DEFAULT_TARGET))
    assert 0 < len(unfilled.molecules) < 15
    assert len(filled.molecules) == 15
    assert list(filled.molecules)[: len(unfilled.molecules)] == list(unfilled.molecules)
    outside = [filled.similarity[smiles] for smiles in list(filled.molecules)[len(unfilled.molecules) :]]
    assert outside == sorted(outside, reverse=True)
    assert outside[0] < 0.4
    unused = set(filled.outside) - set(filled.molecules)
    assert max(filled.similarity[smiles] for smiles in unused) <= outside[-1]
    statistics = filled.statistics()
    assert statistics["found"] == 15
    assert statistics["in_range"] == len(unfilled.molecules) == unfilled.statistics()["found"]
    assert (statistics["samples"], statistics["valid"]) == (600, filled.n_valid)


# --- estimate of the samples needed ---


def _incomplete_search(options, **values):
    return SeedSearch("CCO", options, similarity={}, **values)


def test_samples_needed_follows_the_recent_rate():
    molecules = dict.fromkeys(map(str, range(12)), 0.0)
    search = _incomplete_search(SearchOptions(20, max_samples=115), molecules=molecules)
    search.count_round(n_molecules=12, n_samples=50)
    search.count_round(n_molecules=0, n_samples=65)  # the first round is weighted by 0.7: 8.4 of 100
    assert search.samples_needed() == 211
    assert "8.4 %" in search.advice()


def test_samples_needed_is_unknown_without_recent_molecules():
    search = _incomplete_search(SearchOptions(max_samples=100))
    search.count_round(n_molecules=0, n_samples=100)
    assert search.samples_needed() is None
    assert "another noise level" in search.advice()
    search = _incomplete_search(SearchOptions(max_samples=100, target=DEFAULT_TARGET))
    search.count_round(n_molecules=0, n_samples=100)
    search.rejected.update(["mw<20", "mw<20", "another scaffold"])
    assert "3 candidates rejected (2 mw<20, 1 another scaffold)" in search.advice()
    assert "a wider similarity range, weaker filters or fewer molecules" in search.advice()


def test_samples_needed_is_unknown_without_samples():
    assert _incomplete_search(SearchOptions()).samples_needed() is None


@pytest.mark.parametrize("n_blocks", [0, 1, 3])
def test_interrupted_round_keeps_its_samples(tiny_checkpoint, monkeypatch, n_blocks):
    """Ctrl+C while a large round is decoded; the molecules so far are the first of the uninterrupted search."""
    options = SearchOptions(3000, noise_level=0.9, max_samples=3000)
    (whole,) = _search(tiny_checkpoint, options)
    stream = Engine.stream

    def interrupted(self, *arguments, **more):
        for number, block in enumerate(stream(self, *arguments, **more)):
            if number == n_blocks:
                raise KeyboardInterrupt
            yield block

    monkeypatch.setattr(Engine, "stream", interrupted)
    with pytest.raises(SearchInterrupted) as caught:
        _search(tiny_checkpoint, options)
    (search,) = caught.value.results
    assert (len(search.molecules) > 0) == (n_blocks > 0)
    assert list(search.molecules) == list(whole.molecules)[: len(search.molecules)]
    assert search.n_samples < 3000
    assert "0 of" in search.summary() or n_blocks


@pytest.mark.parametrize(("n_outside", "limit"), [(0, 5_000), (99, 5_000), (100, 2_000)])
def test_search_ends_earlier_if_molecules_outside_of_the_range_fill_up(n_outside, limit):
    search = SeedSearch("CCO", SearchOptions(100, target=DEFAULT_TARGET))
    search.outside = {"C" * (4 + i): -1.0 for i in range(n_outside)}
    while size := search.round_size():
        search.n_samples += size
    assert search.n_samples == limit
