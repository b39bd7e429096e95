"""From seeds to analogs: `Generator.iter_analogs` compared with its parts on the same samples.

Users get unique, valid, canonical molecules with their similarity. The four default properties take RDKit longer than
all of that, and are left out.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from sampling_parsing import parse_and_write

from molvae import Generator
from molvae.chem.sample_parsing import parse_samples
from molvae.data.parallel import PendingResults, WorkerPool
from molvae.generation import runner
from molvae.generation.engine import Engine

N_ANALOGS = 100  # per seed
END_TO_END, PARSE_AND_WRITE, PARSE_SAMPLES, DECODE = (
    "end to end", "parse and write", "parse, write, fingerprint", "decode"
)  # fmt: skip


def measure(generator: Generator, seeds: list[str], workers: int, n_rounds: int) -> list[dict[str, Any]]:
    """A row for the whole and for each part: seconds (median of the rounds) and numbers of molecules and samples."""

    def generate(workers: int = workers) -> int:
        return sum(map(len, generator.iter_analogs(seeds, N_ANALOGS, workers=workers, properties=())))

    with _recorded() as (samples, calls):
        n_molecules = generate(0)  # in this process, so that the calls can be recorded
    # the same modules as in the generator, which makes them the same processes
    pool = WorkerPool(workers, modules=(runner.__name__,) if generator.device.type == "cpu" else ())
    functions: dict[str, Callable[[], int]] = {
        END_TO_END: generate,
        PARSE_AND_WRITE: lambda: _count(pool.submit(parse_and_write, samples).result()),
        PARSE_SAMPLES: lambda: _count(pool.submit(parse_samples, samples).result()),
        DECODE: lambda: sum(
            len(block) for arguments, options in calls for block in generator.codec.engine.stream(*arguments, **options)
        ),
    }
    for name in (END_TO_END, PARSE_AND_WRITE):  # starts the workers, which import what they need
        functions[name]()
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(n_rounds):
        for name, function in functions.items():
            start = time.perf_counter()
            function()
            seconds[name].append(time.perf_counter() - start)
    counts = {
        "seeds": len(seeds),
        "workers": workers,
        "molecules": n_molecules,
        "unique_samples": len(samples),
        "samples": sum(len(arguments[0]) for arguments, _ in calls),
    }
    return [{"name": name, "seconds": statistics.median(times), **counts} for name, times in seconds.items()]


def _count(results: Sequence[object]) -> int:
    return sum(result is not None for result in results)


Call = tuple[tuple[Any, ...], dict[str, Any]]
"""Positional and keyword arguments."""


@contextmanager
def _recorded() -> Iterator[tuple[list[str], list[Call]]]:
    """Record the samples that are parsed and the calls of `Engine.stream` during the block."""
    samples, calls = list[str](), list[Call]()
    submit, stream = WorkerPool.submit, Engine.stream

    def recording_submit(pool: WorkerPool, function: Any, items: Sequence[str], *arguments: Any) -> PendingResults[Any]:
        if function is parse_samples:
            samples.extend(items)
        return submit(pool, function, items, *arguments)

    def recording_stream(engine: Engine, *arguments: Any, **options: Any) -> Iterator[Any]:
        calls.append((arguments, options))
        return stream(engine, *arguments, **options)

    with patch.object(WorkerPool, "submit", recording_submit), patch.object(Engine, "stream", recording_stream):
        yield samples, calls
