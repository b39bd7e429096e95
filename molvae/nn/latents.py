"""Latent distributions: from the encoder's output to q(z|x), and noise that moves latents by a defined amount.

All posteriors and priors (`nn.priors`) share one interface: `sample` maps standard normal noise to z, and `perturb`
moves z by a noise level. Two terms pull q towards the prior: `kl_divergence` for each molecule, or `mmd` for the batch
as a whole (Wasserstein autoencoder, which also works for deterministic latents).

The posterior mean is standardized over the training set (batch normalization without scale and shift), so every latent
dimension has mean 0 and standard deviation 1 over encoded molecules. A noise level therefore means the same in every
dimension and every model, and the KL divergence cannot vanish (Zhu et al. 2020, "A batch normalized inference network
keeps the KL vanishing away").
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize, softplus

from molvae.errors import CheckpointError
from molvae.nn.config import ModelConfig

MIN_LOG_VARIANCE = -8.0
"""Lower bound of a posterior's log-variance, a standard deviation of 0.018."""

MMD_SCALES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
"""Kernel widths of `mmd`, in units of the expected squared distance of two samples from the prior."""


@dataclass(frozen=True)
class Posterior:
    """The posterior q(z|x) of B molecules.

    Parameters
    ----------
    mean : Tensor, shape (B, D)
        Posterior means.
    log_variance : Tensor, shape (B, D), optional
        Logarithms of the variances; None if the posterior is a point.
    spherical : bool
        Whether latents lie on the sphere with radius sqrt(D).
    """

    mean: Tensor
    log_variance: Tensor | None = None
    spherical: bool = False

    def sample(self, noise: Tensor) -> Tensor:
        """Latents (B, D) from standard normal `noise` (B, D), reparameterized (Kingma & Welling 2014)."""
        if self.log_variance is None:
            return self.mean
        return self.mean + (0.5 * self.log_variance).exp() * noise

    def perturb(self, z: Tensor, noise_level: Tensor | float, noise: Tensor) -> Tensor:
        """Move latents by a noise level, see `perturb`; spherical latents stay on the sphere."""
        perturbed = perturb(z, noise_level, noise)
        return project_to_sphere(perturbed) if self.spherical else perturbed

    @property
    def noise_dim(self) -> int:
        """Normal random numbers that `sample` uses per row."""
        return self.mean.shape[1]

    @property
    def device(self) -> torch.device:
        """Device of the tensors."""
        return self.mean.device

    def row(self, index: int) -> Posterior:
        """Posterior of one molecule, with tensors of shape (1, D)."""
        log_variance = None if self.log_variance is None else self.log_variance[index : index + 1]
        return Posterior(self.mean[index : index + 1], log_variance, self.spherical)

    def checked(self) -> Self:
        """The posterior itself. Raises `CheckpointError` if it is not finite, which only damaged weights give."""
        finite = self.mean.isfinite().all(1)
        if self.log_variance is not None:
            finite &= (0.5 * self.log_variance).exp().isfinite().all(1)
        if not finite.all():
            raise CheckpointError(
                f"the model computes latents that are not finite (NaN or infinite) for {int((~finite).sum()):,} of "
                f"{len(finite):,} molecules: its weights.safetensors is damaged, or its training diverged"
            )
        return self

    @classmethod
    def concatenate(cls, parts: Sequence[Posterior]) -> Posterior:
        """Join the posteriors of several batches, in order."""
        variances = [p.log_variance for p in parts if p.log_variance is not None]
        spherical = any(p.spherical for p in parts)
        return cls(torch.cat([p.mean for p in parts]), torch.cat(variances) if variances else None, spherical)


class DeterministicLatent(nn.Module):
    """Latent of an autoencoder: the posterior is a point.

    Parameters
    ----------
    input_dim : int
        Dimension of the encoder's output.
    config : ModelConfig
        Gives `latent_dim`.
    """

    spherical: ClassVar[bool] = False

    def __init__(self, input_dim: int, config: ModelConfig) -> None:
        super().__init__()
        self.mean = nn.Linear(input_dim, config.latent_dim)
        self.standardize = nn.BatchNorm1d(config.latent_dim, affine=False)

    def forward(self, features: Tensor) -> Posterior:
        """Molecule features (B, input_dim) -> posterior."""
        return Posterior(self.standardize(self.mean(features).float()))


class GaussianLatent(DeterministicLatent):
    """Latent of a variational autoencoder: a Gaussian with diagonal covariance."""

    def __init__(self, input_dim: int, config: ModelConfig) -> None:
        super().__init__(input_dim, config)
        self.log_variance = nn.Linear(input_dim, config.latent_dim)
        nn.init.zeros_(self.log_variance.weight)
        nn.init.constant_(self.log_variance.bias, -3.0)

    def forward(self, features: Tensor) -> Posterior:
        # A soft lower bound: a hard one has no gradient, so values that reach it while the KL weight is 0 stay there.
        log_variance = MIN_LOG_VARIANCE + softplus(self.log_variance(features).float() - MIN_LOG_VARIANCE)
        return Posterior(super().forward(features).mean, log_variance)


