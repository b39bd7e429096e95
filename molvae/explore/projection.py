"""A map of molecules: their latents in two dimensions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from molvae.chem.properties import compute, lookup
from molvae.chem.smiles import parse
from molvae.data.rows import indexed
from molvae.errors import InputError, import_extra
from molvae.explore.latent_points import Points
from molvae.generator import Generator
from molvae.viz.scatter import save_scatter

METHODS = ("pca", "umap")
LEAST = 3


def latent_map(
    generator: Generator,
    smiles: Iterable[str],
    *,
    method: str = "pca",
    color: str | Sequence[Any] | pd.Series[Any] | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """Two coordinates for each molecule, one row out per row in (a pandas column's under its own index).

    `method`: "pca", the two directions in which the latents are spread most, or "umap" (McInnes et al. 2018), which
    keeps neighbors together and bends the rest. `color` is the name of a property, or a value for each row: numbers
    or classes.

    Columns: smiles, error, x, y (NaN where there is an error), and the color under its name ("label" for a list).
    `attrs`: color (the name of its column or None), summary. Raises `InputError` for fewer than 3 molecules that can
    be encoded, or a number of colors that is not that of the rows; `MissingExtraError` without umap-learn.
    """
    if method not in METHODS:
        raise InputError(f"a map is made by {' or '.join(METHODS)}, got {method!r}")
    points = Points.of(generator, smiles, least=LEAST)
    xy, told = _pca(points) if method == "pca" else _umap(points, seed)
    frame, name = _colored(points, points.with_columns(x=xy[:, 0], y=xy[:, 1]), color)
    frame.attrs = {"color": name, "summary": [f"{len(xy):,} of {len(frame):,} molecules on the map, {told}"]}
    return indexed(frame, smiles)


def draw_map(frame: pd.DataFrame, picture: str | Path) -> Path:
    """The map as .png or .svg, or as .html that shows a molecule under the pointer and needs nothing else."""
    return save_scatter(frame[frame["error"] == ""], picture, frame.attrs.get("color"))


def _pca(points: Points) -> tuple[Any, str]:
    pca = import_extra("sklearn.decomposition").PCA(2, svd_solver="full").fit(points.z)
    shares = " and ".join(f"{share:.1%}" for share in pca.explained_variance_ratio_)
    return pca.transform(points.z), f"principal components with {shares} of the variance"


def _umap(points: Points, seed: int) -> tuple[Any, str]:
    neighbors = min(15, len(points.z) - 1)
    start = "spectral" if len(points.z) > neighbors + 2 else "random"  # the spectrum of very few has no solver
    umap = import_extra("umap", "umap").UMAP(n_neighbors=neighbors, random_state=seed, n_jobs=1, init=start)
    return umap.fit_transform(points.z), f"UMAP of {neighbors} neighbors"


def _colored(points: Points, frame: pd.DataFrame, color: Any) -> tuple[pd.DataFrame, str | None]:
    """The table with a column to color by, and that column's name."""
    if color is None:
        return frame, None
    if isinstance(color, str):
        name = lookup(color).name
        values = compute([parse(smiles) for smiles in points.smiles], [name])[name]
        return frame.join(points.with_columns(**{name: values})[name]), name
    if len(color) != len(frame):
        raise InputError(f"a color for each row is needed: {len(frame)} rows, {len(color)} colors")
    name = str(getattr(color, "name", None) or "label")
    name = "label" if name in frame.columns else name
    return frame.assign(**{name: as_values(color)}), name


def as_values(texts: Sequence[Any] | pd.Series[Any]) -> list[Any]:
    """Numbers where all are numbers (a file has them as text), else as they are; what is missing is NaN, or ""."""
    given = pd.Series([not is_missing(text) for text in texts], dtype=bool)
    values = pd.Series(list(texts), dtype=object)
    numbers = pd.to_numeric(values.where(given, None), errors="coerce")
    if given.any() and numbers[given].notna().all():
        return [float(number) for number in numbers]
    return list(values.where(given, ""))


def is_missing(value: Any) -> bool:
    """Whether a value of a table says that there is none: empty, None, NaN, or text that spells it."""
    return value is None or value is pd.NA or value != value or str(value).strip().lower() in ("", "nan", "<na>")
