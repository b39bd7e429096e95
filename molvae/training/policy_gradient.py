"""Policy-gradient training of the decoder on its own samples.

Trained on given SMILES alone, a decoder never sees its own errors: some samples are not valid, many are the seed itself
or duplicates, and their similarity to the seed is only roughly the one that corresponds to the noise level. Here the
decoder samples around molecules of each training batch, each sample is rewarded, and a policy gradient [1]_ increases
the probability of samples with a reward above the mean of the other samples of the same molecule [2]_.

References
----------
.. [1] Williams (1992), "Simple statistical gradient-following algorithms for connectionist reinforcement learning",
       Machine Learning 8, 229-256.
.. [2] Kool et al. (2019), "Buy 4 REINFORCE Samples, Get a Baseline for Free!", ICLR workshop.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from molvae.chem.filters import BRENK, alerts
from molvae.chem.fingerprints import morgan, tanimoto
from molvae.chem.isomers import isomer_key
from molvae.chem.plausibility import PlausibilityChecker
from molvae.chem.properties import sa_score
from molvae.chem.sample_parsing import parse_samples
from molvae.chem.smiles import parse, silence_rdkit
from molvae.chem.stereo_transfer import StereoTemplate
from molvae.chem.tokenizer import PAD_ID, Vocabulary
from molvae.data.bloom_filter import BloomFilter
from molvae.data.graph_dataset import PackedGraphs
from molvae.data.parallel import chunked
from molvae.generation.engine import Engine
from molvae.generation.rng import row_keys
from molvae.generation.token_sampling import SamplingOptions
from molvae.metrics.analogs import USABLE_SA_INCREASE
from molvae.nn.autoencoder import Autoencoder
from molvae.nn.inference import encode_dataset
from molvae.synthesis.route_score import RouteScore
from molvae.training.distribution_matching import DistributionMatching

VALID_REWARD = 0.4
"""Reward of a valid sample without any other desired property; invalid samples get 0, the best samples 1."""
LOW_QUALITY_FACTOR = 0.5
"""Factor of the remaining reward if the sample is harder to synthesize than its seed or has an alert that the seed
does not have."""
IMPLAUSIBLE_FACTOR = 0.05
"""Factor of the remaining reward if the sample has a ring system, an atom environment or an unstable group that neither
real molecules nor the seed have."""
INVERTED_FACTOR = 0.5
"""Factor of the remaining reward if the sample inverts a stereocenter whose surroundings it keeps."""
KNOWN_FACTOR = 0.6
"""Factor of the remaining reward if the sample is in the training set."""
SIMILARITY_TOLERANCE = 0.5
"""Deviation from the expected Tanimoto similarity at which the remaining reward reaches 0 (it falls linearly)."""
SEED_NOISE_LEVEL = 0.25
"""Noise level from which a sample that is the seed gets only `VALID_REWARD`; its reward falls linearly up to there."""
UNCONDITIONAL_NOISE_LEVEL = 0.75
"""Noise level from which samples are not compared with their seed: every valid sample gets 1, plus the reward of the
distribution matching."""
ADVANTAGE_SCALE = 0.3
"""Typical standard deviation of rewards; advantages are divided by it."""


@dataclass(frozen=True)
class PolicyGradient:
    """Policy-gradient loss of a decoder (a `molvae.training.module.PolicyGradientLoss`).

    Parameters
    ----------
    vocabulary
        Vocabulary of the decoder.
    max_length
        Longest sample, in tokens.
    training_filter
        Bloom filter of the training set. Samples in it get a smaller reward; None: all samples count as new.
    n_seeds
        Molecules of each batch to sample around.
    samples_per_seed
        Samples around each of them.
    temperature
        Sampling temperature, the one at which the model will be used.
    noise_min, noise_max
        Range of the noise levels, which are uniformly distributed.
    distribution_matching
        Additional reward of samples at noise levels from `UNCONDITIONAL_NOISE_LEVEL`.
    no_route_factor
        Factor of the reward of samples without a route of synthesis of at most 4 steps from common building blocks; 1
        searches no routes, which takes longer than all the rest of a step.
    """

    vocabulary: Vocabulary
    max_length: int
    training_filter: BloomFilter | None = None
    n_seeds: int = 24
    samples_per_seed: int = 24
    temperature: float = 0.7
    noise_min: float = 0.1
    noise_max: float = 0.65
    distribution_matching: DistributionMatching | None = None
    no_route_factor: float = 1.0

    def __call__(self, model: Autoencoder, data: PackedGraphs, rows: Tensor) -> tuple[Tensor, dict[str, float]]:
        """Sample around the first `n_seeds` of the given rows of the data.

        Random numbers come from torch's global generator.

        Returns
        -------
        loss
            Scalar tensor whose gradient is the negative policy gradient.
        metrics
            Averages over the samples: reward, valid, identical, distinct, similarity, high_quality, plausible and, with
            distribution matching, mean_gap.
        """
        seeds = data.select(rows[: self.n_seeds])
        with _encoder_in_eval_mode(model):
            posterior = encode_dataset(model, seeds)
        # cloned because tensors made in inference mode cannot be used for a gradient; N = seeds x samples_per_seed
        mean = posterior.mean.clone().repeat_interleave(self.samples_per_seed, 0)  # (N, latent_dim)
        uniform = torch.rand(len(seeds), device=mean.device)
        seed_noise_levels = self.noise_min + (self.noise_max - self.noise_min) * uniform
        noise_level = seed_noise_levels.repeat_interleave(self.samples_per_seed)  # (N,)
        z = posterior.perturb(mean, noise_level[:, None], torch.randn_like(mean))
        keys = row_keys(int(torch.randint(2**62, ())), torch.arange(len(z), device=z.device))
        engine = Engine(model.decoder, self.max_length, precision="32")
        decoded = engine.decode(z, noise_level, keys, SamplingOptions(self.temperature))
        groups = chunked(decoded.to_smiles(self.vocabulary), self.samples_per_seed)
        with silence_rdkit():
            results = [
                reward_samples(
                    seed, samples, float(level), self.training_filter, self.distribution_matching, self.no_route_factor
                )
                for seed, samples, level in zip(seeds.smiles(self.vocabulary), groups, seed_noise_levels, strict=True)
            ]
        rewards = torch.tensor([result.rewards for result in results], device=z.device)
        tokens = torch.from_numpy(decoded.tokens).long().to(z.device)
        tokens = tokens[:, : int((tokens != PAD_ID).sum(1).max())]  # (N, L)
        log_likelihood = model.token_log_likelihood(z, noise_level, tokens, self.temperature).sum(1)  # (N,)
        metrics = _average(results)
        if self.distribution_matching:
            metrics["mean_gap"] = self.distribution_matching.mean_gap()
        return -(advantages(rewards).flatten() * log_likelihood).mean(), metrics

    def state_dict(self) -> dict[str, Any]:
        """State for the checkpoints of a run."""
        return self.distribution_matching.state_dict() if self.distribution_matching else {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the state of a checkpoint."""
        if self.distribution_matching and state:
            self.distribution_matching.load_state_dict(state)


