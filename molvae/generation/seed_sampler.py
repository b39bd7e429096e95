"""Latents, random keys and forced tokens of the samples around a seed.

Each sample is a function of the random state, the seed molecule and the number of the sample only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import torch
from torch import Tensor
from torch.nn.functional import pad

from molvae.chem.cores import atoms_outside_core
from molvae.chem.grammar import TokenClass, token_class
from molvae.chem.smiles import parse
from molvae.chem.tokenizer import PAD_ID, Vocabulary
from molvae.generation.engine import DecodedSamples, Engine
from molvae.generation.rng import normal, row_keys, uniform
from molvae.generation.strategies import Strategy
from molvae.generation.token_sampling import SamplingOptions
from molvae.nn.priors import LatentDistribution

POSTERIOR_STREAM, NOISE_STREAM = 0, 1
"""Streams of random numbers of a latent: the draw from its source, and the noise that perturbs it."""

BRANCH_COUNTER = 2**19
"""Counter of the number that selects the branch position of a sample; those of its tokens are far below."""


class SampleBatch(NamedTuple):
    """Inputs of `Engine.stream` for N samples."""

    z: Tensor  # N x D
    noise_level: Tensor  # N
    keys: Tensor  # N
    temperature_scale: Tensor  # N
    forced_tokens: Tensor  # N x length

    @classmethod
    def concatenate(cls, parts: Sequence[SampleBatch]) -> SampleBatch:
        """The samples of several seeds in one batch, in order."""
        length = max(part.forced_tokens.shape[1] for part in parts)
        forced = [pad(p.forced_tokens, (0, length - p.forced_tokens.shape[1]), value=PAD_ID) for p in parts]
        padded = (part._replace(forced_tokens=tokens) for part, tokens in zip(parts, forced, strict=True))
        return cls(*(torch.cat(tensors) for tensors in zip(*padded, strict=True)))

    def decode(self, engine: Engine, options: SamplingOptions, *, noise_conditioned: bool) -> Iterator[DecodedSamples]:
        """The decoded samples in blocks; a decoder that is not `noise_conditioned` gets noise level 0."""
        noise_level = self.noise_level if noise_conditioned else torch.zeros_like(self.noise_level)
        return engine.stream(
            self.z,
            noise_level,
            self.keys,
            options,
            temperature_scale=self.temperature_scale if bool((self.temperature_scale != 1).any()) else None,
            forced_tokens=self.forced_tokens if self.forced_tokens.shape[1] else None,
        )


@dataclass(frozen=True)
class BranchTemplate:
    """The SMILES of a molecule that samples branch from.

    Attributes
    ----------
    tokens
        Token ids of the SMILES.
    positions
        Where samples may branch: at atoms, because most samples that branch at the end of a ring or a branch are
        invalid. With a core, these are the atoms of its substituents and the positions after them, where a substituent
        may continue.
    """

    tokens: list[int]
    positions: list[int]

    @classmethod
    def from_smiles(cls, smiles: str, vocabulary: Vocabulary, core: str | None = None) -> Self:
        """The template of a SMILES, or an empty one of "".

        Raises
        ------
        MoleculeError
            If the SMILES has a token that is not in the vocabulary.
        """
        tokens = vocabulary.encode(smiles).tolist() if smiles else []
        classes = [token_class(vocabulary.tokens[token]) for token in tokens]
        atoms = [position for position, token_class in enumerate(classes) if token_class == TokenClass.ATOM]
        substituents = [atoms[atom] for atom in atoms_outside_core(parse(smiles), core)] if core and smiles else []
        following = [position + 1 for position in substituents if classes[position + 1] != TokenClass.RING]
        return cls(tokens, sorted({*substituents, *following}) or atoms)

    def forced_tokens(self, keys: Tensor) -> Tensor:
        """Forced tokens of samples with these keys (N), as `Engine.decode` takes them; shape (N, at most L).

        The tokens before a position that depends on the key, the negative token at that position, then PAD.
        """
        tokens, positions = (torch.tensor(ids, device=keys.device) for ids in (self.tokens, self.positions))
        # the product can be rounded up to the number of positions
        chosen = (uniform(keys, BRANCH_COUNTER) * len(positions)).long().clamp_(max=len(positions) - 1)
        branch = positions[chosen][:, None]  # N x 1
        position = torch.arange(int(branch.max()) + 1, device=keys.device)
        tokens = tokens[: len(position)]
        return torch.where(position < branch, tokens, torch.where(position == branch, -tokens, PAD_ID))


def branch_tokens(smiles: Sequence[str], keys: Tensor, vocabulary: Vocabulary) -> Tensor:
    """Forced tokens of samples that each branch from their own SMILES ("" for none), shape (N, length)."""
    rows: dict[str, list[int]] = {}
    for row, text in enumerate(smiles):
        rows.setdefault(text, []).append(row)
    parts = {
        text: BranchTemplate.from_smiles(text, vocabulary).forced_tokens(keys[own])
        for text, own in rows.items()
        if text
    }
    length = max((part.shape[1] for part in parts.values()), default=0)
    forced = torch.full((len(smiles), length), PAD_ID, device=keys.device)
    for text, part in parts.items():
        forced[rows[text], : part.shape[1]] = part
    return forced


@dataclass(frozen=True)
class SeedSampler:
    """Prepares the samples of one seed.

    Attributes
    ----------
    latents
        Posterior of the seed, or the prior.
    key
        Key of the random numbers of the seed.
    template
        SMILES of the seed, to branch from.
    """

    latents: LatentDistribution
    key: int
    template: BranchTemplate

    @classmethod
    def from_smiles(
        cls,
        latents: LatentDistribution,
        random_state: int,
        smiles: str,
        vocabulary: Vocabulary,
        core: str | None = None,
    ) -> Self:
        """The sampler of a seed by its canonical SMILES, "" for the prior."""
        return cls(latents, seed_key(random_state, smiles), BranchTemplate.from_smiles(smiles, vocabulary, core))

    def batch(self, first: int, strategies: list[Strategy], samples_per_latent: int) -> SampleBatch:
        """The samples with the numbers from `first` on; `samples_per_latent` consecutive ones share a latent."""
        device = self.latents.device
        numbers = torch.arange(first, first + len(strategies), device=device)
        noise_level, temperature_scale, branch = torch.tensor(strategies, device=device, dtype=torch.float32).unbind(1)
        latent_keys, sample_keys = row_keys(self.key, numbers // samples_per_latent), row_keys(self.key ^ 1, numbers)
        z = self.latents.sample(normal(latent_keys, self.latents.noise_dim, stream=POSTERIOR_STREAM))
        noise = normal(latent_keys, z.shape[1], stream=NOISE_STREAM)
        z = self.latents.perturb(z.expand(len(strategies), -1), noise_level[:, None], noise)  # N x D
        forced = self._forced_tokens(branch > 0, sample_keys)
        return SampleBatch(z, noise_level, sample_keys, temperature_scale, forced)

    def _forced_tokens(self, branch: Tensor, keys: Tensor) -> Tensor:
        if not branch.any():
            return branch.new_zeros((len(branch), 0), dtype=torch.long)
        return torch.where(branch[:, None], self.template.forced_tokens(keys), PAD_ID)


def seed_key(random_state: int, smiles: str) -> int:
    """The key of a seed molecule: the same wherever it stands in the input."""
    digest = hashlib.blake2b(f"{random_state}/{smiles}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)
