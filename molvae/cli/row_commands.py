"""Commands with one output row per input row: rows are processed in chunks, and invalid rows are kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import typer

from molvae.errors import InputError
from molvae.viz.progress import progress_bar

if TYPE_CHECKING:
    import pandas as pd

    from molvae.cli.inputs import InputRows, Row

CHUNK = 2048


def map_rows(rows: InputRows, function: Callable[[list[str]], pd.DataFrame]) -> Iterator[pd.DataFrame]:
    """Tables with one row per input row, a chunk at a time.

    The reason for an invalid row is in the column `error` and on stderr. For files, a column `name` is added, and the
    further columns of the input follow at the end. Without rows, one empty table is returned, so that the output has
    its columns.
    """
    from molvae.data.parallel import chunked
    from molvae.data.rows import ARGUMENT

    n_done, named = 0, False
    with progress_bar(None, "rows") as advance:
        for chunk in chunked(rows, CHUNK):
            if not n_done:
                named = any(row.name or row.source != ARGUMENT for row in chunk)
            yield table_of_rows(chunk, function, named=named, columns=rows.columns)
            n_done += len(chunk)
            if advance:
                advance(n_done)
    if not n_done:
        yield table_of_rows([], function, columns=rows.columns)


def table_of_rows(
    rows: list[Row],
    function: Callable[[list[str]], pd.DataFrame],
    *,
    named: bool = False,
    columns: Sequence[str] = (),
) -> pd.DataFrame:
    """One table for all rows; see `map_rows`."""
    from molvae.cli.inputs import report_row
    from molvae.data.carried_columns import add_columns
    from molvae.data.rows import Record

    frame = function([row.smiles if isinstance(row, Record) else "" for row in rows])
    for i, row in enumerate(rows):
        if not isinstance(row, Record):
            frame.loc[i, ["smiles", "error"]] = [row.value, row.reason]
        if frame.at[i, "error"]:
            report_row(row, str(frame.at[i, "error"]))
        elif isinstance(row, Record) and row.note and "note" in frame:
            frame["note"] = frame["note"].astype(object)
            frame.loc[i, ["note"]] = ["; ".join(filter(None, (row.note, str(frame.at[i, "note"]))))]
    if named:
        frame.insert(1, "name", [row.name for row in rows])
    attrs, frame.attrs = frame.attrs, {}
    frame = add_columns(frame, rows, columns)
    frame.attrs = attrs
    return frame


def labelled_rows(
    arguments: Sequence[str],
    column: str | None,
    name_column: str | None,
    label: str | None,
    option: str,
    *,
    standardized: bool,
    keep_salts: bool,
) -> LabelledRows:
    """All rows, with the value of a further column of each, which `option` names; without a `label`, only the rows.

    Without a column of names, the label is read in its place, as the readers of all formats do for names.
    """
    from molvae.cli.inputs import InputRows
    from molvae.data.carried_columns import column_values

    read_as_name = name_column is None and label is not None
    found = InputRows(
        arguments, column, label if read_as_name else name_column, standardized=standardized, keep_salts=keep_salts
    )
    rows = list(found)
    if label is None:
        return LabelledRows(rows, None, found.columns, named=any(row.name for row in rows))
    if read_as_name:
        return LabelledRows(rows, _names_as_labels(rows, label), found.columns, named=False)
    name, values = column_values(rows, found.columns, label, option)
    return LabelledRows(rows, values, tuple(c for c in found.columns if c != name), named=True)


class LabelledRows(NamedTuple):
    """Rows, the label of each, the further columns without that of the labels, and whether the rows have names."""

    rows: list[Row]
    labels: list[str] | None
    columns: tuple[str, ...]
    named: bool


def _names_as_labels(rows: list[Row], column: str) -> list[str]:
    """The value of each row in the column that was read as its name; "" for invalid rows.

    A .smi file has names but no columns: its names are used, and a line on stderr says so. Raises `InputError` if it
    has no names.
    """
    from molvae.data.rows import Record, file_format

    labels = [row.name if isinstance(row, Record) else "" for row in rows]
    if files := sorted({row.source for row in rows if file_format(row.source) in ("smi", "txt")}):
        if not any(labels):
            raise InputError(f"{', '.join(files)} has no columns, and no names to use as {column}")
        typer.echo(f"{column}: using the names in {', '.join(files)}, which has no columns", err=True)
    return labels


def finish(n_rows: int, n_valid: int, summary: str) -> None:
    """Print the summary on stderr; exit with code 1 if no row was valid."""
    typer.echo(summary, err=True)
    if n_rows and not n_valid:
        raise typer.Exit(1)
