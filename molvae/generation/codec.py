"""The `Codec`: encodes molecules and decodes latents with a model. `Generator` makes tables of the results."""

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
from molvae.generation.analogs import OnRound, SearchOptions, SeedSearch, search_molecules
from molvae.generation.constraints import Constraints
from molvae.generation.engine import DecodedSamples, Engine
from molvae.generation.latent_inversion import InvertedLatents, invert_latents
from molvae.generation.options import Progress
from molvae.generation.rng import row_keys
from molvae.generation.seed_sampler import branch_tokens
from molvae.generation.token_sampling import GREEDY, SamplingOptions
from molvae.nn.autoencoder import Autoencoder
from molvae.nn.inference import encode_dataset
from molvae.nn.latents import Posterior
from molvae.nn.priors import LatentDistribution


class Codec:
    """Encodes and decodes with a model, on the device of the model.

    It is pickled as its arguments; the decoding engine is built again when it is loaded.

    Parameters
    ----------
    model, vocabulary
        The model.
    max_length
        Maximum number of tokens of a sample, the end token excluded.
    noise_conditioned
        Whether the decoder was trained with perturbed latents and conditioned on their noise level.
    precision
        As in `Generator`.
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
    def from_checkpoint(cls, checkpoint: Checkpoint, precision: str = "auto") -> Self:
        """The codec of a loaded model."""
        return cls(
            checkpoint.model,
            checkpoint.vocabulary,
            checkpoint.config.max_length,
            noise_conditioned=checkpoint.defaults.noise_conditioned,
            precision=precision,
        )

    def __reduce__(self) -> tuple[Any, ...]:
        constructor = partial(type(self), noise_conditioned=self.noise_conditioned, precision=self.precision)
        return constructor, (self.model, self.vocabulary, self.max_length)

    def featurize(
        self, smiles: Sequence[str], *, standardize: bool = False, keep_salts: bool = False
    ) -> list[MolGraph | MoleculeError]:
        """The graph of each SMILES, or an error if it is invalid or cannot be decoded by the model."""
        return [self._checked(graph) for graph in featurize(smiles, standardize=standardize, keep_salts=keep_salts)]

    def _checked(self, graph: MolGraph | MoleculeError) -> MolGraph | MoleculeError:
        if isinstance(graph, MoleculeError):
            return graph
        if reason := unsupported_reason(tokenize(graph.smiles), self.max_length, self.vocabulary):
            return MoleculeError(f"SMILES {shortened(graph.smiles)}: {reason}")
        return graph

    def encode(
        self,
        molecules: PackedGraphs | Sequence[MolGraph],
        *,
        optimize_latents: bool = False,
        progress: Progress | None = None,
    ) -> Posterior:
        """The posterior q(z|x) of molecules. `optimize_latents` needs packed graphs with tokens."""
        if not isinstance(molecules, PackedGraphs):
            molecules = PackedGraphs.from_graphs(molecules, self.vocabulary if optimize_latents else None)
        return encode_dataset(self.model, molecules, optimize_latents=optimize_latents, progress=progress)

    def decode(
        self,
        z: Tensor,
        options: SamplingOptions = GREEDY,
        *,
        noise_level: float | NDArray[Any] = 0.0,
        random_state: int | NDArray[Any] = 0,
        branch_from: Sequence[str] | None = None,
        progress: Progress | None = None,
    ) -> DecodedSamples:
        """Decode one sample per latent, shape (N, D); other parameters as in `Generator.decode`.

        The latents of a model with a spherical latent space have to be on the sphere.
        """
        z, keys = z.to(self.device), self._keys(random_state, len(z))
        forced = None if branch_from is None else branch_tokens(branch_from, keys, self.vocabulary)
        noise_levels = self._noise_levels(noise_level, len(z))
        return self.engine.decode(z, noise_levels, keys, options, progress, forced_tokens=forced)

    def invert(
        self,
        z: Tensor,
        options: SamplingOptions = GREEDY,
        *,
        inversion_steps: int,
        noise_level: float | NDArray[Any] = 0.0,
        random_state: int | NDArray[Any] = 0,
        progress: Progress | None = None,
    ) -> InvertedLatents:
        """The molecules whose latents are nearest to the given ones, shape (N, D), by latent inversion."""
        z, noise_levels = z.to(self.device), self._noise_levels(noise_level, len(z))
        keys = self._keys(random_state, len(z))
        return invert_latents(
            self.model, self.engine, self.vocabulary, z, noise_levels, keys, options, inversion_steps, progress
        )

    def reconstruct(self, z: Tensor, *, inversion_steps: int = 0, progress: Progress | None = None) -> list[str]:
        """Greedy samples of the latents of molecules, by latent inversion if there are steps; not validated."""
        if not inversion_steps:
            return self.decode(z, progress=progress).to_smiles(self.vocabulary)
        same = np.zeros(len(z), np.int64)  # one random state for all rows: a result does not depend on the row number
        return self.invert(z, inversion_steps=inversion_steps, random_state=same, progress=progress).samples

    def search(
        self,
        seeds: list[str],
        latents: LatentDistribution,
        options: SearchOptions,
        constraints: Constraints | None = None,
        workers: WorkerPool = SERIAL,
        progress: Progress | None = None,
        on_round: OnRound | None = None,
    ) -> list[SeedSearch]:
        """Search for molecules around seeds or from a prior, as `molvae.generation.analogs.search_molecules`."""
        return search_molecules(
            self.engine,
            self.vocabulary,
            seeds,
            latents,
            options,
            noise_conditioned=self.noise_conditioned,
            constraints=constraints,
            workers=workers,
            progress=progress,
            on_round=on_round,
        )

    def _keys(self, random_state: int | NDArray[Any], count: int) -> Tensor:
        if isinstance(random_state, np.ndarray):
            return row_keys(0, torch.from_numpy(random_state).to(self.device))
        return row_keys(int(random_state), torch.arange(count, device=self.device))

    def _noise_levels(self, noise_level: float | NDArray[Any], count: int) -> Tensor:
        """The noise levels that the decoder is conditioned on, shape (N,)."""
        noise_levels = torch.zeros(count, device=self.device)
        if self.noise_conditioned:
            noise_levels += torch.as_tensor(noise_level, dtype=torch.float32, device=self.device)
        return noise_levels
