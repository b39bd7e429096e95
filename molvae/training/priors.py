"""Fitting a learned prior to the latents of encoded molecules."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import torch
from torch import Tensor

from molvae.errors import InputError, MissingExtraError
from molvae.models.priors import FlowPrior, MixturePrior, Prior, PriorConfig

FLOW_STEPS, FLOW_BATCH, FLOW_RATE = 4_000, 512, 1e-3
MIXTURE_ROUNDS = 30
RIDGE = 1e-4
"""Added to variances: latents have some nearly empty directions."""

Tell = Callable[[str], None]


def fit_prior(z: Tensor, config: PriorConfig, *, seed: int = 0, tell: Tell = lambda _: None) -> Prior:
    """The density of latents z, N x D, as `config` says; the same seed and latents give the same.

    Raises `InputError` for too few latents, `MissingExtraError` for a mixture without scikit-learn.
    """
    least = max(2, config.components) if config.kind == "mixture" else 2
    if len(z) < least:
        raise InputError(f"a prior of this kind is fitted to {least} molecules or more, got {len(z)}")
    fit = {"mixture": fit_mixture, "flow": fit_flow}[config.kind]
    with torch.random.fork_rng(devices=[z.device] if z.is_cuda else []):
        torch.manual_seed(seed)
        return fit(z.float(), config, seed, tell).eval().requires_grad_(False)


def fit_mixture(z: Tensor, config: PriorConfig, seed: int, tell: Tell) -> Prior:
    """Expectation maximisation by scikit-learn."""
    try:
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.mixture import GaussianMixture
    except ImportError:
        raise MissingExtraError("fitting a mixture needs scikit-learn: pip install 'molvae[fit]'") from None
    model = GaussianMixture(
        config.components,
        max_iter=MIXTURE_ROUNDS,
        tol=1e-2,
        reg_covar=RIDGE,
        init_params="k-means++",
        random_state=seed,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the last digits of a density are not needed
        model.fit(z.cpu().double().numpy())
    tell(f"{config.components} Gaussians, {model.n_iter_} rounds, log-density {model.lower_bound_:.1f} nats a latent")
    prior = MixturePrior(config)
    prior.weights.copy_(torch.from_numpy(model.weights_))
    prior.means.copy_(torch.from_numpy(model.means_))
    prior.factors.copy_(torch.linalg.cholesky(torch.from_numpy(model.covariances_)))
    return prior.to(z.device)


def fit_flow(z: Tensor, config: PriorConfig, seed: int, tell: Tell) -> Prior:  # noqa: ARG001
    """Conditional flow matching: regress the straight way from noise to a latent, at a random point of it."""
    prior = FlowPrior(config).to(z.device)
    prior.mean.copy_(z.mean(0))
    prior.factor.copy_(torch.linalg.cholesky(torch.cov(z.T) + RIDGE * torch.eye(z.shape[1], device=z.device)))
    z = torch.linalg.solve_triangular(prior.factor, (z - prior.mean).T, upper=False).T.contiguous()
    optimiser = torch.optim.Adam(prior.parameters(), lr=FLOW_RATE)
    for step in range(FLOW_STEPS):
        end = z[torch.randint(len(z), (FLOW_BATCH,), device=z.device)]
        start, time = torch.randn_like(end), torch.rand(FLOW_BATCH, 1, device=z.device)
        loss = (prior.velocity(torch.lerp(start, end, time), time) - (end - start)).square().mean()
        optimiser.param_groups[0]["lr"] = FLOW_RATE * min(1, step / 200) * (1 - step / FLOW_STEPS)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if (step + 1) % 1_000 == 0:
            tell(f"flow: step {step + 1:,} of {FLOW_STEPS:,}, squared error {float(loss.detach()):.3f}")
    return prior
