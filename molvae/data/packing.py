"""Pack a data set once: records in, a folder of packed graphs out, every row accounted for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import tee

import numpy as np
import torch

from molvae.chem.tokenizer import END, Vocabulary
from molvae.data.featurize import FeaturizedChunk, featurize_chunk
from molvae.data.graph_dataset import PackedGraphs, concatenate
from molvae.data.parallel import chunked, map_chunks
from molvae.data.rows import InvalidRow, Record, RowCounts
from molvae.errors import InputError


@dataclass
class PackingReport(RowCounts):
    """What became of the rows, and the rejected ones with their reasons: one each, so no reason is lost."""

    invalid_rows: list[InvalidRow] = field(default_factory=list)


def pack(
    rows: Iterable[Record | InvalidRow],
    *,
    vocabulary: Vocabulary | None = None,
    max_length: int = 160,
    clean: bool = False,
    workers: int | None = None,
    progress: Callable[[PackingReport], None] | None = None,
) -> tuple[PackedGraphs, Vocabulary, PackingReport]:
    """Featurize, de-duplicate and pack; with no `vocabulary`, the data's own symbols become it.

    `progress` is called after every few hundred rows. Raises `InputError` when no row is usable, with the
    first reasons.
    """
    packing, parts = PackingReport(), list[PackedGraphs]()
    ids = {END: 0}  # provisional, in order of first sight: the vocabulary is known at the end
    seen: set[bytes] = set()
    job = partial(_featurize_rows, clean=clean, max_length=max_length, known=vocabulary)
    for chunk_rows, chunk in _with_results(job, rows, workers):
        _reject(chunk_rows, chunk, packing)
        parts.append(_accept(chunk, packing, seen, ids))
        if progress:
            progress(packing)
    if not packing.kept:
        reasons = "; ".join(map(str, packing.invalid_rows[:3])) or "it is empty"
        raise InputError(f"no usable molecule in the data: {reasons}")
    vocabulary = vocabulary or Vocabulary.from_tokens(ids)
    final = {token: i for i, token in enumerate(vocabulary.tokens)}
    _renumber(parts, [final[token] for token in ids])
    return concatenate(parts), vocabulary, packing


def _featurize_rows(rows: list[str | None], clean: bool, max_length: int, known: Vocabulary | None) -> FeaturizedChunk:
    return featurize_chunk(rows, clean=clean, max_length=max_length, known=known)


def _with_results(
    job: Callable[[list[str | None]], FeaturizedChunk], rows: Iterable[Record | InvalidRow], workers: int | None
) -> Iterator[tuple[list[Record | InvalidRow], FeaturizedChunk]]:
    """Each chunk of rows, as read, beside what the workers made of it."""
    chunks, for_workers = tee(chunked(rows))
    texts = ([row.smiles if isinstance(row, Record) else None for row in chunk] for chunk in for_workers)
    results = map_chunks(job, texts, workers)
    # results first: when they end, zip has not taken a chunk yet, and the workers have been sent home
    return ((chunk, result) for result, chunk in zip(results, chunks, strict=False))


def _reject(rows: list[Record | InvalidRow], chunk: FeaturizedChunk, packing: PackingReport) -> None:
    """Note every row that has no graph, in the order of the rows."""
    for place, row in enumerate(rows):
        if isinstance(row, InvalidRow):
            packing.invalid_rows.append(row)
        elif place in chunk.rejected:
            packing.invalid_rows.append(InvalidRow(row.source, row.row, row.smiles, chunk.rejected[place]))
    packing.rejected = len(packing.invalid_rows)


def _accept(chunk: FeaturizedChunk, packing: PackingReport, seen: set[bytes], ids: dict[str, int]) -> PackedGraphs:
    """The molecules of a chunk that are new."""
    new = []
    for place, key in enumerate(chunk.keys):
        if key not in seen:
            seen.add(key)
            new.append(place)
    packing.kept += len(new)
    packing.duplicate += len(chunk.keys) - len(new)
    table = np.array([ids.setdefault(symbol, len(ids)) for symbol in chunk.symbols], np.int16)
    part = PackedGraphs.from_arrays(chunk.atoms, chunk.bonds, chunk.bond_index, table[chunk.tokens], chunk.sizes)
    return part if len(new) == len(part) else part.select(torch.tensor(new, dtype=torch.long))


def _renumber(parts: list[PackedGraphs], final: list[int]) -> None:
    """From provisional ids to the vocabulary's, part by part: a look-up takes eight bytes a symbol."""
    table = torch.tensor(final, dtype=torch.int16)
    for part in parts:
        part.tokens.copy_(table[part.tokens.long()])
