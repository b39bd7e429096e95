"""A model at work: molecules to latents, latents to strings. Tensors in and out; the tables are `generator`'s."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from molvae.checkpoint import Checkpoint
from molvae.chem.graph import MolGraph
from molvae.chem.smiles import shortened
from molvae.chem.tokenizer import Vocabulary, tokenize, unsupported_reason
from molvae.data.featurize import featurize
from molvae.data.graph_dataset import PackedGraphs
from molvae.data.parallel import SERIAL, WorkerPool
from molvae.errors import MoleculeError
from molvae.generation.analogs import Draws, Found, draw_around
from molvae.generation.constraints import Steering
from molvae.generation.engine import Decoded, Engine
from molvae.generation.latent_inversion import Inverted, inverted
from molvae.generation.options import Progress
from molvae.generation.rng import row_keys
from molvae.generation.scheduling import Job
from molvae.generation.seed_sampler import departures
from molvae.generation.token_sampling import GREEDY, DecodeOptions
from molvae.nn.autoencoder import Autoencoder
from molvae.nn.inference import encode_dataset
from molvae.nn.latents import Posterior
from molvae.nn.priors import LatentDistribution


class Codec:
    """Encodes and writes with a model, on the model's own device.

    `max_length`: of the longest string. `noise_conditioned` as in `SamplingDefaults`, `precision` as in `Engine`. One is
    pickled as what it was made of, so that another process makes its own.
    """

    def __init__(
        self,
        model: Autoencoder,
        vocabulary: Vocabulary,
        max_length: int,
        *,
        noise_conditioned: bool = True,
        precision: str = "auto",
    ) -> None:
        self.model, self.vocabulary, self.max_length = model, vocabulary, max_length
        self.noise_conditioned, self.precision = noise_conditioned, precision
        self.device = next(model.parameters()).device
        self.engine = Engine(model.decoder, max_length, precision=precision, vocabulary=vocabulary)

    @classmethod
    def of(cls, checkpoint: Checkpoint, precision: str = "auto") -> Self:
        """The model of a checkpoint, where that lies."""
        return cls(
            checkpoint.model,
            checkpoint.vocabulary,
            checkpoint.config.max_length,
            noise_conditioned=checkpoint.defaults.noise_conditioned,
            precision=precision,
        )

    def __reduce__(self) -> tuple[Any, ...]:
        kind = partial(type(self), noise_conditioned=self.noise_conditioned, precision=self.precision)
        return kind, (self.model, self.vocabulary, self.max_length)

    def graphs(self, smiles: Sequence[str], *, standardize: bool = False) -> list[MolGraph | MoleculeError]:
        """One graph per SMILES, in order, or why there is none or the model cannot write it."""
        return [self._fitting(graph) for graph in featurize(smiles, standardize=standardize)]

    def _fitting(self, graph: MolGraph | MoleculeError) -> MolGraph | MoleculeError:
        if isinstance(graph, MoleculeError):
            return graph
        if reason := unsupported_reason(tokenize(graph.smiles), self.max_length, self.vocabulary):
            way_out = "; standardize it first: --standardize, or standardize=True, strips salts"
            return MoleculeError(f"SMILES {shortened(graph.smiles)}: {reason}{way_out if '.' in graph.smiles else ''}")
        return graph

    def encode(
        self, molecules: PackedGraphs | Sequence[MolGraph], *, refine: bool = False, progress: Progress | None = None
    ) -> Posterior:
        """q(z given x) as of `models.inference.encode_dataset`; to be refined, packed graphs have to have their tokens."""
        if not isinstance(molecules, PackedGraphs):
            molecules = PackedGraphs.from_graphs(molecules, self.vocabulary if refine else None)
        return encode_dataset(self.model, molecules, optimize_latents=refine, progress=progress)

    def write(
        self,
        z: Tensor,
        options: DecodeOptions = GREEDY,
        *,
        noise_level: float | NDArray[Any] = 0.0,
        seed: int | NDArray[Any] = 0,
        branch_from: Sequence[str] | None = None,
        progress: Progress | None = None,
    ) -> Decoded:
        """A string per latent, N x D; `noise level`, `seed` and `branch_from` as in `Generator.decode`.

        Latents of a model on a sphere have to lie there.
        """
        z, keys = z.to(self.device), self._keys(seed, len(z))
        given = None if branch_from is None else departures(branch_from, keys, self.vocabulary)
        return self.engine.decode(z, self._told(noise_level, len(z)), keys, options, progress, given=given)

    def invert(
        self,
        z: Tensor,
        options: DecodeOptions = GREEDY,
        *,
        inversion_steps: int,
        noise_level: float | NDArray[Any] = 0.0,
        seed: int | NDArray[Any] = 0,
        progress: Progress | None = None,
    ) -> Inverted:
        """The molecule whose own latent is nearest to each latent, N x D, as in `sampling.inversion`."""
        z, told, keys = z.to(self.device), self._told(noise_level, len(z)), self._keys(seed, len(z))
        return inverted(self.model, self.engine, self.vocabulary, z, told, keys, options, inversion_steps, progress)

    def draw(
        self,
        names: list[str],
        latents: LatentDistribution,
        draws: Draws,
        steering: Steering | None = None,
        workers: WorkerPool = SERIAL,
        progress: Progress | None = None,
    ) -> Job[list[Found]]:
        """The molecules found around each seed, or drawn from a prior; as `sampling.analogs.draw_around`."""
        return draw_around(
            self.engine,
            self.vocabulary,
            names,
            latents,
            draws,
            noise_conditioned=self.noise_conditioned,
            steering=None if steering is None or steering.idle else steering,
            workers=workers,
            progress=progress,
        )

    def reproduce(self, z: Tensor, *, inversion_steps: int = 0, progress: Progress | None = None) -> list[str]:
        """What molecules' own latents are read as, greedily or corrected; a string hangs on its own latent alone."""
        if not inversion_steps:
            return self.write(z, progress=progress).strings(self.vocabulary)
        alike = np.zeros(len(z), np.int64)  # a seed for each row, so that none hangs on where it stands
        return self.invert(z, inversion_steps=inversion_steps, seed=alike, progress=progress).strings

    def _keys(self, seed: int | NDArray[Any], count: int) -> Tensor:
        if isinstance(seed, np.ndarray):
            return row_keys(0, torch.from_numpy(seed).to(self.device))
        return row_keys(int(seed), torch.arange(count, device=self.device))

    def _told(self, noise_level: float | NDArray[Any], count: int) -> Tensor:
        """The noise that the decoder is told of, N."""
        told = torch.zeros(count, device=self.device)
        if self.noise_conditioned:
            told += torch.as_tensor(noise_level, dtype=torch.float32, device=self.device)
        return told
