"""Priors: where latents come from when there is no molecule to start from.

The unit Gaussian is what training aims at; what it reaches is another density, with correlated and nearly empty
directions, and draws from the unit Gaussian miss it (Dai & Wipf 2019, "Diagnosing and enhancing VAE models"; Ghosh et
al. 2020, "From variational to deterministic autoencoders"). A learned prior is that density, fitted to encoded
molecules after training (`training.priors`).

All have the interface of a posterior: `draw` is a function of standard normal noise, so that samples come from the same
random streams as analogs. A draw is then moved by `noise level` (`perturb`), of which the decoder is told.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn

from molvae.errors import InputError
from molvae.nn.config import JsonConfig
from molvae.nn.latents import Posterior, on_sphere, perturb

KINDS = ("mixture", "flow")


@dataclass(frozen=True)
class PriorConfig(JsonConfig):
    """What a learned prior is made of; saved beside its arrays."""

    latent_dim: int  # dimensions of z
    kind: str = "mixture"  # one of KINDS
    spherical: bool = False  # draws lie on the sphere of noise level sqrt(latent_dim)
    components: int = 4  # Gaussians of the mixture
    width: int = 512  # channels of the flow's network
    steps: int = 8  # of the flow's integration
    noise_level: float = 0.8  # noise that is added to a draw, and that the decoder is told: 0 none, 1 the unit Gaussian

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise InputError(f"kind of prior is one of {', '.join(KINDS)}; got {self.kind!r}")
        for name in ("latent_dim", "components", "width", "steps"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be 1 or more, got {getattr(self, name)}")
        if not 0 <= self.noise_level <= 1:
            raise InputError(f"noise level must lie in 0 to 1, got {self.noise_level}")


class Prior(nn.Module):
    """A density of latents: `draw` noise B x `noise_size` -> z B x D. This one is the unit Gaussian.

    Where latents are spherical, draws are put on the sphere, and the unit Gaussian becomes uniform there.
    """

    _anywhere: Tensor

    def __init__(self, config: PriorConfig) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("_anywhere", torch.zeros(0), persistent=False)  # the unit prior too has a device

    @property
    def noise_size(self) -> int:
        """How many normal numbers `draw` takes a row."""
        return self.config.latent_dim

    @property
    def device(self) -> torch.device:
        return self._anywhere.device

    @property
    def noise_level(self) -> float:
        """How far a draw is moved on before it is decoded."""
        return self.config.noise_level

    def row(self, _: int) -> Self:
        """A posterior has one for each molecule; a prior is the same for all."""
        return self

    def draw(self, noise: Tensor) -> Tensor:
        """z from standard normal noise; a row of one is a function of that row of the other."""
        z = self.transform(noise)
        return on_sphere(z) if self.config.spherical else z

    def perturb(self, z: Tensor, noise_level: Tensor | float, noise: Tensor) -> Tensor:
        """As of a posterior."""
        moved = perturb(z, noise_level, noise)
        return on_sphere(moved) if self.config.spherical else moved

    def transform(self, noise: Tensor) -> Tensor:
        return noise


def unit_prior(latent_dim: int, spherical: bool = False) -> Prior:
    """What training aims at, and for the decoder as far from a molecule as noise goes."""
    return Prior(PriorConfig(latent_dim, spherical=spherical, noise_level=1.0))


class MixturePrior(Prior):
    """Gaussians with covariances of their own; one number more of a row's noise picks the Gaussian."""

    weights: Tensor
    means: Tensor
    factors: Tensor

    def __init__(self, config: PriorConfig) -> None:
        super().__init__(config)
        count, size = config.components, config.latent_dim
        self.register_buffer("weights", torch.full((count,), 1 / count))
        self.register_buffer("means", torch.zeros(count, size))
        self.register_buffer("factors", torch.zeros(count, size, size))  # lower triangles, covariance = L L^T

    @property
    def noise_size(self) -> int:
        return self.config.latent_dim + 1

    def transform(self, noise: Tensor) -> Tensor:
        place = torch.special.ndtr(noise[:, -1]) * self.weights.sum()
        chosen = torch.searchsorted(self.weights.cumsum(0), place).clamp(max=len(self.weights) - 1)
        z = self.means[chosen]
        for component, factor in enumerate(self.factors):
            rows = chosen == component
            z[rows] += noise[rows, :-1] @ factor.T
        return z


class FlowPrior(Prior):
    """A velocity field that carries the unit Gaussian to the density: flow matching (Lipman et al. 2023).

    It flows among whitened latents, so that it begins as the Gaussian of the right covariance. Trained by `velocity` on
    straight lines from noise to latents; drawn from by Heun's method in `steps` steps.
    """

    mean: Tensor
    factor: Tensor

    def __init__(self, config: PriorConfig) -> None:
        super().__init__(config)
        size, width = config.latent_dim, config.width
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("factor", torch.zeros(size, size))  # lower triangle, covariance = L L^T
        self.network = nn.Sequential(
            *(nn.Linear(size + 2 * _WAVES, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU()),
            *(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, size)),
        )

    def velocity(self, z: Tensor, time: Tensor) -> Tensor:
        """dz/dt at whitened z (B x D) and time (B x 1), 0 (noise) to 1 (latents)."""
        angle = torch.pi * time * torch.arange(1, _WAVES + 1, device=z.device)
        out: Tensor = self.network(torch.cat([z, angle.sin(), angle.cos()], dim=1))
        return out

    def transform(self, noise: Tensor) -> Tensor:
        z, step = noise, 1 / self.config.steps
        time = torch.zeros(len(z), 1, device=z.device)
        for _ in range(self.config.steps):
            first = self.velocity(z, time)
            time = time + step
            z = z + step / 2 * (first + self.velocity(z + step * first, time))
        return self.mean + z @ self.factor.T


LatentSource = Posterior | Prior
"""Where latents are drawn from: q(z given x) of molecules, or a prior."""


def prior_from_config(config: PriorConfig) -> Prior:
    """A learned prior with arrays still to be filled."""
    return {"mixture": MixturePrior, "flow": FlowPrior}[config.kind](config)


_WAVES = 8  # sine and cosine pairs that tell the network the time
