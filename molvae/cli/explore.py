"""Commands that explore a latent space; each writes a table and can draw an image (`molvae.explore`)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import tee
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from molvae.cli import checks, options
from molvae.cli.loading import load_model
from molvae.cli.outputs import GRID_FORMATS, PLOT_FORMATS, check_image, check_outputs, single_table
from molvae.cli.usage import one_of
from molvae.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

    from molvae.cli.inputs import Row
    from molvae.generator import Generator
    from molvae.nn.likelihood_reference import LikelihoodReference

Reference = Annotated[
    str | None,
    typer.Option(show_default=False, help="File of reference molecules. Default: a reference stored with the model."),
]


def _check_paths(
    output: Path | None,
    image: Path | None,
    formats: Sequence[str],
    inputs: Sequence[str] = (),
    other: Path | None = None,
) -> None:
    """Check the paths of a command before it imports what it needs for its work."""
    check_image(image, formats)
    check_outputs(output, image, other, inputs=inputs)


def interpolate(
    start: options.Molecule,
    end: options.Molecule,
    steps: Annotated[
        int, typer.Option(min=2, max=10_000, help="Number of latents on the path, including both ends.")
    ] = 20,
    path: Annotated[
        str, typer.Option(callback=one_of("spherical", "linear"), help="spherical or linear.")
    ] = "spherical",
    samples_per_latent: Annotated[
        int,
        typer.Option(min=0, help="Samples decoded from each latent; the one closest to the path is kept."),
    ] = 16,
    random_seed: options.RandomSeed = 0,
    standardize: options.Standardize = False,
    keep_salts: options.KeepSalts = False,
    model: options.Model = "druglike",
    device: options.Device = "auto",
    output: options.Output = None,
    image: options.Image = None,
) -> None:
    """Interpolate between two molecules in latent space.

    Columns: position, n_merged, smiles, similarity_start, similarity_end, log_likelihood. In Python:
    `molvae.explore.interpolate`.
    """
    _check_paths(output, image, GRID_FORMATS)
    checks.check_smiles(start=start, end=end)
    from molvae.cli.inputs import report_notes, standardized_smiles
    from molvae.explore import draw_path
    from molvae.explore import interpolate as interpolate_molecules

    with single_table(output, image, draw_path, GRID_FORMATS) as finish:
        generator = load_model(model, device)
        if standardize:
            start, end = standardized_smiles(start, keep_salts), standardized_smiles(end, keep_salts)
        frame = interpolate_molecules(
            generator, start, end, steps=steps, path=path, samples_per_latent=samples_per_latent,
            random_state=random_seed, keep_salts=keep_salts,
        )  # fmt: skip
        report_notes(frame.attrs["notes"])
        finish(frame)


def traverse(
    seed: options.Molecule,
    axes: Annotated[str, typer.Option(help="Two latent dimensions or principal components, from 0.")] = "0,1",
    directions: Annotated[
        str, typer.Option(help="latent, principal, or one or two properties such as qed or logp,tpsa.")
    ] = "latent",
    reference: Reference = None,
    steps: Annotated[int, typer.Option(min=1, max=100, help="Rows and columns of the grid.")] = 7,
    span: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            show_default=False,
            help="Extent to either side, in standard deviations. Default: 5; 15 along single dimensions.",
        ),
    ] = None,
    standardize: options.Standardize = False,
    keep_salts: options.KeepSalts = False,
    column: options.Column = None,
    model: options.Model = "druglike",
    device: options.Device = "auto",
    output: options.Output = None,
    image: options.Image = None,
) -> None:
    """Decode a grid around a molecule along two directions of the latent space.

    Columns: x, y, smiles, similarity, log_likelihood, and the properties named. In Python: `molvae.explore.traverse`.
    """
    _check_paths(output, image, GRID_FORMATS, [reference or ""])
    pair = _pair(axes)
    checks.check_directions(directions)
    checks.check_smiles(seed=seed)
    checks.check_inputs([] if reference is None else [reference], column, option="--reference")
    from molvae.cli.inputs import read_rows, report_notes, standardized_smiles, valid_smiles
    from molvae.explore import draw_traversal
    from molvae.explore import traverse as traverse_latent_space

    with single_table(output, image, draw_traversal, GRID_FORMATS, [reference or ""]) as finish:
        molecules = None if reference is None else valid_smiles(read_rows([reference], column))
        center = standardized_smiles(seed, keep_salts) if standardize else seed
        frame = traverse_latent_space(
            load_model(model, device), center, axes=pair, directions=directions, reference=molecules,
            steps=steps, span=span, keep_salts=keep_salts,
        )  # fmt: skip
        report_notes(frame.attrs["notes"])
        finish(frame)


def _pair(text: str) -> tuple[int, int]:
    try:
        first, second = map(int, text.split(","))
    except ValueError:
        raise InputError(f"--axes takes two integers such as 0,1, got {text!r}") from None
    return first, second


def latent_map(
    molecules: options.Molecules,
    method: Annotated[str, typer.Option(callback=one_of("pca", "umap"), help="pca or umap.")] = "pca",
    color_by: Annotated[
        str | None, typer.Option(show_default=False, help="A property such as qed, or a column of the input.")
    ] = None,
    random_seed: options.RandomSeed = 0,
    standardize: options.Standardize = False,
    keep_salts: options.KeepSalts = False,
    column: options.Column = None,
    name_column: options.NameColumn = None,
    model: options.Model = "druglike",
    device: options.Device = "auto",
    output: options.Output = None,
    image: options.Plot = None,
) -> None:
    """Project the latents of molecules to two dimensions, one output row per input row.

    Columns: smiles, name (if the input has names), error, x, y, and the values of --color-by. In Python:
    `molvae.explore.latent_map`.
    """
    _check_paths(output, image, PLOT_FORMATS, molecules)
    checks.check_inputs(molecules, column, name_column)
    import pandas as pd

    from molvae.chem.properties import property_name
    from molvae.cli.row_commands import labelled_rows, table_of_rows
    from molvae.explore import draw_map
    from molvae.explore import latent_map as project

    with single_table(output, image, draw_map, PLOT_FORMATS, molecules) as finish:
        generator = load_model(model, device)
        label = None if property_name(color_by) is not None else color_by
        found = labelled_rows(
            molecules, column, name_column, label, "--color-by", standardized=standardize, keep_salts=keep_salts
        )
        colors: pd.Series[str] | str | None = color_by
        if found.labels is not None:
            colors = pd.Series(found.labels, name=color_by)
            if not colors.any():
                raise InputError(f"--color-by: {color_by!r} is neither a column with values nor a property such as qed")
        function = partial(
            project, generator, method=method, color_by=colors, random_state=random_seed, keep_salts=keep_salts
        )
        finish(table_of_rows(found.rows, function, named=found.named, columns=found.columns))


def cluster(
    molecules: options.Molecules,
    clusters: Annotated[str, typer.Option(help="Number of clusters, or auto.")] = "auto",
    method: Annotated[
        str,
        typer.Option(callback=one_of("kmeans", "agglomerative", "hdbscan"), help="kmeans, agglomerative or hdbscan."),
    ] = "kmeans",
    labels: Annotated[
        str | None,
        typer.Option(show_default=False, help="Column with known classes to compare with; for a .smi file, its names."),
    ] = None,
    random_seed: options.RandomSeed = 0,
    standardize: options.Standardize = False,
    keep_salts: options.KeepSalts = False,
    column: options.Column = None,
    name_column: options.NameColumn = None,
    model: options.Model = "druglike",
    device: options.Device = "auto",
    output: options.Output = None,
    image: options.Plot = None,
) -> None:
    """Cluster molecules by their latents, one output row per input row.

    Columns: smiles, name (if the input has names), error, cluster, is_representative, label, x, y. With --labels,
    stderr shows purity, adjusted Rand index and silhouettes. In Python: `molvae.explore.cluster`.
    """
    n_clusters = checks.number_of_clusters(clusters)
    _check_paths(output, image, PLOT_FORMATS, molecules)
    checks.check_inputs(molecules, column, name_column)
    from molvae.cli.row_commands import labelled_rows, table_of_rows
    from molvae.explore import cluster as cluster_latents
    from molvae.explore import draw_clusters

    with single_table(output, image, draw_clusters, PLOT_FORMATS, molecules) as finish:
        generator = load_model(model, device)
        found = labelled_rows(
            molecules, column, name_column, labels, "--labels", standardized=standardize, keep_salts=keep_salts
        )
        function = partial(
            cluster_latents,
            generator,
            n_clusters=n_clusters,
            method=method,
            labels=found.labels,
            random_state=random_seed,
            keep_salts=keep_salts,
        )
        finish(table_of_rows(found.rows, function, named=found.named, columns=found.columns))


def neighbors(
    library: options.Molecules,
    seeds: Annotated[
        list[str], typer.Option("--seeds", show_default=False, help="Query molecules: SMILES or files; repeatable.")
    ],
    n: Annotated[int, typer.Option("-n", "--count", min=1, help="Neighbors per seed.")] = 10,
    standardize: options.Standardize = False,
    keep_salts: options.KeepSalts = False,
    column: options.Column = None,
    name_column: options.NameColumn = None,
    model: options.Model = "druglike",
    device: options.Device = "auto",
    output: options.Output = None,
    image: options.Image = None,
) -> None:
    """Find the nearest neighbors of seeds in latent space among the molecules of a file.

    Columns: seed, smiles, name (if the file has names), distance, similarity. In Python: `molvae.explore.neighbors`.
    """
    _check_paths(output, image, GRID_FORMATS, [*library, *seeds])
    checks.check_inputs(seeds, column, option="--seeds")
    checks.check_inputs(library, column, name_column)
    from molvae.cli.inputs import read_rows, report_errors, report_notes, valid_rows
    from molvae.explore import draw_neighbors
    from molvae.explore import neighbors as nearest_neighbors
    from molvae.explore.nearest_neighbors import add_rejected

    with single_table(output, image, draw_neighbors, GRID_FORMATS, [*library, *seeds]) as finish:
        generator = load_model(model, device)
        invalid: list[Row] = []
        queries = [
            row.smiles
            for row in valid_rows(read_rows(seeds, column, standardized=standardize, keep_salts=keep_salts), invalid)
        ]
        records, records_again = tee(
            valid_rows(
                read_rows(library, column, name_column, standardized=standardize, keep_salts=keep_salts), invalid
            )
        )
        frame = nearest_neighbors(
            generator,
            (row.smiles for row in records),
            queries,
            n=n,
            names=(row.name for row in records_again),
            keep_salts=keep_salts,
        )
        report_errors(frame.attrs["errors"])
        report_notes(frame.attrs["notes"])
        finish(add_rejected(frame, len(invalid)))
    if frame.empty:
        raise typer.Exit(1)


def anomaly(
    molecules: options.Molecules,
    reference: Reference = None,
    save_reference: Annotated[
        Path | None,
        typer.Option(show_default=False, help="Store the statistics of --reference in this .json for later runs."),
    ] = None,
    standardize: options.Standardize = False,
    keep_salts: options.KeepSalts = False,
    column: options.Column = None,
    name_column: options.NameColumn = None,
    model: options.Model = "druglike",
    device: options.Device = "auto",
    output: options.Output = None,
    image: options.Image = None,
) -> None:
    """Rank molecules by the likelihood of their reconstruction, one output row per input row.

    Columns: smiles, error, log_likelihood, log_likelihood_per_token (nats), percentile: the percentage of reference
    molecules with a lower likelihood; values below 1 mark outliers. In Python: `molvae.explore.anomaly`.
    """
    if save_reference is not None and reference is None:
        raise InputError("--save-reference stores the statistics of --reference FILE: give both")
    if save_reference is not None and save_reference.suffix.lower() != ".json":
        raise InputError(f"--save-reference writes a .json file, got {save_reference}")
    _check_paths(output, image, GRID_FORMATS, [*molecules, reference or ""], save_reference)
    checks.check_inputs(molecules, column, name_column)
    checks.check_inputs(checks.molecule_files(reference), column, option="--reference")
    from molvae.cli.inputs import InputRows
    from molvae.cli.row_commands import table_of_rows
    from molvae.explore import anomaly as score_anomaly
    from molvae.explore import draw_anomalies

    inputs = [*molecules, reference or ""]
    with single_table(output, image, draw_anomalies, GRID_FORMATS, inputs, save_reference) as finish:
        generator = load_model(model, device)
        likelihoods = None if reference is None else _likelihood_reference(generator, reference, column)
        if likelihoods is not None and save_reference is not None:
            likelihoods.save(save_reference)
        found = InputRows(molecules, column, name_column, standardized=standardize, keep_salts=keep_salts)
        rows = list(found)
        function = partial(score_anomaly, generator, reference=likelihoods, keep_salts=keep_salts)
        frame = table_of_rows(rows, function, named=any(row.name for row in rows), columns=found.columns)
        finish(frame)
    if len(frame) and frame["error"].all():
        raise typer.Exit(1)


def _likelihood_reference(generator: Generator, reference: str, column: str | None) -> LikelihoodReference:
    from molvae.cli.inputs import read_rows, valid_smiles
    from molvae.nn.likelihood_reference import LikelihoodReference

    if reference.lower().endswith(".json"):
        return LikelihoodReference.load(reference)
    return generator.likelihood_reference(valid_smiles(read_rows([reference], column)))
