"""`molvae cluster`: `molvae.explore.cluster`."""

from __future__ import annotations

from typing import Annotated

import typer

from molvae.cli import options
from molvae.cli.exploring import DOTS, Dots, delivery
from molvae.cli.loading import load


def cluster(
    molecules: options.Inputs,
    clusters: Annotated[str, typer.Option(help="How many, or auto.")] = "auto",
    method: Annotated[str, typer.Option(help="kmeans, agglomerative or hdbscan.")] = "kmeans",
    labels: Annotated[
        str | None,
        typer.Option(show_default=False, help="A column with known classes, to compare with; of a .smi the names."),
    ] = None,
    seed: options.Seed = 0,
    model: options.Model = "druglike",
    device: options.Device = "auto",
    column: options.Column = None,
    output: options.Output = None,
    picture: Dots = None,
) -> None:
    """Groups of molecules that lie together in latent space, one row out per row in.

    Columns: smiles, error, cluster, typical, label, x, y. With labels stderr tells purity, adjusted Rand index and
    silhouettes. In Python: `molvae.explore.cluster`.
    """
    from molvae.cli.inputs import read
    from molvae.cli.rowwise import at_once, names
    from molvae.explore import clusters as tool

    count = int(clusters) if clusters.isdecimal() else clusters
    with delivery(output, picture, tool.draw_clusters, DOTS, molecules) as deliver:
        generator = load(model, device)
        rows = list(read(molecules, column, labels))
        known = None if labels is None else names(rows, labels)
        deliver(
            at_once(rows, lambda s: tool.cluster(generator, s, clusters=count, method=method, labels=known, seed=seed))
        )
