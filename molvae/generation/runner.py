"""Analogs of many seeds as a stream of tables: division of the work among processes, and assembly of the tables.

On a CPU, worker processes with their own copy of the model share the seeds if there are enough of them. Otherwise this
process decodes, and worker processes parse the samples, check constraints and compute properties.
"""

from __future__ import annotations

import pickle
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from math import ceil
from typing import ClassVar
from uuid import uuid4

import numpy as np
import pandas as pd

from molvae.chem.cores import has_core
from molvae.chem.graph import MolGraph
from molvae.chem.sample_parsing import property_rows
from molvae.chem.smiles import parse, shortened
from molvae.data.bloom_filter import BloomFilter
from molvae.data.parallel import SERIAL, PendingResults, WorkerPool, available_memory, chunked, worker_count
from molvae.errors import MoleculeError, warn
from molvae.generation.analogs import OnRound, SearchOptions, SeedSearch
from molvae.generation.codec import Codec
from molvae.generation.interruption import AnalogsInterrupted, SearchInterrupted
from molvae.generation.options import PROPERTIES, AnalogTask, Progress, analog_ids
from molvae.generation.synthesis_search import search_by_synthesis
from molvae.nn.devices import single_threaded
from molvae.nn.latents import Posterior
from molvae.nn.priors import LatentDistribution

GROUP_SIZE = 64
"""Seeds that are decoded together, for 100 molecules each; fewer for more molecules."""

PARTS_PER_GROUP = 8
"""Parts of a group for worker processes with a model; in smaller parts, more decoder slots are idle."""

PARTS_PER_WORKER = 4
"""Parts that are queued for each worker process; with fewer, some workers idle while others finish."""

WORKER_BYTES = 400e6
"""Memory of a worker process with a model."""

MIN_MOLECULES_FOR_WORKERS = 2000
"""Number of requested molecules up to which starting worker processes takes longer than it saves."""


SAMPLE_COLUMNS = ("smiles", "log_likelihood", *PROPERTIES, "not_in_training")
"""Columns of a table of `Generator.sample`."""


@dataclass(frozen=True)
class SeedResult:
    """The search around a seed, and the properties of each molecule found (None: the computation crashed)."""

    search: SeedSearch
    properties: Sequence[tuple[float, ...] | None]