class HypersphereLatent(DeterministicLatent):
    """Latent of an autoencoder on the sphere with radius sqrt(D), where the prior is uniform.

    Noise is a projected normal distribution: add noise in the surrounding space, then project to the sphere. Noise
    level 1 gives the uniform distribution exactly. With noise of a fixed level (`latent_noise`) the model is a
    spherical VAE whose KL divergence is a constant, as with the fixed concentration of [1]_. The term that spreads
    molecules over the sphere is `mmd`. A von Mises-Fisher or power spherical posterior [2]_ would learn its
    concentration, but its samples are not a simple function of normal noise.

    References
    ----------
    .. [1] Xu & Durrett 2018, "Spherical latent spaces for stable variational autoencoders".
    .. [2] De Cao & Aziz 2020, "The power spherical distribution".
    """

    spherical = True

    def forward(self, features: Tensor) -> Posterior:
        return Posterior(project_to_sphere(super().forward(features).mean), spherical=True)


def kl_divergence(posterior: Posterior, free_bits: float = 0.0) -> Tensor:
    """KL divergence of the posterior from the standard normal prior.

    Parameters
    ----------
    posterior : Posterior
        q(z|x) of B molecules.
    free_bits : float
        Nats per dimension, averaged over the batch, below which a dimension is not penalized further [1]_.

    Returns
    -------
    Tensor, shape (B,)
        Nats per molecule. 0 for a deterministic posterior, where the divergence is undefined.

    References
    ----------
    .. [1] Kingma et al. 2016, "Improved variational inference with inverse autoregressive flow".
    """
    if posterior.log_variance is None:
        return torch.zeros(len(posterior.mean), device=posterior.mean.device)
    mean, log_variance = posterior.mean, posterior.log_variance
    kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance)  # B x D
    if free_bits:
        kl = torch.where(kl.mean(0) > free_bits, kl, kl.detach() * 0 + free_bits)
    return kl.sum(1)


def mmd(z: Tensor, prior: Tensor) -> Tensor:
    """Squared maximum mean discrepancy between two sets of latents, as in Wasserstein autoencoders [1]_.

    The kernel is a sum of inverse multiquadratics c / (c + ||a - b||^2). The estimate is unbiased: it is 0 on average
    for equal distributions and can be negative. In training it is slightly negative, because each batch is
    standardized by its own statistics.

    Parameters
    ----------
    z : Tensor, shape (N, D)
        Latents, N >= 2.
    prior : Tensor, shape (M, D)
        Samples from the prior, M >= 2.

    Returns
    -------
    Tensor
        A scalar.

    References
    ----------
    .. [1] Tolstikhin et al. 2018, "Wasserstein auto-encoders".
    """
    widths = 2 * z.shape[1] * torch.tensor(MMD_SCALES, device=z.device)[:, None, None]

    def kernel(a: Tensor, b: Tensor) -> Tensor:
        return (widths / (widths + torch.cdist(a, b).square())).sum(0)

    def mean_of_pairs(a: Tensor) -> Tensor:
        similarity = kernel(a, a)
        return (similarity.sum() - similarity.diagonal().sum()) / (len(a) * (len(a) - 1))

    return mean_of_pairs(z) + mean_of_pairs(prior) - 2 * kernel(z, prior).mean()


def project_to_sphere(z: Tensor) -> Tensor:
    """Scale each row of (B, D) to the norm sqrt(D). Standard normal noise becomes uniform on the sphere."""
    return math.sqrt(z.shape[1]) * normalize(z, dim=1)


def perturb(z: Tensor, noise_level: Tensor | float, noise: Tensor) -> Tensor:
    """Mix latents with noise: sqrt(1 - noise_level^2) z + noise_level noise.

    Preserves the variance: if z has standard deviation 1 in every dimension, so has the mixture.

    Parameters
    ----------
    z : Tensor, shape (B, D)
        Latents.
    noise_level : float or Tensor of shape (B, 1)
        From 0 (z unchanged) to 1 (a sample of the standard normal distribution).
    noise : Tensor, shape (B, D)
        Standard normal noise.

    Returns
    -------
    Tensor, shape (B, D)
    """
    if isinstance(noise_level, float | int):
        return math.sqrt(1 - noise_level**2) * z + noise_level * noise
    return (1 - noise_level.square()).sqrt() * z + noise_level * noise


LATENTS: dict[str, type[DeterministicLatent]] = {
    "deterministic": DeterministicLatent,
    "gaussian": GaussianLatent,
    "hypersphere": HypersphereLatent,
}
