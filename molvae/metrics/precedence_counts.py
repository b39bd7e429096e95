"""Counts of ring systems and atom environments over a stream of rows, in worker processes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial

from molvae.chem.precedence import FragmentCounts, PrecedenceTable
from molvae.chem.rdkit_guard import rdkit_guard, silence_rdkit
from molvae.chem.standardization import prepare
from molvae.data.parallel import chunked, map_chunks
from molvae.data.rows import MAX_INVALID_ROWS_SHOWN, InvalidRow, Record
from molvae.errors import MoleculeError

CHUNK = 2048
"""Rows per task of a worker process: the counts of a task are sent back as a whole."""


@dataclass
class RowCounts:
    """Counts of the fragments of the molecules of rows.

    Attributes
    ----------
    fragments : FragmentCounts
    n_changed : int
        Rows whose molecule was changed, such as salts that were stripped.
    invalid : list of str
        A line for each of the first invalid rows.
    """

    fragments: FragmentCounts = field(default_factory=FragmentCounts)
    n_changed: int = 0
    invalid: list[str] = field(default_factory=list)

    def table(self) -> PrecedenceTable:
        """The table of all counted molecules."""
        return PrecedenceTable.from_counts(self.fragments)


def count_rows(
    rows: Iterable[Record | InvalidRow],
    *,
    standardize: bool = False,
    keep_salts: bool = False,
    workers: int | None = None,
    report: Callable[[str], None] = lambda _: None,
) -> RowCounts:
    """Count the ring systems and atom environments of the molecules of rows.

    Each molecule is counted in the form that `molvae.chem.standardization.prepare` gives it, in which generated
    molecules are compared with the table.

    Parameters
    ----------
    rows : iterable of Record or InvalidRow
    standardize, keep_salts : bool
        As in `prepare`.
    workers : int, optional
        Number of worker processes; None uses all cores, 0 only this process.
    report : callable
        Called with a line for each of the first invalid rows.

    Returns
    -------
    RowCounts
    """
    count = partial(_count_chunk, standardize=standardize, keep_salts=keep_salts)
    total, n_shown = RowCounts(), 0
    for part in map_chunks(count, chunked(rows, CHUNK), workers):
        total.fragments.update(part.fragments)
        total.n_changed += part.n_changed
        for line in part.invalid[: MAX_INVALID_ROWS_SHOWN - n_shown]:
            report(line)
            n_shown += 1
    return total


def _count_chunk(rows: list[Record | InvalidRow], standardize: bool, keep_salts: bool) -> RowCounts:
    counts = RowCounts()
    with silence_rdkit():
        for row in rows:
            reason = _count_row(row, counts, standardize, keep_salts)
            if reason:
                counts.fragments.n_invalid += 1
                if len(counts.invalid) < MAX_INVALID_ROWS_SHOWN:
                    counts.invalid.append(f"{row.location}: {reason}" if isinstance(row, Record) else reason)
    return counts


def _count_row(row: Record | InvalidRow, counts: RowCounts, standardize: bool, keep_salts: bool) -> str:
    """Count the molecule of a row; returns why the row is invalid, or ""."""
    if not isinstance(row, Record):
        return str(row)
    try:
        prepared = prepare(row.smiles, standardize=standardize, keep_salts=keep_salts)
        with rdkit_guard("cannot be counted"):
            counts.fragments.add(prepared.mol)
    except MoleculeError as error:
        return str(error)
    counts.n_changed += bool(row.note or prepared.notes)
    return ""
