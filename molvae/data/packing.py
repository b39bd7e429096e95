"""Convert the rows of a dataset to packed graphs, and count accepted, duplicate and invalid rows."""

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
    """Counts of the rows that were packed; every invalid row with its reason, every changed row with its note."""

    invalid_rows: list[InvalidRow] = field(default_factory=list)
    notes: list[InvalidRow] = field(default_factory=list)


def pack(
    rows: Iterable[Record | InvalidRow],
    *,
    vocabulary: Vocabulary | None = None,
    max_length: int = 160,
    standardize: bool = False,
    keep_salts: bool = False,
    workers: int | None = None,
    progress: Callable[[PackingReport], None] | None = None,
) -> tuple[PackedGraphs, Vocabulary, PackingReport]:
    """Featurize molecules, remove duplicates and pack the graphs.

    Parameters
    ----------
    rows : iterable of Record or InvalidRow
        As read by `read_records`.
    vocabulary : Vocabulary, optional
        Allowed tokens; molecules with other tokens are invalid rows. By default all tokens of the data are allowed.
    max_length : int
        Maximum number of tokens of a molecule.
    standardize, keep_salts : bool
        As in `chem.standardization.prepare`.
    workers : int, optional
        Number of processes, as in `parallel.worker_count`. The result does not depend on it.
    progress : callable, optional
        Called with the report so far after each chunk of rows.

    Returns
    -------
    data : PackedGraphs
        The distinct molecules, compared by identity, in the order of the rows.
    vocabulary : Vocabulary
        The argument `vocabulary`, or by default the vocabulary of the data.
    report : PackingReport
        Counts, and the invalid rows in order.

    Raises
    ------
    InputError
        If no row is valid; the message gives the first reasons.
    """
    report, parts = PackingReport(), list[PackedGraphs]()
    token_ids = {END: 0}  # in order of first occurrence, until the whole vocabulary is known
    known_hashes: set[bytes] = set()
    task = partial(
        _featurize_rows, standardize=standardize, keep_salts=keep_salts, max_length=max_length, vocabulary=vocabulary
    )
    for chunk_rows, chunk in _featurized(task, rows, workers):
        _add_invalid_rows(chunk_rows, chunk, report)
        parts.append(_pack_new(chunk, report, known_hashes, token_ids))
        if progress:
            progress(report)
    if not report.accepted:
        reasons = "; ".join(map(str, report.invalid_rows[:3])) or "it is empty"
        raise InputError(f"no valid molecule in the data: {reasons}")
    vocabulary = vocabulary or Vocabulary.from_tokens(token_ids)
    final = {token: i for i, token in enumerate(vocabulary.tokens)}
    _renumber_tokens(parts, [final[token] for token in token_ids])
    return concatenate(parts), vocabulary, report


def _featurize_rows(
    smiles: list[str | None], standardize: bool, keep_salts: bool, max_length: int, vocabulary: Vocabulary | None
) -> FeaturizedChunk:
    return featurize_chunk(
        smiles, standardize=standardize, keep_salts=keep_salts, max_length=max_length, vocabulary=vocabulary
    )


def _featurized(
    task: Callable[[list[str | None]], FeaturizedChunk], rows: Iterable[Record | InvalidRow], workers: int | None
) -> Iterator[tuple[list[Record | InvalidRow], FeaturizedChunk]]:
    """Return an iterator over the chunks of rows, each with its graphs."""
    chunks, for_workers = tee(chunked(rows))
    smiles = ([row.smiles if isinstance(row, Record) else None for row in chunk] for chunk in for_workers)
    results = map_chunks(task, smiles, workers)
    # `results` is the first argument of zip, so that it is exhausted, which shuts down the workers
    return ((chunk, result) for result, chunk in zip(results, chunks, strict=False))


def _add_invalid_rows(rows: list[Record | InvalidRow], chunk: FeaturizedChunk, report: PackingReport) -> None:
    """Add every row without a graph, and every row that was changed, to the report, in the order of the rows."""
    for index, row in enumerate(rows):
        if isinstance(row, InvalidRow):
            report.invalid_rows.append(row)
        elif index in chunk.errors:
            report.invalid_rows.append(InvalidRow(row.source, row.row, row.smiles, chunk.errors[index]))
        elif row.note or index in chunk.notes:
            note = "; ".join(filter(None, (row.note, chunk.notes.get(index, ""))))
            report.notes.append(InvalidRow(row.source, row.row, row.smiles, note))
    report.invalid, report.noted = len(report.invalid_rows), len(report.notes)


def _pack_new(
    chunk: FeaturizedChunk, report: PackingReport, known_hashes: set[bytes], token_ids: dict[str, int]
) -> PackedGraphs:
    """Pack the molecules of a chunk whose hashes are not in `known_hashes`, and add these hashes."""
    new = []
    for index, smiles_hash in enumerate(chunk.smiles_hashes):
        if smiles_hash not in known_hashes:
            known_hashes.add(smiles_hash)
            new.append(index)
    report.accepted += len(new)
    report.duplicate += len(chunk.smiles_hashes) - len(new)
    table = np.array([token_ids.setdefault(token, len(token_ids)) for token in chunk.token_table], np.int16)
    part = PackedGraphs.from_arrays(chunk.atoms, chunk.bonds, chunk.bond_index, table[chunk.tokens], chunk.sizes)
    return part if len(new) == len(part) else part.select(torch.tensor(new, dtype=torch.long))


def _renumber_tokens(parts: list[PackedGraphs], final_ids: list[int]) -> None:
    """Replace temporary token ids by final ones, part by part to limit memory: the lookup takes 8 bytes per token."""
    table = torch.tensor(final_ids, dtype=torch.int16)
    for part in parts:
        part.tokens.copy_(table[part.tokens.long()])
