"""`molvae optimize`: search for molecules with a better score near each seed (`molvae.explore.optimize`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from molvae.cli import checks, options
from molvae.cli.loading import load_model, load_scores
from molvae.cli.outputs import GRID_FORMATS, check_image, check_outputs, single_table
from molvae.viz.progress import progress_bar

if TYPE_CHECKING:
    import pandas as pd

    from molvae.data.rows import Record


def optimize(
    seeds: options.Molecules,
    objective: Annotated[
        str,
        typer.Option(
            help="Maximize this: a property, a weighted sum such as 'qed - 0.1*sa' (also of the names given by "
            "--score), FILE.py:FUNCTION of an RDKit Mol, or a folder written by `molvae fit`."
        ),
    ] = "qed",
    filters: options.Filters = [],  # noqa: B006 - typer copies it
    scores: options.Scores = [],  # noqa: B006
    allow_unprecedented: options.AllowUnprecedented = False,
    precedence: options.Precedence = None,
    target: Annotated[
        float | None, typer.Option(show_default=False, help="Stop at the first molecule with this score.")
    ] = None,
    max_samples: Annotated[
        int, typer.Option(min=1, rich_help_panel=options.SAMPLING, help="Maximum number of samples per seed.")
    ] = 5000,
    population: Annotated[
        int, typer.Option(min=4, rich_help_panel=options.SAMPLING, help="Number of latents per generation.")
    ] = 64,
    generations: Annotated[
        int,
        typer.Option(
            min=1,
            rich_help_panel=options.SAMPLING,
            help="Number of CMA-ES generations before a restart at the best molecule.",
        ),
    ] = 1,
    noise_level: Annotated[
        float,
        typer.Option(
            min=0.0, max=1.0, rich_help_panel=options.SAMPLING, help="Initial noise level of the latents of a run."
        ),
    ] = 0.5,
    random_seed: options.RandomSeed = 0,
    standardize: options.Standardize = False,
    keep_salts: options.KeepSalts = False,
    column: options.Column = None,
    name_column: options.NameColumn = None,
    model: options.Model = "druglike",
    device: options.Device = "auto",
    output: options.Output = None,
    image: options.Image = None,
) -> None:
    """Search for molecules with a higher score near each seed, within filters such as similarity>=0.4.

    With the default of one generation this is a local search: every generation is drawn around the best molecule so
    far, and half of its samples branch off the SMILES of this molecule. --generations 10 lets CMA-ES adapt its
    covariance before each restart. Only plausible molecules are returned. Ctrl+C ends the search and
    returns the molecules found so far.

    Columns: seed, name (of the seed, if it has one), id (of the molecule), smiles, score, similarity, the properties
    used, n_evaluations, n_samples, and further columns of the seeds' files. In Python: `molvae.explore.optimize`.
    """
    from molvae.cli.inputs import InputRows, report_errors, report_notes, valid_rows

    check_image(image)
    check_outputs(output, image, inputs=seeds)
    checks.check_precedence(precedence)
    checks.check_objective(objective, filters, checks.score_names(scores))
    checks.check_inputs(seeds, column, name_column)
    from molvae.data.carried_columns import add_columns
    from molvae.explore import OptimizationInterrupted, draw_best
    from molvae.explore import optimize as optimize_molecules
    from molvae.explore.latent_search import SearchStrategy

    strategy = SearchStrategy(population_size=population, n_generations=generations, noise_level=noise_level)
    with single_table(output, image, draw_best, GRID_FORMATS, seeds) as finish:
        generator = load_model(model, device)
        rows = InputRows(seeds, column, name_column, standardized=standardize, keep_salts=keep_salts)
        records = list(valid_rows(rows))
        starts = [record.smiles for record in records]
        interrupted = None
        try:
            with progress_bar(max_samples * len(starts), "samples") as advance:
                frame = optimize_molecules(
                    generator, starts, objective, filters=filters, scores=load_scores(scores, device),
                    allow_unprecedented=allow_unprecedented, precedence=precedence, target=target,
                    max_samples=max_samples, strategy=strategy, random_state=random_seed, keep_salts=keep_salts,
                    progress=advance,
                )  # fmt: skip
        except OptimizationInterrupted as error:
            if error.frame.empty:
                raise
            interrupted, frame = error, error.frame
        report_errors(frame.attrs["errors"])
        report_notes(frame.attrs["notes"])
        frame.insert(1, "id", _ids(frame, records))
        by_seed = {record.smiles: record for record in reversed(records)}
        found = [by_seed[seed] for seed in frame["seed"]]
        if any(record.name for record in records):
            frame.insert(1, "name", [record.name for record in found])
        frame = add_columns(frame, found, rows.columns)
        finish(frame)
    if interrupted:
        raise interrupted
    if frame.empty:
        raise typer.Exit(1)


def _ids(frame: pd.DataFrame, records: Sequence[Record]) -> list[str]:
    """IDs of the molecules of each seed, which begin with its name, as those of `molvae analogs`."""
    from molvae.cli.seed_stream import seed_label
    from molvae.generation.options import analog_ids

    labels, used = dict[str, str](), set[str]()
    for position, record in enumerate(records, start=1):
        labels.setdefault(record.smiles, seed_label(record.name, position, used))
    n_found = frame.groupby("seed", sort=False).size()
    return [name for seed, count in n_found.items() for name in analog_ids(labels.get(str(seed), str(seed)), count)]
