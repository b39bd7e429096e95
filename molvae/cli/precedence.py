"""`molvae precedence`: tables of the ring systems and atom environments of real molecules."""

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
    from molvae.cli.inputs import Row

app = typer.Typer(no_args_is_help=True, help="Build and describe precedence tables.")


@app.command(cls=usage.Command)
def build(
    library: options.LibraryFiles,
    output: Annotated[
        Path, typer.Option("--output", "-o", show_default=False, help="Write the table to this .npz file.")
    ],
    add_to: Annotated[
        str | None,
        typer.Option(
            show_default=False,
            help="Add the counts to those of this table: an .npz file, or shipped for the one of the package.",
        ),
    ] = None,
    names: Annotated[
        list[str],
        typer.Option(
            "--only-name",
            rich_help_panel=options.INPUT,
            show_default=False,
            help="Count only the molecules with this name, such as their source; repeatable.",
        ),
    ] = [],  # noqa: B006 - typer copies it
    standardize: options.Standardize = False,
    keep_salts: options.KeepSalts = False,
    column: options.Column = None,
    name_column: options.NameColumn = None,
    workers: options.Workers = None,
) -> None:
    """Count in how many molecules of a library each ring system and atom environment occurs.

    The library should contain real molecules only. The table is used by --precedence of analogs, optimize and explain.
    In Python: `molvae.chem.precedence.PrecedenceTable.from_molecules`.
    """
    if output.suffix.lower() != ".npz":
        raise InputError(f"-o: a precedence table is an .npz file, got {output}")
    check_outputs(None, output, inputs=library)
    from molvae.chem.precedence import SHIPPED_FILE, cached_table

    earlier = None
    if add_to is not None:
        earlier = cached_table(SHIPPED_FILE if add_to == "shipped" else Path(add_to))
    checks.check_library(library, column)
    from molvae.cli.inputs import changed_summary
    from molvae.data.files import atomic_write
    from molvae.metrics.precedence_counts import count_rows

    counts = count_rows(
        _rows(library, column, name_column, frozenset(names)),
        standardize=standardize, keep_salts=keep_salts, workers=workers, report=lambda line: typer.echo(line, err=True),
    )  # fmt: skip
    n_invalid = counts.fragments.n_invalid
    summary = f"{counts.fragments.n_molecules + n_invalid:,} rows: {counts.fragments.n_molecules:,} molecules counted"
    typer.echo(f"{summary}, {n_invalid:,} invalid{changed_summary(counts.n_changed)}", err=True)
    if not counts.fragments.n_molecules:
        typer.echo(f"{output} is not written: there are no molecules to count", err=True)
        raise typer.Exit(1)
    table = counts.table() if earlier is None else earlier.added(counts.table())
    with atomic_write(output) as draft:
        table.save(draft)
    typer.echo(f"{output}: {table.summary()}", err=True)


@app.command(cls=usage.Command)
def info(
    table: Annotated[
        Path | None,
        typer.Argument(show_default=False, help="A precedence table. Default: the one that ships with the package."),
    ] = None,
) -> None:
    """Show how many molecules, ring systems and atom environments a table has."""
    from molvae.chem.precedence import SHIPPED_FILE, cached_table

    typer.echo(f"{table or SHIPPED_FILE}: {cached_table(table or SHIPPED_FILE).summary()}")


def _rows(library: list[str], column: str | None, name_column: str | None, names: frozenset[str]) -> Iterator[Row]:
    """The rows of all files, or those with one of the names; the progress is shown on stderr."""
    from molvae.cli.inputs import read_rows
    from molvae.library.input_files import find_files

    files = [str(path) for text in library for path in ([text] if text == "-" else find_files([text]))]
    rows = read_rows(files, column, name_column)
    n_read = 0
    with progress_bar(None, "molecules") as advance:
        while part := list(islice(rows, 1000)):
            n_read += len(part)
            yield from (row for row in part if not names or row.name in names)
            if advance:
                advance(n_read)
