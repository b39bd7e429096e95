"""`molvae fit-prior`: `learnedprior.learn_prior`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from molvae.cli import options


def fit_prior(
    model: Annotated[str, typer.Argument(show_default=False, help="A shipped model's name, or a model directory.")],
    data: Annotated[
        list[str],
        typer.Argument(show_default=False, help="Molecules it was trained on: files, or datasets NAME or NAME:SPLIT."),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", show_default=False, help="The model directory to write; may be MODEL.")
    ],
    kind: Annotated[str, typer.Option(help="mixture (of Gaussians) or flow (matching).")] = "mixture",
    noise_level: Annotated[
        float | None,
        typer.Option(min=0, max=1, show_default=False, help="Noise added to its draws, as the decoder is told."),
    ] = None,
    molecules: Annotated[int, typer.Option(min=1, help="Rows that are drawn at random and encoded.")] = 60_000,
    column: options.Column = None,
    seed: options.Seed = 0,
    device: options.Device = "auto",
    workers: Annotated[
        int | None, typer.Option(help="Processes that read molecules. Default: one per core.", show_default=False)
    ] = None,
) -> None:
    """Fit a density to a model's encoded training molecules, and save it with the model.

    `molvae sample` then draws from it instead of the unit Gaussian. In Python: `learnedprior.learn_prior`.
    """
    from molvae.training.fit_prior import learn_prior

    folder = learn_prior(
        model, data, output, kind=kind, noise_level=noise_level, molecules=molecules, column=column, seed=seed, device=device,
        workers=workers, tell=lambda text: typer.echo(text, err=True),
    )  # fmt: skip
    typer.echo(folder)
