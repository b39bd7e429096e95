"""The analogs of many seeds, as a stream of tables: who does the work, and how the tables are put together.

Of many seeds a CPU's worker processes take a few at a time, all the way to their analogs. Otherwise, while the strings
of some seeds are read in worker processes, those of the next are decoded here.
"""

from __future__ import annotations

import pickle
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
from molvae.data.parallel import SERIAL, WorkerPool, available_memory, chunked, worker_count
from molvae.errors import MoleculeError, warn
from molvae.generation.analogs import Draws, Found
from molvae.generation.codec import Codec
from molvae.generation.options import AnalogTask, Progress
from molvae.generation.scheduling import Job, Tally, finish, take_turns
from molvae.nn.devices import single_threaded
from molvae.nn.latents import Posterior

SEEDS_AT_ONCE = 64  # of 100 molecules each; fewer where more are wanted
PARTS = 8  # that those are cut into for worker processes; smaller ones leave the decoder's slots empty more often
QUEUED = 4  # parts for each worker: with fewer, some would have nothing left to do while others end
WORKER_BYTES = 400e6  # that a worker process with a network in it takes
MOLECULES_HERE = 2000  # up to so many molecules in all, starting worker processes takes longer than they save


@dataclass(frozen=True)
class Drawn:
    """What was found around a seed, and the figures of each of its molecules."""

    found: Found
    figures: Sequence[tuple[float, ...] | None]


