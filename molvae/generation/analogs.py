"""Search for distinct valid molecules around seeds: sample, decode, validate and filter in rounds.

The samples of all unfinished seeds are decoded in one call per round. The analogs of a seed depend on the random state,
its SMILES and the options only: not on the other seeds, nor on the number of worker processes.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from math import ceil, nan
from numbers import Integral
from typing import Any

import numpy as np
import torch

from molvae.chem.expressions import PropertyFilter
from molvae.chem.filters import value_ranges
from molvae.chem.fingerprints import morgan_bits, tanimoto_to
from molvae.chem.sample_parsing import ParsedSample, SampleParser
from molvae.chem.smiles import parse
from molvae.chem.tokenizer import Vocabulary
from molvae.data.parallel import SERIAL, PendingResults, WorkerPool
from molvae.errors import InputError
from molvae.generation.constraint_checker import CheckedMolecule
from molvae.generation.constraints import Constraints
from molvae.generation.engine import DecodedSamples, Engine
from molvae.generation.interruption import SearchInterrupted
from molvae.generation.proposal_rules import ANALOG_ISOMER, ProposalRules
from molvae.generation.seed_sampler import SampleBatch, SeedSampler
from molvae.generation.similarity_target import DECAY, MEDIAN_TOLERANCE, SimilarityTarget, StrategyAllocator
from molvae.generation.strategies import Strategy
from molvae.generation.token_sampling import SamplingOptions
from molvae.nn.priors import LatentDistribution

MIN_ROUND, MAX_ROUND = 64, 4096
"""Samples per seed and round."""

POOL_SAMPLES = 1000
"""Samples per seed after which a default pool is not filled further: that many are drawn for a few molecules anyway."""

FILL_UP_SAMPLES = 20
"""Samples per molecule after which molecules outside of the range fill up, if there are enough of them."""

INITIAL_YIELD, MIN_YIELD = 0.7, 0.05
"""Assumed fraction of samples that give a new molecule: in the first round, and the lower limit later."""

MAX_EXAMPLES = 200
"""Rejected molecules that are kept to tell which values occur."""

ScoredSample = tuple[ParsedSample | None, float]
"""The molecule of a sample, None if it is invalid, and its log-likelihood."""


@dataclass(frozen=True)
class SearchOptions:
    """How many molecules to find around each seed, and how samples are drawn.

    Attributes
    ----------
    n_molecules
        Distinct valid molecules per seed; the seed itself does not count.
    pool_size
        Molecules to find before the best `n_molecules` of them are selected; at most as many as `n_molecules` is no
        pool. The molecules of a pool do not depend on `n_molecules`, unless it has to be drawn for longer to find
        `n_molecules`.
    return_pool
        Return the whole pool, for a selection by other values than the similarity.
    noise_level
        Noise level without a target: 0 (posterior of the seed) to 1 (prior).
    samples_per_latent
        Samples decoded from each latent.
    target
        Range of the similarity to the seed; the strategies of each seed then adapt to it.
    max_samples
        Maximum number of samples per seed; 0: the default of `sample_limit`.
    pool_samples
        Number of samples after which a pool is not filled further; 0: `sample_limit`.
    sampling
        How tokens are sampled.
    random_state
        Seed of the random numbers.
    """

    n_molecules: int = 100
    pool_size: int = 0
    return_pool: bool = False
    noise_level: float = 0.5
    samples_per_latent: int = 1
    target: SimilarityTarget | None = None
    max_samples: int = 0
    pool_samples: int = 0
    sampling: SamplingOptions = field(default_factory=SamplingOptions)
    random_state: int = 0

    def __post_init__(self) -> None:
        if not isinstance(self.n_molecules, Integral) or self.n_molecules < 1:
            raise InputError(f"the number of molecules must be 1 or more, got {self.n_molecules}")
        if not isinstance(self.pool_size, Integral) or self.pool_size < 0:
            raise InputError(f"pool_size must be 0 (automatic) or a positive number, got {self.pool_size}")
        if not 0 <= self.noise_level <= 1:
            raise InputError(f"noise_level must be between 0 (posterior) and 1 (prior), got {self.noise_level}")
        if self.samples_per_latent < 1:
            raise InputError(f"samples_per_latent must be 1 or more, got {self.samples_per_latent}")
        if self.max_samples < 0:
            raise InputError(f"max_samples must be 0 (automatic) or more, got {self.max_samples}")

    @property
    def n_wanted(self) -> int:
        """Number of molecules to search for: those of the pool, at least `n_molecules`."""
        return max(self.n_molecules, self.pool_size)

    @property
    def sample_limit(self) -> int:
        """Maximum number of samples per seed: 50 per molecule, at least 1,000."""
        return self.max_samples or max(1000, 50 * (self.n_molecules if self.pool_samples else self.n_wanted))


@dataclass
class SeedSearch:
    """State and result of the search around one seed.

    Attributes
    ----------
    seed
        Canonical SMILES, "" for samples from the prior.
    options
        Options of the search.
    molecules
        Log-likelihood of each molecule found, in the order in which they were found.
    similarity
        Similarity to the seed of all molecules seen; 0 for samples from the prior.
    n_samples, n_valid
        Samples drawn, and the valid ones among them, duplicates and the seed included.
    allocator
        Allocator of sampling strategies, with a similarity target.
    outside
        Log-likelihood of the accepted molecules outside of the range of a target that fills up.
    n_unbalanced
        Molecules that have no counterpart on the other side of the target median.
    rejected
        Number of molecules by the first constraint that they violate.
    rules
        Which samples are proposals.
    rejected_examples, property_filters
        Some of them, and the filters on properties, to tell which values occur.
    unfinished_round
        Similarity of the candidates of a round that has not been added yet.
    recent_molecules, recent_samples
        Molecules found and samples drawn, earlier rounds weighted by `DECAY`.
    note
        How the seed differs from the input, such as "salt removed: Cl"; "" if it does not.
    problem
        Why there are no candidates; "" if there are.
    rejected_by_score
        Candidates of the last round that only a filter on a score rejected.
    """

    seed: str
    options: SearchOptions
    molecules: dict[str, float] = field(default_factory=dict)
    similarity: dict[str, float] = field(default_factory=dict)
    n_samples: int = 0
    n_valid: int = 0
    allocator: StrategyAllocator | None = None
    outside: dict[str, float] = field(default_factory=dict)
    n_unbalanced: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    rules: ProposalRules = field(default_factory=ProposalRules)
    rejected_examples: list[str] = field(default_factory=list)
    property_filters: tuple[PropertyFilter, ...] = ()
    unfinished_round: dict[str, float] = field(default_factory=dict)
    recent_molecules: float = 0.0
    recent_samples: float = 0.0
    note: str = ""
    problem: str = ""
    rejected_by_score: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.options.target is not None and self.allocator is None:
            self.allocator = StrategyAllocator(self.options.target, self.options.n_wanted)

    # --- rounds ---

    def round_size(self) -> int:
        """Number of samples of the next round, estimated from the yield so far; 0 if the search is finished."""
        options = self.options
        missing, left = options.n_wanted - len(self.molecules), self._sample_limit - self.n_samples
        if options.n_wanted > options.n_molecules and options.pool_samples:
            left_for_pool = min(options.pool_samples, self._sample_limit) - self.n_samples
            # the rounds of a pool do not depend on n_molecules; after it, only what is still missing is drawn
            missing, left = (missing, left_for_pool) if left_for_pool > 0 else (self._n_missing(), left)
        if missing <= 0 or left <= 0:
            return 0
        rate = max(MIN_YIELD, len(self.molecules) / self.n_samples) if self.n_samples else INITIAL_YIELD
        # with a target, samples are left for strategies that only a round can identify
        largest = MAX_ROUND if options.target is None else max(4 * MIN_ROUND, options.n_wanted)
        size = min(left, largest, max(MIN_ROUND, int(1.2 * missing / rate)))
        return min(left, -(-size // options.samples_per_latent) * options.samples_per_latent)

    @property
    def _sample_limit(self) -> int:
        """Maximum number of samples; fewer if the molecules outside of the range are enough to fill up."""
        options = self.options
        fills_up = options.target is not None and options.target.fill_up
        if options.max_samples or not fills_up or len(self.molecules) + len(self.outside) < options.n_molecules:
            return options.sample_limit
        return max(1000, FILL_UP_SAMPLES * options.n_molecules)

    def _n_missing(self) -> int:
        """Number of molecules that `n_molecules` still need, the same number on each side of a target median."""
        n_molecules, allocator = self.options.n_molecules, self.allocator
        if allocator is None or allocator.target.median is None:
            return n_molecules - len(self.molecules)
        half = ceil(n_molecules / 2)
        return n_molecules - min(allocator.n_below, half) - min(allocator.n_above, half)

    def next_strategies(self) -> list[Strategy]:
        """Strategies of the samples of the next round; samples of the same latent have the same strategy."""
        size, per_latent = self.round_size(), self.options.samples_per_latent
        if self.allocator is None:
            return [Strategy(self.options.noise_level)] * size
        strategies = self.allocator.allocate(-(-size // per_latent))
        return [strategy for strategy in strategies for _ in range(per_latent)][:size]

    def new_candidates(self, samples: Sequence[ScoredSample]) -> list[str]:
        """Proposals of a round that are new and in the similarity range (unless it fills up)."""
        new = {
            molecule.smiles: molecule for molecule, _ in samples if molecule and molecule.smiles not in self.similarity
        }
        new.pop(self.seed, None)
        self.unfinished_round = _similarities(self.seed, {smiles: m.fingerprint for smiles, m in new.items()})
        self.similarity.update(self.unfinished_round)
        target, violated = (
            self.options.target,
            {smiles: self.rules.violated(molecule) for smiles, molecule in new.items()},
        )
        self.rejected.update(filter(None, violated.values()))
        return sorted(
            smiles
            for smiles, reason in violated.items()
            if not reason and (target is None or target.fill_up or target.contains(self.similarity[smiles]))
        )

    def add_round(
        self,
        samples: Sequence[ScoredSample],
        strategies: Sequence[Strategy],
        accepted: Mapping[str, CheckedMolecule],
    ) -> None:
        """Add the accepted candidates of a round, and update the allocator and the counts."""
        n_before, found = len(self.molecules) + len(self.outside), list[bool]()
        for molecule, log_likelihood in samples:
            self.n_valid += molecule is not None
            checked = accepted.get(molecule.smiles) if molecule else None
            found.append(bool(molecule and checked and self._add(molecule, checked.smiles, log_likelihood)))
        self.count_round(len(self.molecules) + len(self.outside) - n_before, len(samples))
        if self.allocator is not None:
            self.allocator.update(strategies, found)
        self.unfinished_round = {}

    def add_replacements(self, samples: Sequence[ParsedSample | None], accepted: Mapping[str, CheckedMolecule]) -> None:
        """Add the accepted ones of the molecules that replace rejected candidates; they have no log-likelihood."""
        for sample in samples:
            if sample is not None and sample.smiles in accepted:
                self._add(sample, accepted[sample.smiles].smiles, nan)
        self.unfinished_round = {}

    def _add(self, sample: ParsedSample, smiles: str, log_likelihood: float) -> bool:
        """Add a molecule, unless an isomer of it has been added; whether its strategy is useful.

        `smiles` differs from that of the sample if stereocenters got the configuration of the seed.
        """
        similarity, allocator = self.similarity[sample.smiles], self.allocator
        if smiles in self.molecules or smiles in self.outside or smiles == self.seed:
            return False
        if len(self.molecules) >= self.options.n_wanted:
            return False
        isomer = self.rules.earlier_isomer(sample)
        if isomer in self.molecules:
            self.rejected[ANALOG_ISOMER] += 1
            return False
        if is_outside := allocator is not None and not allocator.accepts(similarity):
            if not allocator.target.fill_up or isomer is not None:
                return False
            self.outside[smiles] = log_likelihood
        else:
            self.outside.pop(isomer or "", None)
            self.molecules[smiles] = log_likelihood
        self.similarity[smiles] = similarity
        self.rules.add(sample, smiles)
        # in a pool the strategies for the scarce side of a median get the samples
        is_pool = self.options.n_wanted > self.options.n_molecules
        return not is_outside and not (is_pool and allocator is not None and allocator.is_crowded(similarity))

    def repeat_round(self) -> None:
        """Forget the candidates of a round that was interrupted before it was added."""
        for smiles in self.unfinished_round:
            self.similarity.pop(smiles, None)

    def count_round(self, n_molecules: int, n_samples: int) -> None:
        """Count the molecules and samples of a round."""
        self.n_samples += n_samples
        self.recent_molecules = DECAY * self.recent_molecules + n_molecules
        self.recent_samples = DECAY * self.recent_samples + n_samples

    def finish(self) -> None:
        """Select the molecules to return, in the order in which they were found.

        Around a target median these are equally many below and above it, those closest to it, and then the closest
        others; else those most similar to the seed. Molecules outside of the range of a target that fills up follow.
        """
        n_molecules, median = self.options.n_molecules, self._target_median
        selected = list(self.molecules)
        if median is not None:
            balanced = self._balanced(n_molecules)
            self.n_unbalanced = max(0, min(n_molecules, len(selected)) - len(balanced))
            selected = [*balanced, *self._closest(set(selected) - set(balanced), median)]
        elif self.options.n_wanted > n_molecules:  # equally similar ones stay in the order in which they were found
            selected.sort(key=lambda smiles: -self.similarity[smiles])
        self.keep(self.molecules if self.options.return_pool else selected[:n_molecules])
        missing = n_molecules - len(self.molecules)
        if missing > 0:
            nearest = self._closest(self.outside, 1.0)
            self.molecules.update((smiles, self.outside[smiles]) for smiles in nearest[:missing])

    def keep(self, selected: Iterable[str]) -> None:
        """Keep only the selected molecules, in the order in which they were found."""
        kept = set(selected)
        self.molecules = {smiles: value for smiles, value in self.molecules.items() if smiles in kept}

    @property
    def _target_median(self) -> float | None:
        return None if self.options.target is None else self.options.target.median

    def _balanced(self, n_molecules: int) -> list[str]:
        """Up to `n_molecules` molecules whose median is the target."""
        similarities = {smiles: self.similarity[smiles] for smiles in self.molecules}
        return self.allocator.balance(similarities, n_molecules) if self.allocator else list(similarities)

    def _closest(self, molecules: Iterable[str], similarity: float) -> list[str]:
        """The molecules, those closest to a similarity first."""
        return sorted(molecules, key=lambda smiles: (abs(self.similarity[smiles] - similarity), smiles))

    # --- statistics ---

    @property
    def complete(self) -> bool:
        """Whether all requested molecules were found."""
        return len(self.molecules) >= self.options.n_molecules

    @property
    def median(self) -> float | None:
        """Median similarity to the seed; None without molecules or without a seed."""
        similarities = [self.similarity[smiles] for smiles in self.molecules]
        return statistics.median(similarities) if similarities and self.seed else None

    @property
    def misses_median(self) -> bool:
        """Whether the molecules could not be balanced around the target median."""
        target = self._target_median
        return target is not None and self.median is not None and abs(self.median - target) > MEDIAN_TOLERANCE

    @property
    def n_in_range(self) -> int:
        """Number of molecules in the similarity range."""
        target = self.options.target
        return sum(target is None or target.contains(self.similarity[smiles]) for smiles in self.molecules)

    def statistics(self) -> dict[str, Any]:
        """The counts that `Generator.analogs` documents."""
        return {
            "seed": self.seed,
            "requested": self.options.n_molecules,
            "found": len(self.molecules),
            "in_range": self.n_in_range,
            "median": self.median,
            "samples": self.n_samples,
            "valid": self.n_valid,
            "rejected": dict(self.rejected),
            "unbalanced": self.n_unbalanced,
            "samples_needed": self.samples_needed(),
        }

    def samples_needed(self) -> int | None:
        """Estimated number of samples for all requested molecules, at the recent rate.

        None if at this rate not even one more molecule is expected within `sample_limit` samples.
        """
        if self.complete:
            return self.n_samples
        if not self.recent_molecules or self.recent_molecules * self.options.sample_limit < self.recent_samples:
            return None
        missing = self.options.n_molecules - len(self.molecules)
        return self.n_samples + ceil(missing * self.recent_samples / self.recent_molecules)

    def summary(self) -> str:
        """The statistics as a sentence, with advice if there are too few molecules, or their median is another one."""
        target = self.options.target
        found = f"{self.seed or 'prior'}: {len(self.molecules)} of {self.options.n_molecules} molecules"
        samples = f"from {self.n_samples} samples ({self.n_valid} valid)"
        if target is None:
            text = f"{found} {samples}, noise level {self.options.noise_level:g}"
        elif target.fill_up:
            text = f"{found} {samples}, {self.n_in_range} of them with {target}"
        else:
            text = f"{found} with {target} {samples}"
        if self.misses_median:
            text = f"{found} {samples}, {self._median_text()}"
        if self.complete:
            return f"{text}; {self._rejected_text()}" if self.rejected else text
        return f"{text}; {self.advice()}"

    def _rejected_text(self) -> str:
        """Text such as "3 candidates rejected (2 unprecedented ring system, 1 unstable group)"."""
        counts = ", ".join(f"{count:,} {constraint}" for constraint, count in self.rejected.most_common())
        total = self.rejected.total()
        return f"{total:,} candidate{'s' if total > 1 else ''} rejected ({counts})"

    def _median_text(self) -> str:
        """Text such as "median similarity 0.71 instead of 0.8 (2 with 0.8 or more, 24 below)"."""
        target = self._target_median or 0.0
        n_above = sum(self.similarity[smiles] >= target for smiles in self.molecules)
        sides = f"{n_above} with {target:g} or more, {len(self.molecules) - n_above} below"
        return f"median similarity {self.median or 0.0:.2f} instead of {target:g} ({sides})"

    def add_rejected_examples(self, molecules: Sequence[str], constraints: Constraints) -> None:
        """Keep some rejected molecules, whose properties `advice` tells if no molecule passes the filters."""
        self.property_filters = constraints.property_filters
        self.rejected_examples += molecules[: MAX_EXAMPLES - len(self.rejected_examples)]

    def advice(self) -> str:
        """Why too few molecules were found, and what would help."""
        if self.problem:
            return self.problem
        parts = []
        if self.options.target is not None and not self.molecules and self.similarity:
            parts.append(f"highest similarity of {len(self.similarity)} molecules: {max(self.similarity.values()):.2f}")
        if self.rejected:
            parts.append(self._rejected_text())
        if not self.molecules and (seen := value_ranges(self.property_filters, self.rejected_examples)):
            parts.append(f"values among them: {seen}")
        needed = self.samples_needed()
        if needed is None:
            change = "another noise level" if self.options.target is None else "a wider similarity range"
            filters = ", weaker filters" if self.rejected else ""
            parts.append(f"the last samples gave no molecules: try {change}{filters} or fewer molecules")
        else:
            rate = 100 * self.recent_molecules / self.recent_samples
            parts.append(f"{rate:.2g} % of the last samples gave a molecule: max_samples={needed} would be needed")
        return "; ".join(parts)


OnRound = Callable[[Sequence[SeedSearch]], None]
"""Callback that receives the searches around all seeds after each round."""


@torch.inference_mode()
def search_molecules(
    engine: Engine,
    vocabulary: Vocabulary,
    seeds: Sequence[str],
    latents: LatentDistribution,
    options: SearchOptions,
    *,
    noise_conditioned: bool,
    constraints: Constraints | None = None,
    workers: WorkerPool = SERIAL,
    progress: Callable[[int], None] | None = None,
    on_round: OnRound | None = None,
) -> list[SeedSearch]:
    """Search around each seed until it has all molecules or has used its samples.

    Parameters
    ----------
    engine, vocabulary
        The decoder.
    seeds
        Canonical SMILES of the seeds; "" for samples from the prior.
    latents
        Posteriors with one row per seed, or a prior.
    options
        How many molecules to find, and how samples are drawn.
    noise_conditioned
        Whether the decoder is conditioned on the noise level.
    constraints
        Constraints on the molecules, or None.
    workers
        Processes that parse samples and check constraints.
    progress
        Callback that receives the number of molecules found so far.
    on_round
        Callback that receives the searches after each round, before a selection from what they have found.

    Returns
    -------
    list of SeedSearch
        One finished search per seed, in the order of the seeds.

    Raises
    ------
    SearchInterrupted
        On Ctrl+C, with the molecules found so far.
    """
    constraints = constraints or Constraints()
    searches = [SeedSearch(seed, options, rules=constraints.proposal_rules(seed)) for seed in seeds]
    samplers = [
        SeedSampler.from_smiles(latents.row(i), options.random_state, seed, vocabulary, constraints.core)
        for i, seed in enumerate(seeds)
    ]
    parser = _SampleParser(vocabulary, workers, constraints.sample_parser())
    active, strategies = list[tuple[SeedSearch, SeedSampler]](), list[list[Strategy]]()
    try:
        while active := [(search, s) for search, s in zip(searches, samplers, strict=True) if search.round_size()]:
            running = [search for search, _ in active]
            strategies = [search.next_strategies() for search in running]
            batch = SampleBatch.concatenate(
                [
                    sampler.batch(search.n_samples, of_seed, options.samples_per_latent)
                    for (search, sampler), of_seed in zip(active, strategies, strict=True)
                ]
            )
            samples = parser.parse(batch.decode(engine, options.sampling, noise_conditioned=noise_conditioned))
            _add_samples(running, samples, strategies, constraints, workers)
            parser.samples.clear()
            if on_round:
                on_round(searches)
            if progress:
                progress(_n_found(searches))
    except KeyboardInterrupt:
        # rounds are large, so the samples of the last one are used; workers ignore Ctrl+C
        for search in searches:
            search.repeat_round()
        _add_samples([search for search, _ in active], parser.parsed_so_far(), strategies, constraints, workers)
        for search in searches:
            search.finish()
        raise SearchInterrupted(searches) from None
    for search in searches:
        search.finish()
    if progress:
        progress(_n_found(searches))
    return searches


def _n_found(searches: Iterable[SeedSearch]) -> int:
    """Number of molecules found, without those of a pool that are more than requested."""
    return sum(min(len(search.molecules), search.options.n_molecules) for search in searches)


def _add_samples(
    searches: Sequence[SeedSearch],
    samples: Sequence[ScoredSample],
    strategies: Sequence[Sequence[Strategy]],
    constraints: Constraints,
    workers: WorkerPool,
) -> None:
    """Add the samples of a round to the searches, in order; there may be fewer samples than strategies."""
    ends = accumulate(map(len, strategies))
    per_seed = [samples[max(0, end - len(own)) : end] for end, own in zip(ends, strategies, strict=True)]
    candidates = [search.new_candidates(own) for search, own in zip(searches, per_seed, strict=True)]
    accepted = apply_constraints(searches, candidates, constraints, workers)
    for search, own, own_strategies, checked in zip(searches, per_seed, strategies, accepted, strict=True):
        search.add_round(own, own_strategies[: len(own)], checked)
    if constraints.replacements is not None:
        for search in searches:
            _add_replacements(search, constraints.replacements, constraints, workers)


def _add_replacements(
    search: SeedSearch,
    replacements: Callable[[Sequence[str]], list[str]],
    constraints: Constraints,
    workers: WorkerPool,
) -> None:
    """Add molecules that replace the candidates that only a filter on a score rejected."""
    rejected, search.rejected_by_score = search.rejected_by_score, []
    parsed = workers.submit(constraints.sample_parser(), replacements(rejected)).result()
    candidates = search.new_candidates([(molecule, nan) for molecule in parsed])
    (accepted,) = apply_constraints([search], [candidates], constraints, workers)
    search.rejected_by_score = []
    search.add_replacements(parsed, accepted)


class _SampleParser:
    """Parses decoded samples in worker processes, each distinct SMILES once."""

    def __init__(self, vocabulary: Vocabulary, workers: WorkerPool, parse: SampleParser) -> None:
        self.vocabulary, self.workers, self.parse_samples = vocabulary, workers, parse
        self.parsed: dict[str, ParsedSample | None] = {"": None}
        # of the current round: text and log-likelihood of each sample, and the texts that workers parse
        self.samples: list[tuple[str, float]] = []
        self.pending: list[tuple[list[str], PendingResults[ParsedSample | None]]] = []

    def parse(self, blocks: Iterable[DecodedSamples]) -> list[ScoredSample]:
        """The molecules of all samples; those of a block are parsed while the next block is decoded."""
        self.samples.clear()
        self.pending.clear()
        for block in blocks:
            smiles = block.to_smiles(self.vocabulary)
            self.samples += zip(smiles, block.log_likelihood.tolist(), strict=True)
            new = [text for text in dict.fromkeys(smiles) if text not in self.parsed]
            self.parsed.update(dict.fromkeys(new))
            self.pending.append((new, self.workers.submit(self.parse_samples, new)))
        return self.parsed_so_far()

    def parsed_so_far(self) -> list[ScoredSample]:
        """The molecules of the samples that have been decoded; workers may still be parsing them."""
        for new, molecules in self.pending:
            self.parsed.update(zip(new, molecules.result(), strict=True))
        return [(self.parsed.get(text), log_likelihood) for text, log_likelihood in self.samples]


def apply_constraints(
    searches: Sequence[SeedSearch],
    candidates: list[list[str]],
    constraints: Constraints,
    workers: WorkerPool,
) -> list[dict[str, CheckedMolecule]]:
    """The candidates of each search that satisfy the constraints; the others are counted by constraint."""
    if not constraints:
        return [{molecule: CheckedMolecule(molecule) for molecule in own} for own in candidates]
    checks = [constraints.submit(s.seed, own, workers) for s, own in zip(searches, candidates, strict=True)]
    accepted = []
    for search, check in zip(searches, checks, strict=True):
        results = check()
        rejected = {molecule: result.reason for molecule, result in results.items() if result.reason}
        search.rejected.update(rejected.values())
        by_score = {str(property_filter) for property_filter in constraints.score_filters}
        search.rejected_by_score = [molecule for molecule, reason in rejected.items() if reason in by_score]
        search.add_rejected_examples(list(rejected), constraints)
        accepted.append({molecule: result for molecule, result in results.items() if not result.reason})
    return accepted


def _similarities(seed: str, fingerprints: dict[str, bytes]) -> dict[str, float]:
    """Tanimoto similarities of molecules (SMILES to packed fingerprint) to the seed; 0 without a seed."""
    if not seed or not fingerprints:
        return dict.fromkeys(fingerprints, 0.0)
    (query,) = morgan_bits([parse(seed)])
    others = np.frombuffer(b"".join(fingerprints.values()), np.uint8).reshape(len(fingerprints), -1)
    return dict(zip(fingerprints, tanimoto_to(query, others).tolist(), strict=True))
