"""What a model is worth, by decoding: reconstruction, the prior, and the neighborhood of seeds.

The same functions validate during training, fill model cards and print benchmark tables.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from molvae.chem.fingerprints import morgan, tanimoto
from molvae.chem.smiles import canonical_or_none, parse
from molvae.chem.tokenizer import Vocabulary
from molvae.data.bloom_filter import BloomFilter
from molvae.data.graph_dataset import PackedGraphs
from molvae.generation.codec import Codec
from molvae.generation.rng import normal, row_keys
from molvae.generation.token_sampling import GREEDY, DecodeOptions
from molvae.nn.autoencoder import Autoencoder
from molvae.nn.latents import Posterior
from molvae.nn.priors import Prior


class Evaluator:
    """Decodes with a model, on the model's own device."""

    def __init__(self, codec: Codec) -> None:
        self.codec = codec

    def write(self, z: Tensor, noise_level: float, options: DecodeOptions, seed: int = 0) -> list[str]:
        """A string per latent, unchecked."""
        return self.codec.write(z, options, noise_level=noise_level, seed=seed).strings(self.codec.vocabulary)

    def exact(self, data: PackedGraphs, *, refine: bool = False, inversion_steps: int = 0) -> NDArray[np.bool_]:
        """Which molecules come back, stereo and all, from the posterior's mean or the refined one, M.

        Written greedily, or with `inversion_steps` as in `sampling.inversion`; in whichever order of atoms.
        """
        strings = self.codec.reproduce(self.codec.encode(data, refine=refine).mean, inversion_steps=inversion_steps)
        known = targets(data, self.codec.vocabulary)
        return np.array([canonical_or_none(a) == b for a, b in zip(strings, known, strict=True)], dtype=bool)

    def resampled(self, data: PackedGraphs) -> list[str]:
        """A string from one draw of each molecule's posterior, sampled at temperature 1, unchecked."""
        posterior = self.codec.encode(data)
        keys = row_keys(1, torch.arange(len(data), device=posterior.mean.device))
        return self.write(posterior.sample(normal(keys, posterior.mean.shape[1])), 0.0, DecodeOptions(), seed=1)

    @torch.inference_mode()
    def prior(
        self, count: int, *, temperature: float = 1.0, seed: int = 0, prior: Prior | None = None
    ) -> list[str | None]:
        """`count` draws from a prior, the unit one by default: canonical SMILES, or None for a string that is none."""
        prior = prior or self.codec.model.prior()
        keys = row_keys(seed, torch.arange(count, device=self.codec.device))
        z = prior.sample(normal(keys, prior.noise_dim))
        z = prior.perturb(z, prior.noise_level, normal(keys, z.shape[1], stream=1))
        return [canonical_or_none(s) for s in self.write(z, prior.noise_level, DecodeOptions(temperature), seed + 1)]

    def neighborhood(
        self,
        data: PackedGraphs,
        noise_level: float,
        *,
        draws: int = 40,
        options: DecodeOptions = GREEDY,
        seen: BloomFilter | None = None,
        seed: int = 0,
        around: Posterior | None = None,
    ) -> Neighborhood:
        """One draw each of `draws` latents around the refined latent of every molecule of `data`, decoded by `options`.

        Without `seen`, what the model was trained on, all molecules count as novel. `around`: those, if they are there
        already.
        """
        posterior, seeds = around or self.codec.encode(data, refine=True), targets(data, self.codec.vocabulary)
        mean = posterior.mean.repeat_interleave(draws, 0)
        keys = row_keys(seed, torch.arange(len(mean), device=mean.device))
        z = posterior.perturb(mean, noise_level, normal(keys, mean.shape[1]))
        strings = self.write(z, noise_level, options, seed + 1)
        return _neighborhood(seeds, [strings[i * draws : (i + 1) * draws] for i in range(len(seeds))], seen)

    def noise_level_at(
        self,
        data: PackedGraphs,
        similarity: float,
        *,
        draws: int = 40,
        options: DecodeOptions = GREEDY,
        steps: int = 7,
    ) -> float:
        """The noise level at which the median Tanimoto of a `neighborhood` is `similarity`, by bisection of 0 to 1."""
        low, high, around = 0.0, 1.0, self.codec.encode(data, refine=True)
        for _ in range(steps):
            middle = (low + high) / 2
            found = self.neighborhood(data, middle, draws=draws, options=options, around=around).similarity
            low, high = (middle, high) if found > similarity else (low, middle)
        return (low + high) / 2


class Neighborhood(NamedTuple):
    """What draws around seeds give, averaged over seeds."""

    valid: float  # share of strings
    distinct: float  # distinct valid molecules per seed, the seed itself not counted
    effective: float  # share of strings that are such molecules and novel, each counted once
    similarity: float  # median Tanimoto of those to their seed
    frac_similarity_ge_0_4: float  # share of those at 0.4 or more


def probe(
    vocabulary: Vocabulary, max_length: int, molecules: int = 256
) -> Callable[[Autoencoder, PackedGraphs], dict[str, float]]:
    """A validation for training (`training.module.Probe`): decodes some molecules and some prior samples."""

    def run(model: Autoencoder, data: PackedGraphs) -> dict[str, float]:
        evaluator = Evaluator(Codec(model, vocabulary, max_length))
        some = data.select(torch.arange(min(molecules, len(data)), device=data.device))
        return {
            "exact": float(evaluator.exact(some).mean()),
            "posterior_valid": _share_valid(map(canonical_or_none, evaluator.resampled(some))),
            "prior_valid": _share_valid(evaluator.prior(molecules)),
        }

    return run


def targets(data: PackedGraphs, vocabulary: Vocabulary) -> list[str]:
    """The canonical SMILES that packed molecules were packed with."""
    return list(data.smiles(vocabulary))


def _neighborhood(seeds: list[str], groups: list[list[str]], seen: BloomFilter | None) -> Neighborhood:
    strings = max(1, sum(map(len, groups)))
    molecules = {text: canonical_or_none(text) for text in {t for group in groups for t in group}}
    valid, distinct, novel, similarities = 0, [], 0, []
    for seed, group in zip(seeds, groups, strict=True):
        good = [m for t in group if (m := molecules[t]) is not None]
        valid += len(good)
        others = sorted(set(good) - {seed})
        distinct.append(len(others))
        novel += len(others) - (int(seen.contains(others).sum()) if seen is not None else 0)
        similarities.append(tanimoto(morgan(parse(seed)), [morgan(parse(m)) for m in others]))
    pooled = np.concatenate(similarities) if similarities else np.zeros(0)
    return Neighborhood(
        valid / strings,
        float(np.mean(distinct)) if distinct else 0.0,
        novel / strings,
        float(np.median(pooled)) if len(pooled) else float("nan"),
        float(np.mean(pooled >= 0.4)) if len(pooled) else float("nan"),
    )


def _share_valid(molecules: Iterable[str | None]) -> float:
    flags = [m is not None for m in molecules]
    return sum(flags) / max(1, len(flags))
