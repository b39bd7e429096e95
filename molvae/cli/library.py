"""`molvae index` and `molvae search`: an indexed library of molecules (`molvae.index`, `IndexedLibrary.search`)."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from molvae.cli import checks, options
from molvae.cli.loading import split_names
from molvae.cli.outputs import check_outputs, table_output
from molvae.cli.usage import one_of

if TYPE_CHECKING:
    pass


def index(
    library: options.LibraryFiles,
    output: Annotated[
        Path, typer.Option("--output", "-o", show_default=False, help="Library folder to write, such as lib.molvae.")
    ],
    properties: Annotated[
        str, typer.Option(help="Properties to store with each molecule.")
    ] = "mw,logp,tpsa,hbd,hba,rotatable_bonds",
    shard_rows: Annotated[
        int, typer.Option(min=1, help="Rows per shard; an interrupted run repeats at most one shard.")
    ] = 65_536,
    standardize: options.Standardize = False,
    keep_salts: options.KeepSalts = False,
    column: options.Column = None,
    name_column: options.NameColumn = None,
    workers: options.Workers = None,
    model: options.Model = "druglike",
    device: options.Device = "auto",
) -> None:
    """Build a library for `molvae search`: each distinct molecule with its latent, fingerprint and properties.

    The same command resumes an interrupted run. Invalid rows are listed in invalid_rows.csv in the library folder. In
    Python: `molvae.index`.
    """
    from molvae.chem.properties import get_property
    from molvae.errors import CheckpointError, InputError

    checks.check_index_folder(output)
    for name in split_names(properties):
        with checks.naming("--properties"):
            get_property(name)
    checks.check_library(library, column, name_column)
    from molvae.library.indexed_library import index as build_library

    try:
        built = build_library(
            library, output, model=model, device=device, column=column, name_column=name_column,
            properties=split_names(properties), standardize=standardize, keep_salts=keep_salts, workers=workers,
            shard_rows=shard_rows,
        )  # fmt: skip
    except CheckpointError as error:
        raise InputError(f"--model: {error}") from None
    typer.echo(built.counts.summary(), err=True)
    if built.counts.invalid:
        typer.echo(f"invalid rows, with file, line and reason: {output / 'invalid_rows.csv'}", err=True)
    if built.counts.noted:
        typer.echo(f"changed rows, with file, line and note: {output / 'notes.csv'}", err=True)
    if built.counts.read and not built.counts.accepted:
        raise typer.Exit(1)


def search(
    library: Annotated[Path, typer.Argument(show_default=False, help="A folder written by `molvae index`.")],
    seeds: options.Molecules,
    rank_by: Annotated[
        str,
        typer.Option(
            rich_help_panel=options.RANKING,
            callback=one_of("tanimoto", "latent", "both"),
            help="tanimoto, latent, or both (reciprocal rank fusion).",
        ),
    ] = "both",
    metric: Annotated[
        str,
        typer.Option(
            rich_help_panel=options.RANKING,
            callback=one_of("cosine", "l2"),
            help="Metric of the latent space: cosine or l2.",
        ),
    ] = "cosine",
    nprobe: Annotated[
        int,
        typer.Option(
            min=0,
            rich_help_panel=options.RANKING,
            help="Approximate latent search: number of IVF lists to visit, such as 64; 0: exact search.",
        ),
    ] = 0,
    top: Annotated[
        int, typer.Option(min=1, rich_help_panel=options.RANKING, help="Number of molecules per seed.")
    ] = 100,
    filters: options.Filters = [],  # noqa: B006 - typer copies it
    include_smarts: options.IncludeSmarts = [],  # noqa: B006
    exclude_smarts: options.ExcludeSmarts = [],  # noqa: B006
    core: options.Core = None,
    standardize: options.Standardize = False,
    keep_salts: options.KeepSalts = False,
    column: options.Column = None,
    name_column: options.NameColumn = None,
    workers: options.Workers = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            rich_help_panel=options.MODEL,
            show_default=False,
            callback=checks.model_name,
            help="Model directory, if the library's model has moved.",
        ),
    ] = None,
    device: options.Device = "auto",
    output: options.Output = None,
) -> None:
    """Find the molecules of a library that are most similar to each seed; exact unless --nprobe is given.

    Seeds are prepared as the library was: --standardize and --keep-salts are needed only where the library was indexed
    without them.

    Columns: seed, name (of the seed, if it has one), rank, smiles, id, similarity (Tanimoto, Morgan radius 2, 2048
    bits), latent_distance, the library's properties, and further columns of the seeds' files. In Python:
    `molvae.open_library(...).search`.
    """
    from molvae.cli.inputs import InputRows, changed_summary, report_note, report_row
    from molvae.data.carried_columns import add_columns
    from molvae.data.rows import Record

    check_outputs(output, inputs=seeds)
    checks.check_search(library, filters)
    checks.check_structures(include_smarts, exclude_smarts, core)
    checks.check_inputs(seeds, column, name_column)
    from molvae.library.indexed_library import open_library

    opened = open_library(library, model=model, device=device)
    records = list[Record]()
    rows = InputRows(seeds, column, name_column)
    for row in rows:
        if isinstance(row, Record):
            records.append(row)
        else:
            report_row(row)
    with table_output(output, seeds) as write, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # reported below with file and line
        frame = opened.search(
            [row.smiles for row in records], top=top, rank_by=rank_by, metric=metric, nprobe=nprobe, filters=filters,
            include_smarts=include_smarts, exclude_smarts=exclude_smarts, core=core, workers=workers,
            standardize=standardize or None, keep_salts=keep_salts or None,  # None: as in the library
        )  # fmt: skip
        found = [row for row, n_hits in zip(records, frame.attrs["hits_per_seed"], strict=True) for _ in range(n_hits)]
        if any(row.name for row in records):
            frame.insert(1, "name", [row.name for row in found])
        write(add_columns(frame, found, rows.columns))
    n_changed = 0
    for row in records:
        if row.smiles in frame.attrs["errors"]:
            report_row(row, frame.attrs["errors"][row.smiles])
        else:
            n_changed += report_note(row, frame.attrs["notes"].get(row.smiles, ""))
    n_seeds = frame["seed"].nunique()
    typer.echo(
        f"{len(frame):,} molecules for {n_seeds:,} {'seed' if n_seeds == 1 else 'seeds'}{changed_summary(n_changed)}",
        err=True,
    )
    if not len(frame):
        raise typer.Exit(1)
