"""Distinct valid molecules around latents: draw, decode, keep what is new, until there are enough.

All unfinished seeds are decoded in one call per round, and what the decoder writes is read in worker processes while
it goes on writing. What a seed gets depends on the random seed, its own SMILES and its own progress alone: not on the
other seeds beside it, nor on the workers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from math import ceil
from numbers import Integral
from typing import Any

import numpy as np
import torch

from molvae.chem.fingerprints import morgan_bits, tanimoto_to
from molvae.chem.sample_parsing import ParsedSample, parse_samples
from molvae.chem.smiles import parse
from molvae.chem.tokenizer import Vocabulary
from molvae.data.parallel import SERIAL, PendingResults, WorkerPool
from molvae.errors import InputError
from molvae.generation.constraints import Steering
from molvae.generation.engine import Decoded, Engine
from molvae.generation.scheduling import Job
from molvae.generation.seed_sampler import Rows, SeedSampler
from molvae.generation.similarity_target import MEMORY, Dial, Gauge, Way
from molvae.generation.token_sampling import DecodeOptions
from molvae.nn.priors import LatentDistribution

SMALLEST_ROUND, LARGEST_ROUND = 64, 4096

Strings = list[tuple[ParsedSample | None, float]]
"""Strings: the molecule of each, and its log-likelihood."""


@dataclass(frozen=True)
class Draws:
    """How molecules are drawn around each seed."""

    wanted: int = 100  # distinct valid molecules, the seed itself not counted
    noise_level: float = 0.5  # 0: the seed's own latent; 1: the prior
    samples_per_latent: int = 1  # strings from each latent
    dial: Dial | None = None  # molecules of this similarity to the seed; finds out by itself how to draw them
    max_samples: int = (
        0  # strings per seed at most; 0: 20 for each wanted molecule (50 for a strict dial), 1,000 at least
    )
    options: DecodeOptions = field(default_factory=DecodeOptions)
    seed: int = 0

    def __post_init__(self) -> None:
        if not isinstance(self.wanted, Integral) or self.wanted < 1:
            raise InputError(f"the number of molecules must be 1 or more, got {self.wanted}")
        if not 0 <= self.noise_level <= 1:
            raise InputError(f"noise level must lie in 0 (the seed itself) to 1 (anything), got {self.noise_level}")
        if self.samples_per_latent < 1:
            raise InputError(f"decodes per latent must be 1 or more, got {self.samples_per_latent}")
        if self.max_samples < 0:
            raise InputError(f"budget must be 0 (automatic) or more strings, got {self.max_samples}")

    @property
    def most(self) -> int:
        """The budget in strings."""
        strict = self.dial is not None and not self.dial.fills
        return self.max_samples or max(1000, (50 if strict else 20) * self.wanted)


@dataclass
class Found:
    """What was found around one seed: canonical SMILES with the log-likelihood of its string, in order of finding."""

    seed: str
    molecules: dict[str, float] = field(default_factory=dict)
    similarity: dict[str, float] = field(default_factory=dict)  # to the seed, of all looked at; of the prior's 0
    noise_level: float = 0.5  # how far out the strings were drawn, where no dial says it
    decoded: int = 0  # strings drawn
    valid: int = 0  # of these, molecules, repeats and the seed itself counted
    gauge: Gauge | None = None  # with a dial
    others: dict[str, float] = field(default_factory=dict)  # molecules outside the band of a dial that fills
    left_out: int = 0  # with a target: molecules that would have pulled the median away from it
    rejected: Counter[str] = field(default_factory=Counter)  # molecules by the first wish that they did not meet
    lately: float = 0.0  # molecules that the last strings gave; rounds before count less, and so below
    drawn_lately: float = 0.0

    def statistics(self, draws: Draws) -> dict[str, Any]:
        """Counts of this seed, as documented in `Generator.analogs`."""
        dial = self.gauge.dial if self.gauge else None
        return {
            "seed": self.seed,
            "requested": draws.wanted,
            "found": len(self.molecules),
            "in_range": sum(dial is None or dial.holds(self.similarity[name]) for name in self.molecules),
            "samples": self.decoded,
            "valid": self.valid,
            "rejected": dict(self.rejected),
            "unbalanced": self.left_out,
            "samples_needed": self.samples_needed(draws),
        }

    def samples_needed(self, draws: Draws) -> int | None:
        """Estimated number of samples for all requested molecules; None if the recent samples gave too few.

        That is, if at the recent rate not even one more molecule is expected from another `max_samples` samples.
        """
        if len(self.molecules) >= draws.wanted:
            return self.decoded
        if self.lately * draws.most < self.drawn_lately:
            return None
        # each molecule on the scarce side also readmits one that was dropped to keep the median
        missing = draws.wanted - len(self.molecules) - self.left_out
        return self.decoded + ceil(max(missing, 1) * self.drawn_lately / self.lately)

    def summary(self, draws: Draws) -> str:
        """The statistics as a sentence, with a suggestion if there are too few molecules."""
        origin = f"{self.seed or 'prior'}: {len(self.molecules)} of {draws.wanted} molecules"
        samples = f"from {self.decoded} samples ({self.valid} valid)"
        if self.gauge is None:
            text = f"{origin} {samples}, noise level {self.noise_level:g}"
        elif self.gauge.dial.fills:
            in_range = sum(self.gauge.dial.holds(self.similarity[name]) for name in self.molecules)
            text = f"{origin} {samples}, {in_range} of them with {self.gauge.dial}"
        else:
            text = f"{origin} with {self.gauge.dial} {samples}"
        return f"{text}; {self.outlook(draws)}" if len(self.molecules) < draws.wanted else text

    def outlook(self, draws: Draws) -> str:
        """Why too few molecules were found, and what would help."""
        parts = []
        if self.gauge is not None and not self.molecules and self.similarity:
            parts.append(f"highest similarity of {len(self.similarity)} molecules: {max(self.similarity.values()):.2f}")
        if self.rejected:
            counts = ", ".join(f"{count} by {name}" for name, count in self.rejected.most_common())
            parts.append(f"{self.rejected.total()} molecules rejected ({counts})")
        if self.left_out:
            parts.append(f"{self.left_out} molecules dropped to keep the median similarity at the target")
        needed = self.samples_needed(draws)
        if needed is None:
            advice = "another noise level" if self.gauge is None else "a wider similarity range"
            filters = ", weaker filters" if self.rejected else ""
            parts.append(f"the last samples gave no molecules: try {advice}{filters} or fewer molecules")
        else:
            rate = 100 * self.lately / self.drawn_lately
            parts.append(f"{rate:.2g} % of the last samples gave a molecule: max_samples={needed} would be needed")
        return "; ".join(parts)

    def count(self, gained: int, drawn: int) -> None:
        """A round of so many strings, and the molecules that it gave."""
        self.decoded += drawn
        self.lately = MEMORY * self.lately + gained
        self.drawn_lately = MEMORY * self.drawn_lately + drawn


@torch.inference_mode()
def draw_around(
    engine: Engine,
    vocabulary: Vocabulary,
    seeds: Sequence[str],
    latents: LatentDistribution,
    draws: Draws,
    *,
    noise_conditioned: bool,
    steering: Steering | None = None,
    workers: WorkerPool = SERIAL,
    progress: Callable[[int], None] | None = None,
) -> Job[list[Found]]:
    """`draws.wanted` distinct valid molecules around each seed, or as many as the budget gives; in the seeds' order.

    A job in the sense of `overlap`: it yields when it has to wait for `workers`, and returns what was found.
    `latents` has a row for each seed, `seeds` their canonical SMILES, "" for a draw from the prior. A decoder that is
    `noise_conditioned` is told how far out its latents are. Only what `steering` admits is kept. `progress` is called with
    the molecules found so far.
    """
    found = [Found(seed, noise_level=draws.noise_level, gauge=_gauge(draws)) for seed in seeds]
    core = steering.core if steering else None
    sources = [SeedSampler.of(latents.row(i), draws.seed, seed, vocabulary, core) for i, seed in enumerate(seeds)]
    known: dict[str, ParsedSample | None] = {"": None}  # a string that comes again, and most do, is not read again
    while active := [(one, source) for one, source in zip(found, sources, strict=True) if _round(one, draws)]:
        ways = [_ways(one, draws) for one, _ in active]
        rows = Rows.of(
            [s.next(one.decoded, part, draws.samples_per_latent) for (one, s), part in zip(active, ways, strict=True)]
        )
        strings = yield from _written(rows.written(engine, draws.options, noise_conditioned), vocabulary, known, workers)
        drawn = _parted(strings, ways)
        new = [_new(one, part) for (one, _), part in zip(active, drawn, strict=True)]
        if steering is not None:
            asked = [steering.ask(one.seed, part, workers) for (one, _), part in zip(active, new, strict=True)]
            yield
            new = [_accepted(one, answer()) for (one, _), answer in zip(active, asked, strict=True)]
        for (one, _), part, how, wanted in zip(active, drawn, ways, new, strict=True):
            _keep(one, part, how, set(wanted), draws)
        if progress:
            progress(sum(len(one.molecules) for one in found))
    for one in found:
        _settle(one, draws.wanted)
    if progress:
        progress(sum(len(one.molecules) for one in found))
    return found


def _written(
    blocks: Iterable[Decoded], vocabulary: Vocabulary, known: dict[str, ParsedSample | None], workers: WorkerPool
) -> Job[Strings]:
    """All strings with their molecules; those of a block are read while the next is written."""
    written: list[tuple[str, float]] = []
    pending: list[tuple[list[str], PendingResults[ParsedSample | None]]] = []
    for block in blocks:
        strings = block.strings(vocabulary)
        written += zip(strings, block.log_likelihood.tolist(), strict=True)
        fresh = [text for text in dict.fromkeys(strings) if text not in known]
        known.update(dict.fromkeys(fresh))
        pending.append((fresh, workers.submit(parse_samples, fresh)))
    yield
    for fresh, answer in pending:
        known.update(zip(fresh, answer.result(), strict=True))
    return [(known[text], score) for text, score in written]


def _gauge(draws: Draws) -> Gauge | None:
    return Gauge(draws.dial, draws.wanted) if draws.dial else None


def _ways(found: Found, draws: Draws) -> list[Way]:
    """How each of the next strings of a seed is drawn; strings of one latent are drawn in one way."""
    size = _round(found, draws)
    if found.gauge is None:
        return [Way(found.noise_level)] * size
    latents = found.gauge.ways(-(-size // draws.samples_per_latent))
    return [way for way in latents for _ in range(draws.samples_per_latent)][:size]


def _round(found: Found, draws: Draws) -> int:
    """How many strings to draw next for a seed: what its yield so far suggests; 0 when it is done."""
    missing, left = draws.wanted - len(found.molecules), draws.most - found.decoded
    if missing <= 0 or left <= 0:
        return 0
    rate = max(0.05, len(found.molecules) / found.decoded) if found.decoded else 0.7
    # a dial leaves budget for what a round teaches
    most = LARGEST_ROUND if draws.dial is None else max(4 * SMALLEST_ROUND, draws.wanted)
    size = min(left, most, max(SMALLEST_ROUND, int(1.2 * missing / rate)))
    return min(left, -(-size // draws.samples_per_latent) * draws.samples_per_latent)


def _parted(drawn: Strings, ways: list[list[Way]]) -> list[Strings]:
    """What was drawn for each seed, whose strings stand one after the other."""
    ends = np.cumsum([len(part) for part in ways]).tolist()
    return [drawn[end - len(part) : end] for end, part in zip(ends, ways, strict=True)]


def _new(found: Found, drawn: Strings) -> list[str]:
    """Molecules not seen before, and within the dial's band unless it fills; the others are not looked at again."""
    fresh = {
        reading.smiles: reading.fingerprint
        for reading, _ in drawn
        if reading and reading.smiles not in found.similarity
    }
    fresh.pop(found.seed, None)
    found.similarity.update(_similarities(found.seed, fresh))
    dial = found.gauge.dial if found.gauge else None
    return sorted(name for name in fresh if dial is None or dial.fills or dial.holds(found.similarity[name]))


