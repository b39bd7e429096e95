"""Build a stock from rows of molecules, in worker processes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from molvae.data.files import atomic_write
from molvae.data.hashing import hash_texts
from molvae.data.parallel import chunked, map_chunks
from molvae.data.rows import MAX_INVALID_ROWS_SHOWN, InvalidRow, Record, RowCounts
from molvae.errors import InputError, MoleculeError
from molvae.synthesis.stock import HASH, NAME, SMILES, stock_smiles, write_table

Row = Record | InvalidRow

CHUNK = 2048
"""Rows per task of a worker process."""


class _Part(NamedTuple):
    """Building blocks of some rows."""

    blocks: pa.Table
    n_invalid: int
    n_changed: int
    messages: list[str]


@dataclass
class StockCounts(RowCounts):
    """Counts of the rows of a stock: building blocks, duplicates, invalid rows, and rows that were changed."""

    messages: list[str] = field(default_factory=list)


def build_stock(
    rows: Iterable[Row],
    output: Path,
    columns: Sequence[str] = (),
    *,
    workers: int | None = None,
    report: Callable[[str], None] = lambda _: None,
) -> StockCounts:
    """Write the stock of the molecules of rows.

    Parameters
    ----------
    rows : iterable of Record or InvalidRow
        Read with their further columns. Of rows with the same molecule the first is kept.
    output : Path
        The file, which appears when it is complete.
    columns : sequence of str
        Names of the further columns that are stored, such as a price.
    workers : int, optional
        Number of worker processes; None uses all cores, 0 only this process.
    report : callable
        Called with a line for each of the first invalid rows.

    Returns
    -------
    StockCounts

    Raises
    ------
    InputError
        If no row has a molecule; the file is then not written.
    """
    if reserved := {HASH, SMILES, NAME}.intersection(columns):
        raise InputError(f"a stock cannot have a further column called {min(reserved)!r}: rename it")
    counts, parts = StockCounts(), list[pa.Table]()
    for part in map_chunks(_Preparer(tuple(columns)), chunked(rows, CHUNK), workers):
        for line in part.messages[: MAX_INVALID_ROWS_SHOWN - len(counts.messages)]:
            counts.messages.append(line)
            report(line)
        counts.invalid += part.n_invalid
        counts.noted += part.n_changed
        parts.append(part.blocks)
    table = pa.concat_tables(parts) if parts else pa.table({})
    if not table.num_rows:
        raise InputError(f"{output} is not written: there are no valid molecules")
    _, first = np.unique(table[HASH].to_numpy(), return_index=True)
    counts.accepted, counts.duplicate = len(first), table.num_rows - len(first)
    with atomic_write(output) as draft:
        write_table(draft, table.take(pa.array(first)))
    return counts


class _Preparer:
    """Makes the building blocks of rows. It is an object because workers receive it."""

    def __init__(self, columns: tuple[str, ...]) -> None:
        self.columns = columns

    def __call__(self, rows: list[Row]) -> _Part:
        smiles, kept, messages, n_changed = list[str](), list[Record](), list[str](), 0
        for row in rows:
            try:
                if not isinstance(row, Record):
                    raise MoleculeError(str(row))
                smiles.append(stock_smiles(row.smiles))
                kept.append(row)
                n_changed += bool(row.note) or "." in row.smiles
            except MoleculeError as error:
                messages.append(f"{row.location}: {error}" if isinstance(row, Record) else str(error))
        hashes: NDArray[Any] = hash_texts(smiles)
        arrays = {HASH: pa.array(hashes, pa.uint64()), SMILES: pa.array(smiles, pa.string())}
        arrays[NAME] = pa.array([row.name for row in kept], pa.string())
        for name in self.columns:
            arrays[name] = pa.array([row.columns.get(name, "") for row in kept], pa.string())
        return _Part(pa.table(arrays), len(messages), n_changed, messages[:MAX_INVALID_ROWS_SHOWN])
