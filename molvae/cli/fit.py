"""`molvae fit`: train a property model on measured molecules (`molvae.fit_property_model`)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from molvae.cli import checks, options
from molvae.cli.usage import one_of


def fit(
    data: Annotated[
        Path, typer.Argument(show_default=False, help="Molecules with measured values: .csv .tsv .sdf .parquet.")
    ],
    target: Annotated[str, typer.Option(show_default=False, help="Column with the measured values, such as pIC50.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", show_default=False, help="Folder to write, such as pIC50.molvae-property.")
    ],
    task: Annotated[
        str,
        typer.Option(
            callback=one_of("auto", "regression", "classification"),
            help="regression, classification, or auto: two values such as 0/1 or no/yes are classes.",
        ),
    ] = "auto",
    split: Annotated[
        str,
        typer.Option(
            callback=one_of("scaffold", "random"), help="Cross-validation split: scaffold (new chemotypes) or random."
        ),
    ] = "scaffold",
    folds: Annotated[int, typer.Option(min=2, help="Number of cross-validation folds.")] = 5,
    random_seed: options.RandomSeed = 0,
    standardize: options.Standardize = False,
    keep_salts: options.KeepSalts = False,
    column: options.Column = None,
    model: options.Model = "druglike",
    device: options.Device = "auto",
) -> None:
    """Cross-validate models of a measured property on latents and on fingerprints, and store the best one.

    Stdout shows the model card with the validation scores of every candidate. In Python: `molvae.fit_property_model`.
    """
    from molvae.data.files import check_output_folder

    check_output_folder(output, checks.PROPERTY_MODEL_FILE)
    checks.check_table(data, column, target)
    from molvae.checkpoint import card_text
    from molvae.qsar.property_model import fit_property_model

    property_model = fit_property_model(
        data, target, column=column, task=task, split=split, folds=folds, random_state=random_seed, model=model,
        device=device, standardize=standardize, keep_salts=keep_salts, progress=lambda line: typer.echo(line, err=True),
    )  # fmt: skip
    property_model.save(output)
    typer.echo(card_text(f"{target} ({property_model.fitted_model.task})", property_model.card))