def _accepted(found: Found, invalid_rows: dict[str, str]) -> list[str]:
    """The molecules that meet every wish; the others are counted."""
    found.rejected.update(invalid_row for invalid_row in invalid_rows.values() if invalid_row)
    return sorted(molecule for molecule, invalid_row in invalid_rows.items() if not invalid_row)


def _similarities(seed: str, fresh: dict[str, bytes]) -> dict[str, float]:
    """Tanimoto similarity to the seed; of the prior's molecules, which have none, 0."""
    if not seed or not fresh:
        return dict.fromkeys(fresh, 0.0)
    (query,) = morgan_bits([parse(seed)])
    others = np.frombuffer(b"".join(fresh.values()), np.uint8).reshape(len(fresh), -1)
    return dict(zip(fresh, tanimoto_to(query, others).tolist(), strict=True))


def _keep(found: Found, drawn: Strings, ways: list[Way], wanted: set[str], draws: Draws) -> None:
    """Add what is new and wanted among a round's molecules, and learn from it where to draw the next ones."""
    kept, before = list[bool](), len(found.molecules) + len(found.others)
    for reading, score in drawn:
        molecule = reading.smiles if reading else ""
        found.valid += reading is not None
        new = molecule in wanted and molecule not in found.molecules and len(found.molecules) < draws.wanted
        if new and found.gauge is not None:
            new = found.gauge.accepts(found.similarity[molecule])
            if not new and found.gauge.dial.fills:
                found.others.setdefault(molecule, score)
        kept.append(new)
        if new:
            found.molecules[molecule] = score
    found.count(len(found.molecules) + len(found.others) - before, len(drawn))
    if found.gauge is not None:
        found.gauge.learn(ways, kept)


def _settle(found: Found, wanted: int) -> None:
    """With a target, leave out what would pull the median away from it; with a dial that fills, fill up."""
    if found.gauge is None:
        return
    chosen = found.gauge.balanced({name: found.similarity[name] for name in found.molecules})
    found.left_out = len(found.molecules) - len(chosen)
    found.molecules = {name: found.molecules[name] for name in chosen}
    nearest = sorted(found.others, key=lambda name: (-found.similarity[name], name))
    found.molecules.update((name, found.others[name]) for name in nearest[: wanted - len(chosen)])
