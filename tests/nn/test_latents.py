"""Latent distributions: standardization, sampling, noise levels, KL divergence, the sphere and MMD."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import tiny_config
from torch.distributions import Normal
from torch.distributions import kl_divergence as torch_kl_divergence

from molvae.nn.latents import (
    LATENTS,
    DeterministicLatent,
    GaussianLatent,
    HypersphereLatent,
    Posterior,
    kl_divergence,
    mmd,
    perturb,
    project_to_sphere,
)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("kind", [DeterministicLatent, GaussianLatent])
def test_means_are_standardized_in_training(kind):
    latent = kind(7, tiny_config()).train()
    mean = latent(normal(300, 7) * 5 + 2).mean
    torch.testing.assert_close(mean.mean(0), torch.zeros(5), atol=1e-4, rtol=0)
    torch.testing.assert_close(mean.std(0, unbiased=False), torch.ones(5), atol=1e-3, rtol=0)


@pytest.mark.parametrize("kind", LATENTS.values())
@pytest.mark.parametrize("rows", [0, 1, 3])
def test_posterior_rows_are_independent(kind, rows):
    latent = kind(7, tiny_config()).eval()
    molecules = normal(9, 7)
    torch.testing.assert_close(latent(molecules[:rows]).mean, latent(molecules).mean[:rows])


def test_deterministic_posterior_is_its_mean():
    posterior = DeterministicLatent(7, tiny_config()).eval()(normal(3, 7))
    assert posterior.log_variance is None
    assert torch.equal(posterior.sample(normal(3, 5)), posterior.mean)
    assert torch.equal(kl_divergence(posterior), torch.zeros(3))
    assert torch.equal(kl_divergence(posterior, 0.5), torch.zeros(3))


@pytest.mark.parametrize("kind", [DeterministicLatent, HypersphereLatent])
def test_deterministic_samples_do_not_depend_on_noise(kind):
    posterior = kind(7, tiny_config()).eval()(normal(3, 7))
    assert torch.equal(posterior.sample(normal(3, 5)), posterior.sample(normal(3, 5, seed=9)))


@pytest.mark.parametrize("log_variance", [None, normal(3, 2)])
def test_sample_of_a_row_equals_the_row_of_the_samples(log_variance):
    posterior, noise = Posterior(normal(3, 2, seed=1), log_variance), normal(3, 2, seed=2)
    assert posterior.noise_dim == 2
    assert torch.equal(posterior.row(1).sample(noise[1:2]), posterior.sample(noise)[1:2])


def test_samples_have_the_posterior_mean_and_variance():
    posterior = Posterior(torch.tensor([[1.0, -2.0]]), torch.tensor([[0.0, -2.0]]))
    samples = posterior.sample(normal(100_000, 2))
    torch.testing.assert_close(samples.mean(0), posterior.mean[0], atol=0.02, rtol=0)
    torch.testing.assert_close(samples.var(0), posterior.log_variance[0].exp(), atol=0.02, rtol=0)


def test_log_variance_has_a_gradient_at_any_value():
    """A hard lower bound would have no gradient for values below it."""
    latent = GaussianLatent(7, tiny_config())
    for bias in (-40.0, -3.0, 3.0):
        torch.nn.init.constant_(latent.log_variance.bias, bias)
        latent.zero_grad()
        log_variance = latent(normal(4, 7)).log_variance
        log_variance.sum().backward()
        assert log_variance.isfinite().all()
        assert latent.log_variance.bias.grad.abs().min() > 0


@given(st.integers(0, 10_000), st.integers(1, 6), st.integers(1, 6))
@settings(max_examples=30, deadline=None)
def test_kl_divergence_equals_torch_distributions(seed, rows, columns):
    mean, log_variance = normal(rows, columns, seed=seed), normal(rows, columns, seed=seed + 1)
    expected = torch_kl_divergence(Normal(mean, (log_variance / 2).exp()), Normal(0.0, 1.0))
    torch.testing.assert_close(kl_divergence(Posterior(mean, log_variance)), expected.sum(1))


def test_free_bits_are_a_constant_without_gradient():
    mean = torch.tensor([[0.1, 3.0], [-0.1, -3.0]], requires_grad=True)
    log_variance = torch.zeros(2, 2, requires_grad=True)
    kl = kl_divergence(Posterior(mean, log_variance), free_bits=0.25)
    torch.testing.assert_close(kl, torch.full((2,), 0.25 + 4.5))
    kl.sum().backward()
    assert torch.equal(mean.grad[:, 0], torch.zeros(2))
    torch.testing.assert_close(mean.grad[:, 1], mean.detach()[:, 1])


@pytest.mark.parametrize("noise_level", [0.0, 0.3, 0.9, 1.0])
def test_perturbed_latents_keep_the_standard_deviation(noise_level):
    z, noise = normal(20_000, 3), normal(20_000, 3, seed=1)
    perturbed = perturb(z, noise_level, noise)
    torch.testing.assert_close(perturbed.std(0), torch.ones(3), atol=0.03, rtol=0)
    torch.testing.assert_close(
        (perturbed * z).mean(0), torch.full((3,), (1 - noise_level**2) ** 0.5), atol=0.05, rtol=0
    )
    torch.testing.assert_close(perturb(z, torch.full((len(z), 1), noise_level), noise), perturbed)


def test_noise_level_0_is_the_identity_and_1_is_noise():
    z, noise = normal(4, 3), normal(4, 3, seed=1)
    assert torch.equal(perturb(z, 0, noise), z)
    assert torch.equal(perturb(z, 1, noise), noise)


# --- the sphere ---


def test_spherical_latents_stay_on_the_sphere():
    latent = HypersphereLatent(7, tiny_config()).eval()
    posterior, noise = latent(normal(50, 7)), normal(50, 5, seed=1)
    z, perturbed = posterior.mean, posterior.perturb
    for points in (z, project_to_sphere(noise), perturbed(z, 0.4, noise), perturbed(z, torch.rand(50, 1), noise)):
        torch.testing.assert_close(points.norm(dim=1), torch.full((50,), 5**0.5))
    torch.testing.assert_close(perturbed(z, 0.0, noise), z)
    torch.testing.assert_close(perturbed(z, 1.0, noise), project_to_sphere(noise))
    both = Posterior.concatenate([posterior.row(0), posterior.row(7)])
    torch.testing.assert_close(both.perturb(z[[0, 7]], 0.4, noise[:2]).norm(dim=1), torch.full((2,), 5**0.5))


def test_projected_noise_is_uniform_on_the_sphere():
    """In three dimensions each coordinate is uniform (Archimedes), with standard deviation 1."""
    samples = project_to_sphere(normal(50_000, 3))
    quantiles = torch.quantile(samples, torch.tensor([0.1, 0.25, 0.5, 0.75, 0.9]), dim=0)
    expected = 3**0.5 * torch.tensor([-0.8, -0.5, 0.0, 0.5, 0.8])
    torch.testing.assert_close(quantiles, expected[:, None].expand(5, 3), atol=0.03, rtol=0)
    torch.testing.assert_close(samples.std(0), torch.ones(3), atol=0.02, rtol=0)


def test_distance_on_the_sphere_increases_with_the_noise_level():
    z, noise = project_to_sphere(normal(500, 5)), normal(500, 5, seed=1)
    posterior = Posterior(z, spherical=True)
    cosines = [float((posterior.perturb(z, r, noise) * z).sum(1).mean() / 5) for r in (0.0, 0.2, 0.5, 0.8, 1.0)]
    assert cosines == sorted(cosines, reverse=True)
    assert cosines[0] == pytest.approx(1)
    assert abs(cosines[-1]) < 0.1


# --- maximum mean discrepancy ---


def brute_force_mmd(x, y):
    def kernel(a, b):
        widths = [2 * x.shape[1] * scale for scale in (0.1, 0.2, 0.5, 1, 2, 5, 10)]
        return sum(c / (c + float(((a - b) ** 2).sum())) for c in widths)

    def pairs(rows):
        return [kernel(a, b) for i, a in enumerate(rows) for j, b in enumerate(rows) if i != j]

    across = [kernel(a, b) for a in x for b in y]
    return sum(pairs(x)) / len(pairs(x)) + sum(pairs(y)) / len(pairs(y)) - 2 * sum(across) / len(across)


def test_mmd_equals_the_sum_over_all_pairs():
    x, y = normal(4, 3), normal(6, 3, seed=1) + 0.5
    assert float(mmd(x, y)) == pytest.approx(brute_force_mmd(x, y), abs=1e-5)


def test_mmd_detects_differences_beyond_mean_and_variance():
    """The corners of a cube have mean 0 and standard deviation 1, like standardized latents."""
    corners = normal(2000, 4).sign()
    same = mmd(normal(2000, 4, seed=1), normal(2000, 4, seed=2))
    assert abs(float(same)) < 0.005
    assert float(mmd(corners, normal(2000, 4, seed=2))) > 10 * abs(float(same))


def test_mmd_gradient_of_equal_points_is_finite():
    z = torch.zeros(3, 2, requires_grad=True)
    mmd(z, normal(5, 2)).backward()
    assert z.grad.isfinite().all()
    assert float(z.grad.abs().sum()) > 0
