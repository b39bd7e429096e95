"""`molvae score`: properties of molecules and metrics of the set (`molvae.score`)."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from molvae.cli import checks, options
from molvae.cli.loading import load_scores, split_names
from molvae.cli.outputs import check_outputs
from molvae.viz.progress import progress_bar

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

    from molvae.cli.inputs import InputRows
    from molvae.metrics.scorer import Scorer, Scores

MAX_TERMINAL_SEEDS = 20
SEED_COLUMNS = ("seed", "proposed", "valid", "distinct", "effective_novelty", "usable", "similarity_median")
REFERENCES = "Reference sets"


def _reference(help: str) -> typer.models.OptionInfo:
    return typer.Option(show_default=False, rich_help_panel=REFERENCES, help=help)  # type: ignore[no-any-return]


def score(
    molecules: options.Molecules,
    train: Annotated[
        str | None,
        _reference("Training set, for novelty: a file, FILE:COLUMN of a table, or a dataset such as moses:train."),
    ] = None,
    test: Annotated[str | None, _reference("Test set, for SNN, Frag, Scaf and FCD: a file or dataset.")] = None,
    test_scaffolds: Annotated[
        str | None, _reference("Scaffold test set, such as moses:test_scaffolds: a file or dataset.")
    ] = None,
    nearest: Annotated[
        bool,
        typer.Option(
            rich_help_panel=REFERENCES, help="Find the nearest neighbor of each molecule in --train, else in --test."
        ),
    ] = True,
    seed_column: Annotated[
        str | None,
        typer.Option(
            rich_help_panel=options.INPUT,
            show_default=False,
            help="Column with each row's seed, to score analogs; for a .smi file, its second field.",
        ),
    ] = None,
    columns: Annotated[
        str | None, typer.Option(show_default=False, help="Properties to compute, such as qed,sa,alerts. Default: all.")
    ] = None,
    scores: options.Scores = [],  # noqa: B006 - typer copies it
    fcd: Annotated[
        bool | None,
        typer.Option("--fcd/--no-fcd", show_default=False, help="Fréchet ChemNet distance. Default: if installed."),
    ] = None,
    sample_size: Annotated[
        int, typer.Option(min=2, help="Compute the set metrics on at most this many randomly chosen valid molecules.")
    ] = 30_000,
    random_seed: options.RandomSeed = 0,
    standardize: options.Standardize = False,
    keep_salts: options.KeepSalts = False,
    column: options.Column = None,
    name_column: options.NameColumn = None,
    workers: options.Workers = None,
    device: options.Device = "auto",
    output: options.Output = None,
    report: Annotated[
        Path | None,
        typer.Option(
            rich_help_panel=options.OUTPUT,
            show_default=False,
            help="Write an .html report with structures, or the metrics of the set as .json or .csv.",
        ),
    ] = None,
    rank_by: Annotated[
        str,
        typer.Option(
            rich_help_panel=options.OUTPUT, help="The report shows the best and worst molecules by this value."
        ),
    ] = "qed",
    per_seed: Annotated[
        Path | None,
        typer.Option(
            rich_help_panel=options.OUTPUT,
            show_default=False,
            help="With --seed-column: write a table with one row per seed.",
        ),
    ] = None,
) -> None:
    """Compute properties of molecules (-o FILE, one row per molecule) and metrics of the set (stdout).

    Stdout shows tables in a terminal and JSON in a pipe. In Python: `molvae.score`.
    """
    from molvae.cli.inputs import InputRows
    from molvae.errors import InputError, did_you_mean

    if report is not None and report.suffix.lower() not in (".html", ".json", ".csv"):
        raise InputError(f"--report writes .html, .json or .csv, got {report}; -o writes the table of molecules")
    if per_seed is not None and seed_column is None:
        raise InputError("--per-seed needs the column with the seeds: give --seed-column COLUMN")
    from molvae.io.formats import check_format
    from molvae.metrics.column_names import COLUMN_NAMES, check_columns

    reference_files = [name for name in (train, test, test_scaffolds) if name]
    check_outputs(output, report, per_seed, inputs=[*molecules, *reference_files])
    if per_seed is not None:
        check_format(per_seed)
    names = None if columns is None else split_names(columns)
    with checks.naming("--columns"):
        check_columns(names)
    computed = ("nearest_similarity", "similarity", *checks.score_names(scores))
    if rank_by not in (*COLUMN_NAMES, *computed):
        raise InputError(
            f"--rank-by: no computed value has this name, got {rank_by!r}{did_you_mean(rank_by, COLUMN_NAMES)}"
        )
    checks.check_inputs(molecules, column, seed_column or name_column)
    for option, name in (("--train", train), ("--test", test), ("--test-scaffolds", test_scaffolds)):
        checks.check_datasets([name] if name else [], option=option)
    from molvae.io.writers import write_table
    from molvae.metrics.score import load_references
    from molvae.metrics.scorer import Scorer
    from molvae.nn.devices import find_device

    device_name = str(find_device(device))
    references = load_references(
        train,
        test,
        test_scaffolds,
        workers=workers,
        device=device_name,
        progress=lambda line: typer.echo(line, err=True),
    )
    scorer = Scorer(
        references, columns=names, nearest=nearest, names_are_seeds=seed_column is not None,
        with_names=seed_column is None, scores=load_scores(scores, device), fcd=fcd, sample_size=sample_size,
        random_state=random_seed, workers=workers, device=device_name, standardize=standardize, keep_salts=keep_salts,
    )  # fmt: skip
    if report is not None:
        _check_rank_by(rank_by, scorer, has_neighbors=nearest and (train or test) is not None)
    _score_rows(scorer, InputRows(molecules, column, seed_column or name_column), output)
    result = scorer.scores()
    if per_seed is not None and result.seeds is not None:
        write_table(result.seeds, per_seed)
    if report is not None:
        _write_report(result, report, ", ".join(molecules), rank_by)
    _show(result)  # last: the reader of stdout may have closed it
    if result.counts["read"] and not result.counts["valid"]:
        raise typer.Exit(1)


def _check_rank_by(rank_by: str, scorer: Scorer, *, has_neighbors: bool) -> None:
    """Raise `InputError` for a value that is not computed; the default, qed, is always accepted."""
    from molvae.errors import InputError

    known = [name for name in scorer.columns if name not in ("alerts", "scaffold")]
    known += ["nearest_similarity"] * has_neighbors + ["similarity"] * scorer.names_are_seeds + scorer.score_names
    if rank_by not in (*known, "qed"):
        raise InputError(f"--rank-by must be one of the computed values {', '.join(known)}; got {rank_by!r}")


def _score_rows(scorer: Scorer, rows: InputRows, output: Path | None) -> None:
    """Score all rows, write the table of molecules to `-o` as it is computed, and report invalid rows on stderr.

    The further columns of the input are at the end of the table.
    """
    from molvae.cli.inputs import report_row
    from molvae.data.carried_columns import CarriedColumns
    from molvae.io.writers import table_writer

    carried = CarriedColumns(rows, rows.columns)
    with (
        nullcontext(lambda _: None) if output is None else table_writer(output) as write,
        progress_bar(None, "molecules") as advance,
    ):
        for frame in scorer.tables(carried):
            table, scored = carried.add(frame)
            write(table)
            for row, error, canonical in zip(scored, frame["error"], frame["canonical"], strict=True):
                if not canonical:
                    report_row(row, error)
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
    typer.echo(", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in scores.counts.items()), err=True)


def _tables(scores: Scores) -> Iterator[tuple[str, object]]:
    from rich.table import Table

    for section, metrics in scores.metrics.items():
        table = Table(box=None, show_header=False, pad_edge=False)
        table.add_column(no_wrap=True)
        table.add_column(justify="right")
        for name, value in metrics.items():
            table.add_row(name, _number(value))
        yield section, table


def _show_seeds(console: Console, seeds: pd.DataFrame) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in SEED_COLUMNS:
        table.add_column(name.replace("_", "\n"), justify="left" if name == "seed" else "right", overflow="fold")
    for _, row in seeds.head(MAX_TERMINAL_SEEDS).iterrows():
        table.add_row(Text(row["seed"]), *(_number(row[name]) for name in SEED_COLUMNS[1:]))
    console.print("\nSeeds", style="bold")
    console.print(table)
    if len(seeds) > MAX_TERMINAL_SEEDS:
        console.print(f"... {len(seeds) - MAX_TERMINAL_SEEDS:,} more; --per-seed FILE writes all", highlight=False)


def _number(value: float | None) -> str:
    """Counts with separators, other numbers with four decimals, a dash for None."""
    return "–" if value is None else f"{value:,}" if isinstance(value, int) else f"{value:.4f}"


def _write_report(scores: Scores, path: Path, title: str, rank_by: str) -> None:
    import pandas as pd

    from molvae.data.files import atomic_write
    from molvae.io.writers import write_table
    from molvae.viz.report import Report, save_report

    if path.suffix.lower() == ".csv":
        values = [(section, *item) for section, metrics in scores.metrics.items() for item in metrics.items()]
        write_table(pd.DataFrame(values, columns=["section", "metric", "value"]), path)
    elif path.suffix.lower() == ".json":
        with atomic_write(path) as draft:
            draft.write_text(scores.to_json() + "\n", encoding="utf-8")
    else:
        parts = [part for part in (scores.molecules, scores.invalid) if len(part)] or [scores.molecules]
        molecules = pd.concat(parts, ignore_index=True)  # the sample, and the first invalid rows with their reasons
        save_report(
            Report(
                title=title, counts=scores.counts, metrics=scores.metrics, notes=scores.notes, molecules=molecules,
                reference=scores.reference, seeds=scores.seeds, rank_by=rank_by,
            ),
            path,
        )  # fmt: skip
