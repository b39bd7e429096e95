"""SMILES to graphs, in this process or in workers, in the order they came, every invalid row with its reason."""

from __future__ import annotations

import gc
import multiprocessing
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem

from molvae.chem.graph import ATOM_FEATURES, BOND_FEATURES, MolGraph, RawGraph, graph_of, raw_graph_of
from molvae.chem.smiles import parse, parse_quietly, quiet, standardize, write
from molvae.chem.tokenizer import END, misfit
from molvae.data.hashing import hash_text
from molvae.errors import MoleculeError, MolvaeError

CHUNK = 512  # rows that go to a worker at once
TURN = 64  # molecules that RDKit writes before their graphs are made
Item = TypeVar("Item")
Result = TypeVar("Result")


def featurize(smiles: Sequence[str], *, clean: bool = False) -> list[MolGraph | MoleculeError]:
    """One graph per SMILES, in order; where there is none, the `MoleculeError` that says why.

    `clean` standardizes first (normalized groups, salts stripped).
    """
    return [_graph(text, clean) for text in smiles]


def _graph(smiles: str, clean: bool) -> MolGraph | MoleculeError:
    try:
        mol = parse(smiles)
        return graph_of(standardize(mol) if clean else mol)
    except MoleculeError as error:
        return error


@dataclass(frozen=True)
class Chunk:
    """The graphs of M of some rows in flat arrays: quick to pass between processes, which M objects are not.

    `atoms`, `bonds`, `bond_index` as in `MolGraph`, one molecule after the other, `sizes` (M, 3) the number of
    atoms, bonds and tokens of each. `tokens` index `symbols`, whose first is the end. `rows` (M,) is the
    place of each among the rows, `keys` a digest of each canonical SMILES. `rejected` gives the others'
    reasons by their place.
    """

    atoms: NDArray[np.uint8]
    bonds: NDArray[np.uint8]
    bond_index: NDArray[np.uint16]
    tokens: NDArray[np.int16]
    sizes: NDArray[np.int64]
    symbols: list[str]
    rows: list[int]
    keys: list[bytes]
    rejected: dict[int, str]


def featurize_chunk(
    texts: Sequence[str | None],
    *,
    clean: bool = False,
    max_length: int | None = None,
    known: Container[str] | None = None,
    observe: Callable[[Chem.Mol], None] | None = None,
) -> Chunk:
    """`featurize` into flat arrays. None is a row without SMILES: no molecule, and no reason.

    Molecules of more than `max_length` symbols, or with a symbol outside `known`, are rejected too. `observe` is shown
    each of the others, for whoever wants more of a molecule than its graph.
    """
    ids, rejected = _Numbers({END: 0}), dict[int, str]()
    graphs: list[RawGraph] = []
    rows: list[int] = []
    bare = not clean and observe is None
    for row, mol, smiles in _written(texts, clean, bare, rejected):
        try:
            graph = raw_graph_of(mol, smiles)
        except MoleculeError as error:
            rejected[row] = str(error)
            continue
        if reason := misfit(graph.tokens, max_length, known):
            rejected[row] = reason
        else:
            rows.append(row)
            graphs.append(graph)
            if observe is not None:
                observe(mol)
    return _flat(graphs, ids, rows, rejected)


def _written(
    texts: Sequence[str | None], clean: bool, bare: bool, rejected: dict[int, str]
) -> Iterator[tuple[int, Chem.Mol, str]]:
    """Row, molecule and canonical SMILES of each text, ready a few at a time.

    RDKit's work and ours in turns, molecule by molecule, would throw each other out of the processor's caches, and so
    would more molecules than fit there: turns of `TURN` make a graph a fifth cheaper than either.
    """
    for start in range(0, len(texts), TURN):
        written = []
        with quiet():
            for row, text in enumerate(texts[start : start + TURN], start):
                if text is None:
                    continue
                try:
                    mol = parse_quietly(text, bare=bare)
                    mol = standardize(mol) if clean else mol
                except MoleculeError as error:
                    rejected[row] = str(error)
                else:
                    written.append((row, mol, write(mol)))
        yield from written


