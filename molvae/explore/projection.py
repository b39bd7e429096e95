"""Maps of molecules: latents projected to two dimensions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from molvae.chem.properties import compute_properties, get_property
from molvae.chem.smiles import parse
from molvae.data.arguments import with_index_of
from molvae.data.checked_arguments import checked_arguments
from molvae.errors import InputError, import_extra
from molvae.explore.latent_points import Array, EncodedMolecules
from molvae.generator import Generator
from molvae.viz.scatter import save_scatter

METHODS = ("pca", "umap")
MIN_MOLECULES = 3


@checked_arguments
def latent_map(
    generator: Generator,
    smiles: Iterable[str],
    *,
    method: str = "pca",
    color_by: str | Sequence[Any] | pd.Series[Any] | None = None,
    random_state: int = 0,
    keep_salts: bool = False,
) -> pd.DataFrame:
    """Project molecules to two dimensions by their latents.

    Parameters
    ----------
    generator : Generator
        The model.
    smiles : iterable of str
        Molecules, at least 3 different ones. A pandas Series keeps its index in the result.
    method : {"pca", "umap"}
        "pca" takes the first two principal components. "umap" [1]_ preserves neighborhoods rather than distances.
    color_by : str or sequence, optional
        Name of a property such as "qed", or one value per row: numbers or classes.
    random_state : int
        Seed of UMAP.
    keep_salts : bool
        Keep salts and solvents, which few models can represent; otherwise the largest fragment is used.

    Returns
    -------
    DataFrame
        One row per input with the columns `smiles`, `error`, `note`, `x`, `y` (NaN for an error) and the color under
        its own name ("label" for a list). `attrs`: color_by (name of the color's column or None), statistics (read,
        mapped, and for PCA the explained_variance_ratio of both axes), summary.

    Raises
    ------
    InputError
        If fewer than 3 different molecules can be encoded, or the number of colors differs from that of the rows.
    MissingExtraError
        If scikit-learn (PCA) or umap-learn (UMAP) is not installed.

    References
    ----------
    .. [1] McInnes, Healy and Melville, "UMAP: Uniform manifold approximation and projection", 2018,
       https://arxiv.org/abs/1802.03426

    Examples
    --------
    >>> from molvae import explore, load
    >>> table = explore.latent_map(load(), ["CCO", "CCN", "c1ccccc1", "C1CC"], color_by="logp")
    >>> list(table.columns), table.attrs["statistics"]["mapped"]
    (['smiles', 'error', 'note', 'x', 'y', 'logp'], 3)
    """
    if method not in METHODS:
        raise InputError(f"method must be {' or '.join(METHODS)}, got {method!r}")
    molecules = EncodedMolecules.from_smiles(generator, smiles, min_distinct=MIN_MOLECULES, keep_salts=keep_salts)
    statistics: dict[str, Any] = {"read": len(molecules.table), "mapped": len(molecules.latents)}
    if method == "pca":
        pca = principal_components(2).fit(molecules.latents)
        xy = pca.transform(molecules.latents)
        statistics["explained_variance_ratio"] = pca.explained_variance_ratio_.tolist()
        shares = " and ".join(f"{share:.1%}" for share in statistics["explained_variance_ratio"])
        description = f"principal components with {shares} of the variance"
    else:
        xy, n_neighbors = _fit_umap(molecules.latents, random_state)
        description = f"UMAP of {n_neighbors} neighbors"
    frame, column = _add_color(molecules, molecules.with_columns(x=xy[:, 0], y=xy[:, 1]), color_by)
    summary = f"{statistics['mapped']:,} of {statistics['read']:,} molecules on the map, {description}"
    frame.attrs = {"color_by": column, "statistics": statistics, "summary": [summary]}
    return with_index_of(frame, smiles)


def draw_map(frame: pd.DataFrame, path: str | Path) -> Path:
    """Save a `latent_map` table as a scatter plot, colored by the column that `latent_map` added.

    Parameters
    ----------
    frame : DataFrame
        Result of `latent_map`.
    path : str or Path
        Output file, .png, .svg, or .html (interactive, with the structure under the pointer); replaced atomically.

    Returns
    -------
    Path
        The path of the file.
    """
    return save_scatter(frame[frame["error"] == ""], path, frame.attrs.get("color_by"))


def principal_components(n_components: int | None = None) -> Any:
    """A scikit-learn PCA with the exact solver, which is deterministic."""
    return import_extra("sklearn.decomposition").PCA(n_components, svd_solver="full")


def column_values(values: Sequence[Any] | pd.Series[Any]) -> list[Any]:
    """Floats if all known values are numbers or text that can be parsed as numbers, else the values unchanged.

    Missing values become NaN among numbers and "" otherwise.
    """
    known = pd.Series([not is_missing(value) for value in values], dtype=bool)
    column = pd.Series(list(values), dtype=object)
    numbers = pd.to_numeric(column.where(known, None), errors="coerce")
    if known.any() and numbers[known].notna().all():
        return [float(number) for number in numbers]
    return list(column.where(known, ""))


def is_missing(value: Any) -> bool:
    """Whether a table's value is missing: None, NaN, NA, empty text, "nan" or "<NA>"."""
    return value is None or value is pd.NA or value != value or str(value).strip().lower() in ("", "nan", "<na>")


def _fit_umap(latents: Array, random_state: int) -> tuple[Any, int]:
    """Coordinates (M, 2) and the number of neighbors used."""
    n_neighbors = min(15, len(latents) - 1)
    init = "spectral" if len(latents) > n_neighbors + 2 else "random"  # the spectral solver fails for very few rows
    umap = import_extra("umap", "umap").UMAP(n_neighbors=n_neighbors, random_state=random_state, n_jobs=1, init=init)
    return umap.fit_transform(latents), n_neighbors


def _add_color(molecules: EncodedMolecules, frame: pd.DataFrame, color_by: Any) -> tuple[pd.DataFrame, str | None]:
    """The table with a column to color by, and the name of that column."""
    if color_by is None:
        return frame, None
    if isinstance(color_by, str):
        name = get_property(color_by).name
        values = compute_properties([parse(smiles) for smiles in molecules.smiles], [name])[name]
        return frame.join(molecules.with_columns(**{name: values})[name]), name
    if len(color_by) != len(frame):
        raise InputError(f"color_by must contain one value per row: got {len(color_by)} values for {len(frame)} rows")
    name = str(getattr(color_by, "name", None) or "label")
    name = "label" if name in frame.columns else name
    return frame.assign(**{name: column_values(color_by)}), name
