"""Latents: from an encoder's vector to z, in units that noise can be measured in.

One interface for all: q(z given x), whose `draw` turns standard normal noise into z and whose `perturb` moves z by a
noise level; a prior (`models.priors`) has the same two. What pulls q towards the prior is `kl_divergence`, molecule by
molecule, or `mmd`, on a batch as a whole (a Wasserstein autoencoder, also of points).

The mean is standardized over the training set (batch normalization without scale or shift), so that each
latent dimension has mean 0 and spread 1 over encoded molecules. A noise level then means the same in every
dimension and every model, and a Gaussian latent cannot collapse (Zhu et al. 2020, "A batch normalized
inference network keeps the KL vanishing away").
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize, softplus

from molvae.nn.config import ModelConfig

LOG_VARIANCE_FLOOR = -8.0
"""The least log-variance of a posterior: a standard deviation of 0.018 of the latent space's spread."""

MMD_SCALES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
"""Widths of the kernels of `mmd`, in units of the squared distance between two draws from the prior."""


@dataclass(frozen=True)
class Posterior:
    """q(z given x): `mean` B x D, and `log_variance` B x D, or None where q is a point; `spherical`: on a sphere."""

    mean: Tensor
    log_variance: Tensor | None = None
    spherical: bool = False

    def draw(self, noise: Tensor) -> Tensor:
        """z from standard normal `noise` B x D, reparameterized (Kingma & Welling 2014); a point stays."""
        if self.log_variance is None:
            return self.mean
        return self.mean + (0.5 * self.log_variance).exp() * noise

    def perturb(self, z: Tensor, noise_level: Tensor | float, noise: Tensor) -> Tensor:
        """Move z (B x D) a `noise level` of 0 (stay) to 1 (a draw from the unit prior); a number or B x 1."""
        moved = perturb(z, noise_level, noise)
        return on_sphere(moved) if self.spherical else moved

    @property
    def noise_size(self) -> int:
        """How many normal numbers `draw` takes a row."""
        return self.mean.shape[1]

    @property
    def device(self) -> torch.device:
        return self.mean.device

    def row(self, index: int) -> Posterior:
        """q of one molecule, 1 x D."""
        log_variance = None if self.log_variance is None else self.log_variance[index : index + 1]
        return Posterior(self.mean[index : index + 1], log_variance, self.spherical)

    @classmethod
    def concatenate(cls, parts: Sequence[Posterior]) -> Posterior:
        """The posteriors of several batches as one, in order."""
        variances = [p.log_variance for p in parts if p.log_variance is not None]
        spherical = any(p.spherical for p in parts)
        return cls(torch.cat([p.mean for p in parts]), torch.cat(variances) if variances else None, spherical)


class DeterministicLatent(nn.Module):
    """An autoencoder's latent: `encode` is a function."""

    spherical: ClassVar[bool] = False

    def __init__(self, input_width: int, config: ModelConfig) -> None:
        super().__init__()
        self.mean = nn.Linear(input_width, config.latent_dim)
        self.standardize = nn.BatchNorm1d(config.latent_dim, affine=False)

    def forward(self, molecule: Tensor) -> Posterior:
        return Posterior(self.standardize(self.mean(molecule).float()))


class GaussianLatent(DeterministicLatent):
    """A variational autoencoder's latent: a mean and a log-variance per dimension."""

    def __init__(self, input_width: int, config: ModelConfig) -> None:
        super().__init__(input_width, config)
        self.log_variance = nn.Linear(input_width, config.latent_dim)
        nn.init.zeros_(self.log_variance.weight)
        nn.init.constant_(self.log_variance.bias, -3.0)

    def forward(self, molecule: Tensor) -> Posterior:
        # a floor that the gradient passes: a hard one keeps what fell onto it while the KL weight was 0
        log_variance = LOG_VARIANCE_FLOOR + softplus(self.log_variance(molecule).float() - LOG_VARIANCE_FLOOR)
        return Posterior(super().forward(molecule).mean, log_variance)


class HypersphereLatent(DeterministicLatent):
    """A point on the sphere of noise level sqrt(D), which has spread 1 in each dimension; the prior is uniform on it.

    Its noise is a projected normal: move in the surrounding space, return to the sphere; noise level 1 is the uniform
    distribution exactly. Trained with noise of one fixed noise level (`latent_noise`) this is a spherical VAE whose
    KL divergence from the prior is the same number for every molecule, and so drops out of the loss, as for the fixed
    concentration of Xu & Durrett 2018 ("Spherical latent spaces for stable variational autoencoders"). What
    spreads the molecules over the sphere is `mmd`. A von Mises-Fisher or power spherical (De Cao & Aziz 2020) posterior
    would learn its concentration, but is no simple function of normal noise.
    """

    spherical = True

    def forward(self, molecule: Tensor) -> Posterior:
        return Posterior(on_sphere(super().forward(molecule).mean), spherical=True)


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


def mmd(z: Tensor, prior: Tensor) -> Tensor:
    """Squared maximum mean discrepancy of two batches of latents (N x D and M x D, 2 rows or more each), 0-d.

    0 on average where both come from one distribution: the estimate is unbiased, so it may be negative, and is by a
    little in training, where a batch is standardized by itself. Sum of inverse multiquadratic kernels
    c / (c + |a - b|^2), as in Tolstikhin et al. 2018, "Wasserstein auto-encoders".
    """
    widths = 2 * z.shape[1] * torch.tensor(MMD_SCALES, device=z.device)[:, None, None]

    def likeness(a: Tensor, b: Tensor) -> Tensor:
        return (widths / (widths + torch.cdist(a, b).square())).sum(0)

    def within(a: Tensor) -> Tensor:
        kernel = likeness(a, a)
        return (kernel.sum() - kernel.diagonal().sum()) / (len(a) * (len(a) - 1))

    return within(z) + within(prior) - 2 * likeness(z, prior).mean()


def on_sphere(z: Tensor) -> Tensor:
    """Where the ray through each row (B x D) meets the sphere of noise level sqrt(D): of normal noise, uniform draws."""
    return math.sqrt(z.shape[1]) * normalize(z, dim=1)


def perturb(z: Tensor, noise_level: Tensor | float, noise: Tensor) -> Tensor:
    """Move z (B x D) a `noise level` of 0 (stay) to 1 (a draw from the unit Gaussian) along `noise` (B x D).

    sqrt(1 - r^2) z + r noise keeps the spread of the latent space at 1, so a perturbed latent is as typical
    as an encoded one; `noise level` is a number or B x 1.
    """
    if isinstance(noise_level, float | int):
        return math.sqrt(1 - noise_level**2) * z + noise_level * noise
    return (1 - noise_level.square()).sqrt() * z + noise_level * noise


LATENTS: dict[str, type[DeterministicLatent]] = {
    "deterministic": DeterministicLatent,
    "gaussian": GaussianLatent,
    "hypersphere": HypersphereLatent,
}