class _Numbers(dict[str, int]):
    """A number for every symbol, in order of first sight."""

    def __missing__(self, symbol: str) -> int:
        self[symbol] = number = len(self)
        return number


def _flat(graphs: list[RawGraph], ids: _Numbers, rows: list[int], rejected: dict[int, str]) -> Chunk:
    columns, bond_columns = len(ATOM_FEATURES), len(BOND_FEATURES)
    sizes = [(len(g.atoms) // columns, len(g.bond_index) // 2, len(g.tokens) + 1) for g in graphs]
    tokens = [i for g in graphs for i in (*map(ids.__getitem__, g.tokens), 0)]
    return Chunk(
        atoms=np.frombuffer(bytearray().join([g.atoms for g in graphs]), np.uint8).reshape(-1, columns),
        bonds=np.frombuffer(bytearray().join([g.bonds for g in graphs]), np.uint8).reshape(-1, bond_columns),
        bond_index=np.frombuffer(bytearray().join([g.bond_index for g in graphs]), np.uint16).reshape(-1, 2),
        tokens=np.array(tokens, np.int16),
        sizes=np.array(sizes, np.int64).reshape(-1, 3),
        symbols=list(ids),
        rows=rows,
        keys=[hash_text(g.smiles) for g in graphs],
        rejected=rejected,
    )


def worker_count(workers: int | None = None) -> int:
    """`workers`, or one per core that this process may use; 0 in a daemonic process, which may not have children."""
    if multiprocessing.current_process().daemon:
        return 0
    if workers is not None:
        return max(0, workers)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_chunks(items: Iterable[Item], size: int = CHUNK) -> Iterator[list[Item]]:
    """Lists of `size` items, the last one shorter."""
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk


def map_chunks(
    function: Callable[..., Result], chunks: Iterable[list[Item]], workers: int | None = None, *, shared: Any = None
) -> Iterator[Result]:
    """`function` of each chunk, results in order, computed in `workers` processes (0 or 1: in this one).

    With `shared` it is called with that and the chunk: every worker is given it once, and by fork without a copy.
    Reads only a few chunks ahead, so a stream of any length passes in flat memory. Raises `MolvaeError` when a worker
    process is killed from outside.
    """
    count = worker_count(workers)
    if count <= 1:
        yield from (function(chunk) if shared is None else function(shared, chunk) for chunk in chunks)
        return
    pending: deque[Future[Result]] = deque()
    work = function if shared is None else partial(_with_shared, function)
    with _pool(count, shared) as pool:
        try:
            for chunk in chunks:
                pending.append(pool.submit(work, chunk))
                if len(pending) > 2 * count:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        except BrokenProcessPool:
            reason = "a worker process died, most likely for want of memory"
            raise MolvaeError(f"{reason}; try again with fewer workers than {count}") from None
        finally:
            for future in pending:  # whoever asked for results has stopped: do not make them wait for the rest
                future.cancel()


_shared: Any = None
"""In a worker: what all its chunks are worked on with."""


def _begin(shared: Any) -> None:
    global _shared
    _shared = shared
    end_with(os.getppid())
    gc.disable()  # graphs have no cycles: the collector would only walk over them, again and again


def end_with(parent: int) -> None:
    """End this process with its parent: one that is killed cannot tell its workers, and they would wait forever."""
    threading.Thread(target=_follow, args=(parent,), daemon=True).start()


def _follow(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def _with_shared(function: Callable[[Any, list[Item]], Result], chunk: list[Item]) -> Result:
    return function(_shared, chunk)


FORKS = sys.platform == "linux"
"""Where a fork is safe: it starts in milliseconds, and the workers touch RDKit only, no torch threads."""


def _pool(count: int, shared: Any) -> Executor:
    """Processes that never run the caller's main module, so that a script needs no `__main__` guard."""
    if FORKS:
        context = multiprocessing.get_context("fork")
        return ProcessPoolExecutor(count, mp_context=context, initializer=_begin, initargs=(shared,))
    import loky

    pool: Executor = loky.ProcessPoolExecutor(count, initializer=_begin, initargs=(shared,))
    return pool
