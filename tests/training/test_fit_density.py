"""Fitted densities have the distribution of the latents that they were fitted to."""

from __future__ import annotations

import sys

import pytest
import torch

from molvae.errors import InputError, MissingExtraError
from molvae.nn.latents import mmd
from molvae.nn.priors import PRIORS, PriorConfig
from molvae.training import fit_prior
from molvae.training.fit_prior import fit_density

SMALL = {"components": 3, "width": 64}


def normal(*shape: int, random_state: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(random_state))


def two_clusters(count: int, random_state: int) -> torch.Tensor:
    """Two flat clusters far apart along the diagonal: neither Gaussian nor a product of one-dimensional densities."""
    z = normal(count, 4, random_state=random_state) * torch.tensor([1.0, 0.05, 1.0, 1.0])
    return z + 3 * (torch.arange(count) % 2 * 2 - 1)[:, None]


@pytest.mark.parametrize("kind", PRIORS)
def test_samples_are_distributed_as_the_latents(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("FLOW_STEPS", 700), ("FLOW_BATCH_SIZE", 128), ("FLOW_LEARNING_RATE", 1e-2)):
        monkeypatch.setattr(fit_prior, name, value)
    prior = fit_density(two_clusters(2000, 0), PriorConfig(4, kind=kind, **SMALL))
    test_latents = two_clusters(1000, 1)
    samples = prior.sample(normal(1000, prior.noise_dim, random_state=2))
    assert float(mmd(samples, test_latents)) < 0.02 < 0.3 < float(mmd(normal(1000, 4, random_state=3), test_latents))
    between_clusters = (samples.sum(1).abs() < 4).float().mean()
    assert float(between_clusters) < 0.05


@pytest.mark.parametrize("kind", PRIORS)
def test_fit_is_reproducible_and_restores_the_random_state(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fit_prior, "FLOW_STEPS", 5)
    z, noise, before = two_clusters(200, 0), normal(9, 5), torch.get_rng_state()
    first, again, other = (fit_density(z, PriorConfig(4, kind=kind, **SMALL), random_state=s) for s in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    noise = noise[:, : first.noise_dim]
    assert torch.equal(first.sample(noise), again.sample(noise))
    assert not torch.equal(first.sample(noise), other.sample(noise))
    assert not any(p.requires_grad for p in first.parameters())


@pytest.mark.parametrize("kind", PRIORS)
def test_constant_dimensions_and_few_molecules(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fit_prior, "FLOW_STEPS", 5)
    z = normal(3, 6)
    z[:, 2:] = 0.5
    prior = fit_density(z, PriorConfig(6, kind=kind, **SMALL))
    samples = prior.sample(normal(20, 7)[:, : 7 if kind == "mixture" else 6])
    assert samples.isfinite().all()
    assert float((samples[:, 2:] - 0.5).abs().max()) < 0.5


def test_too_few_molecules() -> None:
    with pytest.raises(InputError, match="3 molecules or more, got 2"):
        fit_density(normal(2, 4), PriorConfig(4, kind="mixture", **SMALL))
    with pytest.raises(InputError, match="2 molecules or more, got 1"):
        fit_density(normal(1, 4), PriorConfig(4, kind="flow"))


def test_missing_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.mixture", None)
    with pytest.raises(MissingExtraError, match=r"molvae\[fit\]"):
        fit_density(normal(30, 4), PriorConfig(4, kind="mixture"))
