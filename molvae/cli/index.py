"""`molvae index`: `molvae.index`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from molvae.cli import options
from molvae.cli.progress import progress

if TYPE_CHECKING:
    from molvae.data.rows import RowCounts


def index(
    library: options.Library,
    output: Annotated[Path, typer.Option("--output", "-o", help="The folder to make, such as lib.molvae.")],
    properties: Annotated[
        str, typer.Option(help="Properties to keep with each molecule, such as mw,logp,qed.")
    ] = "mw,logp,tpsa,hbd,hba,rotatable_bonds",
    standardize: options.Standardize = False,
    shard_rows: Annotated[int, typer.Option(min=1, help="Rows that an interruption costs, at most.")] = 65_536,
    workers: options.Workers = None,
    model: options.Model = "druglike",
    device: options.Device = "auto",
    column: options.Column = None,
) -> None:
    """A library for `molvae search`: every molecule once, with its latent, fingerprint and properties.

    Interrupted and started again, it goes on where it was. Rows without a molecule: invalid_rows.csv in the folder.
    """
    from molvae.errors import CheckpointError, InputError
    from molvae.library.indexed_library import index as index_library

    names = [name.strip() for name in properties.split(",") if name.strip()]
    with progress("rows") as advance:

        def tell(counts: RowCounts) -> None:
            if advance:
                advance(counts.read)

        try:
            done = index_library(
                library, output, model=model, device=device, column=column, properties=names,
                standardize=standardize, workers=workers, shard_rows=shard_rows, progress=tell,
            )  # fmt: skip
        except CheckpointError as error:
            raise InputError(f"--model: {error}") from None
    typer.echo(done.counts.summary(), err=True)
    if done.counts.invalid:
        typer.echo(f"the rejected ones, by file, line and reason: {output / 'invalid_rows.csv'}", err=True)
    if done.counts.read and not done.counts.accepted:
        raise typer.Exit(1)
