"""Verbs with one row out per row in: chunks of rows through a method, the refused ones kept in their places."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import typer

from molvae.cli.progress import progress

if TYPE_CHECKING:
    import pandas as pd

    from molvae.data.rows import Record, Refusal

CHUNK = 2048


def rowwise(rows: Iterator[Record | Refusal], method: Callable[[list[str]], pd.DataFrame]) -> Iterator[pd.DataFrame]:
    """Tables of `method` with a row for every row read; refusals stand in `error`, and are reported on stderr.

    Of no rows there is one table of none, for what is written is to have its columns.
    """
    from molvae.data.featurise import in_chunks

    done = 0
    with progress("rows") as advance:
        for chunk in in_chunks(rows, CHUNK):
            yield _table(chunk, method)
            done += len(chunk)
            if advance:
                advance(done)
    if not done:
        yield _table([], method)


def at_once(rows: list[Record | Refusal], method: Callable[[list[str]], pd.DataFrame]) -> pd.DataFrame:
    """`rowwise` for a method that has to see all rows together."""
    return _table(rows, method)


def names(rows: list[Record | Refusal], column: str) -> list[str]:
    """What stands in the column that was read as the name of each row; "" of those without a molecule.

    A .smi has names and no columns: that they are taken is told.
    """
    from molvae.data.rows import Record, format_of

    if files := sorted({row.source for row in rows if format_of(row.source) == "smi"}):
        typer.echo(f"{column}: the names in {', '.join(files)}, which has no columns", err=True)
    return [row.name if isinstance(row, Record) else "" for row in rows]


def _table(chunk: list[Record | Refusal], method: Callable[[list[str]], pd.DataFrame]) -> pd.DataFrame:
    from molvae.cli.inputs import report
    from molvae.data.rows import Record

    frame = method([row.smiles if isinstance(row, Record) else "" for row in chunk])
    for i, row in enumerate(chunk):
        if not isinstance(row, Record):
            frame.loc[i, ["smiles", "error"]] = [row.value, row.reason]
        if frame.at[i, "error"]:
            report(row, str(frame.at[i, "error"]))
    return frame


def end(rows: int, usable: int, line: str) -> None:
    """The summary on stderr; exit 1 when not one row could be used."""
    typer.echo(line, err=True)
    if rows and not usable:
        raise typer.Exit(1)
