"""Fitting: the density that comes out is the one that the latents were drawn from."""

from __future__ import annotations

import sys

import pytest
import torch

from molvae.errors import InputError, MissingExtraError
from molvae.nn.latents import mmd
from molvae.nn.priors import PRIORS, PriorConfig
from molvae.training import fit_prior as priors
from molvae.training.fit_prior import fit_prior

SMALL = {"components": 3, "width": 64}


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def two_clusters(count: int, seed: int) -> torch.Tensor:
    """What no Gaussian is, nor its dimensions each for itself: two flat discs, far apart along the diagonal."""
    z = normal(count, 4, seed=seed) * torch.tensor([1.0, 0.05, 1.0, 1.0])
    return z + 3 * (torch.arange(count) % 2 * 2 - 1)[:, None]


@pytest.mark.parametrize("kind", PRIORS)
def test_draws_are_like_new_latents(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("FLOW_STEPS", 700), ("FLOW_BATCH", 128), ("FLOW_RATE", 1e-2)):
        monkeypatch.setattr(priors, name, value)
    prior = fit_prior(two_clusters(2000, 0), PriorConfig(4, kind=kind, **SMALL))
    others = two_clusters(1000, 1)
    draws = prior.sample(normal(1000, prior.noise_dim, seed=2))
    assert float(mmd(draws, others)) < 0.02 < 0.3 < float(mmd(normal(1000, 4, seed=3), others))
    between = (draws.sum(1).abs() < 4).float().mean()
    assert float(between) < 0.05, "clusters, not what lies between them"


@pytest.mark.parametrize("kind", PRIORS)
def test_the_same_seed_gives_the_same_and_nothing_else_is_drawn_from(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(priors, "FLOW_STEPS", 5)
    z, noise, before = two_clusters(200, 0), normal(9, 5), torch.get_rng_state()
    first, again, other = (fit_prior(z, PriorConfig(4, kind=kind, **SMALL), seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    some = noise[:, : first.noise_dim]
    assert torch.equal(first.sample(some), again.sample(some))
    assert not torch.equal(first.sample(some), other.sample(some))
    assert not any(p.requires_grad for p in first.parameters())


@pytest.mark.parametrize("kind", PRIORS)
def test_collapsed_dimensions_and_few_molecules_are_no_trouble(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(priors, "FLOW_STEPS", 5)
    z = normal(3, 6)
    z[:, 2:] = 0.5
    draws = fit_prior(z, PriorConfig(6, kind=kind, **SMALL)).sample(normal(20, 7)[:, : 7 if kind == "mixture" else 6])
    assert draws.isfinite().all()
    assert float((draws[:, 2:] - 0.5).abs().max()) < 0.5


def test_too_few_molecules_are_rejected() -> None:
    with pytest.raises(InputError, match="3 molecules or more, got 2"):
        fit_prior(normal(2, 4), PriorConfig(4, kind="mixture", **SMALL))
    with pytest.raises(InputError, match="2 molecules or more, got 1"):
        fit_prior(normal(1, 4), PriorConfig(4, kind="flow"))


def test_without_scikit_learn_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.mixture", None)
    with pytest.raises(MissingExtraError, match=r"molvae\[fit\]"):
        fit_prior(normal(30, 4), PriorConfig(4, kind="mixture"))
