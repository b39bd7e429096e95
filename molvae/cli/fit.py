"""`molvae fit`: `molvae.fit_property_model`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from molvae.cli import options


def fit(
    data: Annotated[
        Path, typer.Argument(show_default=False, help="Molecules with a measured value: .csv .tsv .sdf .parquet.")
    ],
    target: Annotated[str, typer.Option(help="The column of the value, such as pIC50.", show_default=False)],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The folder to write, NAME.molvae-property.", show_default=False)
    ],
    task: Annotated[
        str, typer.Option(help="regression, classification, or auto: 0 and 1, no and yes are classes.")
    ] = "auto",
    split: Annotated[
        str, typer.Option(help="How molecules are held out: scaffold (new chemotypes) or random.")
    ] = "scaffold",
    folds: Annotated[int, typer.Option(min=2, help="Parts, each held out once.")] = 5,
    seed: options.Seed = 0,
    model: options.Model = "druglike",
    device: options.Device = "auto",
    column: options.Column = None,
) -> None:
    """Fit models of a measured property to latents and to fingerprints, and keep what predicts held-out molecules best.

    Stdout carries the card: what every candidate scored. In Python: `molvae.fit_property_model`.
    """
    from molvae.checkpoint import card_text
    from molvae.data.files import check_output_folder
    from molvae.qsar.fitted_model import SETTINGS
    from molvae.qsar.property_model import fit_property_model

    check_output_folder(output, SETTINGS)
    fitted = fit_property_model(
        data, target, column=column, task=task, split=split, folds=folds, random_state=seed, model=model, device=device,
        progress=lambda line: typer.echo(line, err=True),
    )  # fmt: skip
    fitted.save(output)
    typer.echo(card_text(f"{target}, a {fitted.fitted_model.task}", fitted.card))
