"""What the commands that look into a latent space share: whole files in, a table and a picture out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from molvae.cli.outputs import GRID as GRID
from molvae.cli.outputs import check_outputs, check_picture, destination

if TYPE_CHECKING:
    import pandas as pd

    from molvae.data.rows import InvalidRow, Record

Molecule = Annotated[str, typer.Argument(show_default=False, help="A SMILES.")]
Grid = Annotated[Path | None, typer.Option(show_default=False, help="Also draw the molecules to this .png or .svg.")]
Dots = Annotated[
    Path | None,
    typer.Option(
        show_default=False, help="Also draw a map to this .png, .svg or .html (which shows what the pointer is on)."
    ),
]
Reference = Annotated[
    str | None, typer.Option(show_default=False, help="A file of molecules that say what is usual for the model.")
]
DOTS = (*GRID, ".html")


@contextmanager
def delivery(
    output: Path | None,
    picture: Path | None,
    draw: Callable[[pd.DataFrame, Path], Path],
    formats: Sequence[str],
    inputs: Sequence[str] = (),
    other: Path | None = None,
) -> Iterator[Callable[[pd.DataFrame], None]]:
    """A function that takes the one table of a command: to `-o`, to the picture, its summary to stderr.

    Where they, and an `other` file of the command's own, go is looked at before the work is done; none may be one of the
    `inputs`.
    """
    check_picture(picture, formats)
    check_outputs(output, picture, other, inputs=inputs)
    delivered, gone = list["pd.DataFrame"](), None
    try:
        with destination(output) as write:

            def deliver(frame: pd.DataFrame) -> None:
                delivered.append(frame)
                write(frame)

            yield deliver
    except BrokenPipeError as error:  # who read the table has gone; the picture was asked for all the same
        gone = error
    for frame in delivered:  # the table is safe, whatever becomes of the picture
        for line in frame.attrs["summary"]:
            typer.echo(line, err=True)
        readable = frame[frame["error"] == ""] if "error" in frame else frame
        if picture is not None and len(readable):
            draw(frame, picture)
        elif picture is not None:
            typer.echo(f"no {picture}: there is nothing to draw", err=True)
    if gone is not None:
        raise gone


def molecules(rows: Iterator[Record | InvalidRow]) -> Iterator[str]:
    """The SMILES of the rows that are molecules; the others are reported."""
    return (row.smiles for row in usable(rows))


def usable(rows: Iterator[Record | InvalidRow], rejected: list[Record | InvalidRow] | None = None) -> Iterator[Record]:
    """The rows that are molecules; the others are reported, and added to `rejected`."""
    from molvae.chem.smiles import parse
    from molvae.cli.inputs import report
    from molvae.data.rows import Record
    from molvae.errors import MoleculeError

    rejected = [] if rejected is None else rejected
    for row in rows:
        if not isinstance(row, Record):
            report(row)
            rejected.append(row)
            continue
        try:
            parse(row.smiles)
        except MoleculeError as error:
            report(row, str(error))
            rejected.append(row)
        else:
            yield row


def reported(frame: pd.DataFrame) -> pd.DataFrame:
    """The table, once its `attrs["errors"]` are on stderr."""
    from molvae.chem.smiles import shortened

    for smiles, reason in frame.attrs["errors"].items():
        typer.echo(f"{shortened(smiles)}: {reason}", err=True)
    return frame
