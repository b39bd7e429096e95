"""Latent inversion: find the molecule that the encoder maps to a given latent.

A decoder decodes a molecule in one pass and may get a branch or a chirality mark wrong. Encoding the decoded molecule
shows whether it did: if its latent differs from the given one, the decoder is run again from a latent that is moved by
a fraction of the difference in the opposite direction. This corrects four of five wrong reconstructions of `druglike`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from molvae.chem.graph import MolGraph
from molvae.chem.tokenizer import PAD_ID, Vocabulary, tokenize, unsupported_reason
from molvae.data.featurize import featurize
from molvae.data.graph_dataset import PackedGraphs
from molvae.data.parallel import chunked
from molvae.errors import MoleculeError
from molvae.generation.engine import Engine
from molvae.generation.rng import row_keys
from molvae.generation.token_sampling import SamplingOptions
from molvae.nn.autoencoder import Autoencoder
from molvae.nn.inference import BATCH_SIZE, encode_dataset
from molvae.nn.latents import project_to_sphere

SAMPLES_PER_STEP = 8
"""Samples per latent and step, one of them greedy. The first step has only the greedy one, which is usually right."""

STEP_SIZE = 0.3
"""Fraction of the difference that a latent is moved by. With 0.5 slightly fewer molecules are found, with 1 half."""

TOLERANCE = 1e-3
"""Distance, in standard deviations of the latent space, below which a latent counts as reached."""

DEFAULT_TEMPERATURE = 1.2
"""Temperature of the samples that are not greedy. At 1, fewer alternative stereo marks are tried."""

RESTART_INTERVAL = 8
"""Steps after which an unfinished inversion restarts at the given latent, from which it may have drifted too far."""

GREEDY_TEMPERATURE = 1e-3
"""A temperature that is equivalent to greedy decoding."""

CHUNK_SIZE = 1024  # latents


@dataclass(frozen=True)
class InvertedLatents:
    """For each of N latents, the molecule with the nearest latent.

    Attributes
    ----------
    samples
        Canonical SMILES; the greedy sample (not validated) if no sample was a molecule that can be encoded.
    log_likelihood
        log p(x|z) in nats, shape (N,).
    distance
        Root mean square difference between the given latent and that of the molecule, in standard deviations of the
        latent space, shape (N,). Below `TOLERANCE` they are the same; two random molecules are 1.4 apart. NaN if there
        is no molecule.
    """

    samples: list[str]
    log_likelihood: NDArray[np.float32]
    distance: NDArray[np.float32]


@torch.inference_mode()
def invert_latents(
    model: Autoencoder,
    engine: Engine,
    vocabulary: Vocabulary,
    z: Tensor,
    noise_level: Tensor,
    keys: Tensor,
    options: SamplingOptions,
    inversion_steps: int,
    progress: Callable[[int], None] | None = None,
) -> InvertedLatents:
    """Find the molecules whose latents are nearest to the given ones.

    Parameters
    ----------
    model, engine, vocabulary
        The model, and the engine of its decoder.
    z
        Latents, shape (N, D). Each molecule depends on its own row only.
    noise_level, keys
        As in `Engine.decode`, shape (N,).
    options
        How the samples that are not greedy are drawn; `DEFAULT_TEMPERATURE` replaces temperature 0.
    inversion_steps
        Maximum number of steps after the first decoding.
    progress
        Callback that receives the number of latents finished so far.
    """
    options = replace(options, temperature=options.temperature or DEFAULT_TEMPERATURE)
    samples, likelihoods, distances = list[str](), [np.zeros(0, np.float32)], [np.zeros(0, np.float32)]
    for first in range(0, len(z), CHUNK_SIZE):
        rows = slice(first, first + CHUNK_SIZE)
        encoder = _SampleEncoder(model, vocabulary, engine.max_length)
        inversion = _Inversion(encoder, engine, options, z[rows], noise_level[rows], keys[rows])
        for step in range(inversion_steps + 1):
            inversion.advance(step)
            n_reached = inversion.n_reached
            if progress and step < inversion_steps:
                progress(len(samples) + n_reached)
            if n_reached == len(inversion.z):
                break
        chunk_samples, log_likelihood = inversion.result()
        samples += chunk_samples
        likelihoods.append(log_likelihood)
        distance = inversion.distance
        distances.append(distance.masked_fill(distance.isinf(), torch.nan).cpu().numpy())
        if progress:
            progress(len(samples))
    return InvertedLatents(samples, np.concatenate(likelihoods), np.concatenate(distances))


class _Inversion:
    """Inversion of a chunk of N latents.

    `z` are the given latents, `current` those that are decoded next; `best` is the index of the nearest molecule of
    each row in the encoder's cache, or -1, and `distance` its distance.
    """

    def __init__(
        self,
        encoder: _SampleEncoder,
        engine: Engine,
        options: SamplingOptions,
        z: Tensor,
        noise_level: Tensor,
        keys: Tensor,
    ) -> None:
        self.encoder, self.engine, self.options = encoder, engine, options
        self.z, self.noise_level, self.keys = z, noise_level, keys
        self.current = z.clone()
        self.best = torch.full((len(z),), -1, device=z.device)
        self.distance = torch.full((len(z),), torch.inf, device=z.device)

    @property
    def n_reached(self) -> int:
        """Number of latents whose molecule has been found."""
        return int((self.distance <= TOLERANCE).sum())

    def advance(self, step: int) -> None:
        """Decode the unfinished rows, encode the samples, and move the latents by the difference of the nearest one."""
        rows = torch.nonzero(self.distance > TOLERANCE).squeeze(1)
        if step % RESTART_INTERVAL == 0:
            self.current[rows] = self.z[rows]
        index = self.encoder.encode(self._decode(rows, step)).to(rows.device).view(len(rows), -1)
        difference = self.encoder.latents[index.clamp(min=0)] - self.z[rows, None]  # rows x samples x D
        distance = difference.square().mean(2).sqrt()
        distance, nearest = distance.masked_fill((index < 0) | distance.isnan(), torch.inf).min(1)
        select = torch.arange(len(rows), device=rows.device), nearest
        index, difference, is_molecule = index[select], difference[select], distance.isfinite()
        self._move(rows[is_molecule], difference[is_molecule])
        closer = distance < self.distance[rows]
        self.best[rows[closer]], self.distance[rows[closer]] = index[closer], distance[closer]

    def _move(self, rows: Tensor, difference: Tensor) -> None:
        moved = self.current[rows] - STEP_SIZE * difference
        self.current[rows] = project_to_sphere(moved) if self.encoder.model.latent.spherical else moved

    def result(self) -> tuple[list[str], NDArray[np.float32]]:
        """The molecules found, greedy samples in rows without one, and their log-likelihoods."""
        found, missing = (torch.nonzero(rows).squeeze(1) for rows in (self.best >= 0, self.best < 0))
        greedy = replace(self.options, temperature=0.0)
        decoded = self.engine.decode(self.z[missing], self.noise_level[missing], self.keys[missing], greedy)
        greedy_samples = iter(decoded.to_smiles(self.encoder.vocabulary))
        samples = [self.encoder.molecules[i] if i >= 0 else next(greedy_samples) for i in self.best.tolist()]
        log_likelihood = np.empty(len(samples), np.float32)
        log_likelihood[missing.cpu().numpy()] = decoded.log_likelihood
        log_likelihood[found.cpu().numpy()] = self._likelihood(found, [samples[row] for row in found.tolist()])
        return samples, log_likelihood

    def _likelihood(self, rows: Tensor, molecules: list[str]) -> NDArray[np.float32]:
        """Log-likelihood of a molecule per row, given its latent."""
        parts = [np.zeros(0, np.float32)]
        for chunk in chunked(range(len(rows)), BATCH_SIZE):
            ids = [torch.from_numpy(self.encoder.vocabulary.encode(molecules[i]).astype(np.int64)) for i in chunk]
            tokens = pad_sequence(ids, batch_first=True, padding_value=PAD_ID).to(rows.device)
            own = rows[chunk]
            parts.append(self.encoder.model.log_likelihood(self.z[own], self.noise_level[own], tokens).cpu().numpy())
        return np.concatenate(parts)

    def _decode(self, rows: Tensor, step: int) -> list[str]:
        """Samples of the current latents, those of a row one after the other, the greedy one first."""
        n_samples = SAMPLES_PER_STEP if step else 1
        numbers = range(step * SAMPLES_PER_STEP, step * SAMPLES_PER_STEP + n_samples)
        keys = torch.stack([row_keys(number, self.keys[rows]) for number in numbers], dim=1)
        scale = torch.ones(keys.shape, device=rows.device)
        scale[:, 0] = GREEDY_TEMPERATURE / self.options.temperature
        decoded = self.engine.decode(
            self.current[rows].repeat_interleave(n_samples, 0),
            self.noise_level[rows].repeat_interleave(n_samples),
            keys.flatten(),
            self.options,
            temperature_scale=scale.flatten(),
        )
        return decoded.to_smiles(self.encoder.vocabulary)


@dataclass
class _SampleEncoder:
    """Encodes samples, each once.

    Attributes
    ----------
    molecules
        Canonical SMILES of the molecules so far.
    latents
        Their latents; the last row belongs to none.
    index
        Index of the molecule of a sample or canonical SMILES, -1 if it is invalid or cannot be encoded.
    """

    model: Autoencoder
    vocabulary: Vocabulary
    max_length: int
    molecules: list[str] = field(default_factory=list)
    index: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        weight = self.model.latent.mean.weight
        self.latents = weight.new_zeros(1, len(weight))

    def encode(self, samples: list[str]) -> Tensor:
        """The index of each sample, or -1."""
        new = sorted({sample for sample in samples if sample not in self.index})
        graphs = list[MolGraph]()
        for sample, graph in zip(new, featurize(new), strict=True):
            self.index[sample] = self._add(graph, graphs)
        if graphs:
            z = encode_dataset(self.model, PackedGraphs.from_graphs(graphs)).mean
            self.latents = torch.cat([self.latents[:-1], z, self.latents[-1:]])
        return torch.tensor([self.index[sample] for sample in samples])

    def _add(self, graph: MolGraph | MoleculeError, new_graphs: list[MolGraph]) -> int:
        """The index of a molecule; a new one is appended to `molecules` and `new_graphs`."""
        if isinstance(graph, MoleculeError) or unsupported_reason(
            tokenize(graph.smiles), self.max_length, self.vocabulary
        ):
            return -1
        if graph.smiles not in self.index:
            self.index[graph.smiles] = len(self.molecules)
            self.molecules.append(graph.smiles)
            new_graphs.append(graph)
        return self.index[graph.smiles]
