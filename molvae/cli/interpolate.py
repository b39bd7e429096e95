"""`molvae interpolate`: `molvae.explore.interpolate`."""

from __future__ import annotations

from typing import Annotated

import typer

from molvae.cli import options
from molvae.cli.exploration import GRID, Grid, Molecule, delivery
from molvae.cli.loading import load


def interpolate(
    start: Molecule,
    end: Molecule,
    steps: Annotated[int, typer.Option(min=2, help="Latents on the way, the ends counted.")] = 20,
    path: Annotated[str, typer.Option(help="spherical or linear.")] = "spherical",
    samples_per_latent: Annotated[
        int, typer.Option(min=0, help="Strings to draw from each: what lies best on the way is taken.")
    ] = 16,
    seed: options.Seed = 0,
    standardize: options.Standardize = False,
    model: options.Model = "druglike",
    device: options.Device = "auto",
    output: options.Output = None,
    picture: Grid = None,
) -> None:
    """The molecules on the way from one to another, each with its similarity to both.

    Columns: position, n_merged, smiles, similarity_start, similarity_end, log_likelihood. In Python:
    `molvae.explore.interpolate`.
    """
    from molvae.cli.inputs import cleaned
    from molvae.explore import interpolation

    with delivery(output, picture, interpolation.draw_path, GRID) as deliver:
        generator = load(model, device)
        if standardize:
            start, end = cleaned(start), cleaned(end)
        deliver(
            interpolation.interpolate(
                generator, start, end, steps=steps, path=path, samples_per_latent=samples_per_latent, random_state=seed
            )
        )
