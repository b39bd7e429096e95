"""Where the strings of a seed come from: its latents, moved in the way asked for, and the beginning of its own string.

Every string is a function of the random seed, the molecule and its own number, whatever is drawn beside it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from molvae.chem.tokens import PAD_ID
from molvae.models.priors import LatentSource
from molvae.sampling.dial import Way
from molvae.sampling.engine import Decoded, Engine
from molvae.sampling.options import DecodeOptions
from molvae.sampling.streams import normal, row_keys, uniform

LATENT_NOISE, RADIUS_NOISE = 0, 1  # streams of a latent's random numbers
CUT = 2**19  # the number in a string's own stream, far behind those of its symbols, that says how much it keeps


class Rows(NamedTuple):
    """Strings to be written, N, as `Engine.stream` takes them."""

    z: Tensor
    radius: Tensor
    keys: Tensor
    heat: Tensor
    prefix: Tensor

    @classmethod
    def of(cls, parts: Sequence[Rows]) -> Rows:
        """The strings of several seeds, one after the other."""
        longest = max(part.prefix.shape[1] for part in parts)
        padded = [pad(part.prefix, (0, longest - part.prefix.shape[1]), value=PAD_ID) for part in parts]
        whole = zip(*(part._replace(prefix=wide) for part, wide in zip(parts, padded, strict=True)), strict=True)
        return cls(*(torch.cat(tensors) for tensors in whole))

    def written(self, engine: Engine, options: DecodeOptions, noise_aware: bool) -> Iterator[Decoded]:
        """The strings in blocks; a decoder that is not `noise_aware` is told of no noise."""
        told = self.radius if noise_aware else torch.zeros_like(self.radius)
        heat = self.heat if bool((self.heat != 1).any()) else None
        prefix = self.prefix if self.prefix.shape[1] else None
        return engine.stream(self.z, told, self.keys, options, heat=heat, prefix=prefix)


@dataclass(frozen=True)
class Source:
    """Where the strings of one seed come from: its latents, the key of its random numbers, its own symbols."""

    latents: LatentSource
    key: int
    symbols: list[int]

    def next(self, first: int, ways: list[Way], decodes: int) -> Rows:
        """The strings from number `first` on; `decodes` of them share a latent."""
        device = self.latents.device
        strings = torch.arange(first, first + len(ways), device=device)
        radius, heat, kept = torch.tensor(ways, device=device, dtype=torch.float32).unbind(1)
        keys, own = row_keys(self.key, strings // decodes), row_keys(self.key ^ 1, strings)
        z = self.latents.draw(normal(keys, self.latents.noise_size, stream=LATENT_NOISE))
        noise = normal(keys, z.shape[1], stream=RADIUS_NOISE)
        z = self.latents.perturb(z.expand(len(ways), -1), radius[:, None], noise)
        return Rows(z, radius, own, heat, self._prefix(kept * uniform(own, CUT)))

    def _prefix(self, share: Tensor) -> Tensor:
        """The seed's own symbols up to a share of them, N x most, PAD behind."""
        symbols = torch.tensor(self.symbols, device=share.device, dtype=torch.long)
        count = (share * len(symbols)).long()[:, None]
        place = torch.arange(int(count.max()), device=share.device)
        return torch.where(place < count, symbols[: len(place)], PAD_ID)


def seed_key(seed: int, smiles: str) -> int:
    """A stream of its own for every seed molecule, the same wherever it stands in the input."""
    digest = hashlib.blake2b(f"{seed}/{smiles}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)
