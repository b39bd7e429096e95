"""Priors: functions of normal noise that give the density they are said to be."""

from __future__ import annotations

import pytest
import torch

from molvae.errors import InputError
from molvae.nn.priors import KINDS, FlowPrior, MixturePrior, PriorConfig, prior_from_config, unit_prior


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def filled(kind, spherical=False):
    """A learned prior with arrays that are not those it was made with."""
    torch.manual_seed(0)
    prior = prior_from_config(PriorConfig(3, kind=kind, components=4, width=8, spherical=spherical)).requires_grad_(
        False
    )
    for array in prior.state_dict().values():
        array.add_(0.3 * torch.randn_like(array))
    return prior


def priors():
    return [unit_prior(3), unit_prior(3, spherical=True), *(filled(k, s) for k in KINDS for s in (False, True))]


@pytest.mark.parametrize("prior", priors())
@pytest.mark.parametrize("rows", [0, 1, 7])
def test_a_draw_is_a_function_of_its_own_row_of_noise(prior, rows):
    noise = normal(9, prior.noise_size)
    together = prior.draw(noise)
    assert together.shape == (9, 3)
    torch.testing.assert_close(prior.draw(noise[:rows]), together[:rows])
    torch.testing.assert_close(prior.row(5).draw(noise), together)
    assert len(together.unique(dim=0)) == 9


@pytest.mark.parametrize("prior", priors())
def test_where_latents_are_spherical_draws_are_too(prior):
    draws = prior.draw(normal(50, prior.noise_size))
    moved = prior.perturb(draws, 0.5, normal(50, 3, seed=1))
    for points in (draws, moved):
        on_it = torch.allclose(points.norm(dim=1), torch.full((50,), 3**0.5))
        assert on_it == prior.config.spherical


def test_the_unit_prior_is_the_noise_and_fully_noisy():
    noise = normal(4, 3)
    assert torch.equal(unit_prior(3).draw(noise), noise)
    assert unit_prior(3).noise_level == 1


def test_a_mixture_has_the_weights_means_and_covariances_of_its_parts():
    prior = MixturePrior(PriorConfig(2, components=2))
    prior.weights.copy_(torch.tensor([0.25, 0.75]))
    prior.means.copy_(torch.tensor([[-10.0, 0.0], [10.0, 5.0]]))
    prior.factors.copy_(torch.stack([torch.eye(2), torch.tensor([[2.0, 0.0], [1.0, 0.5]])]))
    z = prior.draw(normal(40_000, 3))
    second = z[:, 0] > 0
    assert float(second.float().mean()) == pytest.approx(0.75, abs=0.01)
    torch.testing.assert_close(z[second].mean(0), prior.means[1], atol=0.05, rtol=0)
    torch.testing.assert_close(torch.cov(z[second].T), torch.tensor([[4.0, 2.0], [2.0, 1.25]]), atol=0.1, rtol=0)
    torch.testing.assert_close(torch.cov(z[~second].T), torch.eye(2), atol=0.05, rtol=0)


def test_the_last_weights_rounding_leaves_no_draw_out():
    """Half precision: weights that add up to a little less or more than 1."""
    prior = MixturePrior(PriorConfig(2, components=3))
    for total in (0.999, 1.001):
        prior.weights.copy_(torch.full((3,), total / 3))
        assert prior.draw(torch.tensor([[0.0, 0.0, 40.0], [0.0, 0.0, -40.0]])).isfinite().all()


def test_a_flow_integrates_its_velocity():
    """Velocity z: after time 1 the noise is e times as large, to the order of Heun's method."""
    prior = FlowPrior(PriorConfig(2, kind="flow", steps=20))
    prior.velocity = lambda z, _: z
    prior.mean.copy_(torch.tensor([1.0, -1.0]))
    prior.factor.copy_(torch.tensor([[2.0, 0.0], [1.0, 1.0]]))
    noise = normal(5, 2)
    expected = prior.mean + (torch.e * noise) @ prior.factor.T
    torch.testing.assert_close(prior.draw(noise), expected, atol=0.02, rtol=0)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"kind": "vine"}, "kind of prior is one of mixture, flow; got 'vine'"),
        ({"components": 0}, "components must be 1 or more, got 0"),
        ({"noise_level": 1.5}, "noise level must lie in 0 to 1, got 1.5"),
        ({"widht": 3}, "did you mean 'width'"),
    ],
)
def test_bad_settings_are_named(setting, message):
    with pytest.raises(InputError, match=message):
        PriorConfig(3).replace(**setting)
