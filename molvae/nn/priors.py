"""Priors: distributions of latents for sampling without a seed molecule.

Training pulls the posterior towards the standard normal distribution but does not reach it: the aggregate posterior has
correlated and nearly empty directions, which samples of the standard normal miss [1]_ [2]_. A learned prior is a
density fitted to the latents of encoded molecules after training (`molvae.training.fit_prior`).

Priors have the interface of `Posterior`: `sample` is a function of standard normal noise, so that prior samples and
analogs use the same random number generator. Before decoding, a sample is perturbed by the prior's `noise_level`, on
which the decoder is conditioned.

References
----------
.. [1] Dai & Wipf 2019, "Diagnosing and enhancing VAE models".
.. [2] Ghosh et al. 2020, "From variational to deterministic autoencoders".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

import torch
from torch import Tensor, nn

from molvae.data.json_files import check_limits, option
from molvae.errors import InputError
from molvae.nn.config import MAX_DIM, JsonConfig
from molvae.nn.latents import Posterior, perturb, project_to_sphere

PRIORS = ("mixture", "flow")
"""Kinds of learned priors."""

MAX_STEPS = 10_000
"""Maximum number of integration steps of the flow."""

_N_TIME_FREQUENCIES = 8
"""Sine and cosine pairs that encode the time of the flow."""


@dataclass(frozen=True)
class PriorConfig(JsonConfig):
    """Settings of a prior; saved in config.json; the arrays are in prior.safetensors.

    Parameters
    ----------
    latent_dim : int
        Dimension of z.
    kind : {"mixture", "flow"}
        Gaussian mixture or flow matching.
    spherical : bool
        Whether samples are projected to the sphere with radius sqrt(latent_dim).
    components : int
        Components of the mixture.
    width : int
        Hidden dimension of the flow's network.
    steps : int
        Integration steps of the flow.
    noise_level : float
        Noise level, 0 to 1, by which samples are perturbed before they are decoded.
    """

    latent_dim: int = field(metadata=option(min=1, max=MAX_DIM))
    kind: str = field(default="mixture", metadata=option(choices=PRIORS))
    spherical: bool = False
    components: int = field(default=4, metadata=option(min=1, max=MAX_DIM))
    width: int = field(default=512, metadata=option(min=1, max=MAX_DIM))
    steps: int = field(default=8, metadata=option(min=1, max=MAX_STEPS))
    noise_level: float = field(default=0.8, metadata=option(min=0, max=1))

    def __post_init__(self) -> None:
        check_limits(self)


class Prior(nn.Module):
    """The standard normal prior, and the base class of learned priors.

    If latents are spherical, samples are projected to the sphere, where the standard normal becomes uniform.
    """

    _device_buffer: Tensor

    def __init__(self, config: PriorConfig) -> None:
        super().__init__()
        self.config = config
        # the standard normal prior has no arrays, but needs a device
        self.register_buffer("_device_buffer", torch.zeros(0), persistent=False)

    @property
    def noise_dim(self) -> int:
        """Normal random numbers that `sample` uses per row."""
        return self.config.latent_dim

    @property
    def device(self) -> torch.device:
        """Device of the arrays."""
        return self._device_buffer.device

    @property
    def noise_level(self) -> float:
        """Noise level by which samples are perturbed before they are decoded."""
        return self.config.noise_level

    def row(self, _: int) -> Self:
        """The prior itself: it is the same for every row. `Posterior.row` has one distribution per molecule."""
        return self

    def sample(self, noise: Tensor) -> Tensor:
        """Latents (B, D) from standard normal noise (B, noise_dim); each row depends on its own noise alone."""
        z = self.transform(noise)
        return project_to_sphere(z) if self.config.spherical else z

    def perturb(self, z: Tensor, noise_level: Tensor | float, noise: Tensor) -> Tensor:
        """Move latents by a noise level, as `Posterior.perturb` does."""
        perturbed = perturb(z, noise_level, noise)
        return project_to_sphere(perturbed) if self.config.spherical else perturbed

    def transform(self, noise: Tensor) -> Tensor:
        """Map standard normal noise (B, noise_dim) to latents (B, D) before any projection."""
        return noise

    def check_arrays(self) -> None:
        """Raise `InputError` for arrays that were loaded and are not those of a density."""


def unit_prior(latent_dim: int, spherical: bool = False) -> Prior:
    """The standard normal prior, or the uniform prior on the sphere; its noise level is 1."""
    return Prior(PriorConfig(latent_dim, spherical=spherical, noise_level=1.0))


class MixturePrior(Prior):
    """Mixture of Gaussians with full covariances. The last number of a row's noise selects the component."""

    weights: Tensor  # K
    means: Tensor  # K x D
    factors: Tensor  # K x D x D, lower Cholesky factors of the covariances

    def __init__(self, config: PriorConfig) -> None:
        super().__init__(config)
        count, dim = config.components, config.latent_dim
        self.register_buffer("weights", torch.full((count,), 1 / count))
        self.register_buffer("means", torch.zeros(count, dim))
        self.register_buffer("factors", torch.zeros(count, dim, dim))

    @property
    def noise_dim(self) -> int:
        return self.config.latent_dim + 1

    def check_arrays(self) -> None:
        if not (self.weights >= 0).all() or not 0.9 < float(self.weights.sum()) < 1.1:
            raise InputError("tensor weights: the weights of a mixture must be 0 or more, and their sum 1")

    def transform(self, noise: Tensor) -> Tensor:
        quantile = torch.special.ndtr(noise[:, -1]) * self.weights.sum()
        # clamp: half-precision weights may add up to slightly less than the largest quantile
        component = torch.searchsorted(self.weights.cumsum(0), quantile).clamp(max=len(self.weights) - 1)
        z = self.means[component]
        for index, factor in enumerate(self.factors):
            rows = component == index
            z[rows] += noise[rows, :-1] @ factor.T
        return z


