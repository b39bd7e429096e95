"""Evaluation of a model by decoding: reconstruction, samples of the prior, and analogs around seeds.

Validations during training, model cards and benchmarks use the same functions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from molvae.chem.fingerprints import morgan, tanimoto
from molvae.chem.smiles import parse
from molvae.chem.standardization import identity_or_none
from molvae.chem.tokenizer import Vocabulary
from molvae.data.bloom_filter import BloomFilter
from molvae.data.graph_dataset import PackedGraphs
from molvae.generation.codec import Codec
from molvae.generation.rng import normal, row_keys
from molvae.generation.token_sampling import GREEDY, SamplingOptions
from molvae.nn.autoencoder import Autoencoder
from molvae.nn.latents import Posterior
from molvae.nn.priors import Prior


class NeighborhoodMetrics(NamedTuple):
    """Metrics of the samples around seeds.

    Attributes
    ----------
    valid
        Fraction of valid samples.
    distinct
        Number of different valid molecules per seed, without the seed itself.
    effective_novelty
        Number of those that are not in the training set, divided by the number of samples.
    similarity
        Median Tanimoto similarity of those to their seed; NaN if there are none.
    frac_similarity_ge_0_4
        Fraction of those with a similarity of 0.4 or more; NaN if there are none.
    """

    valid: float
    distinct: float
    effective_novelty: float
    similarity: float
    frac_similarity_ge_0_4: float


class Evaluator:
    """Computes metrics of a model by decoding, on the device of the model.

    Parameters
    ----------
    codec
        The model.
    """

    def __init__(self, codec: Codec) -> None:
        self.codec = codec

    def decode(self, z: Tensor, noise_level: float, options: SamplingOptions, random_state: int = 0) -> list[str]:
        """Decode latents, shape (N, latent_dim), to N SMILES that are not necessarily valid."""
        decoded = self.codec.decode(z, options, noise_level=noise_level, random_state=random_state)
        return decoded.to_smiles(self.codec.vocabulary)

    def exact_reconstructions(
        self, data: PackedGraphs, *, optimize_latents: bool = False, inversion_steps: int = 0
    ) -> NDArray[np.bool_]:
        """Which molecules are reconstructed exactly, including stereochemistry, shape (N,).

        Parameters
        ----------
        data
            N molecules.
        optimize_latents
            Decode the optimized latents instead of the means of the posterior.
        inversion_steps
            Steps of latent inversion; 0 decodes greedily.
        """
        latents = self.codec.encode(data, optimize_latents=optimize_latents).mean
        decoded = self.codec.reconstruct(latents, inversion_steps=inversion_steps)
        expected = canonical_smiles(data, self.codec.vocabulary)
        return np.array([identity_or_none(a) == b for a, b in zip(decoded, expected, strict=True)], dtype=bool)

    def sample_posterior(self, data: PackedGraphs) -> list[str]:
        """One sample per molecule from its posterior, decoded at temperature 1; not necessarily valid."""
        posterior = self.codec.encode(data)
        keys = row_keys(1, torch.arange(len(data), device=posterior.mean.device))
        z = posterior.sample(normal(keys, posterior.mean.shape[1]))
        return self.decode(z, 0.0, SamplingOptions(), random_state=1)

    @torch.inference_mode()
    def sample_prior(
        self, n: int, *, temperature: float = 1.0, random_state: int = 0, prior: Prior | None = None
    ) -> list[str | None]:
        """Sample `n` molecules from a prior, by default the unit Gaussian: canonical SMILES, None where invalid."""
        prior = prior or self.codec.model.prior()
        keys = row_keys(random_state, torch.arange(n, device=self.codec.device))
        z = prior.sample(normal(keys, prior.noise_dim))
        z = prior.perturb(z, prior.noise_level, normal(keys, z.shape[1], stream=1))
        decoded = self.decode(z, prior.noise_level, SamplingOptions(temperature), random_state + 1)
        return [identity_or_none(smiles) for smiles in decoded]

    def neighborhood(
        self,
        seeds: PackedGraphs,
        noise_level: float,
        *,
        samples_per_seed: int = 40,
        options: SamplingOptions = GREEDY,
        training_filter: BloomFilter | None = None,
        random_state: int = 0,
        posterior: Posterior | None = None,
    ) -> NeighborhoodMetrics:
        """Sample around the optimized latents of seeds at a noise level and evaluate the samples.

        Parameters
        ----------
        seeds
            Molecules to sample around.
        noise_level
            Noise level of the latents, 0 to 1.
        samples_per_seed
            Latents per seed; each is decoded once.
        options
            How they are decoded.
        training_filter
            Bloom filter of the training set; None: no molecule counts as known.
        random_state
            Random seed of latents and tokens.
        posterior
            The optimized latents, if they have been computed already.
        """
        posterior = posterior or self.codec.encode(seeds, optimize_latents=True)
        mean = posterior.mean.repeat_interleave(samples_per_seed, 0)
        keys = row_keys(random_state, torch.arange(len(mean), device=mean.device))
        z = posterior.perturb(mean, noise_level, normal(keys, mean.shape[1]))
        samples = self.decode(z, noise_level, options, random_state + 1)
        groups = [samples[i * samples_per_seed : (i + 1) * samples_per_seed] for i in range(len(seeds))]
        return _neighborhood_metrics(canonical_smiles(seeds, self.codec.vocabulary), groups, training_filter)

    def noise_level_for_similarity(
        self,
        seeds: PackedGraphs,
        similarity: float,
        *,
        samples_per_seed: int = 40,
        options: SamplingOptions = GREEDY,
        n_steps: int = 7,
    ) -> float:
        """Noise level at which the median similarity of a `neighborhood` is `similarity`: `n_steps` of bisection."""
        low, high, posterior = 0.0, 1.0, self.codec.encode(seeds, optimize_latents=True)
        for _ in range(n_steps):
            middle = (low + high) / 2
            metrics = self.neighborhood(
                seeds, middle, samples_per_seed=samples_per_seed, options=options, posterior=posterior
            )
            low, high = (middle, high) if metrics.similarity > similarity else (low, middle)
        return (low + high) / 2


def decoding_metrics(
    vocabulary: Vocabulary, max_length: int, n_molecules: int = 256
) -> Callable[[Autoencoder, PackedGraphs], dict[str, float]]:
    """Validation metrics for a training run (`molvae.training.module.ValidationMetrics`).

    They decode `n_molecules` validation molecules and as many samples of the prior: exact (fraction of exact
    reconstructions), posterior_valid and prior_valid (fractions of valid samples).
    """

    def compute(model: Autoencoder, data: PackedGraphs) -> dict[str, float]:
        evaluator = Evaluator(Codec(model, vocabulary, max_length))
        molecules = data.select(torch.arange(min(n_molecules, len(data)), device=data.device))
        return {
            "exact": float(evaluator.exact_reconstructions(molecules).mean()),
            "posterior_valid": _valid_fraction(map(identity_or_none, evaluator.sample_posterior(molecules))),
            "prior_valid": _valid_fraction(evaluator.sample_prior(n_molecules)),
        }

    return compute


def canonical_smiles(data: PackedGraphs, vocabulary: Vocabulary) -> list[str]:
    """Canonical SMILES of packed molecules."""
    return list(data.smiles(vocabulary))


def _neighborhood_metrics(
    seeds: list[str], groups: list[list[str]], training_filter: BloomFilter | None
) -> NeighborhoodMetrics:
    n_samples = max(1, sum(map(len, groups)))
    canonical = {sample: identity_or_none(sample) for sample in {s for group in groups for s in group}}
    n_valid, n_distinct, n_new, similarities = 0, [], 0, []
    for seed, group in zip(seeds, groups, strict=True):
        valid = [smiles for sample in group if (smiles := canonical[sample]) is not None]
        n_valid += len(valid)
        analogs = sorted(set(valid) - {seed})
        n_distinct.append(len(analogs))
        n_new += len(analogs) - (int(training_filter.contains(analogs).sum()) if training_filter is not None else 0)
        similarities.append(tanimoto(morgan(parse(seed)), [morgan(parse(smiles)) for smiles in analogs]))
    pooled = np.concatenate(similarities) if similarities else np.zeros(0)
    return NeighborhoodMetrics(
        n_valid / n_samples,
        float(np.mean(n_distinct)) if n_distinct else 0.0,
        n_new / n_samples,
        float(np.median(pooled)) if len(pooled) else float("nan"),
        float(np.mean(pooled >= 0.4)) if len(pooled) else float("nan"),
    )


def _valid_fraction(molecules: Iterable[str | None]) -> float:
    valid = [smiles is not None for smiles in molecules]
    return sum(valid) / max(1, len(valid))
