"""`molvae screen`: rank a library in one pass (`molvae.screen`)."""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from molvae.cli import checks, options
from molvae.cli.outputs import check_outputs, table_output
from molvae.viz.progress import progress_bar

if TYPE_CHECKING:
    import pandas as pd

    from molvae.data.rows import InvalidRow
    from molvae.screening.pipeline import PartialResult


def screen(
    library: options.LibraryFiles,
    seeds: Annotated[
        list[str],
        typer.Option("--seeds", show_default=False, help="Query molecules: SMILES or files; repeatable."),
    ] = [],  # noqa: B006 - typer copies it
    top: Annotated[int, typer.Option(min=1, help="Number of molecules in the shortlist.")] = 1000,
    rank_by: Annotated[
        str | None,
        typer.Option(
            rich_help_panel=options.RANKING,
            show_default=False,
            help="tanimoto, latent, a property, a score, or a weighted sum such as 'tanimoto - 0.1*sa'. "
            "Default: the first --score, else tanimoto.",
        ),
    ] = None,
    scores: options.Scores = [],  # noqa: B006
    filters: options.Filters = [],  # noqa: B006
    include_smarts: options.IncludeSmarts = [],  # noqa: B006
    exclude_smarts: options.ExcludeSmarts = [],  # noqa: B006
    core: options.Core = None,
    standardize: options.Standardize = False,
    keep_salts: options.KeepSalts = False,
    column: options.Column = None,
    name_column: options.NameColumn = None,
    workers: options.Workers = None,
    ray: Annotated[
        str | None,
        typer.Option(
            rich_help_panel=options.MODEL,
            show_default=False,
            help="Run on a Ray cluster: its address, auto, or local.",
        ),
    ] = None,
    model: options.Model = "druglike",
    device: options.Device = "auto",
    output: options.Output = None,
    report: Annotated[
        Path | None,
        typer.Option(
            rich_help_panel=options.OUTPUT, show_default=False, help="Write an .html report with structures and a map."
        ),
    ] = None,
    invalid_rows: Annotated[
        Path | None,
        typer.Option(rich_help_panel=options.OUTPUT, show_default=False, help="Write the invalid rows to this .csv."),
    ] = None,
) -> None:
    """Rank the molecules of a library of any size in one pass and return a shortlist of distinct molecules.

    Columns: smiles, name, score, the values ranked or filtered by, nearest_seed, qed, sa, logp, mw, n_occurrences,
    source, row, and further columns of the library's files. In Python: `molvae.screen`.
    """
    from molvae.errors import InputError

    if report is not None and report.suffix.lower() != ".html":
        raise InputError(f"--report writes .html, got {report}; -o writes the table")
    check_outputs(output, report, invalid_rows, inputs=[*library, *seeds])
    checks.check_expressions(filters, rank_by, ("tanimoto", "latent", *checks.score_names(scores)))
    checks.check_structures(include_smarts, exclude_smarts, core)
    checks.check_library(library, column, name_column)
    checks.check_inputs(seeds, column, option="--seeds")
    from molvae.screening.screen import screen as screen_library

    queries = _query_molecules(seeds, column)
    with table_output(output) as write, _progress_and_invalid_rows(library, invalid_rows) as on_part:
        result = screen_library(
            _sources(library, column, name_column), seeds=queries, top=top, rank_by=rank_by, scores=scores,
            filters=filters, include_smarts=include_smarts, exclude_smarts=exclude_smarts, core=core,
            standardize=standardize, keep_salts=keep_salts, model=model, device=device, column=column,
            name_column=name_column, workers=workers, ray=ray, on_part=on_part,
        )  # fmt: skip
        write(_with_input_columns(result.table, column, name_column))
    if report is not None:
        result.write_report(report, ", ".join(library))
    typer.echo(f"{result.counts.summary()}; {len(result.table):,} in the shortlist", err=True)
    if not len(result.table):
        raise typer.Exit(1)


def _with_input_columns(table: pd.DataFrame, column: str | None, name_column: str | None) -> pd.DataFrame:
    """The shortlist with the further columns of the rows of files that its molecules come from."""
    from molvae.data.carried_columns import add_columns
    from molvae.data.rows import InvalidRow
    from molvae.screening.screen import hit_records

    records = hit_records(table, column, name_column)
    names = dict.fromkeys(name for record in records if record is not None for name in record.columns)
    return add_columns(table.copy(), [record or InvalidRow("", 0, "", "") for record in records], list(names))


def _query_molecules(seeds: list[str], column: str | None) -> list[str]:
    """The SMILES of the seeds. An invalid seed is an error, because skipping it would change all scores."""
    from molvae.cli.inputs import read_rows
    from molvae.data.rows import InvalidRow
    from molvae.errors import InputError

    smiles = []
    for row in read_rows(seeds, column):
        if isinstance(row, InvalidRow):
            raise InputError(f"--seeds: {row}")
        smiles.append(row.smiles)
    return smiles


def _sources(library: list[str], column: str | None, name_column: str | None) -> list[Any]:
    """The library with standard input read as rows, because it may be a table; files and folders are unchanged."""
    from molvae.cli.inputs import read_rows

    return [read_rows(["-"], column, name_column) if source == "-" else source for source in library]


@contextmanager
def _progress_and_invalid_rows(library: list[str], path: Path | None) -> Iterator[Callable[[PartialResult], None]]:
    """A function called with each processed part: it updates the progress bar and writes the invalid rows."""
    from molvae.library.input_files import estimate_rows, find_files

    files = None if "-" in library else find_files(library)
    total = estimate_rows(files) if files and sys.stderr.isatty() else None  # reads the beginning of every file
    with (
        progress_bar(total, "rows") as advance,
        _invalid_row_writer(path) as write_row,
        _first_rows("changed rows") as write_note,
    ):
        n_read = 0

        def on_part(part: PartialResult) -> None:
            nonlocal n_read
            n_read += part.counts.read
            for row in part.invalid_rows:
                write_row(row)
            for row in part.notes:
                write_note(row)
            if advance:
                advance(n_read)

        yield on_part


@contextmanager
def _invalid_row_writer(path: Path | None) -> Iterator[Callable[[InvalidRow], object]]:
    """A function that writes invalid rows: all of them to a .csv file, or the first ones to stderr."""
    from molvae.data.files import atomic_write

    if path is not None:
        with atomic_write(path) as draft, draft.open("w", encoding="utf-8", newline="", errors="replace") as stream:
            table = csv.writer(stream, lineterminator="\n")
            table.writerow(["source", "row", "value", "reason"])
            yield lambda row: table.writerow([row.source, row.row, row.value, row.reason])
        return
    with _first_rows("invalid rows; --invalid-rows FILE.csv lists them") as report_first:
        yield report_first


@contextmanager
def _first_rows(description: str) -> Iterator[Callable[[InvalidRow], None]]:
    """A function that prints the first rows on stderr; in the end, the number of the others is printed."""
    from molvae.cli.inputs import report_row
    from molvae.data.rows import MAX_INVALID_ROWS_SHOWN

    n_rows = 0

    def report_first(row: InvalidRow) -> None:
        nonlocal n_rows
        n_rows += 1
        if n_rows <= MAX_INVALID_ROWS_SHOWN:
            report_row(row)

    yield report_first
    if n_rows > MAX_INVALID_ROWS_SHOWN:
        typer.echo(f"... {n_rows - MAX_INVALID_ROWS_SHOWN:,} more {description}", err=True)
