"""Distinct valid molecules around latents: draw, decode, keep what is new, until there are enough.

All unfinished seeds are decoded in one call per round. What a seed gets depends on the random seed, its own SMILES and
its own progress alone: not on the other seeds beside it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from molvae.chem.smiles import canonical_or_none
from molvae.chem.tokens import Vocabulary
from molvae.errors import InputError
from molvae.models.autoencoder import Autoencoder
from molvae.models.latents import Posterior, perturb
from molvae.sampling.engine import decode
from molvae.sampling.options import DecodeOptions
from molvae.sampling.streams import normal, row_keys

SMALLEST_ROUND, LARGEST_ROUND = 64, 4096
POOR_YIELD, WIDER, WIDEST = 0.2, 0.1, 0.9
"""With `widen`: a round of which less than this share is new is followed by one this much further out, at most here."""
_LATENT_NOISE, _RADIUS_NOISE = 0, 1  # streams of a latent's random numbers


@dataclass(frozen=True)
class Draws:
    """How molecules are drawn around each seed."""

    wanted: int = 100  # distinct valid molecules, the seed itself not counted
    radius: float = 0.5  # 0: the seed's own latent; 1: the prior
    widen: bool = False  # move further out where the radius gives little that is new
    decodes: int = 1  # strings from each latent
    budget: int = 0  # strings per seed at most; 0: 20 for each wanted molecule, 1,000 at least
    options: DecodeOptions = field(default_factory=DecodeOptions)
    seed: int = 0

    def __post_init__(self) -> None:
        if self.wanted < 1:
            raise InputError(f"the number of molecules must be 1 or more, got {self.wanted}")
        if not 0 <= self.radius <= 1:
            raise InputError(f"radius must lie in 0 (the seed itself) to 1 (anything), got {self.radius}")
        if self.decodes < 1:
            raise InputError(f"decodes per latent must be 1 or more, got {self.decodes}")
        if self.budget < 0:
            raise InputError(f"budget must be 0 (automatic) or more strings, got {self.budget}")

    @property
    def most(self) -> int:
        """The budget in strings."""
        return self.budget or max(1000, 20 * self.wanted)


@dataclass
class Found:
    """What was found around one seed: canonical SMILES with the log-likelihood of its string, in order of finding."""

    seed: str
    molecules: dict[str, float] = field(default_factory=dict)
    radius: float = 0.5  # how far out the last strings were drawn
    decoded: int = 0  # strings drawn
    valid: int = 0  # of these, molecules, repeats and the seed itself counted

    def summary(self, draws: Draws) -> str:
        return (
            f"{self.seed or 'prior'}: {len(self.molecules)} of {draws.wanted} distinct molecules "
            f"from {self.decoded} strings ({self.valid} valid) up to radius {self.radius:g}"
        )


@torch.inference_mode()
def draw_around(
    model: Autoencoder,
    vocabulary: Vocabulary,
    seeds: Sequence[str],
    posterior: Posterior,
    draws: Draws,
    *,
    noise_aware: bool,
    max_symbols: int,
    progress: Callable[[int], None] | None = None,
) -> list[Found]:
    """`draws.wanted` distinct valid molecules around each seed, or as many as the budget gives; in the seeds' order.

    `posterior` holds each seed's latent (S x D); `seeds` their canonical SMILES, "" for a draw from the prior.
    A decoder that is `noise_aware` is told how far out its latents are.
    `progress` is called with the molecules found so far.
    """
    found = [Found(seed, radius=draws.radius) for seed in seeds]
    keys = [_seed_key(draws.seed, seed) for seed in seeds]
    unfinished = [i for i, _ in enumerate(found)]
    while unfinished:
        sizes = [_round(found[i], draws) for i in unfinished]
        z, decode_keys = _latents(posterior, found, keys, unfinished, sizes, draws)
        radii = [found[i].radius if noise_aware else 0.0 for i in unfinished]
        told = torch.tensor(radii, device=z.device).repeat_interleave(torch.tensor(sizes, device=z.device))
        decoded = decode(model.decoder, z, told, decode_keys, draws.options, max_symbols)
        strings, start = decoded.strings(vocabulary), 0
        molecules = {text: canonical_or_none(text) for text in set(strings)}
        for i, size in zip(unfinished, sizes, strict=True):
            rows = slice(start, start + size)
            _keep(found[i], strings[rows], decoded.log_likelihood[rows].tolist(), molecules, draws)
            start += size
        unfinished = [i for i in unfinished if _round(found[i], draws)]
        if progress:
            progress(sum(len(f.molecules) for f in found))
    return found


def _round(found: Found, draws: Draws) -> int:
    """How many strings to draw next for a seed: what its yield so far suggests; 0 when it is done."""
    missing, left = draws.wanted - len(found.molecules), draws.most - found.decoded
    if missing <= 0 or left <= 0:
        return 0
    rate = max(0.05, len(found.molecules) / found.decoded) if found.decoded else 0.7
    most = max(4 * SMALLEST_ROUND, draws.wanted) if draws.widen else LARGEST_ROUND  # leave budget for further out
    size = min(left, most, max(SMALLEST_ROUND, int(1.2 * missing / rate)))
    return min(left, -(-size // draws.decodes) * draws.decodes)


def _latents(
    posterior: Posterior, found: list[Found], keys: list[int], unfinished: list[int], sizes: list[int], draws: Draws
) -> tuple[Tensor, Tensor]:
    """The next latents of every unfinished seed, one after the other, and the keys of their strings."""
    device = posterior.mean.device
    parts, decode_keys = [], []
    for i, size in zip(unfinished, sizes, strict=True):
        strings = torch.arange(found[i].decoded, found[i].decoded + size, device=device)
        latent_keys = row_keys(keys[i], strings // draws.decodes)
        width = posterior.mean.shape[1]
        variance = None if posterior.log_variance is None else posterior.log_variance[i : i + 1]
        z = Posterior(posterior.mean[i : i + 1], variance).draw(normal(latent_keys, width, stream=_LATENT_NOISE))
        parts.append(perturb(z.expand(size, -1), found[i].radius, normal(latent_keys, width, stream=_RADIUS_NOISE)))
        decode_keys.append(row_keys(keys[i] ^ 1, strings))
    return torch.cat(parts), torch.cat(decode_keys)


def _keep(
    found: Found, strings: list[str], scores: list[float], molecules: dict[str, str | None], draws: Draws
) -> None:
    """Add what is new among a round's strings, and settle how far out the next round is drawn."""
    found.decoded += len(strings)
    before = len(found.molecules)
    for text, score in zip(strings, scores, strict=True):
        molecule = molecules[text]
        if molecule is None:
            continue
        found.valid += 1
        if molecule != found.seed and len(found.molecules) < draws.wanted:
            found.molecules.setdefault(molecule, score)
    missing = draws.wanted > len(found.molecules)
    if draws.widen and missing and len(found.molecules) - before < POOR_YIELD * len(strings):
        found.radius = max(found.radius, min(WIDEST, round(found.radius + WIDER, 3)))


def _seed_key(seed: int, smiles: str) -> int:
    """A stream of its own for every seed molecule, the same wherever it stands in the input."""
    digest = hashlib.blake2b(f"{seed}/{smiles}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)
