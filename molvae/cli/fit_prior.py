"""`molvae fit-prior`: fit a learned prior to a model's latents (`molvae.training.fit_prior`)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from molvae.cli import checks, options
from molvae.cli.usage import one_of


def fit_prior(
    model: Annotated[
        str,
        typer.Argument(
            callback=checks.model_name, show_default=False, help="Name of a shipped model, or a model directory."
        ),
    ],
    data: Annotated[
        list[str],
        typer.Argument(
            show_default=False, help="The model's training molecules: files, or datasets as NAME or NAME:SPLIT."
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", show_default=False, help="Model directory to write; it may be MODEL.")
    ],
    kind: Annotated[
        str,
        typer.Option(callback=one_of("mixture", "flow"), help="mixture (Gaussian mixture) or flow (flow matching)."),
    ] = "mixture",
    noise_level: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            show_default=False,
            help="Level of noise added to each latent drawn from the prior; the decoder is conditioned on it.",
        ),
    ] = None,
    molecules: Annotated[int, typer.Option(min=1, help="Number of randomly chosen rows to encode.")] = 60_000,
    random_seed: options.RandomSeed = 0,
    column: options.Column = None,
    workers: options.Workers = None,
    device: options.Device = "auto",
) -> None:
    """Fit a density to the latents of a model's training molecules and store it with the model.

    `molvae sample` then draws from it instead of the standard Gaussian. In Python:
    `molvae.training.fit_prior.fit_prior`.
    """
    from molvae.data.files import check_output_folder
    from molvae.model_folders import CONFIG_FILE

    check_output_folder(output, CONFIG_FILE)
    checks.check_datasets(data, column)
    from molvae.training.fit_prior import fit_prior as fit

    folder = fit(
        model, data, output, kind=kind, noise_level=noise_level, max_molecules=molecules, column=column,
        random_state=random_seed, device=device, workers=workers, log=lambda text: typer.echo(text, err=True),
    )  # fmt: skip
    typer.echo(folder)
