"""`molvae analogs`: analogs of each seed molecule (`Generator.iter_analogs`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from molvae.cli import checks, options
from molvae.cli.loading import load_model, load_scores, split_names, temperature_option
from molvae.cli.outputs import GRID_FORMATS, check_image, check_outputs, image_output, table_output
from molvae.cli.partial_runs import content_id, resumable_run
from molvae.cli.seed_stream import SeedStream, count_rows

if TYPE_CHECKING:
    from molvae.generator import Generator


def analogs(
    seeds: options.Molecules,
    n: options.Count = 100,
    preset: Annotated[
        str | None,
        typer.Option(
            show_default=False,
            help="Options for a purpose, unless they are given: close (similarity 0.65 or more), explore (0.35 to "
            "0.65) or scaffold-hop (another scaffold), all without new alerts.",
        ),
    ] = None,
    pool_size: Annotated[
        int,
        typer.Option(
            min=0,
            rich_help_panel=options.RANKING,
            help="Molecules to find before the best -n of them are returned. 0: 100, or what 1,000 samples give; none "
            "with --noise-level alone. A pool of at most -n returns the first molecules found.",
        ),
    ] = 0,
    similarity: Annotated[
        str | None,
        typer.Option(
            show_default=False,
            help="Tanimoto similarity to the seed, from 0 to 1: 0.6 sets the median, 0.5:0.7 a range. "
            "Default: 0.4 or more, then the most similar of the others if there are too few.",
        ),
    ] = None,
    noise_level: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            max=1.0,
            show_default=False,
            rich_help_panel=options.SAMPLING,
            help="Fixed latent noise instead of a similarity target: 0 is the seed's posterior, 1 the prior.",
        ),
    ] = None,
    samples_per_latent: Annotated[
        int, typer.Option(min=1, rich_help_panel=options.SAMPLING, help="Samples decoded from each latent.")
    ] = 1,
    temperature: options.Temperature = None,
    top_k: options.TopK = 0,
    top_p: options.TopP = 1.0,
    grammar: options.Grammar = False,
    greedy: options.Greedy = False,
    max_samples: options.MaxSamples = 0,
    optimize_latents: Annotated[
        bool,
        typer.Option(
            "--optimize-latents/--no-optimize-latents",
            rich_help_panel=options.SAMPLING,
            help="Optimize the seed's latent until the decoder reconstructs the seed.",
        ),
    ] = True,
    random_seed: options.RandomSeed = 0,
    filters: options.Filters = [],  # noqa: B006 - typer copies it
    include_smarts: options.IncludeSmarts = [],  # noqa: B006
    exclude_smarts: options.ExcludeSmarts = [],  # noqa: B006
    core: options.Core = None,
    keep_scaffold: Annotated[
        bool,
        typer.Option(
            "--keep-scaffold", rich_help_panel=options.CONSTRAINTS, help="Keep the seed's Bemis-Murcko scaffold."
        ),
    ] = False,
    change_scaffold: Annotated[
        bool,
        typer.Option(
            "--change-scaffold", rich_help_panel=options.CONSTRAINTS, help="Only molecules with another scaffold."
        ),
    ] = False,
    allow_unprecedented: options.AllowUnprecedented = False,
    precedence: options.Precedence = None,
    allow_isomers: Annotated[
        bool,
        typer.Option(
            "--allow-isomers",
            rich_help_panel=options.CONSTRAINTS,
            help="Also isomers (stereoisomers, tautomers, protonation states) of the seed and of each other.",
        ),
    ] = False,
    any_stereo: Annotated[
        bool,
        typer.Option(
            "--any-stereo",
            rich_help_panel=options.CONSTRAINTS,
            help="Leave stereocenters as sampled; by default those that the seed has too are set to its configuration.",
        ),
    ] = False,
    alerts: Annotated[
        str,
        typer.Option(
            rich_help_panel=options.CONSTRAINTS,
            show_default=False,
            help="Drop molecules with structural alerts that the seed does not have: pains, brenk, nih, unstable, bms, "
            "dundee, glaxo, inpharmatica, lint, mlsmr, surechembl, separated by commas.",
        ),
    ] = "",
    exclude_training_set: Annotated[
        bool,
        typer.Option(
            "--exclude-training-set",
            rich_help_panel=options.CONSTRAINTS,
            help="Drop molecules of the model's training set.",
        ),
    ] = False,
    makeable: options.Makeable = False,
    project: Annotated[
        bool,
        typer.Option(
            "--project",
            rich_help_panel=options.SYNTHESIS,
            help="With --makeable: replace a molecule without a route by the most similar one with a route.",
        ),
    ] = False,
    by_synthesis: Annotated[
        bool,
        typer.Option(
            "--by-synthesis",
            rich_help_panel=options.SYNTHESIS,
            help="Exchange the building blocks of the seed's routes for similar ones of the stock, instead of sampling "
            "the decoder.",
        ),
    ] = False,
    stock: options.StockFile = None,
    max_steps: options.MaxSteps = 4,
    rank_by: Annotated[
        str | None,
        typer.Option(
            rich_help_panel=options.RANKING,
            show_default=False,
            help="Sort by a property, a score or a weighted sum, best first: qed, -sa, 'similarity - 0.2*sa'. "
            "Default: similarity.",
        ),
    ] = None,
    scores: options.Scores = [],  # noqa: B006
    n_diverse: Annotated[
        int,
        typer.Option(
            min=0, rich_help_panel=options.RANKING, help="Return this many diverse molecules among the best; 0: all."
        ),
    ] = 0,
    standardize: options.Standardize = False,
    keep_salts: options.KeepSalts = False,
    column: options.Column = None,
    name_column: options.NameColumn = None,
    model: options.Model = "druglike",
    device: options.Device = "auto",
    output: options.Output = None,
    image: options.Image = None,
) -> None:
    """Generate distinct valid analogs of each seed molecule, most similar first.

    Columns: seed, name (for seeds from files), id (of the analog), smiles, similarity (Tanimoto, Morgan radius 2, 2048
    bits), log_likelihood, qed, sa, logp, mw, open_stereocenters, not_in_training, and further columns of the seeds'
    files; with --makeable, --by-synthesis or --stock also n_steps, building_blocks and route. In Python:
    `molvae.analogs`.
    """
    from molvae.cli.inputs import InputRows
    from molvae.data.readers import looks_like_file

    check_image(image)
    check_outputs(output, image, inputs=seeds)
    checks.check_analogs(similarity, noise_level, alerts, n, n_diverse, preset)
    checks.check_precedence(precedence)
    checks.check_structures(include_smarts, exclude_smarts, core)
    known = ("similarity", "log_likelihood", *checks.score_names(scores))
    checks.check_expressions(filters, rank_by, (*known, "n_steps") if makeable or by_synthesis or stock else known)
    checks.check_stock(stock)
    checks.check_inputs(seeds, column, name_column)
    analog_options: dict[str, Any] = {
        "preset": preset, "pool_size": pool_size, "similarity": similarity, "noise_level": noise_level,
        "samples_per_latent": samples_per_latent,
        "temperature": temperature_option(temperature, greedy), "top_k": top_k, "top_p": top_p, "grammar": grammar,
        "max_samples": max_samples, "filters": filters, "include_smarts": include_smarts,
        "exclude_smarts": exclude_smarts, "core": core, "keep_scaffold": keep_scaffold,
        "change_scaffold": change_scaffold, "allow_unprecedented": allow_unprecedented, "precedence": precedence,
        "allow_isomers": allow_isomers, "any_stereo": any_stereo, "alerts": split_names(alerts),
        "exclude_training_set": exclude_training_set, "makeable": makeable, "project": project,
        "by_synthesis": by_synthesis, "stock": stock, "max_steps": max_steps, "rank_by": rank_by,
        "scores": load_scores(scores, device),
        "n_diverse": n_diverse, "optimize_latents": optimize_latents, "standardize": standardize,
        "keep_salts": keep_salts, "random_state": random_seed,
    }  # fmt: skip
    generator = load_model(model, device)
    settings = {**_settings(generator, model, n, analog_options, scores), "column": column, "name_column": name_column}
    with resumable_run(output, seeds, settings) as parts:
        named = any(text == "-" or looks_like_file(text) for text in seeds)
        rows = InputRows(seeds, column, name_column)
        run = SeedStream(rows, parts.counts if parts else {}, named=named)
        # an output file contains whole seeds only; without one, an interrupted command prints what was found
        tables = run.tables(generator, n, analog_options, count_rows(seeds, column), keep_partial=output is None)
        if parts:
            tables = parts.extend(tables)
        with image_output(image) as draw:
            with table_output(output) as write:
                for frame in tables:
                    draw(frame)
                    write(frame)
                if not (parts.n_tables if parts else run.n_tables):  # there were no seeds
                    write(run.seed_table(generator.analogs([], n, **analog_options)))
                if not run.counts["molecules"] and output is not None and output.suffix.lower() in GRID_FORMATS:
                    typer.echo(run.summary(), err=True)
                    raise typer.Exit(1)  # no image without molecules
            typer.echo(run.summary(), err=True)
            if not run.counts["molecules"]:  # the table has only its header, and there is no image
                raise typer.Exit(1)


def _settings(
    generator: Generator, model: str, n: int, analog_options: dict[str, Any], scores: list[str]
) -> dict[str, Any]:
    """All settings that determine the result, except the seeds; a resumed run must have the same."""
    from importlib.metadata import version

    from molvae.checkpoint import CONFIG_FILE, find_model

    return {
        "count": n,
        **{name: value for name, value in analog_options.items() if name not in ("scores", "precedence", "stock")},
        "stock": content_id(analog_options["stock"]) if analog_options["stock"] else None,
        "precedence": content_id(str(analog_options["precedence"])) if analog_options["precedence"] else None,
        **{f"score {position}": _score_id(text) for position, text in enumerate(scores, start=1)},
        # the configuration contains the digests of the other files of the model
        "model": content_id(str(find_model(model) / CONFIG_FILE)),
        "device": str(generator.device),
        **{name: version(name) for name in ("molvae", "rdkit", "torch")},
    }


def _score_id(text: str) -> str:
    """Name and digest of a property model folder or of FILE.py:FUNCTION."""
    file, function = text.rsplit(":", 1) if ".py:" in text else (text, "")
    return f"{content_id(file)} {function}".strip()
