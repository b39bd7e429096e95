"""Verbs with one row out per row in: chunks of rows through a method, the rejected ones kept in their places."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import typer

from molvae.cli.progress import progress
from molvae.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

    from molvae.data.rows import InvalidRow, Record

CHUNK = 2048


def rowwise(rows: Iterator[Record | InvalidRow], method: Callable[[list[str]], pd.DataFrame]) -> Iterator[pd.DataFrame]:
    """Tables of `method` with a row for every row read; invalid rows stand in `error`, and are reported on stderr.

    Rows of files have a column of their names, too. Of no rows there is one table of none, for what
    is written is to have its columns.
    """
    from molvae.data.parallel import chunked
    from molvae.data.rows import ARGUMENT

    done, named = 0, False
    with progress("rows") as advance:
        for chunk in chunked(rows, CHUNK):
            named = named if done else any(row.name or row.source != ARGUMENT for row in chunk)
            yield at_once(chunk, method, named=named)
            done += len(chunk)
            if advance:
                advance(done)
    if not done:
        yield at_once([], method)


def at_once(
    rows: list[Record | InvalidRow], method: Callable[[list[str]], pd.DataFrame], *, named: bool = False
) -> pd.DataFrame:
    """`rowwise` for a method that has to see all rows together."""
    from molvae.cli.inputs import report
    from molvae.data.rows import Record

    frame = method([row.smiles if isinstance(row, Record) else "" for row in rows])
    for i, row in enumerate(rows):
        if not isinstance(row, Record):
            frame.loc[i, ["smiles", "error"]] = [row.value, row.reason]
        if frame.at[i, "error"]:
            report(row, str(frame.at[i, "error"]))
    if named:
        frame.insert(1, "name", [row.name for row in rows])
    return frame


def names(rows: list[Record | InvalidRow], column: str) -> list[str]:
    """What stands in the column that was read as the name of each row; "" of those without a molecule.

    A .smi has names and no columns: that they are taken is told. Raises `InputError` where it has no names either.
    """
    from molvae.data.rows import Record, file_format

    found = [row.name if isinstance(row, Record) else "" for row in rows]
    if files := sorted({row.source for row in rows if file_format(row.source) == "smi"}):
        if not any(found):
            raise InputError(f"{', '.join(files)} has neither columns nor names that could be {column}")
        typer.echo(f"{column}: the names in {', '.join(files)}, which has no columns", err=True)
    return found


def end(rows: int, usable: int, line: str) -> None:
    """The summary on stderr; exit 1 when not one row could be used."""
    typer.echo(line, err=True)
    if rows and not usable:
        raise typer.Exit(1)
