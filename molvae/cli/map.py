"""`molvae map`: `molvae.explore.latent_map`."""

from __future__ import annotations

from typing import Annotated

import typer

from molvae.cli import options
from molvae.cli.exploration import DOTS, Dots, delivery
from molvae.cli.loading import load
from molvae.errors import InputError


def latent_map(
    molecules: options.Inputs,
    method: Annotated[str, typer.Option(help="pca or umap.")] = "pca",
    color_by: Annotated[
        str | None,
        typer.Option("--color-by", "--color-by", show_default=False, help="A property such as qed, or a column."),
    ] = None,
    seed: options.Seed = 0,
    standardize: options.Standardize = False,
    model: options.Model = "druglike",
    device: options.Device = "auto",
    column: options.Column = None,
    output: options.Output = None,
    picture: Dots = None,
) -> None:
    """A map of molecules: their latents in two dimensions, one row out per row in.

    Columns: smiles, name (where there are any), error, x, y, and what colors them (of a .smi, the names). In Python:
    `molvae.explore.latent_map`.
    """
    import pandas as pd

    from molvae.chem.properties import PROPERTIES
    from molvae.cli.inputs import read
    from molvae.cli.row_commands import at_once, names
    from molvae.explore import projection

    with delivery(output, picture, projection.draw_map, DOTS, molecules) as deliver:
        generator = load(model, device)
        name_column = None if color_by in PROPERTIES else color_by
        rows = list(read(molecules, column, name_column, standardized=standardize))
        color: pd.Series[str] | str | None = color_by
        if color_by is not None and color_by not in PROPERTIES:
            color = pd.Series(names(rows, color_by), name=color_by)
            if not color.any():
                raise InputError(f"--color-by: no row has a {color_by!r}, and no property is called so; qed is one")
        named = name_column is None and any(row.name for row in rows)

        def mapped(smiles: list[str]) -> pd.DataFrame:
            return projection.latent_map(generator, smiles, method=method, color_by=color, random_state=seed)

        deliver(at_once(rows, mapped, named=named))
