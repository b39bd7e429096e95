"""What jobs compute: the functions of `molvae` in pieces, with the rows of each piece as soon as it is finished."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

import numpy as np
import pandas as pd

from molvae.chem.expressions import RankExpression
from molvae.data.parallel import chunked
from molvae.errors import InputError
from molvae.explore import OptimizationInterrupted, optimize
from molvae.explore.latent_search import LatentSearch, SearchStrategy
from molvae.explore.objective import Objective
from molvae.generation.analogs import SearchOptions, SeedSearch
from molvae.generation.interruption import AnalogsInterrupted
from molvae.generation.options import AnalogOptions
from molvae.generation.runner import sample_table
from molvae.generation.token_sampling import SamplingOptions
from molvae.metrics.molecules import rows_from_smiles
from molvae.metrics.scorer import Scorer
from molvae.serve.jobs import Job, Part
from molvae.serve.schemas import (
    AnalogsRequest,
    DecodeRequest,
    EncodeRequest,
    OptimizeRequest,
    SampleRequest,
    ScoreRequest,
    SearchRequest,
)
from molvae.serve.service import Service
from molvae.serve.tables import latent_rows, plain, records

Work = Callable[[Job], Iterator[Part]]

SEEDS_PER_PART = 8
"""Seeds after the first that are searched together, which is faster."""

ROWS_PER_PIECE = 32
"""Molecules that are encoded or scored before other jobs have their turn."""


def analogs(service: Service, request: AnalogsRequest) -> Work:
    """`Generator.analogs`. Raises `InputError` for invalid options."""
    limits = service.limits
    limits.check_rows("seeds", request.seeds)
    limits.check_molecules(max(request.n, request.pool_size), len(request.seeds))
    limits.check_samples(request.max_samples, len(request.seeds))
    stock = service.stock if request.makeable or request.by_synthesis else None
    runner = service.generator.analog_runner(AnalogOptions(**request.options("seeds"), stock=stock))
    if runner.task.routes is not None:
        runner.task.routes.pool = service.pool
    total = request.n * len(request.seeds)

    def work(job: Job) -> Iterator[Part]:
        n_found = 0
        for seeds, error in _groups(service, request.seeds):
            if error:
                runner.n_seeds += len(seeds)
                yield Part(seeds=[_seed(seed, error) for seed in seeds])
                continue
            try:
                frame = runner.table(
                    seeds, service.pool, job.reporter(total, "molecules", n_found),
                    _Followed(job),
                )  # fmt: skip
            except AnalogsInterrupted as interruption:
                job.incomplete = _time_limit(service)
                yield _analogs_part(interruption.frame)
                return
            n_found += len(frame)
            yield _analogs_part(frame)

    return work


def _analogs_part(frame: pd.DataFrame) -> Part:
    """Rows, and an entry for each seed with its error or statistics."""
    attrs, seeds = frame.attrs, list[dict[str, Any]]()
    statistics = iter(zip(attrs["statistics"], attrs["summary"], strict=True))
    for seed, n_rows in zip(attrs["seeds"], attrs["rows_per_seed"], strict=True):
        error = attrs["errors"].get(seed, "")
        entry = _seed(seed, error, attrs["notes"].get(seed, ""), n_rows)
        if not error and (found := next(statistics, None)):
            entry |= {"statistics": plain(found[0]), "summary": found[1]}
        seeds.append(entry)
    return Part(records(frame), seeds)


class _Followed:
    """Sends the molecules of a search as they are found, with their similarity, before the selection from them."""

    def __init__(self, job: Job) -> None:
        self.job, self.n_sent = job, dict[str, int]()

    def __call__(self, searches: Sequence[SeedSearch]) -> None:
        for search in searches:
            molecules, n_sent = list(search.molecules), self.n_sent.get(search.seed, 0)
            if new := molecules[n_sent:]:
                found = [{"smiles": smiles, "similarity": search.similarity[smiles]} for smiles in new]
                self.job.emit("found", {"seed": search.seed, "molecules": found})
            self.n_sent[search.seed] = len(molecules)


def sample(service: Service, request: SampleRequest) -> Work:
    """`Generator.sample`. Raises `InputError` for invalid options."""
    service.limits.check_molecules(request.n)
    service.limits.check_samples(request.max_samples)
    generator = service.generator
    prior, defaults = generator.prior(request.prior), generator.checkpoint.defaults
    temperature = defaults.temperature if request.temperature is None else request.temperature
    options = SearchOptions(
        n_molecules=request.n,
        noise_level=prior.noise_level,
        max_samples=request.max_samples,
        sampling=SamplingOptions(temperature, request.top_k, request.top_p, request.grammar),
        random_state=request.random_state,
    )

    def work(job: Job) -> Iterator[Part]:
        frame = sample_table(
            generator.codec, prior, options, generator.checkpoint.training_filter, service.pool,
            job.reporter(request.n, "molecules"), _Followed(job),
        )  # fmt: skip
        attrs = frame.attrs
        yield Part(records(frame), fields={"statistics": plain(attrs["statistics"][0]), "summary": attrs["summary"][0]})

    return work


def encode(service: Service, request: EncodeRequest) -> Work:
    """`Generator.encode`: one row per molecule, whose latent is null if there is an error."""
    service.limits.check_rows("smiles", request.smiles)
    options = request.options("smiles")

    def work(job: Job) -> Iterator[Part]:
        n_done = 0
        for piece in chunked(request.smiles, ROWS_PER_PIECE):
            errors = [service.limits.smiles_error(smiles) for smiles in piece]
            # a SMILES that is too large is not read
            frame = service.generator.encode(
                ["" if error else smiles for smiles, error in zip(piece, errors, strict=True)],
                **options, progress=lambda _: job.turn.check(),
            )  # fmt: skip
            latents = frame.filter(regex=r"^z\d+$").to_numpy()
            frame = frame[["smiles", "error", "note"]].assign(smiles=piece)
            rows = records(frame)
            for row, latent, error in zip(rows, latents, errors, strict=True):
                row["error"] = error or row["error"]
                row["latent"] = None if row["error"] else latent.tolist()
            n_done += len(piece)
            yield Part(rows)
            job.advance(n_done, len(request.smiles), "molecules")

    return work


def decode(service: Service, request: DecodeRequest) -> Work:
    """`Generator.decode`: one row per latent. Raises `InputError` for options of the wrong length."""
    service.limits.check_rows("latents", request.latents)
    n, generator = len(request.latents), service.generator
    for name in ("noise_level", "random_state", "branch_from"):
        value = getattr(request, name)
        if isinstance(value, list) and len(value) != n:
            raise InputError(f"{name} must be one value, or one per latent ({n}), got {len(value)}")
    z, errors = latent_rows(request.latents, generator.checkpoint.config.latent_dim)
    options = request.options("latents")

    def work(job: Job) -> Iterator[Part]:
        frame = generator.decode(z, **options, progress=job.reporter(n, "latents"))
        frame["error"] = [error or found for error, found in zip(errors, frame["error"], strict=True)]
        yield Part(records(frame))

    return work


def score(service: Service, request: ScoreRequest) -> Work:
    """`molvae.score`: one row per molecule, and the metrics of the set. Raises `InputError` for an unknown column."""
    limits, n = service.limits, len(request.smiles)
    limits.check_rows("smiles", request.smiles)
    seeds = request.seeds
    if seeds is not None:
        seeds = seeds * n if len(seeds) == 1 else seeds
        if len(seeds) != n:
            raise InputError(f"seeds must be one SMILES, or one per molecule ({n}), got {len(seeds)}")
        for seed in seeds:
            if error := limits.smiles_error(seed):
                raise InputError(f"seeds: {error}")
    scorer = Scorer(
        columns=request.columns, names_are_seeds=seeds is not None, fcd=False, random_state=request.random_state,
        workers=0, device=str(service.generator.device), standardize=request.standardize,
        keep_salts=request.keep_salts, chunk_size=ROWS_PER_PIECE,
    )  # fmt: skip

    def work(job: Job) -> Iterator[Part]:
        errors = [limits.smiles_error(smiles) for smiles in request.smiles]
        smiles = ["" if error else text for text, error in zip(request.smiles, errors, strict=True)]

        def molecules() -> Iterator[str]:
            for row, text in enumerate(smiles):
                if row % ROWS_PER_PIECE == 0:
                    job.advance(row, n, "molecules")
                yield text

        n_done = 0
        for table in scorer.tables(rows_from_smiles(molecules(), seeds)):
            rows = slice(n_done, n_done + len(table))
            n_done += len(table)
            found = [error or str(old) for error, old in zip(errors[rows], table["error"], strict=True)]
            yield Part(records(table.assign(smiles=request.smiles[rows], error=found)))
        scores = scorer.scores()
        fields = {"counts": scores.counts, "metrics": plain(scores.metrics), "notes": scores.notes}
        if scores.seeds is not None:
            fields["per_seed"] = records(scores.seeds)
        yield Part(fields=fields)

    return work


def search(service: Service, request: SearchRequest) -> Work:
    """`IndexedLibrary.search`. Raises `InputError` for an unknown library."""
    service.limits.check_rows("seeds", request.seeds)
    service.limits.check_molecules(request.top, len(request.seeds))
    library = service.library(request.library)
    options = request.options("seeds", "library")

    def work(job: Job) -> Iterator[Part]:
        n_done = 0
        for seeds, error in _groups(service, request.seeds):
            n_done += len(seeds)
            if error:
                yield Part(seeds=[_seed(seed, error) for seed in seeds])
                continue
            frame = library.search(seeds, **options, workers=0)
            attrs = frame.attrs
            entries = [
                _seed(seed, attrs["errors"].get(seed, ""), attrs["notes"].get(seed, ""), n_hits)
                for seed, n_hits in zip(seeds, attrs["hits_per_seed"], strict=True)
            ]
            yield Part(records(frame), entries)
            job.advance(n_done, len(request.seeds), "seeds")

    return work


def optimization(service: Service, request: OptimizeRequest, objective: Any = None) -> Work:
    """`molvae.explore.optimize`. An `objective` of the server itself replaces that of the request.

    Raises `InputError` for invalid options; the objective of a request is an expression, never a file.
    """
    service.limits.check_rows("seeds", request.seeds)
    service.limits.check_samples(request.max_samples, len(request.seeds))
    if objective is None:
        objective = RankExpression.from_text(request.objective, ("similarity",))
    Objective.parse(objective, request.filters)
    strategy = SearchStrategy(**request.strategy.options()) if request.strategy else SearchStrategy()
    options = request.options("seeds", "objective", "strategy")
    total = request.max_samples * len(request.seeds)

    def work(job: Job) -> Iterator[Part]:
        for position, seed in enumerate(request.seeds):
            if error := service.limits.smiles_error(seed):
                yield Part(seeds=[_seed(seed, error)])
                continue
            best = _best_follower(job, seed)
            try:
                frame = optimize(
                    service.generator, [seed], objective, strategy=strategy, **options, on_generation=best,
                    progress=job.reporter(total, "samples", position * request.max_samples),
                )  # fmt: skip
            except OptimizationInterrupted as interruption:
                frame, job.incomplete = interruption.frame, _time_limit(service)
            except InputError as error:
                yield Part(seeds=[_seed(seed, str(error))])
                continue
            attrs = frame.attrs
            entry = _seed(seed, attrs["errors"].get(seed, ""), attrs["notes"].get(seed, ""), len(frame))
            if attrs["statistics"]:
                entry |= {"statistics": plain(attrs["statistics"][0]), "summary": attrs["summary"][0]}
            yield Part(records(frame), [entry])
            if job.incomplete:
                return

    return work


def _best_follower(job: Job, seed: str) -> Callable[[Mapping[str, LatentSearch]], None]:
    """Sends the best score of a seed whenever it rises."""
    best = -np.inf

    def follow(searches: Mapping[str, LatentSearch]) -> None:
        nonlocal best
        for search in searches.values():
            feasible = search.feasible
            if feasible and search.best_score > best:
                best = search.best_score
                smiles = max(feasible, key=lambda molecule: feasible[molecule].score)
                data = {"seed": seed, "smiles": smiles, "score": best, "n_samples": search.n_samples}
                job.emit("best", plain(data))

    return follow


def _groups(service: Service, seeds: Sequence[str]) -> Iterator[tuple[list[str], str]]:
    """Seeds to work on together, or with a common error; the first one alone, so that its result comes soon."""
    yield_first = True
    for error, group in groupby(seeds, service.limits.smiles_error):
        members = list(group)
        if error:
            yield members, error
            continue
        if yield_first:
            yield members[:1], ""
            members, yield_first = members[1:], False
        for piece in chunked(members, SEEDS_PER_PART):
            yield piece, ""


def _seed(seed: str, error: str = "", note: str = "", n_rows: int = 0) -> dict[str, Any]:
    return {"seed": seed, "error": error, "note": note, "n_rows": n_rows}


def _time_limit(service: Service) -> str:
    return f"the time limit of {service.limits.max_seconds:g} s was reached"
