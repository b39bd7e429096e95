"""`molvae neighbours`: `molvae.explore.neighbours`."""

from __future__ import annotations

from itertools import tee
from typing import Annotated

import typer

from molvae.cli import options
from molvae.cli.exploration import GRID, Grid, delivery, reported, usable
from molvae.cli.loading import load


def neighbours(
    library: options.Inputs,
    of: Annotated[list[str], typer.Option(show_default=False, help="Seeds: SMILES or files; repeatable.")],
    n: Annotated[int, typer.Option("-n", "--count", min=1, help="Neighbours of each seed.")] = 10,
    standardise: options.Standardise = False,
    model: options.Model = "druglike",
    device: options.Device = "auto",
    column: options.Column = None,
    output: options.Output = None,
    picture: Grid = None,
) -> None:
    """The molecules of a file that are nearest to each seed in latent space, with Tanimoto beside.

    Columns: seed, smiles, name (where the file has any), distance, similarity. In Python: `molvae.explore.neighbours`.
    """
    from molvae.cli.inputs import read
    from molvae.data.rows import Record, Refusal
    from molvae.explore import nearest_neighbors as neighbourhood

    with delivery(output, picture, neighbourhood.draw_neighbours, GRID, [*library, *of]) as deliver:
        generator = load(model, device)
        refused = list[Record | Refusal]()
        seeds = [row.smiles for row in usable(read(of, column, standardised=standardise), refused)]
        texts, named = tee(usable(read(library, column, standardised=standardise), refused))
        names = (row.name for row in named)
        found = neighbourhood.neighbours(generator, (row.smiles for row in texts), seeds, n=n, names=names)
        deliver(reported(neighbourhood.refusing(found, len(refused))))
    if found.empty:
        raise typer.Exit(1)
