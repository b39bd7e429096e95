"""`molvae search`: `IndexedLibrary.search`."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Annotated

import typer

from molvae.cli import options
from molvae.cli.outputs import destination


def search(
    library: Annotated[Path, typer.Argument(show_default=False, help="A folder that `molvae index` made.")],
    seeds: options.Inputs,
    by: Annotated[str, typer.Option(help="latent, tanimoto, or both: their ranks fused.")] = "both",
    metric: Annotated[str, typer.Option(help="Of latents: cosine or l2.")] = "cosine",
    probes: Annotated[
        int, typer.Option(min=0, help="Look at latents in this many cells only, such as 64; 0: at all of them.")
    ] = 0,
    top: Annotated[int, typer.Option(min=1, help="Molecules for each seed.")] = 100,
    keep: options.Keep = [],  # noqa: B006 - typer copies it
    contains: options.Contains = [],  # noqa: B006
    without: options.Without = [],  # noqa: B006
    core: options.Core = None,
    workers: options.Workers = None,
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="Where the library's model is now.", show_default=False)
    ] = None,
    device: options.Device = "auto",
    column: options.Column = None,
    output: options.Output = None,
) -> None:
    """The molecules of a library that are nearest to each seed, the nearest first; exact, but for --probes.

    Columns: seed, rank, smiles, id, similarity (Tanimoto, Morgan 2, 2048 bits), latent_distance, the library's
    properties. In Python: `molvae.open_library(...).search`.
    """
    from molvae.cli.inputs import read, report
    from molvae.data.rows import Record
    from molvae.library.indexed_library import open_library

    opened = open_library(library, model=model, device=device)
    usable = list[Record]()
    for row in read(seeds, column):
        if isinstance(row, Record):
            usable.append(row)
        else:
            report(row)
    with destination(output, seeds) as write, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they say what is said below with the place of the row
        frame = opened.search(
            [row.smiles for row in usable], rank_by=by, metric=metric, nprobe=probes, top=top, filters=keep, include_smarts=contains,
            exclude_smarts=without, core=core, workers=workers,
        )  # fmt: skip
        write(frame)
    for row in usable:
        if row.smiles in frame.attrs["errors"]:
            report(row, frame.attrs["errors"][row.smiles])
    typer.echo(f"{len(frame):,} molecules for {frame['seed'].nunique():,} seeds", err=True)
    if not len(frame):
        raise typer.Exit(1)
