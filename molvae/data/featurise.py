"""SMILES to graphs in worker processes, in the order they came, every refusal with its reason."""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from itertools import islice
from typing import TypeVar

from molvae.chem.graph import MolGraph, graph_of
from molvae.chem.smiles import parse, standardise
from molvae.errors import MoleculeError

CHUNK = 512
Item = TypeVar("Item")
Result = TypeVar("Result")


def featurise(smiles: Sequence[str], *, clean: bool = False) -> list[MolGraph | MoleculeError]:
    """One graph per SMILES, in order; where there is none, the `MoleculeError` that says why.

    `clean` standardises first (normalised groups, salts stripped).
    """
    return [_graph(text, clean) for text in smiles]


def _graph(smiles: str, clean: bool) -> MolGraph | MoleculeError:
    try:
        mol = parse(smiles)
        return graph_of(standardise(mol) if clean else mol)
    except MoleculeError as error:
        return error


def worker_count(workers: int | None = None) -> int:
    """`workers`, or one per core that this process may use."""
    if workers is not None:
        return max(0, workers)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_chunks(items: Iterable[Item], size: int = CHUNK) -> Iterator[list[Item]]:
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk


def map_chunks(
    function: Callable[[list[Item]], Result], items: Iterable[Item], *, workers: int | None = None, chunk: int = CHUNK
) -> Iterator[Result]:
    """`function` of successive chunks, results in order, in `workers` processes (0 or 1: in this one).

    Reads only a few chunks ahead, so a stream of any length passes in flat memory.
    """
    count = worker_count(workers)
    if count <= 1:
        yield from map(function, in_chunks(items, chunk))
        return
    with ProcessPoolExecutor(count, mp_context=_context()) as pool:
        pending: deque[Future[Result]] = deque()
        for part in in_chunks(items, chunk):
            pending.append(pool.submit(function, part))
            if len(pending) > 2 * count:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


def _context() -> multiprocessing.context.BaseContext:
    # fork starts in milliseconds and needs no __main__ guard; the workers touch RDKit only, no torch threads
    return multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
