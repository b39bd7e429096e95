"""Options of `Generator.analogs`: validated, resolved against a model, and the order of the resulting rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd

from molvae.chem.expressions import PropertyFilter, RankExpression
from molvae.chem.filters import alert_sets
from molvae.chem.properties import PROPERTIES as KNOWN_PROPERTIES
from molvae.chem.properties import get_property
from molvae.chem.scoring_functions import ScoringFunction, as_scoring_functions
from molvae.data.arguments import as_tuple
from molvae.data.bloom_filter import BloomFilter
from molvae.errors import InputError
from molvae.generation.analogs import POOL_SAMPLES, SearchOptions
from molvae.generation.constraints import Constraints, select_diverse
from molvae.generation.similarity_target import DEFAULT_TARGET, SimilarityTarget
from molvae.generation.token_sampling import SamplingOptions
from molvae.synthesis.projection import block_library, project_all
from molvae.synthesis.route_score import N_STEPS, RouteScore

PROPERTIES = ("qed", "sa", "logp", "mw")
"""Property columns of molecules that are computed by default."""

ANALOG_PROPERTIES = (*PROPERTIES, "open_stereocenters")
"""Property columns of analogs that are computed by default."""

DEFAULT_POOL_SIZE = 100
"""Molecules found around each seed, from which the best are selected."""

_LEADING_COLUMNS = ("seed", "id", "smiles", "similarity", "log_likelihood")
ANALOG_COLUMNS = (*_LEADING_COLUMNS, *ANALOG_PROPERTIES, "not_in_training")
"""Columns of a table of analogs with default options."""

Progress = Callable[[int], None]
"""Callback that receives the number of items finished so far."""

ScoreLike = str | Callable[..., Any]
"""A score of the user, as `molvae.chem.scoring_functions.as_scoring_function` takes it."""

ScoresLike = Mapping[str, ScoreLike] | Iterable[ScoreLike] | ScoreLike | None
"""Scores of the user: a mapping from names, several, one, or none."""


@dataclass(frozen=True)
class AnalogOptions:
    """Options of `Generator.analogs`; see there for their meaning."""

    n: int = 100
    preset: str | None = None
    pool_size: int = 0
    similarity: str | float | tuple[float, float] | None = None
    noise_level: float | None = None
    samples_per_latent: int = 1
    temperature: float | None = None
    top_k: int = 0
    top_p: float = 1.0
    grammar: bool = False
    max_samples: int = 0
    filters: str | Sequence[str] | None = ()
    include_smarts: str | Sequence[str] | None = ()
    exclude_smarts: str | Sequence[str] | None = ()
    core: str | None = None
    keep_scaffold: bool = False
    change_scaffold: bool = False
    allow_unprecedented: bool = False
    precedence: str | Path | None = None
    allow_isomers: bool = False
    any_stereo: bool = False
    alerts: str | Sequence[str] | None = ()
    exclude_training_set: bool = False
    makeable: bool = False
    project: bool = False
    by_synthesis: bool = False
    stock: str | Path | None = None
    max_steps: int = 4
    rank_by: str | None = None
    scores: ScoresLike = None
    n_diverse: int = 0
    properties: str | Sequence[str] | None = ANALOG_PROPERTIES
    optimize_latents: bool = True
    standardize: bool = False
    keep_salts: bool = False
    random_state: int = 0


@dataclass(frozen=True)
class Ordering:
    """Order of the analogs of one seed, and the selection of a diverse subset.

    Attributes
    ----------
    rank
        Weighted sum of columns to sort by, descending; None sorts by similarity.
    n_diverse
        Number of diverse molecules to select; 0 keeps all.
    target_similarity
        Median similarity that the diverse subset keeps, or None.
    scores
        Scoring functions of the caller by column name.
    """

    rank: RankExpression | None = None
    n_diverse: int = 0
    target_similarity: float | None = None
    scores: Mapping[str, ScoringFunction] = field(default_factory=dict)

    @classmethod
    def from_options(cls, options: AnalogOptions) -> Self:
        """Raises `InputError` for an invalid ranking, a negative `n_diverse`, or a score named like a column."""
        scores = as_scoring_functions(options.scores)
        if options.makeable or options.by_synthesis or options.stock is not None:
            if N_STEPS in scores:
                raise InputError(f"a score cannot be named {N_STEPS!r}: it is the number of steps of the route")
            scores = {**scores, N_STEPS: RouteScore(options.stock, max_steps=options.max_steps)}
        if options.n_diverse < 0:
            raise InputError(f"n_diverse must be 0 (keep all) or a positive number, got {options.n_diverse}")
        for name in scores:
            if name in (*ANALOG_COLUMNS, "rank", "name"):
                raise InputError(f"a score cannot be named {name!r}: the table already has that column; rename it")
        rank = None
        if options.rank_by is not None:
            rank = RankExpression.from_text(options.rank_by, ["similarity", "log_likelihood", *scores])
        target = None if options.similarity is None else SimilarityTarget.parse(options.similarity).median
        return cls(rank, options.n_diverse, target, scores)

    def sort(self, frame: pd.DataFrame, n: int | None = None) -> pd.DataFrame:
        """The best `n` rows (None: all) with score and rank columns, sorted.

        Around a target similarity, half of them are above and half below it if there are as many.
        """
        by = "similarity"
        molecules = list(frame["smiles"])
        for score in self.scores.values():
            frame = frame.assign(**score.columns(molecules))
        if self.rank is not None:
            by = "rank"
            frame = frame.assign(rank=self.rank.evaluate({name: frame[name].to_numpy() for name in self.rank.names}))
        frame = frame.iloc[np.argsort(-frame[by].to_numpy(), kind="stable")].reset_index(drop=True)
        return frame if n is None or n >= len(frame) else frame.iloc[self._best_rows(frame, n)].reset_index(drop=True)

    def select(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The diverse subset of sorted rows if one is requested, else all."""
        return frame.iloc[self._diverse_rows(frame)].reset_index(drop=True) if self.n_diverse else frame

    def _best_rows(self, frame: pd.DataFrame, n: int) -> list[int]:
        """Positions of the first `n` rows, ascending, half of them on each side of the target similarity."""
        rows = list(range(len(frame)))
        if self.target_similarity is None:
            return rows[:n]
        above = (frame["similarity"] >= self.target_similarity).tolist()
        sides = [row for row in rows if above[row]][: n // 2] + [row for row in rows if not above[row]][: n // 2]
        others = sorted(set(rows) - set(sides))
        return sorted([*sides, *others[: n - len(sides)]])

    def _diverse_rows(self, frame: pd.DataFrame) -> list[int]:
        """Positions of the diverse subset, ascending; half above and half below the target similarity if there is one.

        MaxMin alone would prefer molecules with a low similarity to the seed, which shifts the median.
        """
        smiles = frame["smiles"]
        if self.target_similarity is None:
            return select_diverse(list(smiles), self.n_diverse)
        above = (frame["similarity"] >= self.target_similarity).to_numpy()
        n_above = self.n_diverse // 2
        selected = list[int]()
        for side, count in ((above, n_above), (~above, self.n_diverse - n_above)):
            rows = np.flatnonzero(side)
            if count:
                selected += rows[select_diverse(list(smiles.iloc[rows]), count)].tolist()
        return sorted(selected)


@dataclass(frozen=True)
class AnalogTask:
    """`AnalogOptions` resolved against a model: everything that is the same for all seeds of a call.

    Attributes
    ----------
    search
        How samples are drawn, and how many molecules are searched.
    constraints
        Constraints on each molecule.
    ordering
        Order and selection of the molecules of each seed.
    columns
        Columns of the resulting table.
    properties
        The columns that are molecular properties and have to be computed.
    standardize, keep_salts, optimize_latents
        How seeds are encoded.
    by_synthesis
        Whether candidates are products of the seed's routes, not samples of the decoder.
    """

    search: SearchOptions
    constraints: Constraints
    ordering: Ordering
    columns: tuple[str, ...]
    properties: tuple[str, ...]
    standardize: bool
    keep_salts: bool
    optimize_latents: bool
    by_synthesis: bool = False

    @classmethod
    def from_options(
        cls, options: AnalogOptions, *, temperature: float, training_filter: BloomFilter | None = None
    ) -> Self:
        """Resolve the options for a model with this default temperature and record of its training set.

        Raises
        ------
        InputError
            If an option is invalid, or options contradict each other.
        """
        ordering = Ordering.from_options(options)
        requested = ANALOG_PROPERTIES if options.properties is None else as_tuple(options.properties)
        properties = tuple(dict.fromkeys(get_property(name).name for name in requested))
        constraints = _constraints(options, ordering.scores, training_filter)
        search = _search_options(options, temperature)
        if options.n_diverse > options.n:
            raise InputError(
                f"cannot select n_diverse={options.n_diverse} molecules out of n={options.n}: "
                f"raise n, to {3 * options.n_diverse} for a selection from the best third"
            )
        columns = _columns(properties, ordering, constraints)
        return cls(
            search,
            constraints,
            ordering,
            columns,
            tuple(name for name in columns if name in KNOWN_PROPERTIES),
            options.standardize,
            options.keep_salts,
            options.optimize_latents,
            options.by_synthesis,
        )

    @property
    def routes(self) -> RouteScore | None:
        """The score that knows the routes of molecules, if they are requested."""
        score = self.ordering.scores.get(N_STEPS)
        return score if isinstance(score, RouteScore) else None

    def for_worker(self) -> Self | None:
        """The task for a worker process, without the caller's scoring functions.

        None if a filter uses a scoring function, or for analogs by synthesis: these run in the calling process only.
        """
        if self.constraints.score_filters or self.by_synthesis:
            return None
        return replace(self, ordering=Ordering(), constraints=replace(self.constraints, scores={}))


def analog_ids(seed: str, count: int) -> list[str]:
    """IDs of the analogs of a seed with this name, in their order.

    >>> analog_ids("Z1234567", 2)
    ['Z1234567_a01', 'Z1234567_a02']
    """
    return [f"{seed}_a{number:02d}" for number in range(1, count + 1)]


def _columns(properties: Sequence[str], ordering: Ordering, constraints: Constraints) -> tuple[str, ...]:
    """The default columns, those named by filters, ranking and scores, and the rank."""
    named = [property_filter.name for property_filter in constraints.property_filters]
    named += ordering.rank.names if ordering.rank else ()
    named += [name for score in ordering.scores.values() for name in score.column_names]
    default = (*_LEADING_COLUMNS, *properties, "not_in_training")
    additional = [name for name in dict.fromkeys(named) if name not in default]
    return (*default, *additional, *(["rank"] if ordering.rank else []))


def _search_options(options: AnalogOptions, temperature: float) -> SearchOptions:
    noise_level, similarity = options.noise_level, options.similarity
    if noise_level is not None and similarity is not None:
        raise InputError("pass either noise_level or similarity, not both: a similarity adapts the noise level itself")
    target = SimilarityTarget.parse(similarity) if similarity is not None else None
    if similarity is None and noise_level is None:
        target = DEFAULT_TARGET
    sampling = SamplingOptions(
        temperature if options.temperature is None else options.temperature,
        options.top_k,
        options.top_p,
        options.grammar,
    )
    # without a ranking, the molecules at a fixed noise level are a sample of what this level gives
    is_sample = noise_level is not None and options.rank_by is None
    return SearchOptions(
        n_molecules=options.n,
        pool_size=options.pool_size or (0 if is_sample else DEFAULT_POOL_SIZE),
        pool_samples=0 if options.pool_size else POOL_SAMPLES,
        return_pool=options.rank_by is not None,
        noise_level=noise_level or 0.0,
        samples_per_latent=options.samples_per_latent,
        target=target,
        max_samples=options.max_samples,
        sampling=sampling,
        random_state=options.random_state,
    )


def _constraints(
    options: AnalogOptions, scores: Mapping[str, ScoringFunction], training_filter: BloomFilter | None
) -> Constraints:
    if options.exclude_training_set and training_filter is None:
        raise InputError("exclude_training_set needs a model with a record of its training set; this model has none")
    property_filters = tuple(
        PropertyFilter.from_text(text, ("similarity", *scores)) for text in as_tuple(options.filters)
    )
    if options.makeable and not options.by_synthesis:  # products of routes need no search
        property_filters += (PropertyFilter.from_text(f"{N_STEPS}<={options.max_steps}", (N_STEPS,)),)
    if any(property_filter.name == "similarity" for property_filter in property_filters):
        raise InputError('filters cannot name similarity: pass similarity="0.4:1" (--similarity 0.4:1) instead')
    return Constraints(
        property_filters=property_filters,
        include_smarts=as_tuple(options.include_smarts),
        exclude_smarts=as_tuple(options.exclude_smarts),
        core=options.core,
        keep_scaffold=options.keep_scaffold,
        change_scaffold=options.change_scaffold,
        plausible=not options.allow_unprecedented,
        precedence_file=None if options.precedence is None else Path(options.precedence),
        one_per_isomer=not options.allow_isomers,
        # the stereo of a product is that of its route
        keep_stereo=not options.any_stereo and not options.by_synthesis,
        alerts=alert_sets(as_tuple(options.alerts)),
        known=training_filter.contains if training_filter and options.exclude_training_set else None,
        scores=scores,
        replacements=_replacements(options, scores),
    )


def _replacements(
    options: AnalogOptions, scores: Mapping[str, ScoringFunction]
) -> Callable[[Sequence[str]], list[str]] | None:
    """For `project`: the nearest molecule with a route for each molecule without one."""
    if not options.project:
        return None
    score = scores.get(N_STEPS)
    if not options.makeable or not isinstance(score, RouteScore) or options.by_synthesis:
        raise InputError("project replaces molecules that makeable rejects: set makeable, and not by_synthesis")
    block_library(score.settings.stock)  # raises here for a stock without molecules

    def replacements(molecules: Sequence[str]) -> list[str]:
        routes = [route for route in project_all(molecules, score.settings) if route is not None]
        score.learn(routes)
        return [route.target for route in routes]

    return replacements
