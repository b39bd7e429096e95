"""Latents: from an encoder's vector to z, one point or a Gaussian, in units that noise can be measured in.

The mean is standardised over the training set (batch normalisation without scale or shift), so that each
latent dimension has mean 0 and spread 1 over encoded molecules. A radius then means the same in every
dimension and every model, and a Gaussian latent cannot collapse (Zhu et al. 2020, "A batch normalized
inference network keeps the KL vanishing away").
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from molvae.models.config import ModelConfig

LOG_VARIANCE_FLOOR = -8.0
"""The least log-variance of a posterior: a standard deviation of 0.018 of the latent space's spread."""


@dataclass(frozen=True)
class Posterior:
    """q(z given x): `mean` B x D, and `log_variance` B x D, or None where q is a point."""

    mean: Tensor
    log_variance: Tensor | None = None

    def draw(self, noise: Tensor) -> Tensor:
        """z from standard normal `noise` B x D, reparameterised (Kingma & Welling 2014); a point stays."""
        if self.log_variance is None:
            return self.mean
        return self.mean + (0.5 * self.log_variance).exp() * noise

    @classmethod
    def concatenate(cls, parts: Sequence[Posterior]) -> Posterior:
        """The posteriors of several batches as one, in order."""
        variances = [p.log_variance for p in parts if p.log_variance is not None]
        return cls(torch.cat([p.mean for p in parts]), torch.cat(variances) if variances else None)


class DeterministicLatent(nn.Module):
    """An autoencoder's latent: `encode` is a function."""

    def __init__(self, input_width: int, config: ModelConfig) -> None:
        super().__init__()
        self.mean = nn.Linear(input_width, config.latent_size)
        self.standardise = nn.BatchNorm1d(config.latent_size, affine=False)

    def forward(self, molecule: Tensor) -> Posterior:
        return Posterior(self.standardise(self.mean(molecule).float()))


class GaussianLatent(DeterministicLatent):
    """A variational autoencoder's latent: a mean and a log-variance per dimension."""

    def __init__(self, input_width: int, config: ModelConfig) -> None:
        super().__init__(input_width, config)
        self.log_variance = nn.Linear(input_width, config.latent_size)
        nn.init.zeros_(self.log_variance.weight)
        nn.init.constant_(self.log_variance.bias, -3.0)

    def forward(self, molecule: Tensor) -> Posterior:
        # a floor that the gradient passes: a hard one keeps what fell onto it while the KL weight was 0
        log_variance = LOG_VARIANCE_FLOOR + softplus(self.log_variance(molecule).float() - LOG_VARIANCE_FLOOR)
        return Posterior(super().forward(molecule).mean, log_variance)


def kl_divergence(posterior: Posterior, free_bits: float = 0.0) -> Tensor:
    """KL(q || unit Gaussian) in nats a molecule, B; below `free_bits` nats (batch mean) a dimension is free.

    0 for a point, whose divergence is not defined. Free bits: Kingma et al. 2016.
    """
    if posterior.log_variance is None:
        return torch.zeros(len(posterior.mean), device=posterior.mean.device)
    mean, log_variance = posterior.mean, posterior.log_variance
    each = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance)  # B x D
    if free_bits:
        each = torch.where(each.mean(0) > free_bits, each, each.detach() * 0 + free_bits)
    return each.sum(1)


def perturb(z: Tensor, radius: Tensor | float, noise: Tensor) -> Tensor:
    """Move z (B x D) a `radius` of 0 (stay) to 1 (a draw from the unit Gaussian) along `noise` (B x D).

    sqrt(1 - r^2) z + r noise keeps the spread of the latent space at 1, so a perturbed latent is as typical
    as an encoded one; `radius` is a number or B x 1.
    """
    if isinstance(radius, float | int):
        return math.sqrt(1 - radius**2) * z + radius * noise
    return (1 - radius.square()).sqrt() * z + radius * noise


LATENTS: dict[str, type[DeterministicLatent]] = {
    "deterministic": DeterministicLatent,
    "gaussian": GaussianLatent,
}