class SampleRewards(NamedTuple):
    """Rewards and statistics of the samples around one seed."""

    rewards: list[float]  # one per sample, 0 to 1; with distribution matching up to 1.5
    valid: float  # fraction of valid samples
    identical: float  # fraction of samples that are the seed
    distinct: float  # number of different molecules other than the seed and its isomers, divided by that of the samples
    similarities: list[float]  # Tanimoto similarity to the seed, of the valid samples other than the seed
    high_quality: list[bool]  # for the same samples: as easy to synthesize as the seed, without a new alert
    plausible: list[bool]  # for the same samples: see `molvae.chem.plausibility`


def reward_samples(
    seed: str,
    samples: Sequence[str],
    noise_level: float,
    training_filter: BloomFilter | None = None,
    distribution_matching: DistributionMatching | None = None,
    no_route_factor: float = 1.0,
) -> SampleRewards:
    """Reward the samples that were decoded around a seed.

    The largest reward, 1, is for a molecule that is plausible (`molvae.chem.plausibility`), is not in the training set,
    has a Tanimoto similarity to the seed of 1 minus the noise level, an SA score of at most the seed's plus
    `USABLE_SA_INCREASE`, no structural alert (BRENK) that the seed does not have, and no stereocenter of the seed that
    is inverted. Duplicates and isomers (`molvae.chem.isomers`) share the reward; an isomer of the seed gets
    `VALID_REWARD` only. Invalid samples get 0. From `UNCONDITIONAL_NOISE_LEVEL` on, every valid sample gets 1 plus the
    reward of the distribution matching.

    Parameters
    ----------
    seed
        Canonical SMILES.
    samples
        Decoded SMILES, not necessarily valid. Call inside a `silence_rdkit` block, which is faster than one block per
        molecule.
    noise_level
        Noise level at which the samples were decoded, 0 to 1.
    training_filter
        Bloom filter of the training set.
    distribution_matching
        Additional reward; its averages are updated.
    no_route_factor
        Factor of the reward beyond `VALID_REWARD` of molecules without a route of synthesis; 1 searches no routes.
    """
    canonical = [parsed.smiles if parsed is not None else "" for parsed in parse_samples(samples)]  # "" if invalid
    comparison = _SeedComparison(seed, noise_level, training_filter)
    analogs = {smiles: comparison.analog(smiles) for smiles in dict.fromkeys(canonical) if smiles not in ("", seed)}
    if no_route_factor < 1:
        analogs = _with_routes(analogs, no_route_factor)
    counts = Counter(canonical)
    isomers = Counter(analogs[smiles].isomer_key for smiles in canonical if smiles in analogs)
    unconditional = noise_level >= UNCONDITIONAL_NOISE_LEVEL
    matching_rewards: dict[str, float] = {}
    if unconditional and distribution_matching:
        valid = [smiles for smiles in canonical if smiles]
        matching_rewards = dict(zip(valid, distribution_matching.rewards(valid), strict=True))

    def reward(smiles: str) -> float:
        if not smiles:
            return 0.0
        if unconditional:
            return 1.0 + float(matching_rewards.get(smiles, 0.0))
        if smiles == seed:
            bonus = 0.9 * max(0.0, 1 - noise_level / SEED_NOISE_LEVEL)
        else:
            bonus = analogs[smiles].value / isomers[analogs[smiles].isomer_key]
        return VALID_REWARD + (1 - VALID_REWARD) * bonus

    n_samples = max(1, len(canonical))
    found = [analogs[smiles] for smiles in canonical if smiles in analogs]
    return SampleRewards(
        rewards=[reward(smiles) for smiles in canonical],
        valid=1 - counts[""] / n_samples,
        identical=counts[seed] / n_samples,
        distinct=len(isomers.keys() - {comparison.isomer_key}) / n_samples,
        similarities=[analog.similarity for analog in found],
        high_quality=[analog.high_quality for analog in found],
        plausible=[analog.plausible for analog in found],
    )


