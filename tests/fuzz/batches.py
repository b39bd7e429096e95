"""Target: batches of mutated SMILES through the functions for many molecules; no row may affect the others."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from random import Random
from typing import Any

import numpy as np
import pandas as pd

import molvae
from fuzz.report import MAX_SECONDS, Report, stderr_lines, watch
from fuzz.smiles_mutations import molecules, mutated_smiles
from molvae.chem.graph import MolGraph
from molvae.chem.properties import PROPERTIES
from molvae.chem.sample_parsing import parse_samples
from molvae.data.featurize import featurize, featurize_chunk
from molvae.data.rows import ARGUMENT, make_row
from molvae.errors import MoleculeError
from molvae.metrics.molecules import COLUMNS, score_chunk

BATCH_SIZE = 40
GOOD = ("CCO", "CC(=O)Nc1ccc(O)cc1")
"""First and last row of every batch: their results must not depend on the rows between."""

Batch = list[str]
Check = Callable[[Batch, Report], str]


@cache
def _shipped_model() -> molvae.Generator:
    return molvae.load("druglike", device="cpu")


def batches(random: Random, n: int, generator: molvae.Generator | None = None) -> Report:
    """Run n mutated SMILES in batches; `generator` encodes them, by default the shipped model."""
    pool, report = molecules(), Report()
    generator = generator or _shipped_model()
    for start in range(0, n, BATCH_SIZE):
        mutated = [mutated_smiles(random, pool) for _ in range(min(BATCH_SIZE, n - start))]
        check_batch([GOOD[0], *mutated, GOOD[1]], generator, report)
        report.n_inputs += len(mutated)
    return report


def check_batch(batch: Batch, generator: molvae.Generator, report: Report) -> None:
    """Run all functions on one batch."""
    for name, check in _checks(generator):
        watch((name, batch))
        start = time.process_time()
        with stderr_lines() as lines:
            try:
                problem = check(batch, report)
            except Exception as error:
                report.fail(f"{name}: batch lost by {type(error).__name__}", _culprit(check, batch), error)
                continue
        if time.process_time() - start > MAX_SECONDS:
            _time_rows(name, check, batch, report)
        if problem:
            report.fail(f"{name}: {problem}", batch)
        if lines:
            report.fail(f"{name}: line on stderr", batch, lines[0])


def _culprit(check: Check, batch: Batch) -> str | Batch:
    """The row that makes a batch fail, if one alone does."""
    for text in batch[1:-1]:
        try:
            check([GOOD[0], text, GOOD[1]], Report())
        except Exception:
            return text
    return batch


def _time_rows(name: str, check: Check, batch: Batch, report: Report) -> None:
    """Record the time of each row of a slow batch."""
    for text in batch[1:-1]:
        start = time.process_time()
        check([GOOD[0], text, GOOD[1]], Report())
        report.took(time.process_time() - start, text, name)


def _checks(generator: molvae.Generator) -> Iterator[tuple[str, Check]]:
    yield "featurize", lambda batch, report: _featurize(batch, report, standardize=False)
    yield "featurize standardized", lambda batch, report: _featurize(batch, report, standardize=True)
    yield "featurize_chunk", lambda batch, _: _chunk(batch, standardize=False)
    yield "featurize_chunk standardized", lambda batch, _: _chunk(batch, standardize=True)
    yield "encode", lambda batch, _: _encode(generator, batch, standardize=False)
    yield "encode standardized", lambda batch, _: _encode(generator, batch, standardize=True)
    yield "parse_samples", lambda batch, _: _samples(batch)
    yield "score", lambda batch, _: _score(batch)
    yield "screen", lambda batch, _: _screen(batch)


def _featurize(batch: Batch, report: Report, standardize: bool) -> str:
    graphs = featurize(batch, standardize=standardize)
    if not standardize:
        report.n_accepted += sum(isinstance(graph, MolGraph) for graph in graphs) - len(GOOD)
    if any(not isinstance(graph, MolGraph | MoleculeError) for graph in graphs):
        return "neither a graph nor an error"
    return _good_rows(graphs, [isinstance(graph, MolGraph) for graph in graphs], batch)


def _chunk(batch: Batch, standardize: bool) -> str:
    chunk = featurize_chunk(batch, standardize=standardize, on_molecule=lambda _: None)
    if sorted([*chunk.rows, *chunk.errors]) != list(range(len(batch))):
        return "a row is neither a molecule nor an error"
    if any(not message.isprintable() or len(message) > 400 for message in chunk.errors.values()):
        return "a message is not one short line"
    return "" if 0 in chunk.rows and len(batch) - 1 in chunk.rows else "a good row is lost"


def _encode(generator: molvae.Generator, batch: Batch, standardize: bool) -> str:
    table = generator.encode(batch, standardize=standardize)
    latents = table.filter(regex=r"^z\d+$").to_numpy(dtype=np.float64)
    finite, valid = np.isfinite(latents).all(axis=1), (table["error"] == "").to_numpy()
    if (finite != valid).any():
        return "latents that are not finite, without an error"
    return _good_rows(table, valid.tolist(), batch)


def _samples(batch: Batch) -> str:
    return _good_rows(samples := parse_samples(batch), [sample is not None for sample in samples], batch)


def _score(batch: Batch) -> str:
    rows = [make_row(text, "", ARGUMENT, number) for number, text in enumerate(batch, start=1)]
    chunk = score_chunk(rows, tuple(COLUMNS), with_fingerprints=True, with_structures=True)
    if len(chunk.fingerprints) != len(batch):
        return "fingerprints are missing"
    valid = (chunk.table["error"] == "").to_numpy()
    for name in set(PROPERTIES) & set(chunk.table):
        if not np.isfinite(chunk.table[name][valid].to_numpy(dtype=np.float64)).all():
            return f"{name} is not finite, without an error"
    return _good_rows(chunk.table, valid.tolist(), batch)


def _screen(batch: Batch) -> str:
    result = molvae.screen(list(batch), rank_by="mw", top=len(batch), workers=0)
    return "" if result.counts.read == len(batch) else f"{result.counts.read} rows counted of {len(batch)}"


def _good_rows(results: Sequence[Any] | pd.DataFrame, valid: list[bool], batch: Batch) -> str:
    """One result for each row, and the first and the last are valid."""
    if len(results) != len(batch) or len(valid) != len(batch):
        return f"{len(results)} results for {len(batch)} rows"
    return "" if valid[0] and valid[-1] else "a good row is lost"
