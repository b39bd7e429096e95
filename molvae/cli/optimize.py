"""`molvae optimize`: `molvae.explore.optimize`."""

from __future__ import annotations

from typing import Annotated

import typer

from molvae.cli import options
from molvae.cli.exploration import GRID, Grid, delivery, molecules, reported
from molvae.cli.loading import load, scores_of
from molvae.cli.progress import progress


def optimize(
    seeds: options.Inputs,
    maximize: Annotated[
        str,
        typer.Option(
            help="A property, a sum such as 'qed - 0.1*sa', FILE.py:FUNCTION (of an RDKit Mol), or a folder that "
            "`molvae fit` wrote. What --score names can be part of a sum, and of --keep: -hERG + qed."
        ),
    ] = "qed",
    keep: options.Keep = [],  # noqa: B006 - typer copies it
    score: options.Scores = [],  # noqa: B006
    target: Annotated[
        float | None, typer.Option(show_default=False, help="Stop at the first molecule that scores this much.")
    ] = None,
    max_samples: Annotated[int, typer.Option(min=1, help="Strings to decode for each seed.")] = 5000,
    population: Annotated[int, typer.Option(min=4, help="Latents of a generation.")] = 64,
    generations: Annotated[
        int,
        typer.Option(min=1, help="Generations that CMA-ES learns from before it begins anew at the best molecule."),
    ] = 1,
    noise_level: Annotated[float, typer.Option(min=0.0, max=1.0, help="How far out a generation is spread.")] = 0.5,
    seed: options.Seed = 0,
    standardize: options.Standardize = False,
    model: options.Model = "druglike",
    device: options.Device = "auto",
    column: options.Column = None,
    output: options.Output = None,
    picture: Grid = None,
) -> None:
    """Better molecules near each seed, within windows such as similarity>=0.4 or mw<500: CMA-ES in latent space.

    By default each generation is drawn around the best molecule so far, half of it as small changes of that, and CMA-ES
    learns nothing from it: that finds more than longer runs do (benchmarks/optimize.md). --generations 10 lets it
    learn. Ctrl+C ends the search; what it has found by then is delivered.

    Columns: seed, smiles, score, similarity, the other figures asked for, n_evaluations, n_samples. In Python:
    `molvae.explore.optimize`.
    """
    from molvae.cli.inputs import read
    from molvae.explore import optimization
    from molvae.explore.latent_search import SearchStrategy

    strategy = SearchStrategy(population_size=population, n_generations=generations, noise_level=noise_level)
    with delivery(output, picture, optimization.draw_best, GRID, seeds) as deliver:
        generator = load(model, device)
        starts = list(molecules(read(seeds, column, standardized=standardize)))
        interrupted = None
        try:
            with progress("strings", max_samples * len(starts)) as advance:
                frame = optimization.optimize(
                    generator, starts, maximize, filters=keep, scores=scores_of(score, device), target=target,
                    max_samples=max_samples, strategy=strategy, random_state=seed, progress=advance,
                )  # fmt: skip
        except optimization.OptimizationInterrupted as stop:
            if stop.frame.empty:
                raise
            interrupted, frame = stop, stop.frame
        deliver(reported(frame))
    if interrupted:
        raise interrupted
    if frame.empty:
        raise typer.Exit(1)