class SeedRun:
    """Takes seeds to tables of their analogs. `seen`: what the model was trained on, where that is known."""

    def __init__(self, codec: Codec, task: AnalogTask, seen: BloomFilter | None) -> None:
        self.codec, self.task, self.seen = codec, task, seen
        self.at_once = max(1, min(SEEDS_AT_ONCE, SEEDS_AT_ONCE * 100 // task.draws.wanted))

    def tables(
        self, seeds: Iterable[str], workers: int | None = None, progress: Progress | None = None
    ) -> Iterator[pd.DataFrame]:
        """A table for every few seeds, in order. `attrs`: errors, summary, seeds and how many were found of each.

        Who does the work hangs on how much there is of it, for which some groups are looked at beforehand.
        """
        groups, first = chunked(seeds, self.at_once), list[list[str]]()
        if workers is None:
            first += islice(groups, MOLECULES_HERE // (self.at_once * self.task.draws.wanted) + 1)
            few = sum(map(len, first)) * self.task.draws.wanted <= MOLECULES_HERE
            cores = 0 if few else worker_count()
            workers = cores if cores > 1 else 0
        workers = worker_count(workers)
        part = max(1, self.at_once // PARTS)
        under_way = max(2, ceil(QUEUED * workers * part / self.at_once)) if workers else 1
        first += islice(groups, max(0, under_way - len(first)))
        work, tally = self._division(workers, sum(map(len, first)), part), Tally(progress)
        yield from take_turns((work(group, tally.part()) for group in chain(first, groups)), under_way)

    def _division(
        self, workers: int, begun: int, part: int
    ) -> Callable[[list[str], Progress | None], Job[pd.DataFrame]]:
        """How the seeds of a group become a table: shared out among `workers`, or decoded here and read by them.

        To share them out there have to be enough, of which `begun` are known of; with fewer all cores decode for one.
        """
        apart = int(min(workers, available_memory() / 2 / WORKER_BYTES))
        fair = begun // (QUEUED * apart) if apart > 1 else 0
        if self.codec.device.type == "cpu" and fair and (luggage := self._luggage()):
            crew = WorkerPool(apart, modules=(__name__,))
            return partial(self._analogs_apart, crew, luggage, min(part, fair))
        return partial(self._analogs_of, WorkerPool(workers))

    def _analogs_of(self, workers: WorkerPool, seeds: list[str], progress: Progress | None) -> Job[pd.DataFrame]:
        """Decoded here, read by `workers`."""
        drawn = yield from drawn_around(self.codec, self.task, seeds, workers, progress)
        return self._table(seeds, drawn)

    def _analogs_apart(
        self, workers: WorkerPool, luggage: Luggage, part: int, seeds: list[str], progress: Progress | None
    ) -> Job[pd.DataFrame]:
        """The same, where each of the workers does all that there is to do for `part` seeds at a time."""

        def tell(drawn: list[Drawn | MoleculeError | None]) -> None:
            if progress:
                progress(sum(len(one.found.molecules) for one in drawn if isinstance(one, Drawn)))

        pending = workers.submit(partial(_drawn_apart, luggage), seeds, part)
        try:
            yield
            drawn = [one or _fatal(seed) for seed, one in zip(seeds, pending.result(tell), strict=True)]
            return self._table(seeds, drawn)
        except KeyboardInterrupt:
            workers.stop()  # what they are at takes seconds
            raise
        finally:
            pending.cancel()

    def _luggage(self) -> Luggage | None:
        """What another process needs to draw as this one does, or None where something in it cannot travel."""
        import cloudpickle

        if (task := self.task.for_worker()) is None:
            return None
        try:
            return Luggage(cloudpickle.dumps((self.codec, task)))
        except (pickle.PicklingError, TypeError, AttributeError):
            return None

    def _table(self, seeds: list[str], drawn: Sequence[Drawn | MoleculeError]) -> pd.DataFrame:
        draws, order, columns = self.task.draws, self.task.ordering, list(self.task.columns)
        errors, tables, found = dict[str, str](), list[pd.DataFrame](), list[Found]()
        for seed, one in zip(seeds, drawn, strict=True):
            if isinstance(one, MoleculeError):
                errors[str(seed)] = str(one)
            else:
                frame = described(one, self.task.properties, self.seen).assign(seed=seed)
                tables.append(order.apply(frame)[columns])
                found.append(one.found)
        frame = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=columns)
        frame = reported(frame, errors, found, draws)
        lengths = map(len, tables)
        frame.attrs["seeds"] = seeds
        frame.attrs["rows_per_seed"] = [next(lengths) if isinstance(one, Drawn) else 0 for one in drawn]
        return frame


def drawn_around(
    codec: Codec, task: AnalogTask, seeds: list[str], workers: WorkerPool, progress: Progress | None
) -> Job[list[Drawn | MoleculeError]]:
    """What is found around each seed, or why nothing can be."""
    graphs = [_with_core(graph, task.constraints.core) for graph in codec.graphs(seeds, standardize=task.standardize)]
    usable = [graph for graph in graphs if isinstance(graph, MolGraph)]
    found: list[Found] = []
    if usable:
        # one molecule at a time: a latent must not depend, in its last digit, on the seeds beside it
        latents = Posterior.concatenate([codec.encode([graph], refine=task.optimize_latents) for graph in usable])
        names = [graph.smiles for graph in usable]
        found = yield from codec.draw(names, latents, task.draws, task.constraints, workers, progress)
    pending = [workers.submit(partial(property_rows, names=task.properties), list(one.molecules)) for one in found]
    yield
    drawn = (Drawn(one, known.result()) for one, known in zip(found, pending, strict=True))
    return [next(drawn) if isinstance(graph, MolGraph) else graph for graph in graphs]


def _with_core(graph: MolGraph | MoleculeError, core: str | None) -> MolGraph | MoleculeError:
    if isinstance(graph, MoleculeError) or core is None or has_core(parse(graph.smiles), core):
        return graph
    return MoleculeError(f"SMILES {shortened(graph.smiles)}: the seed itself has not the core {core} that is to stay")


class Luggage:
    """A codec and what is asked of it, on the way to a worker process, which unpacks them once."""

    unpacked: ClassVar[dict[str, tuple[Codec, AnalogTask]]] = {}

    def __init__(self, packed: bytes) -> None:
        self.packed, self.tag = packed, uuid4().hex

    def unpack(self) -> tuple[Codec, AnalogTask]:
        if self.tag not in self.unpacked:
            self.unpacked.clear()
            self.unpacked[self.tag] = pickle.loads(self.packed)
        return self.unpacked[self.tag]


def _drawn_apart(luggage: Luggage, seeds: list[str]) -> list[Drawn | MoleculeError]:
    """In a worker process, which has one thread as there is one of it for each core."""
    codec, task = luggage.unpack()
    with single_threaded():
        return finish(drawn_around(codec, task, seeds, SERIAL, None))


def _fatal(seed: str) -> MoleculeError:
    return MoleculeError(f"SMILES {shortened(seed)}: a process that ended whenever it worked on it")


def described(drawn: Drawn, properties: Sequence[str], seen: BloomFilter | None) -> pd.DataFrame:
    """The molecules with similarity, likelihood, novelty, and their `properties`, which their figures are of."""
    found, smiles = drawn.found, list(drawn.found.molecules)
    unknown = (float("nan"),) * len(properties)
    frame = pd.DataFrame([row or unknown for row in drawn.figures], columns=list(properties), dtype=float)
    return frame.assign(
        smiles=np.array(smiles, dtype=object),
        similarity=np.array([found.similarity[name] for name in smiles], dtype=float),
        log_likelihood=np.array(list(found.molecules.values()), dtype=float),
        not_in_training=None if seen is None else ~seen.contains(smiles),
    )


def reported(frame: pd.DataFrame, errors: dict[str, str], found: list[Found], draws: Draws) -> pd.DataFrame:
    """The table with errors, statistics and summary in its `attrs`; errors and shortfalls are also warnings."""
    frame.attrs = {
        "errors": errors,
        "statistics": [one.statistics(draws) for one in found],
        "summary": [one.summary(draws) for one in found],
    }
    short = [one.summary(draws) for one in found if len(one.molecules) < draws.wanted]
    for message in [*errors.values(), *short]:
        warn(message)
    return frame


def joined(frames: list[pd.DataFrame], columns: Sequence[str]) -> pd.DataFrame:
    """The tables of a run as one."""
    attrs = [frame.attrs for frame in frames]
    for frame in frames:
        frame.attrs = {}
    filled = [frame for frame in frames if len(frame)]
    out = pd.concat(filled, ignore_index=True) if filled else pd.DataFrame(columns=list(columns))
    out.attrs = {
        "errors": {k: v for a in attrs for k, v in a["errors"].items()},
        "statistics": [row for a in attrs for row in a["statistics"]],
        "summary": [line for a in attrs for line in a["summary"]],
    }
    return out