class _Analog(NamedTuple):
    """What a molecule other than the seed is worth."""

    isomer_key: str
    similarity: float
    high_quality: bool
    plausible: bool
    value: float  # 0 to 1


def _with_routes(analogs: dict[str, _Analog], no_route_factor: float) -> dict[str, _Analog]:
    """The analogs, those without a route with a lower value. Routes are searched only where it matters."""
    smiles = [text for text, analog in analogs.items() if analog.plausible and analog.value > 0]
    without = {text for text, route in zip(smiles, _route_score().routes(smiles), strict=True) if route is None}
    return {
        text: analog._replace(value=analog.value * no_route_factor) if text in without else analog
        for text, analog in analogs.items()
    }


@cache
def _route_score() -> RouteScore:
    return RouteScore()


class _SeedComparison:
    """Compares molecules with a seed."""

    def __init__(self, seed: str, noise_level: float, training_filter: BloomFilter | None) -> None:
        mol = parse(seed)
        self.isomer_key = isomer_key(mol)
        self._similarity, self._training_filter = 1 - noise_level, training_filter
        self._fingerprint = morgan(mol)
        self._max_sa, self._alerts = sa_score(mol) + USABLE_SA_INCREASE, set(alerts(mol, BRENK))
        self._plausibility, self._stereo = PlausibilityChecker.for_seed(mol), StereoTemplate(mol)

    def analog(self, smiles: str) -> _Analog:
        mol = parse(smiles)
        similarity, key = float(tanimoto(self._fingerprint, [morgan(mol)])[0]), isomer_key(mol)
        high_quality = sa_score(mol) <= self._max_sa and set(alerts(mol, BRENK)) <= self._alerts
        plausible = not self._plausibility.first_flaw(mol)
        value = max(0.0, 1 - abs(similarity - self._similarity) / SIMILARITY_TOLERANCE)
        value *= 1 if high_quality else LOW_QUALITY_FACTOR
        value *= 1 if plausible else IMPLAUSIBLE_FACTOR
        value *= KNOWN_FACTOR if self._training_filter is not None and smiles in self._training_filter else 1
        value *= INVERTED_FACTOR if self._stereo and self._stereo.transfer(mol)[1].inverted else 1
        return _Analog(key, similarity, high_quality, plausible, 0.0 if key == self.isomer_key else value)


def advantages(rewards: Tensor) -> Tensor:
    """Advantage of each sample over the mean reward of the other samples of its seed, in units of `ADVANTAGE_SCALE`.

    Parameters
    ----------
    rewards
        Shape (M, K): K samples of each of M seeds.

    Returns
    -------
    Tensor
        Shape (M, K).
    """
    n_samples = rewards.shape[1]
    return (rewards - rewards.mean(1, keepdim=True)) * (n_samples / max(1, n_samples - 1)) / ADVANTAGE_SCALE


def _average(results: Sequence[SampleRewards]) -> dict[str, float]:
    """Averages over the seeds; similarity (a median) and quality over all samples that are analogs."""
    similarities = [s for result in results for s in result.similarities]
    high_quality = [s for result in results for s in result.high_quality]
    plausible = [s for result in results for s in result.plausible]
    return {
        "reward": float(np.mean([result.rewards for result in results])),
        **{
            name: float(np.mean([getattr(result, name) for result in results]))
            for name in ("valid", "identical", "distinct")
        },
        "similarity": float(np.median(similarities)) if similarities else 0.0,
        "high_quality": float(np.mean(high_quality)) if high_quality else 0.0,
        "plausible": float(np.mean(plausible)) if plausible else 0.0,
    }


@contextmanager
def _encoder_in_eval_mode(model: Autoencoder) -> Iterator[None]:
    """Set encoder and latent to evaluation mode: in training mode they would use the statistics of a few molecules."""
    modules = [module for module in (*model.encoder.modules(), *model.latent.modules()) if module.training]
    for module in modules:
        module.training = False
    try:
        yield
    finally:
        for module in modules:
            module.training = True
