"""From seeds to molecules, end to end: `Generator.iter_analogs` beside its parts on the same strings.

What users get is distinct, valid, canonical and has a similarity. The four properties of the usual table cost RDKit
more than all of that, and are left out.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from sampling_parsing import parse_and_write

from molvae.chem.sample_parsing import parse_samples
from molvae.data.parallel import PendingResults, WorkerPool
from molvae.generation import runner as seedruns
from molvae.generation.engine import Engine
from molvae.generator import Generator

WANTED = 100  # molecules of each seed


def end_to_end(generator: Generator, seeds: list[str], workers: int, rounds: int) -> list[dict[str, Any]]:
    """A row per contestant: seconds (median of the rounds), and how many of what."""

    def analogs(workers: int = workers) -> int:
        return sum(map(len, generator.iter_analogs(seeds, WANTED, workers=workers, properties=())))

    with _recorded() as (strings, latents):
        molecules = analogs(0)  # the same strings, whoever reads them
    # as the generator has them, so that they are the same processes
    crew = WorkerPool(workers, modules=(seedruns.__name__,) if generator.device.type == "cpu" else ())
    contestants: dict[str, Callable[[], int]] = {
        "molecules": analogs,
        "parse and write": lambda: _count(crew.submit(parse_and_write, strings).result()),
        "parse, write, fingerprint": lambda: _count(crew.submit(parse_samples, strings).result()),
        "decode": lambda: sum(
            len(block) for part, named in latents for block in generator.codec.engine.stream(*part, **named)
        ),
    }
    for name in ("molecules", "parse and write"):  # the workers are started, and import what they need
        contestants[name]()
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, work in contestants.items():
            start = time.perf_counter()
            work()
            seconds[name].append(time.perf_counter() - start)
    counts = {"seeds": len(seeds), "workers": workers, "molecules": molecules, "distinct strings": len(strings),
              "strings": sum(len(part[0]) for part, _ in latents)}  # fmt: skip
    return [{"name": name, "seconds": statistics.median(taken), **counts} for name, taken in seconds.items()]


def _count(results: Sequence[object]) -> int:
    return sum(result is not None for result in results)


Call = tuple[tuple[Any, ...], dict[str, Any]]
"""Arguments by place and by name."""


@contextmanager
def _recorded() -> Iterator[tuple[list[str], list[Call]]]:
    """The strings that are read, and the calls by which latents are decoded, while the block runs."""
    strings, latents = list[str](), list[Call]()
    submit, stream = WorkerPool.submit, Engine.stream

    def noting(crew: WorkerPool, function: Any, items: Sequence[str]) -> PendingResults[Any]:
        if function is parse_samples:
            strings.extend(items)
        return submit(crew, function, items)

    def watching(engine: Engine, *part: Any, **named: Any) -> Iterator[Any]:
        latents.append((part, named))
        return stream(engine, *part, **named)

    with patch.object(WorkerPool, "submit", noting), patch.object(Engine, "stream", watching):
        yield strings, latents
