"""`molvae stock`: stocks of building blocks for routes of synthesis."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from molvae.cli import checks, options, usage
from molvae.cli.outputs import check_outputs
from molvae.errors import InputError
from molvae.viz.progress import progress_bar

if TYPE_CHECKING:
    from molvae.cli.inputs import InputRows, Row

app = typer.Typer(no_args_is_help=True, help="Build and describe stocks of building blocks.")


@app.command(cls=usage.Command)
def build(
    molecules: options.LibraryFiles,
    output: Annotated[
        Path, typer.Option("--output", "-o", show_default=False, help="Write the stock to this .stock file.")
    ],
    column: options.Column = None,
    name_column: options.NameColumn = None,
    workers: options.Workers = None,
) -> None:
    """Prepare a file of building blocks for --stock of routes and analogs.

    Salts are stripped and charges neutralized. Names and further columns, such as a price or a supplier's code, are
    kept; routes show them. In Python: `molvae.synthesis.stock_build.build_stock`.
    """
    from molvae.synthesis.stock import SUFFIX

    if output.suffix.lower() != SUFFIX:
        raise InputError(f"-o: a stock is a {SUFFIX} file, got {output}")
    check_outputs(None, output, inputs=molecules)
    checks.check_library(molecules, column, name_column)
    from molvae.cli.inputs import InputRows, changed_summary
    from molvae.library.input_files import find_files
    from molvae.synthesis.stock_build import build_stock

    files = [str(path) for text in molecules for path in ([text] if text == "-" else find_files([text]))]
    rows = InputRows(files, column, name_column)
    counts = build_stock(
        _with_progress(rows), output, rows.columns, workers=workers, report=lambda line: typer.echo(line, err=True)
    )
    typer.echo(f"{output}: {counts.summary()}{changed_summary(counts.noted)}", err=True)


@app.command(cls=usage.Command)
def info(
    stock: Annotated[
        str | None,
        typer.Argument(show_default=False, help="A .stock file, or zinc. Default: the estimate of the package."),
    ] = None,
) -> None:
    """Show what a stock is, and how many building blocks it has."""
    from molvae.synthesis.stock import open_stock

    typer.echo(open_stock(stock).description)


def _with_progress(rows: InputRows) -> Iterator[Row]:
    """The rows; their number is shown on stderr."""
    n_read = 0
    with progress_bar(None, "building blocks") as advance:
        while part := list(islice(rows, 1000)):
            yield from part
            n_read += len(part)
            if advance:
                advance(n_read)
