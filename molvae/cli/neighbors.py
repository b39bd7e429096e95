"""`molvae neighbors`: `molvae.explore.neighbors`."""

from __future__ import annotations

from itertools import tee
from typing import Annotated

import typer

from molvae.cli import options
from molvae.cli.exploration import GRID, Grid, delivery, reported, usable
from molvae.cli.loading import load


def neighbors(
    library: options.Inputs,
    of: Annotated[list[str], typer.Option(show_default=False, help="Seeds: SMILES or files; repeatable.")],
    n: Annotated[int, typer.Option("-n", "--count", min=1, help="Neighbors of each seed.")] = 10,
    standardize: options.Standardize = False,
    model: options.Model = "druglike",
    device: options.Device = "auto",
    column: options.Column = None,
    output: options.Output = None,
    picture: Grid = None,
) -> None:
    """The molecules of a file that are nearest to each seed in latent space, with Tanimoto beside.

    Columns: seed, smiles, name (where the file has any), distance, similarity. In Python: `molvae.explore.neighbors`.
    """
    from molvae.cli.inputs import read
    from molvae.data.rows import InvalidRow, Record
    from molvae.explore import nearest_neighbors as neighborhood

    with delivery(output, picture, neighborhood.draw_neighbors, GRID, [*library, *of]) as deliver:
        generator = load(model, device)
        rejected = list[Record | InvalidRow]()
        seeds = [row.smiles for row in usable(read(of, column, standardized=standardize), rejected)]
        texts, named = tee(usable(read(library, column, standardized=standardize), rejected))
        names = (row.name for row in named)
        found = neighborhood.neighbors(generator, (row.smiles for row in texts), seeds, n=n, names=names)
        deliver(reported(neighborhood.add_rejected(found, len(rejected))))
    if found.empty:
        raise typer.Exit(1)
