"""`molvae score`: `molvae.score` for streams."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from molvae.cli import options
from molvae.cli.loading import scores_of
from molvae.cli.outputs import check_outputs
from molvae.cli.progress import progress

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

    from molvae.data.rows import InvalidRow, Record
    from molvae.metrics.scorer import Scorer, Scores

SHOWN_SEEDS = 20
SHOWN_FIGURES = ("seed", "proposed", "valid", "distinct", "effective_novelty", "usable", "similarity_median")
_REFERENCE = "SMILES file (FILE:COLUMN of a table), or a named dataset such as moses:train."


def score(
    molecules: options.Inputs,
    train: Annotated[
        str | None, typer.Option(help=f"What is not in it is novel: {_REFERENCE}", show_default=False)
    ] = None,
    test: Annotated[
        str | None, typer.Option(help="What the set should be like: a file or dataset.", show_default=False)
    ] = None,
    scaffolds: Annotated[
        str | None, typer.Option(help="A test set of scaffolds that are not in TRAIN.", show_default=False)
    ] = None,
    seeds: Annotated[
        str | None, typer.Option(help="The column with each row's seed; of a .smi its second.", show_default=False)
    ] = None,
    columns: Annotated[
        str | None, typer.Option(help="Figures to compute, such as qed,sa,alerts. Default: all.", show_default=False)
    ] = None,
    score: options.Scores = [],  # noqa: B006 - typer copies it
    nearest: Annotated[bool, typer.Option(help="Find each molecule's nearest neighbor in TRAIN, or else TEST.")] = True,
    fcd: Annotated[
        bool | None,
        typer.Option(
            "--fcd/--no-fcd", help="Fréchet ChemNet distances. Default: if fcd_torch is there.", show_default=False
        ),
    ] = None,
    sample: Annotated[
        int, typer.Option(min=2, help="Valid molecules, at most, that the set's metrics are of.")
    ] = 30_000,
    rank_by: Annotated[str, typer.Option(help="The figure whose best and worst the report draws.")] = "qed",
    report: Annotated[
        Path | None,
        typer.Option(
            help="Also write an .html page with pictures, or the figures of the set as .json or .csv.",
            show_default=False,
        ),
    ] = None,
    per_seed: Annotated[
        Path | None,
        typer.Option(help="With --seeds: also write a table with a row for each seed.", show_default=False),
    ] = None,
    seed: options.Seed = 0,
    workers: options.Workers = None,
    device: options.Device = "auto",
    column: options.Column = None,
    output: options.Output = None,
) -> None:
    """What molecules are worth: a row for each in -o FILE, and a table of what they are worth as a set.

    Stdout carries the set's table, or JSON when it is piped. In Python: `molvae.score`.
    """
    from molvae.cli.inputs import read
    from molvae.errors import InputError

    if report is not None and report.suffix.lower() not in (".html", ".json", ".csv"):
        raise InputError(f"--report is an .html, .json or .csv, got {report}; -o writes the table of molecules")
    if per_seed is not None and seeds is None:
        raise InputError("--per-seed is for analogs: name the column of their seeds, --seeds COLUMN")
    from molvae.io.writers import check_format, write_table
    from molvae.metrics.molecules import select_columns
    from molvae.metrics.score import load_references
    from molvae.metrics.scorer import Scorer
    from molvae.nn.devices import find_device

    check_outputs(output, report, per_seed, inputs=[*molecules, *(name for name in (train, test, scaffolds) if name)])
    if per_seed is not None:
        check_format(per_seed)
    names = None if columns is None else [name.strip() for name in columns.split(",") if name.strip()]
    select_columns(names)  # its error, before references are read
    place = str(find_device(device))
    against = load_references(
        train, test, scaffolds, workers=workers, device=place, progress=lambda line: typer.echo(line, err=True)
    )
    scorer = Scorer(
        against, columns=names, nearest=nearest, names_are_seeds=seeds is not None, with_names=seeds is None,
        scores=scores_of(score, device), fcd=fcd, sample_size=sample, random_state=seed, workers=workers, device=place,
    )  # fmt: skip
    if report is not None:
        _check_rank(rank_by, scorer, nearest and (train or test) is not None)
    _write_rows(scorer, read(molecules, column, seeds), output)
    found = scorer.scores()
    _show(found)
    if per_seed is not None and found.seeds is not None:
        write_table(found.seeds, per_seed)
    if report is not None:
        _write_report(found, report, ", ".join(molecules), rank_by)
    if found.counts["read"] and not found.counts["valid"]:
        raise typer.Exit(1)


def _check_rank(rank_by: str, scorer: Scorer, neighbors: bool) -> None:
    """Raises `InputError` for what no molecule will have; qed, the default, is not insisted on."""
    from molvae.errors import InputError

    known = [name for name in scorer.columns if name not in ("alerts", "scaffold")]
    known += ["nearest_similarity"] * neighbors + ["similarity"] * scorer.names_are_seeds + scorer.score_names
    if rank_by not in (*known, "qed"):
        raise InputError(f"--rank-by is a figure that is computed, one of {', '.join(known)}; got {rank_by!r}")


def _write_rows(scorer: Scorer, rows: Iterator[Record | InvalidRow], output: Path | None) -> None:
    """The table of molecules, as it comes; without `-o` only what it adds up to is kept. Bad rows are reported."""
    from contextlib import nullcontext

    from molvae.cli.inputs import report
    from molvae.io.writers import table_file

    pending: deque[Record | InvalidRow] = deque()  # read, and not yet in a table

    def noted() -> Iterator[Record | InvalidRow]:
        for row in rows:
            pending.append(row)
            yield row

    with (
        nullcontext(lambda _: None) if output is None else table_file(output) as write,
        progress("molecules") as advance,
    ):
        for frame in scorer.tables(noted()):
            write(frame)
            for error, canonical in zip(frame["error"], frame["canonical"], strict=True):
                row = pending.popleft()
                if not canonical:
                    report(row, error)
            if advance:
                advance(scorer.n_read)


def _show(scores: Scores) -> None:
    if not sys.stdout.isatty():
        typer.echo(scores.to_json())
    else:
        from rich.console import Console

        console = Console()
        for title, table in _tables(scores):
            console.print(f"\n{title}", style="bold", highlight=False)
            console.print(table)
        if scores.seeds is not None:
            _show_seeds(console, scores.seeds)
    for note in scores.notes:
        typer.echo(note, err=True)
    counts = ", ".join(f"{count:,} {name}" for name, count in scores.counts.items())
    typer.echo(counts, err=True)


def _tables(scores: Scores) -> Iterator[tuple[str, object]]:
    from rich.table import Table

    for section, figures in scores.figures.items():
        table = Table(box=None, show_header=False, pad_edge=False)
        table.add_column(no_wrap=True)
        table.add_column(justify="right")
        for name, value in figures.items():
            table.add_row(name, _number(value))
        yield section, table


def _show_seeds(console: Console, seeds: pd.DataFrame) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in SHOWN_FIGURES:
        table.add_column(name.replace("_", "\n"), justify="left" if name == "seed" else "right", overflow="fold")
    for _, row in seeds.head(SHOWN_SEEDS).iterrows():
        table.add_row(Text(row["seed"]), *(_number(row[name]) for name in SHOWN_FIGURES[1:]))
    console.print("\nSeeds", style="bold")
    console.print(table)
    if len(seeds) > SHOWN_SEEDS:
        console.print(f"... {len(seeds) - SHOWN_SEEDS:,} more; --per-seed FILE writes all", highlight=False)


def _number(value: float | None) -> str:
    """Counts as such, shares to four digits."""
    return "–" if value is None else f"{value:,}" if isinstance(value, int) else f"{value:.4f}"


def _write_report(scores: Scores, path: Path, title: str, rank_by: str) -> None:
    import pandas as pd

    from molvae.data.files import atomic_write
    from molvae.io.writers import write_table
    from molvae.viz.report import Content, write_html

    if path.suffix.lower() == ".csv":
        figures = [(section, *figure) for section, found in scores.figures.items() for figure in found.items()]
        table = pd.DataFrame(figures, columns=["section", "figure", "value"])
        write_table(table, path)
        return
    if path.suffix.lower() == ".json":
        with atomic_write(path) as draft:
            draft.write_text(scores.to_json() + "\n", encoding="utf-8")
        return
    write_html(
        Content(
            title=title, counts=scores.counts, figures=scores.figures, notes=scores.notes,
            molecules=_with_invalid(scores), reference=scores.reference, seeds=scores.seeds, rank_by=rank_by,
        ),
        path,
    )  # fmt: skip


def _with_invalid(scores: Scores) -> pd.DataFrame:
    """The sample, and the first rows that are no molecule for the page to say why."""
    import pandas as pd

    return pd.concat(
        [part for part in (scores.molecules, scores.invalid) if len(part)] or [scores.molecules], ignore_index=True
    )
