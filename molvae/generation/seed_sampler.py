"""Where the strings of a seed come from: its latents, moved in the way asked for, and its own string, to be left.

Every string is a function of the random seed, the molecule and its own number, whatever is drawn beside it.
"""

from __future__ import annotations

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
from molvae.data.hashing import hash_text
from molvae.generation.engine import Decoded, Engine
from molvae.generation.rng import normal, row_keys, uniform
from molvae.generation.similarity_target import Way
from molvae.generation.token_sampling import DecodeOptions
from molvae.nn.priors import LatentDistribution

LATENT_NOISE, RADIUS_NOISE = 0, 1  # streams of a latent's random numbers
PLACE = 2**19  # the number in a string's own stream, far behind those of its symbols, that says where it departs


class Rows(NamedTuple):
    """Strings to be written, N, as `Engine.stream` takes them."""

    z: Tensor
    noise_level: Tensor
    keys: Tensor
    heat: Tensor
    given: Tensor

    @classmethod
    def of(cls, parts: Sequence[Rows]) -> Rows:
        """The strings of several seeds, one after the other."""
        longest = max(part.given.shape[1] for part in parts)
        padded = [pad(part.given, (0, longest - part.given.shape[1]), value=PAD_ID) for part in parts]
        whole = zip(*(part._replace(given=wide) for part, wide in zip(parts, padded, strict=True)), strict=True)
        return cls(*(torch.cat(tensors) for tensors in whole))

    def written(self, engine: Engine, options: DecodeOptions, noise_conditioned: bool) -> Iterator[Decoded]:
        """The strings in blocks; a decoder that is not `noise_conditioned` is told of no noise."""
        told = self.noise_level if noise_conditioned else torch.zeros_like(self.noise_level)
        heat = self.heat if bool((self.heat != 1).any()) else None
        given = self.given if self.given.shape[1] else None
        return engine.stream(self.z, told, self.keys, options, heat=heat, given=given)


@dataclass(frozen=True)
class Text:
    """A molecule's string, as one to be left: its symbols, and the `places` where another may depart.

    These are its atoms: of strings that depart where a ring or a branch ends most are no molecules. Where a core is to
    stay they are the atoms of its groups, and what follows these, for there a group may go on.
    """

    symbols: list[int]
    places: list[int]

    @classmethod
    def of(cls, smiles: str, vocabulary: Vocabulary, core: str | None = None) -> Self:
        """From a SMILES, or "". Raises `MoleculeError` for one with a symbol that the model has never seen."""
        symbols = vocabulary.encode(smiles).tolist() if smiles else []
        classes = [token_class(vocabulary.tokens[symbol]) for symbol in symbols]
        atoms = [place for place, kind in enumerate(classes) if kind == TokenClass.ATOM]
        groups = [atoms[atom] for atom in atoms_outside_core(parse(smiles), core)] if core and smiles else []
        further = [place + 1 for place in groups if classes[place + 1] != TokenClass.RING]
        return cls(symbols, sorted({*groups, *further}) or atoms)

    def departures(self, keys: Tensor) -> Tensor:
        """What `Engine.stream` is given of strings that depart, N x at most L.

        The symbols up to a place that hangs on the string's key (N), minus the one there, PAD behind.
        """
        symbols, places = (torch.tensor(ids, device=keys.device) for ids in (self.symbols, self.places))
        chosen = (uniform(keys, PLACE) * len(places)).long().clamp_(max=len(places) - 1)  # a product can round up
        end = places[chosen][:, None]
        place = torch.arange(int(end.max()) + 1, device=keys.device)
        symbols = symbols[: len(place)]
        return torch.where(place < end, symbols, torch.where(place == end, -symbols, PAD_ID))


def departures(texts: Sequence[str], keys: Tensor, vocabulary: Vocabulary) -> Tensor:
    """As `Text.departures`, of strings that each leave a text of their own, N SMILES; "" leaves none."""
    rows: dict[str, list[int]] = {}
    for row, text in enumerate(texts):
        rows.setdefault(text, []).append(row)
    parts = {text: Text.of(text, vocabulary).departures(keys[mine]) for text, mine in rows.items() if text}
    longest = max((part.shape[1] for part in parts.values()), default=0)
    given = torch.full((len(texts), longest), PAD_ID, device=keys.device)
    for text, part in parts.items():
        given[rows[text], : part.shape[1]] = part
    return given


@dataclass(frozen=True)
class SeedSampler:
    """Where the strings of one seed come from: its latents, the key of its random numbers, its own string."""

    latents: LatentDistribution
    key: int
    text: Text

    @classmethod
    def of(cls, latents: LatentDistribution, seed: int, smiles: str, vocabulary: Vocabulary, core: str | None = None) -> Self:
        """From the canonical SMILES of a seed, "" for the prior, the number that randomness hangs on, and the core that
        is to stay."""
        return cls(latents, seed_key(seed, smiles), Text.of(smiles, vocabulary, core))

    def next(self, first: int, ways: list[Way], samples_per_latent: int) -> Rows:
        """The strings from number `first` on; `samples_per_latent` of them share a latent."""
        device = self.latents.device
        strings = torch.arange(first, first + len(ways), device=device)
        noise_level, heat, departs = torch.tensor(ways, device=device, dtype=torch.float32).unbind(1)
        keys, own = row_keys(self.key, strings // samples_per_latent), row_keys(self.key ^ 1, strings)
        z = self.latents.sample(normal(keys, self.latents.noise_dim, stream=LATENT_NOISE))
        noise = normal(keys, z.shape[1], stream=RADIUS_NOISE)
        z = self.latents.perturb(z.expand(len(ways), -1), noise_level[:, None], noise)
        return Rows(z, noise_level, own, heat, self._given(departs > 0, own))

    def _given(self, departs: Tensor, keys: Tensor) -> Tensor:
        if not departs.any():
            return departs.new_zeros((len(departs), 0), dtype=torch.long)
        return torch.where(departs[:, None], self.text.departures(keys), PAD_ID)


def seed_key(seed: int, smiles: str) -> int:
    """A stream of its own for every seed molecule, the same wherever it stands in the input."""
    return int.from_bytes(hash_text(f"{seed}/{smiles}"), "little", signed=True)
