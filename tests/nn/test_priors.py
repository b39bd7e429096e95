"""Priors: samples are functions of normal noise and have the specified density."""

from __future__ import annotations

import pytest
import torch

from molvae.errors import InputError
from molvae.nn.priors import PRIORS, FlowPrior, MixturePrior, PriorConfig, prior_from_config, unit_prior


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def random_prior(kind, spherical=False):
    """A learned prior with random arrays."""
    torch.manual_seed(0)
    config = PriorConfig(3, kind=kind, components=4, width=8, spherical=spherical)
    prior = prior_from_config(config).requires_grad_(False)
    for array in prior.state_dict().values():
        array.add_(0.3 * torch.randn_like(array))
    return prior


def priors():
    return [unit_prior(3), unit_prior(3, spherical=True), *(random_prior(k, s) for k in PRIORS for s in (False, True))]


@pytest.mark.parametrize("prior", priors())
@pytest.mark.parametrize("rows", [0, 1, 7])
def test_sample_depends_on_its_own_noise_only(prior, rows):
    noise = normal(9, prior.noise_dim)
    together = prior.sample(noise)
    assert together.shape == (9, 3)
    torch.testing.assert_close(prior.sample(noise[:rows]), together[:rows])
    torch.testing.assert_close(prior.row(5).sample(noise), together)
    assert len(together.unique(dim=0)) == 9


@pytest.mark.parametrize("prior", priors())
def test_samples_of_spherical_priors_lie_on_the_sphere(prior):
    samples = prior.sample(normal(50, prior.noise_dim))
    perturbed = prior.perturb(samples, 0.5, normal(50, 3, seed=1))
    for points in (samples, perturbed):
        on_sphere = torch.allclose(points.norm(dim=1), torch.full((50,), 3**0.5))
        assert on_sphere == prior.config.spherical


def test_unit_prior_returns_the_noise_and_has_noise_level_1():
    noise = normal(4, 3)
    assert torch.equal(unit_prior(3).sample(noise), noise)
    assert unit_prior(3).noise_level == 1


def test_mixture_samples_have_the_moments_of_the_components():
    prior = MixturePrior(PriorConfig(2, components=2))
    prior.weights.copy_(torch.tensor([0.25, 0.75]))
    prior.means.copy_(torch.tensor([[-10.0, 0.0], [10.0, 5.0]]))
    prior.factors.copy_(torch.stack([torch.eye(2), torch.tensor([[2.0, 0.0], [1.0, 0.5]])]))
    z = prior.sample(normal(40_000, 3))
    second = z[:, 0] > 0
    assert float(second.float().mean()) == pytest.approx(0.75, abs=0.01)
    torch.testing.assert_close(z[second].mean(0), prior.means[1], atol=0.05, rtol=0)
    torch.testing.assert_close(torch.cov(z[second].T), torch.tensor([[4.0, 2.0], [2.0, 1.25]]), atol=0.1, rtol=0)
    torch.testing.assert_close(torch.cov(z[~second].T), torch.eye(2), atol=0.05, rtol=0)


def test_mixture_weights_need_not_add_up_to_1_exactly():
    """Weights in half precision add up to slightly less or more."""
    prior = MixturePrior(PriorConfig(2, components=3))
    for total in (0.999, 1.001):
        prior.weights.copy_(torch.full((3,), total / 3))
        assert prior.sample(torch.tensor([[0.0, 0.0, 40.0], [0.0, 0.0, -40.0]])).isfinite().all()


def test_flow_integrates_its_velocity():
    """With velocity z the noise grows by a factor of e until time 1."""
    prior = FlowPrior(PriorConfig(2, kind="flow", steps=20))
    prior.velocity = lambda z, _: z
    prior.mean.copy_(torch.tensor([1.0, -1.0]))
    prior.factor.copy_(torch.tensor([[2.0, 0.0], [1.0, 1.0]]))
    noise = normal(5, 2)
    expected = prior.mean + (torch.e * noise) @ prior.factor.T
    torch.testing.assert_close(prior.sample(noise), expected, atol=0.02, rtol=0)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"kind": "vine"}, "kind must be one of mixture, flow; got 'vine'"),
        ({"components": 0}, "components must be 1 or more, got 0"),
        ({"noise_level": 1.5}, "noise_level must be 1 or less, got 1.5"),
        ({"widht": 3}, "did you mean 'width'"),
    ],
)
def test_invalid_setting_is_an_error(setting, message):
    with pytest.raises(InputError, match=message):
        PriorConfig(3).replace(**setting)
