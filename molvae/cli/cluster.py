"""`molvae cluster`: `molvae.explore.cluster`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from molvae.cli import options
from molvae.cli.exploration import DOTS, Dots, delivery
from molvae.cli.loading import load

if TYPE_CHECKING:
    import pandas as pd


def cluster(
    molecules: options.Inputs,
    clusters: Annotated[str, typer.Option(help="How many, or auto.")] = "auto",
    method: Annotated[str, typer.Option(help="kmeans, agglomerative or hdbscan.")] = "kmeans",
    labels: Annotated[
        str | None,
        typer.Option(show_default=False, help="A column with known classes, to compare with; of a .smi the names."),
    ] = None,
    seed: options.Seed = 0,
    standardize: options.Standardize = False,
    model: options.Model = "druglike",
    device: options.Device = "auto",
    column: options.Column = None,
    output: options.Output = None,
    picture: Dots = None,
) -> None:
    """Groups of molecules that lie together in latent space, one row out per row in.

    Columns: smiles, name (where there are any), error, cluster, is_representative, label, x, y. With labels stderr
    tells purity, adjusted Rand index and silhouettes. In Python: `molvae.explore.cluster`.
    """
    from molvae.cli.inputs import read
    from molvae.cli.row_commands import at_once, names
    from molvae.explore import clustering as tool

    count = int(clusters) if clusters.isdecimal() else clusters
    with delivery(output, picture, tool.draw_clusters, DOTS, molecules) as deliver:
        generator = load(model, device)
        rows = list(read(molecules, column, labels, standardized=standardize))
        known = None if labels is None else names(rows, labels)
        named = labels is None and any(row.name for row in rows)

        def grouped(smiles: list[str]) -> pd.DataFrame:
            return tool.cluster(generator, smiles, n_clusters=count, method=method, labels=known, random_state=seed)

        deliver(at_once(rows, grouped, named=named))
