"""Further columns of the input, which are carried through to the output table."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, count, islice
from typing import TYPE_CHECKING

from molvae.data.column_names import find_requested
from molvae.data.rows import InvalidRow, Record
from molvae.errors import InputError, did_you_mean

if TYPE_CHECKING:
    import pandas as pd

Row = Record | InvalidRow

PEEKED_ROWS = 100
"""Rows at the beginning of each input whose columns are carried through."""

RESERVED = ("smiles", "reconstruction", "canonical", "error", "note")
"""Columns with a meaning for the writers of tables, which a column of an input never takes."""


def peek_columns(rows: Iterator[Row]) -> tuple[tuple[str, ...], Iterator[Row]]:
    """Return the further columns of the first rows, and an iterator of all rows."""
    first = list(islice(rows, PEEKED_ROWS))
    return tuple(dict.fromkeys(name for row in first for name in row.columns)), chain(first, rows)


def add_columns(frame: pd.DataFrame, rows: Sequence[Row], columns: Sequence[str]) -> pd.DataFrame:
    """Return the table with the further columns of its N rows at the end.

    A name that the table or the writers use is written as `input_NAME`. Attributes of the table are kept.
    """
    own = {str(name) for name in frame.columns} | set(RESERVED)
    for name in columns:
        values = [row.columns.get(name, "") for row in rows]
        frame[free_name(name, own)] = values
        own.add(free_name(name, own))
    return frame


def free_name(name: str, taken: set[str]) -> str:
    """Return the name of an input column in an output that has the columns `taken`."""
    return next(text for text in _candidates(name) if text not in taken)


def _candidates(name: str) -> Iterator[str]:
    yield name
    yield f"input_{name}"
    yield from (f"input_{name}_{number}" for number in count(2))


def column_values(rows: Sequence[Row], columns: Sequence[str], requested: str, option: str) -> tuple[str, list[str]]:
    """Return the name of a requested further column, in any spelling, and its value in each row.

    Raises
    ------
    InputError
        If there is no such column; `option` is the command-line option that requested it.
    """
    index = find_requested(columns, requested)
    if index is None:
        known = f"; further columns: {', '.join(columns)}" if columns else ""
        raise InputError(f"{option}: no column {requested!r}{did_you_mean(requested, columns)}{known}")
    return columns[index], [row.columns.get(columns[index], "") for row in rows]


class CarriedColumns:
    """Rows of a file, and their further columns for the tables that are computed from them, in the same order.

    Parameters
    ----------
    rows : iterable of Record or InvalidRow
        Rows that were read with their further columns.
    columns : sequence of str, optional
        Names of the columns; by default those of the first rows.
    """

    def __init__(self, rows: Iterable[Row], columns: Sequence[str] | None = None) -> None:
        if columns is None:
            columns, rows = peek_columns(iter(rows))
        self.columns = tuple(columns)
        self._rows = iter(rows)
        self._pending: deque[Row] = deque()  # rows that were read but are not yet in a table

    def __iter__(self) -> Iterator[Row]:
        for row in self._rows:
            self._pending.append(row)
            yield row

    def add(self, frame: pd.DataFrame) -> tuple[pd.DataFrame, list[Row]]:
        """Return a copy of the next table with the further columns, and its rows."""
        rows = [self._pending.popleft() for _ in range(len(frame))]
        return add_columns(frame.copy(deep=False), rows, self.columns), rows