class AnalogRunner:
    """Generates tables of analogs for a stream of seeds.

    Parameters
    ----------
    codec
        The model.
    task
        The resolved options.
    training_filter
        Record of the training set, or None.
    """

    def __init__(self, codec: Codec, task: AnalogTask, training_filter: BloomFilter | None) -> None:
        self.codec, self.task, self.training_filter = codec, task, training_filter
        self.group_size = max(1, min(GROUP_SIZE, GROUP_SIZE * 100 // task.search.n_molecules))
        self.n_seeds = 0  # seeds of finished tables

    def tables(
        self, seeds: Iterable[str], workers: int | None = None, progress: Progress | None = None
    ) -> Iterator[pd.DataFrame]:
        """One table per group of seeds, in order; `attrs` as documented in `Generator.iter_analogs`.

        The number of worker processes depends on the amount of work, so that some groups are read in advance.
        """
        groups, first = chunked(seeds, self.group_size), list[list[str]]()
        n_molecules = self.task.search.n_wanted
        if workers is None:
            first += islice(groups, MIN_MOLECULES_FOR_WORKERS // (self.group_size * n_molecules) + 1)
            few = sum(map(len, first)) * n_molecules <= MIN_MOLECULES_FOR_WORKERS
            cores = 0 if few else worker_count()
            workers = cores if cores > 1 else 0
        workers = worker_count(workers)
        part_size = max(1, self.group_size // PARTS_PER_GROUP)
        n_parts = PARTS_PER_WORKER * workers
        n_ahead = max(2, ceil(n_parts * part_size / self.group_size)) if workers else 1
        first += islice(groups, max(0, n_ahead - len(first)))
        start = self._group_starter(workers, sum(map(len, first)), part_size)
        total = _ProgressTotal(progress)
        running: deque[_RunningGroup] = deque()
        group = list[str]()
        try:
            for group in chain(first, groups):
                running.append(start(group, total))
                if len(running) == n_ahead:
                    yield self._next_table(running)
            while running:
                yield self._next_table(running)
        except KeyboardInterrupt as error:
            raise AnalogsInterrupted(self._found_so_far(running, error, group, WorkerPool(workers))) from None
        finally:
            for unfinished in running:
                unfinished.cancel()

    def table(
        self, seeds: list[str], workers: WorkerPool, progress: Progress | None = None, on_round: OnRound | None = None
    ) -> pd.DataFrame:
        """The table of one group of seeds, which this process decodes; `attrs` as those of `tables`.

        Raises
        ------
        AnalogsInterrupted
            On Ctrl+C, with the analogs found so far.
        """
        try:
            searches = search_seeds(self.codec, self.task, seeds, workers, progress, on_round)
        except KeyboardInterrupt as error:
            raise AnalogsInterrupted(self._found_so_far([], error, seeds, workers)) from None
        return self._table(seeds, with_properties(searches, self.task, workers))

    def _next_table(self, running: deque[_RunningGroup]) -> pd.DataFrame:
        table = self._table(running[0].seeds, running[0].results())
        running.popleft()
        return table

    def _found_so_far(
        self, running: Iterable[_RunningGroup], error: KeyboardInterrupt, group: list[str], workers: WorkerPool
    ) -> pd.DataFrame:
        """The table of the seeds that are finished, and of the group whose search was interrupted."""
        tables = [self._table(started.seeds, started.finished()) for started in running]
        if isinstance(error, SearchInterrupted):
            tables.append(self._table(group, with_properties(error.results, self.task, workers)))
        rows = {name: [value for table in tables for value in table.attrs[name]] for name in ("seeds", "rows_per_seed")}
        frame = concatenate_tables(tables, self.task.columns)
        frame.attrs.update(rows)
        return frame

    def _group_starter(
        self, workers: int, n_seeds: int, part_size: int
    ) -> Callable[[list[str], _ProgressTotal], _RunningGroup]:
        """How a group of seeds is processed: shared among workers with a model, or decoded in this process.

        Sharing needs a CPU, memory for the models, and enough of the `n_seeds` seeds that are known so far: with fewer,
        all cores decode the same seeds faster.
        """
        n_models = int(min(workers, available_memory() / 2 / WORKER_BYTES))
        seeds_per_part = n_seeds // (PARTS_PER_WORKER * n_models) if n_models > 1 else 0
        if self.codec.device.type == "cpu" and seeds_per_part and (payload := self._worker_payload()):
            pool = WorkerPool(n_models, modules=(__name__,))
            return partial(_SharedGroup, pool, payload, min(part_size, seeds_per_part))
        return partial(_LocalGroup, self.codec, self.task, WorkerPool(workers))

    def _worker_payload(self) -> WorkerPayload | None:
        """The model and the task for worker processes; None if they cannot be pickled, or need a score of the user."""
        import cloudpickle

        if (task := self.task.for_worker()) is None:
            return None
        try:
            return WorkerPayload(cloudpickle.dumps((self.codec, task)))
        except (pickle.PicklingError, TypeError, AttributeError):
            return None

    def _table(self, seeds: list[str], results: Sequence[SeedResult | MoleculeError | None]) -> pd.DataFrame:
        """The table of a group of seeds; a result is None if the seed was not finished before an interruption."""
        columns, errors, notes = list(self.task.columns), dict[str, str](), dict[str, str]()
        tables, searches, rows_per_seed = list[pd.DataFrame](), list[SeedSearch](), list[int]()
        kept = list[list[str]]()
        for position, (seed, result) in enumerate(zip(seeds, results, strict=True), start=self.n_seeds + 1):
            if not isinstance(result, SeedResult):
                if result is not None:
                    errors[str(seed)] = str(result)
                rows_per_seed.append(0)
                continue
            if result.search.note:
                notes[str(seed)] = result.search.note
            frame = molecule_table(result, self.task.properties, self.training_filter).assign(seed=seed)
            ranked = self.task.ordering.sort(frame, self.task.search.n_molecules)
            kept.append(list(ranked["smiles"]))
            selected = self.task.ordering.select(ranked)
            tables.append(selected.assign(id=analog_ids(f"seed{position}", len(selected)))[columns])
            searches.append(result.search)
            rows_per_seed.append(len(tables[-1]))
        frame = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=columns)
        for search, smiles in zip(searches, kept, strict=True):
            search.keep(smiles)
        self.n_seeds += len(seeds)
        frame = with_statistics(frame, errors, searches, notes)
        frame.attrs["seeds"] = seeds
        frame.attrs["rows_per_seed"] = rows_per_seed
        return frame


class _ProgressTotal:
    """Adds up the progress of consecutive groups."""

    def __init__(self, progress: Progress | None) -> None:
        self.progress, self.finished = progress, 0

    def report(self, n_molecules: int) -> None:
        """Report the molecules of the current group so far."""
        if self.progress:
            self.progress(self.finished + n_molecules)

    def finish(self, n_molecules: int) -> None:
        """Count the molecules of a finished group."""
        self.finished += n_molecules


class _RunningGroup(ABC):
    """A group of seeds whose processing has started."""

    seeds: list[str]

    @abstractmethod
    def results(self) -> list[SeedResult | MoleculeError]:
        """Wait for the result of each seed."""

    @abstractmethod
    def finished(self) -> Sequence[SeedResult | MoleculeError | None]:
        """The results that are available after an interruption; None for the other seeds."""

    @abstractmethod
    def cancel(self) -> None:
        """Cancel the work that has not started."""


class _LocalGroup(_RunningGroup):
    """A group that this process decodes at once; workers compute the properties while the next group is decoded."""

    def __init__(
        self, codec: Codec, task: AnalogTask, workers: WorkerPool, seeds: list[str], total: _ProgressTotal
    ) -> None:
        self.seeds = seeds
        self.searches = search_seeds(codec, task, seeds, workers, total.report)
        found = [search for search in self.searches if isinstance(search, SeedSearch)]
        total.finish(sum(min(len(search.molecules), search.options.n_molecules) for search in found))
        self.properties = [submit_properties(search, task, workers) for search in found]

    def results(self) -> list[SeedResult | MoleculeError]:
        properties = (pending.result() for pending in self.properties)
        return [
            SeedResult(search, next(properties)) if isinstance(search, SeedSearch) else search
            for search in self.searches
        ]

    def finished(self) -> Sequence[SeedResult | MoleculeError | None]:
        return self.results()  # only properties are missing

    def cancel(self) -> None:
        for pending in self.properties:
            pending.cancel()


class _SharedGroup(_RunningGroup):
    """A group whose seeds are shared among worker processes that each have a model."""

    def __init__(
        self, workers: WorkerPool, payload: WorkerPayload, part_size: int, seeds: list[str], total: _ProgressTotal
    ) -> None:
        self.seeds, self.workers, self.total = seeds, workers, total
        self.pending = workers.submit(partial(_run_in_worker, payload), seeds, part_size)

    def results(self) -> list[SeedResult | MoleculeError]:
        try:
            results = self.pending.result(lambda parts: self.total.report(_count(parts)))
        except (KeyboardInterrupt, SystemExit):  # SystemExit: SIGTERM
            self.workers.stop()  # their current parts take seconds
            raise
        self.total.finish(_count(results))
        return [result or _crash_error(seed) for seed, result in zip(self.seeds, results, strict=True)]

    def finished(self) -> Sequence[SeedResult | MoleculeError | None]:
        return self.pending.finished()

    def cancel(self) -> None:
        self.pending.cancel()


def _count(results: Iterable[SeedResult | MoleculeError | None]) -> int:
    found = (result.search for result in results if isinstance(result, SeedResult))
    return sum(min(len(search.molecules), search.options.n_molecules) for search in found)


def _crash_error(seed: str) -> MoleculeError:
    return MoleculeError(f"SMILES {shortened(seed)}: each worker process that processed this seed crashed")


def search_seeds(
    codec: Codec,
    task: AnalogTask,
    seeds: list[str],
    workers: WorkerPool = SERIAL,
    progress: Progress | None = None,
    on_round: OnRound | None = None,
) -> list[SeedSearch | MoleculeError]:
    """Search around seeds; an error for each invalid seed."""
    found = codec.featurize(seeds, standardize=task.standardize, keep_salts=task.keep_salts)
    graphs = [_require_core(graph, task.constraints.core) for graph in found]
    valid = [graph for graph in graphs if isinstance(graph, MolGraph)]
    if not valid:
        return [graph for graph in graphs if isinstance(graph, MoleculeError)]
    if task.by_synthesis and task.routes is not None:
        smiles = [graph.smiles for graph in valid]
        return _with_errors(
            search_by_synthesis(smiles, task.search, task.constraints, task.routes, workers, progress), graphs
        )
    # one molecule at a time, so that the last digits of a latent do not depend on the other seeds
    latents = Posterior.concatenate([codec.encode([g], optimize_latents=task.optimize_latents) for g in valid])
    names = [graph.smiles for graph in valid]
    try:
        searches = codec.search(names, latents, task.search, task.constraints, workers, progress, on_round)
    except SearchInterrupted as error:
        raise SearchInterrupted(_with_errors(error.results, graphs)) from None
    return _with_errors(searches, graphs)


def _with_errors(
    searches: list[SeedSearch], graphs: Sequence[MolGraph | MoleculeError]
) -> list[SeedSearch | MoleculeError]:
    """The searches of the valid seeds and the errors of the others, in the order of the seeds."""
    valid = [graph for graph in graphs if isinstance(graph, MolGraph)]
    for graph, search in zip(valid, searches, strict=True):
        search.note = graph.note
    remaining = iter(searches)
    return [next(remaining) if isinstance(graph, MolGraph) else graph for graph in graphs]


def _require_core(graph: MolGraph | MoleculeError, core: str | None) -> MolGraph | MoleculeError:
    if isinstance(graph, MoleculeError) or core is None or has_core(parse(graph.smiles), core):
        return graph
    return MoleculeError(
        f"SMILES {shortened(graph.smiles)}: the seed does not match --core {core}; put * wherever it has another group"
    )


def submit_properties(
    search: SeedSearch, task: AnalogTask, workers: WorkerPool = SERIAL
) -> PendingResults[tuple[float, ...]]:
    """Start to compute the properties of the molecules found around a seed."""
    return workers.submit(partial(property_rows, names=task.properties), list(search.molecules))


def with_properties(
    searches: Iterable[SeedSearch | MoleculeError], task: AnalogTask, workers: WorkerPool
) -> list[SeedResult | MoleculeError]:
    """The searches with the properties of their molecules."""
    return [
        SeedResult(search, submit_properties(search, task, workers).result())
        if isinstance(search, SeedSearch)
        else search
        for search in searches
    ]


def sample_table(
    codec: Codec,
    prior: LatentDistribution,
    options: SearchOptions,
    training_filter: BloomFilter | None,
    workers: WorkerPool = SERIAL,
    progress: Progress | None = None,
    on_round: OnRound | None = None,
) -> pd.DataFrame:
    """The table of `Generator.sample`: molecules from a prior."""
    (search,) = codec.search([""], prior, options, None, workers, progress, on_round)
    properties = workers.submit(partial(property_rows, names=PROPERTIES), list(search.molecules)).result()
    frame = molecule_table(SeedResult(search, properties), PROPERTIES, training_filter)[list(SAMPLE_COLUMNS)]
    return with_statistics(frame, {}, [search], {})


class WorkerPayload:
    """A pickled codec and task; each worker process unpickles it once."""

    _loaded: ClassVar[dict[str, tuple[Codec, AnalogTask]]] = {}

    def __init__(self, data: bytes) -> None:
        self.data, self.key = data, uuid4().hex

    def load(self) -> tuple[Codec, AnalogTask]:
        """The codec and task, from the cache of this process after the first call."""
        if self.key not in self._loaded:
            self._loaded.clear()
            self._loaded[self.key] = pickle.loads(self.data)
        return self._loaded[self.key]


def _run_in_worker(payload: WorkerPayload, seeds: list[str]) -> list[SeedResult | MoleculeError]:
    """Process seeds in a worker process, with one thread because there is one process per core."""
    codec, task = payload.load()
    with single_threaded():
        return with_properties(search_seeds(codec, task, seeds), task, SERIAL)


def molecule_table(result: SeedResult, properties: Sequence[str], training_filter: BloomFilter | None) -> pd.DataFrame:
    """The molecules of a seed with similarity, log-likelihood, properties and `not_in_training`."""
    search, smiles = result.search, list(result.search.molecules)
    missing = (float("nan"),) * len(properties)
    frame = pd.DataFrame([row or missing for row in result.properties], columns=list(properties), dtype=float)
    return frame.assign(
        smiles=np.array(smiles, dtype=object),
        similarity=np.array([search.similarity[molecule] for molecule in smiles], dtype=float),
        log_likelihood=np.array(list(search.molecules.values()), dtype=float),
        not_in_training=None if training_filter is None else ~training_filter.contains(smiles),
    )


def with_statistics(
    frame: pd.DataFrame, errors: dict[str, str], searches: Sequence[SeedSearch], notes: dict[str, str]
) -> pd.DataFrame:
    """The table with errors, notes, statistics and summaries in its `attrs`.

    Errors, changed seeds and incomplete searches are warned of.
    """
    frame.attrs = {
        "errors": errors,
        "notes": notes,
        "statistics": [search.statistics() for search in searches],
        "summary": [search.summary() for search in searches],
    }
    changed = [f"SMILES {shortened(seed)}: {note}" for seed, note in notes.items()]
    told = [search.summary() for search in searches if not search.complete or search.misses_median]
    for message in [*errors.values(), *changed, *told]:
        warn(message)
    return frame


def concatenate_tables(tables: list[pd.DataFrame], columns: Sequence[str]) -> pd.DataFrame:
    """The tables of a run as one, with their errors and statistics."""
    attrs = [table.attrs for table in tables]
    for table in tables:
        table.attrs = {}  # pandas compares the attrs of tables that it concatenates
    filled = [table for table in tables if len(table)]
    frame = pd.concat(filled, ignore_index=True) if filled else pd.DataFrame(columns=list(columns))
    frame.attrs = {
        "errors": {seed: reason for one in attrs for seed, reason in one["errors"].items()},
        "notes": {seed: note for one in attrs for seed, note in one["notes"].items()},
        "statistics": [row for one in attrs for row in one["statistics"]],
        "summary": [line for one in attrs for line in one["summary"]],
    }
    return frame
