"""Latents: z in units of the training set's spread, and the divergence that a textbook gives."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import tiny
from torch.distributions import Normal
from torch.distributions import kl_divergence as reference

from molvae.models.latents import (
    LATENTS,
    DeterministicLatent,
    GaussianLatent,
    Posterior,
    kl_divergence,
    perturb,
)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("kind", LATENTS.values())
def test_the_mean_has_spread_1_over_the_data(kind):
    latent = kind(7, tiny()).train()
    mean = latent(normal(300, 7) * 5 + 2).mean
    torch.testing.assert_close(mean.mean(0), torch.zeros(5), atol=1e-4, rtol=0)
    torch.testing.assert_close(mean.std(0, unbiased=False), torch.ones(5), atol=1e-3, rtol=0)


@pytest.mark.parametrize("kind", LATENTS.values())
@pytest.mark.parametrize("rows", [0, 1, 3])
def test_encoding_is_a_function_of_one_molecule(kind, rows):
    latent = kind(7, tiny()).eval()
    molecules = normal(9, 7)
    torch.testing.assert_close(latent(molecules[:rows]).mean, latent(molecules).mean[:rows])


def test_a_point_is_drawn_as_itself():
    posterior = DeterministicLatent(7, tiny()).eval()(normal(3, 7))
    assert posterior.log_variance is None
    assert torch.equal(posterior.draw(normal(3, 5)), posterior.mean)
    assert torch.equal(kl_divergence(posterior), torch.zeros(3))
    assert torch.equal(kl_divergence(posterior, 0.5), torch.zeros(3))


def test_draws_have_the_mean_and_the_variance():
    posterior = Posterior(torch.tensor([[1.0, -2.0]]), torch.tensor([[0.0, -2.0]]))
    draws = posterior.draw(normal(100_000, 2))
    torch.testing.assert_close(draws.mean(0), posterior.mean[0], atol=0.02, rtol=0)
    torch.testing.assert_close(draws.var(0), posterior.log_variance[0].exp(), atol=0.02, rtol=0)


def test_log_variance_is_learned_wherever_it_goes():
    """A floor without a gradient would hold what once fell below it."""
    latent = GaussianLatent(7, tiny())
    for bias in (-40.0, -3.0, 3.0):
        torch.nn.init.constant_(latent.log_variance.bias, bias)
        latent.zero_grad()
        log_variance = latent(normal(4, 7)).log_variance
        log_variance.sum().backward()
        assert log_variance.isfinite().all()
        assert latent.log_variance.bias.grad.abs().min() > 0


@given(st.integers(0, 10_000), st.integers(1, 6), st.integers(1, 6))
@settings(max_examples=30, deadline=None)
def test_divergence_is_that_of_torch(seed, rows, columns):
    mean, log_variance = normal(rows, columns, seed=seed), normal(rows, columns, seed=seed + 1)
    each = reference(Normal(mean, (log_variance / 2).exp()), Normal(0.0, 1.0))
    torch.testing.assert_close(kl_divergence(Posterior(mean, log_variance)), each.sum(1))


def test_free_bits_cost_their_floor_and_pull_no_more():
    mean = torch.tensor([[0.1, 3.0], [-0.1, -3.0]], requires_grad=True)
    log_variance = torch.zeros(2, 2, requires_grad=True)
    kl = kl_divergence(Posterior(mean, log_variance), free_bits=0.25)
    torch.testing.assert_close(kl, torch.full((2,), 0.25 + 4.5))
    kl.sum().backward()
    assert torch.equal(mean.grad[:, 0], torch.zeros(2))
    torch.testing.assert_close(mean.grad[:, 1], mean.detach()[:, 1])


@pytest.mark.parametrize("radius", [0.0, 0.3, 0.9, 1.0])
def test_moving_keeps_the_spread(radius):
    z, noise = normal(20_000, 3), normal(20_000, 3, seed=1)
    moved = perturb(z, radius, noise)
    torch.testing.assert_close(moved.std(0), torch.ones(3), atol=0.03, rtol=0)
    torch.testing.assert_close((moved * z).mean(0), torch.full((3,), (1 - radius**2) ** 0.5), atol=0.05, rtol=0)
    torch.testing.assert_close(perturb(z, torch.full((len(z), 1), radius), noise), moved)


def test_radius_0_stays_and_1_forgets():
    z, noise = normal(4, 3), normal(4, 3, seed=1)
    assert torch.equal(perturb(z, 0, noise), z)
    assert torch.equal(perturb(z, 1, noise), noise)
