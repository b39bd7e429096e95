"""`molvae screen`: `molvae.screen`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from molvae.cli import options
from molvae.cli.outputs import check_outputs, destination
from molvae.cli.progress import progress

if TYPE_CHECKING:
    from molvae.data.rows import InvalidRow
    from molvae.screening.pipeline import PartialResult


def screen(
    library: options.Library,
    like: Annotated[
        list[str],
        typer.Option(help="Seeds: a SMILES, or a file of them; repeatable.", show_default=False),
    ] = [],  # noqa: B006 - typer copies it
    top: Annotated[int, typer.Option(min=1, help="Molecules on the shortlist.")] = 1000,
    by: Annotated[
        str | None,
        typer.Option(
            show_default=False,
            help="What ranks: tanimoto, latent, a property, a score, or a sum such as 'tanimoto - 0.1*sa'. "
            "Default: the first score, else tanimoto.",
        ),
    ] = None,
    score: options.Scores = [],  # noqa: B006
    keep: options.Keep = [],  # noqa: B006
    contains: options.Contains = [],  # noqa: B006
    without: options.Without = [],  # noqa: B006
    core: options.Core = None,
    standardize: options.Standardize = False,
    report: Annotated[
        Path | None, typer.Option(help="Also write an .html page with pictures and a map.", show_default=False)
    ] = None,
    rejected: Annotated[
        Path | None, typer.Option(help="Write the rows that cannot be used to this .csv.", show_default=False)
    ] = None,
    ray: Annotated[
        str | None,
        typer.Option(help="Run on the Ray cluster at this address, or auto, or local.", show_default=False),
    ] = None,
    workers: options.Workers = None,
    model: options.Model = "druglike",
    device: options.Device = "auto",
    column: options.Column = None,
    output: options.Output = None,
) -> None:
    """The best molecules of a library, in one pass: a shortlist, ranked, each molecule once.

    Columns: smiles, name, score, the figures asked for, nearest_seed, qed, sa, logp, mw, n_occurrences, source, row.
    In Python: `molvae.screen`.
    """
    from molvae.errors import InputError

    if report is not None and report.suffix.lower() != ".html":
        raise InputError(f"--report is an .html, got {report}; -o writes the table")
    from molvae.screening.screen import screen as screened

    check_outputs(output, report, rejected, inputs=[*library, *like])
    seeds = _seeds(like, column)
    with destination(output) as write, _watched(library, rejected) as taken:
        done = screened(
            _sources(library, column), seeds=seeds, top=top, rank_by=by, scores=score, filters=keep, include_smarts=contains,
            exclude_smarts=without, core=core, standardize=standardize, model=model, device=device, column=column,
            workers=workers, ray=ray, on_part=taken,
        )  # fmt: skip
        write(done.table)
    if report is not None:
        done.write_report(report, ", ".join(library))
    typer.echo(f"{done.counts.summary()}; {len(done.table):,} on the shortlist", err=True)
    if not len(done.table):
        raise typer.Exit(1)


def _seeds(like: list[str], column: str | None) -> list[str]:
    """Every seed has to be readable: a shortlist around fewer than were given would be another one."""
    from molvae.cli.inputs import read
    from molvae.data.rows import InvalidRow
    from molvae.errors import InputError

    seeds = []
    for row in read(like, column):
        if isinstance(row, InvalidRow):
            raise InputError(f"--like: {row}")
        seeds.append(row.smiles)
    return seeds


def _sources(library: list[str], column: str | None) -> list[Any]:
    """Files and folders as they are; standard input as rows, for it may be a table."""
    from molvae.cli.inputs import read

    return [read(["-"], column) if source == "-" else source for source in library]


@contextmanager
def _watched(library: list[str], rejected: Path | None) -> Iterator[Any]:
    """A function that is shown every part: it moves the progress and writes down what was rejected."""
    from molvae.library.input_files import estimate_rows, find_files

    files = None if "-" in library else find_files(library)
    total = estimate_rows(files) if files and sys.stderr.isatty() else None  # it reads the beginning of every file
    with progress("rows", total) as advance, _invalid_rows(rejected) as note:
        read = 0

        def taken(part: PartialResult) -> None:
            nonlocal read
            read += part.counts.read
            for invalid_row in part.invalid_rows:
                note(invalid_row)
            if advance:
                advance(read)

        yield taken


@contextmanager
def _invalid_rows(path: Path | None) -> Iterator[Any]:
    """Where invalid rows go: all of them to a file, or the first ones to stderr."""
    import csv

    from molvae.cli.inputs import report
    from molvae.data.files import atomic_write
    from molvae.data.rows import MAX_INVALID_ROWS_SHOWN

    if path is not None:
        with atomic_write(path) as draft, draft.open("w", encoding="utf-8", newline="", errors="replace") as stream:
            table = csv.writer(stream, lineterminator="\n")
            table.writerow(["source", "row", "value", "reason"])
            yield lambda invalid_row: table.writerow(
                [invalid_row.source, invalid_row.row, invalid_row.value, invalid_row.reason]
            )
        return
    count = 0

    def tell(invalid_row: InvalidRow) -> None:
        nonlocal count
        count += 1
        if count <= MAX_INVALID_ROWS_SHOWN:
            report(invalid_row)

    yield tell
    if count > MAX_INVALID_ROWS_SHOWN:
        typer.echo(
            f"... {count - MAX_INVALID_ROWS_SHOWN:,} more rows rejected; --rejected FILE.csv lists them", err=True
        )
