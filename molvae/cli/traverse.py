"""`molvae traverse`: `molvae.explore.traverse`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from molvae.cli import options
from molvae.cli.exploration import GRID, Grid, Molecule, Reference, delivery, molecules
from molvae.cli.loading import load
from molvae.errors import InputError


def traverse(
    seed: Molecule,
    axes: Annotated[str, typer.Option(help="Two latent dimensions, or principal components, from 0.")] = "0,1",
    directions: Annotated[
        str, typer.Option(help="latent, principal, or one or two properties: qed or logp,tpsa.")
    ] = "latent",
    reference: Reference = None,
    steps: Annotated[int, typer.Option(min=1, help="Molecules in a row, and rows.")] = 7,
    span: Annotated[
        float | None, typer.Option(help="Standard deviations to either side: 5; along single dimensions 15.")
    ] = None,
    standardize: options.Standardize = False,
    model: options.Model = "druglike",
    device: options.Device = "auto",
    column: options.Column = None,
    output: options.Output = None,
    picture: Grid = None,
) -> None:
    """A grid of molecules around one, along two directions of the latent space.

    Columns: x, y, smiles, similarity, log_likelihood, and the properties named. In Python: `molvae.explore.traverse`.
    """
    from molvae.cli.inputs import cleaned, read
    from molvae.explore import traversal

    with delivery(output, picture, traversal.draw_traversal, GRID, [reference or ""]) as deliver:
        known = None if reference is None else molecules(read([reference], column))
        along: dict[str, Any] = {"axes": _pair(axes), "directions": directions, "reference": known}
        seed = cleaned(seed) if standardize else seed
        deliver(traversal.traverse(load(model, device), seed, steps=steps, span=span, **along))


def _pair(text: str) -> tuple[int, int]:
    try:
        first, second = map(int, text.split(","))
    except ValueError:
        raise InputError(f"--axes are two numbers such as 0,1, got {text!r}") from None
    return first, second
