"""`molvae anomaly`: `molvae.explore.anomaly`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from molvae.cli import options
from molvae.cli.exploration import GRID, Grid, Reference, delivery
from molvae.cli.exploration import molecules as smiles_of
from molvae.cli.loading import load
from molvae.errors import InputError

if TYPE_CHECKING:
    from molvae.generator import Generator
    from molvae.nn.likelihood_reference import LikelihoodReference


def anomaly(
    molecules: options.Inputs,
    reference: Reference = None,
    save_reference: Annotated[
        Path | None,
        typer.Option(show_default=False, help="Keep what is usual in this .json, to be a --reference again."),
    ] = None,
    standardize: options.Standardize = False,
    model: options.Model = "druglike",
    device: options.Device = "auto",
    column: options.Column = None,
    output: options.Output = None,
    picture: Grid = None,
) -> None:
    """How well the model knows each molecule, one row out per row in: the likelihood of its reconstruction.

    Columns: smiles, error, log_likelihood, log_likelihood_per_token (nats), percentile: of 100 molecules of
    --reference, or of the training set where the model has a calibration of it, so many are known less well; below 1 is odd. In Python:
    `molvae.explore.anomaly`.
    """
    from molvae.cli.inputs import read
    from molvae.cli.row_commands import at_once
    from molvae.explore import anomaly_detection as anomalies

    if save_reference is not None and reference is None:
        raise InputError("--save-reference keeps what --reference FILE gives: name both")
    if save_reference is not None and save_reference.suffix.lower() != ".json":
        raise InputError(f"--save-reference is a .json, got {save_reference}")
    inputs = [*molecules, reference or ""]
    with delivery(output, picture, anomalies.draw_anomalies, GRID, inputs, save_reference) as deliver:
        generator = load(model, device)
        usual = None if reference is None else _calibration(generator, reference, column)
        if usual is not None and save_reference is not None:
            usual.save(save_reference)
        rows = list(read(molecules, column, standardized=standardize))
        method = partial(anomalies.anomaly, generator, reference=usual)
        frame = at_once(rows, method, named=any(row.name for row in rows))
        deliver(frame)
    if len(frame) and frame["error"].all():
        raise typer.Exit(1)


def _calibration(generator: Generator, reference: str, column: str | None) -> LikelihoodReference:
    from molvae.cli.inputs import read
    from molvae.nn.likelihood_reference import LikelihoodReference

    if reference.lower().endswith(".json"):
        return LikelihoodReference.load(reference)
    return generator.likelihood_reference(smiles_of(read([reference], column)))
