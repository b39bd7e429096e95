"""Distinct valid molecules around latents: draw, decode, keep what is new, until there are enough.

All unfinished seeds are decoded in one call per round. What a seed gets depends on the random seed, its own SMILES and
its own progress alone: not on the other seeds beside it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from molvae.chem.fingerprints import morgan, tanimoto
from molvae.chem.smiles import canonical_or_none, parse
from molvae.chem.tokens import Vocabulary
from molvae.errors import InputError
from molvae.models.autoencoder import Autoencoder
from molvae.models.latents import Posterior, perturb
from molvae.sampling.dial import Dial, Gauge
from molvae.sampling.engine import decode
from molvae.sampling.options import DecodeOptions
from molvae.sampling.streams import normal, row_keys

SMALLEST_ROUND, LARGEST_ROUND = 64, 4096
POOR_YIELD, WIDER, WIDEST = 0.2, 0.1, 0.9
"""With `widen`: a round of which less than this share is new is followed by one this much further out, at most here."""
_LATENT_NOISE, _RADIUS_NOISE = 0, 1  # streams of a latent's random numbers


Admit = Callable[[str, Sequence[str]], Collection[str]]
"""Of a seed and some molecules found around it, those that are kept."""


@dataclass(frozen=True)
class Draws:
    """How molecules are drawn around each seed."""

    wanted: int = 100  # distinct valid molecules, the seed itself not counted
    radius: float = 0.5  # 0: the seed's own latent; 1: the prior
    widen: bool = False  # move further out where the radius gives little that is new
    decodes: int = 1  # strings from each latent
    dial: Dial | None = None  # only molecules of this similarity to the seed; finds the radius itself
    budget: int = 0  # strings per seed at most; 0: 20 for each wanted molecule (50 with a dial), 1,000 at least
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
        return self.budget or max(1000, (50 if self.dial else 20) * self.wanted)


@dataclass
class Found:
    """What was found around one seed: canonical SMILES with the log-likelihood of its string, in order of finding."""

    seed: str
    molecules: dict[str, float] = field(default_factory=dict)
    radius: float = 0.5  # how far out the last strings were drawn
    decoded: int = 0  # strings drawn
    valid: int = 0  # of these, molecules, repeats and the seed itself counted
    gauge: Gauge | None = None  # with a dial
    similarity: dict[str, float] = field(default_factory=dict)  # with a dial: to the seed, of what is in its band
    turned_away: set[str] = field(default_factory=set)  # molecules that are not what was asked for
    left_out: int = 0  # with a target: molecules that would have pulled the median away from it

    def summary(self, draws: Draws) -> str:
        head = f"{self.seed or 'prior'}: {len(self.molecules)} of {draws.wanted} distinct molecules "
        spent = f"from {self.decoded} strings ({self.valid} valid)"
        if self.gauge is None:
            return f"{head}{spent} up to radius {self.radius:g}"
        line = f"{head}at {self.gauge.dial} {spent}"
        missing = draws.wanted - len(self.molecules)
        return f"{line}; {self.gauge.outlook(missing, self.decoded, self.left_out)}" if missing > 0 else line


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
    admit: Admit | None = None,
    progress: Callable[[int], None] | None = None,
) -> list[Found]:
    """`draws.wanted` distinct valid molecules around each seed, or as many as the budget gives; in the seeds' order.

    `posterior` holds each seed's latent (S x D); `seeds` their canonical SMILES, "" for a draw from the prior.
    A decoder that is `noise_aware` is told how far out its latents are. Only what `admit` lets pass is kept.
    `progress` is called with the molecules found so far.
    """
    found = [Found(seed, radius=draws.radius, gauge=_gauge(draws)) for seed in seeds]
    keys = [_seed_key(draws.seed, seed) for seed in seeds]
    unfinished = [i for i, _ in enumerate(found)]
    while unfinished:
        radii = [_radii(found[i], draws) for i in unfinished]
        z, decode_keys = _latents(posterior, found, keys, unfinished, radii, draws)
        told = torch.tensor([r if noise_aware else 0.0 for part in radii for r in part], device=z.device)
        decoded = decode(model.decoder, z, told, decode_keys, draws.options, max_symbols)
        strings, start = decoded.strings(vocabulary), 0
        molecules = {text: canonical_or_none(text) for text in set(strings)}
        for i, part in zip(unfinished, radii, strict=True):
            rows = slice(start, start + len(part))
            drawn = [
                (molecules[text], score)
                for text, score in zip(strings[rows], decoded.log_likelihood[rows].tolist(), strict=True)
            ]
            _keep(found[i], drawn, part, draws, admit)
            start += len(part)
        unfinished = [i for i in unfinished if _round(found[i], draws)]
        if progress:
            progress(sum(len(f.molecules) for f in found))
    for one in found:
        _settle(one)
    return found


def _gauge(draws: Draws) -> Gauge | None:
    return Gauge(draws.dial, draws.wanted) if draws.dial else None


def _radii(found: Found, draws: Draws) -> list[float]:
    """How far out each of the next strings of a seed is drawn; strings of one latent have one radius."""
    size = _round(found, draws)
    if found.gauge is None:
        return [found.radius] * size
    latents = found.gauge.radii(-(-size // draws.decodes))
    return [radius for radius in latents for _ in range(draws.decodes)][:size]


def _round(found: Found, draws: Draws) -> int:
    """How many strings to draw next for a seed: what its yield so far suggests; 0 when it is done."""
    missing, left = draws.wanted - len(found.molecules), draws.most - found.decoded
    if missing <= 0 or left <= 0:
        return 0
    rate = max(0.05, len(found.molecules) / found.decoded) if found.decoded else 0.7
    adapts = draws.widen or draws.dial is not None  # it leaves budget for what a round teaches
    most = max(4 * SMALLEST_ROUND, draws.wanted) if adapts else LARGEST_ROUND
    size = min(left, most, max(SMALLEST_ROUND, int(1.2 * missing / rate)))
    return min(left, -(-size // draws.decodes) * draws.decodes)


def _latents(
    posterior: Posterior,
    found: list[Found],
    keys: list[int],
    unfinished: list[int],
    radii: list[list[float]],
    draws: Draws,
) -> tuple[Tensor, Tensor]:
    """The next latents of every unfinished seed, one after the other, and the keys of their strings."""
    device = posterior.mean.device
    parts, decode_keys = [], []
    for i, part in zip(unfinished, radii, strict=True):
        strings = torch.arange(found[i].decoded, found[i].decoded + len(part), device=device)
        latent_keys = row_keys(keys[i], strings // draws.decodes)
        width = posterior.mean.shape[1]
        variance = None if posterior.log_variance is None else posterior.log_variance[i : i + 1]
        z = Posterior(posterior.mean[i : i + 1], variance).draw(normal(latent_keys, width, stream=_LATENT_NOISE))
        radius = torch.tensor(part, device=device)[:, None]
        parts.append(perturb(z.expand(len(part), -1), radius, normal(latent_keys, width, stream=_RADIUS_NOISE)))
        decode_keys.append(row_keys(keys[i] ^ 1, strings))
    return torch.cat(parts), torch.cat(decode_keys)


def _keep(
    found: Found, drawn: list[tuple[str | None, float]], radii: list[float], draws: Draws, admit: Admit | None
) -> None:
    """Add what is new and wanted among a round's molecules, and learn from it where to draw the next ones."""
    fresh = {m for m, _ in drawn if m and m != found.seed and m not in found.molecules and m not in found.turned_away}
    wanted = _wanted(found, fresh, admit)
    kept = []
    for text, score in drawn:
        molecule = text or ""
        found.valid += text is not None
        new = molecule in wanted and molecule not in found.molecules and len(found.molecules) < draws.wanted
        if new and found.gauge is not None:
            new = found.gauge.admits(found.similarity[molecule])
        kept.append(new)
        if new:
            found.molecules[molecule] = score
    found.decoded += len(drawn)
    if found.gauge is not None:
        found.gauge.learn(radii, kept)
    elif draws.widen and draws.wanted > len(found.molecules) and sum(kept) < POOR_YIELD * len(drawn):
        found.radius = max(found.radius, min(WIDEST, round(found.radius + WIDER, 3)))


def _wanted(found: Found, fresh: set[str], admit: Admit | None) -> set[str]:
    """Which of these molecules lie in the dial's band and are admitted; the others are not looked at again."""
    passed = fresh
    if found.gauge is not None and fresh:
        names = sorted(fresh)
        similarities = tanimoto(morgan(parse(found.seed)), [morgan(parse(name)) for name in names]).tolist()
        dial = found.gauge.dial
        near = {name: s for name, s in zip(names, similarities, strict=True) if dial.holds(s)}
        found.similarity.update(near)
        passed = set(near)
    if admit is not None and passed:
        passed = set(admit(found.seed, sorted(passed)))
    found.turned_away |= fresh - passed
    return passed


def _settle(found: Found) -> None:
    """With a target, leave out what would pull the median away from it."""
    if found.gauge is not None:
        chosen = found.gauge.balanced({name: found.similarity[name] for name in found.molecules})
        found.left_out = len(found.molecules) - len(chosen)
        found.molecules = {name: found.molecules[name] for name in chosen}


def _seed_key(seed: int, smiles: str) -> int:
    """A stream of its own for every seed molecule, the same wherever it stands in the input."""
    digest = hashlib.blake2b(f"{seed}/{smiles}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)