class FlowPrior(Prior):
    """Flow matching: a velocity field that transports the standard normal to the density of latents [1]_.

    The flow acts on whitened latents, so an untrained flow is the Gaussian with the covariance of the latents. The
    velocity is trained on straight lines from noise to latents; samples are integrated with Heun's method.

    References
    ----------
    .. [1] Lipman et al. 2023, "Flow matching for generative modeling".
    """

    mean: Tensor  # D
    factor: Tensor  # D x D, lower Cholesky factor of the covariance

    def __init__(self, config: PriorConfig) -> None:
        super().__init__(config)
        dim, width = config.latent_dim, config.width
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("factor", torch.zeros(dim, dim))
        self.network = nn.Sequential(
            *(nn.Linear(dim + 2 * _N_TIME_FREQUENCIES, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU()),
            *(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, dim)),
        )

    def velocity(self, z: Tensor, time: Tensor) -> Tensor:
        """Velocity dz/dt (B, D) at whitened latents (B, D) and times (B, 1) from 0 (noise) to 1 (latents)."""
        angle = torch.pi * time * torch.arange(1, _N_TIME_FREQUENCIES + 1, device=z.device)
        out: Tensor = self.network(torch.cat([z, angle.sin(), angle.cos()], dim=1))
        return out

    def transform(self, noise: Tensor) -> Tensor:
        z, step = noise, 1 / self.config.steps
        time = torch.zeros(len(z), 1, device=z.device)
        for _ in range(self.config.steps):
            velocity = self.velocity(z, time)
            time = time + step
            z = z + step / 2 * (velocity + self.velocity(z + step * velocity, time))
        return self.mean + z @ self.factor.T


LatentDistribution = Posterior | Prior
"""A distribution that latents are sampled from: the posterior of molecules, or a prior."""


def prior_from_config(config: PriorConfig) -> Prior:
    """Create a learned prior whose arrays are to be fitted or loaded."""
    return {"mixture": MixturePrior, "flow": FlowPrior}[config.kind](config)
