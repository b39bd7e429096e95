"""Groups of molecules that lie together in latent space, and how well they agree with groups that are known."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from molvae.data.rows import indexed
from molvae.errors import InputError, import_extra
from molvae.explore.latent_points import Points
from molvae.explore.projection import is_missing
from molvae.generator import Generator
from molvae.viz.scatter import save_scatter

METHODS = ("kmeans", "agglomerative", "hdbscan")
MOST = 20
"""Clusters that "auto" tries at most."""

_SAMPLED = 5000  # molecules that a silhouette is computed of: its time grows with their square


def cluster(
    generator: Generator,
    smiles: Iterable[str],
    *,
    clusters: int | str = "auto",
    method: str = "kmeans",
    labels: Sequence[Any] | pd.Series[Any] | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """Cluster molecules by their latents, one row out per row in (a pandas column's under its own index).

    `method`: "kmeans", "agglomerative" (Ward) or "hdbscan", which finds the number itself and leaves what belongs
    nowhere in cluster -1. `clusters`: how many, or "auto" for the number of 2 to 20 with the largest silhouette.
    `labels`, one for each row, are only compared with; a missing one is left out, as what is in no cluster is.

    Columns: smiles, error, cluster (from 0, the largest first; missing where there is an error), typical (the one
    nearest to its cluster's mean), label where there are any, x and y (principal components, for the picture).
    `attrs`: scores (clusters, silhouette of the clusters; and of the labels: purity of the clusters, adjusted Rand
    index, silhouette of the labels themselves; all at most 1, silhouette and Rand index 0 for chance; NaN where not
    defined), summary. Raises `InputError` for numbers that cannot be, `MissingExtraError` without scikit-learn.
    """
    points = Points.of(generator, smiles, least=3)
    found = _by_size(_cluster(points.z, clusters, method, seed))
    xy = import_extra("sklearn.decomposition").PCA(2, svd_solver="full").fit_transform(points.z)
    frame = points.with_columns(cluster=found, typical=_typical(points.z, found))
    inside = found >= 0
    scores = {"clusters": int(found.max()) + 1, "silhouette": _silhouette(points.z[inside], found[inside], seed)}
    if labels is not None:
        if len(labels) != len(frame):
            raise InputError(f"a label for each row is needed: {len(frame)} rows, {len(labels)} labels")
        frame["label"] = ["" if is_missing(label) else label for label in labels]
        known = frame.loc[frame["error"] == "", "label"].astype(str).to_numpy()
        scores |= _agreement(points.z, found, known, seed)
    frame = frame.join(points.with_columns(x=xy[:, 0], y=xy[:, 1])[["x", "y"]])
    frame.attrs = {"scores": scores, "summary": [", ".join(_words(scores))]}
    return indexed(frame, smiles)


def draw_clusters(frame: pd.DataFrame, picture: str | Path) -> Path:
    """The clusters on a map of the first two principal components; formats as of `draw_map`."""
    shown = frame[frame["error"] == ""]
    return save_scatter(shown.assign(cluster=shown["cluster"].astype(str)), picture, "cluster")


def purity(found: NDArray[Any], labels: NDArray[Any]) -> float:
    """The share of molecules whose label is the commonest of their cluster, 0 to 1; rises with more clusters."""
    table = pd.crosstab(found, labels).to_numpy()
    return float(table.max(axis=1).sum() / table.sum())


def _cluster(z: NDArray[np.float64], clusters: int | str, method: str, seed: int) -> NDArray[np.int64]:
    if method not in METHODS:
        raise InputError(f"clusters are found by {', '.join(METHODS)}, got {method!r}")
    if method == "hdbscan":
        if clusters != "auto":
            raise InputError(f"hdbscan finds the number of clusters itself: leave it at auto, got {clusters}")
        return _dense(z)

    def into(count: int) -> NDArray[np.int64]:
        sklearn = import_extra("sklearn.cluster")
        means = sklearn.KMeans(count, n_init=4, random_state=seed)
        return np.asarray((means if method == "kmeans" else sklearn.AgglomerativeClustering(count)).fit_predict(z))

    different = len(np.unique(z.round(4), axis=0))  # digits beyond depend on the batch
    if clusters == "auto":
        tried = [into(count) for count in range(2, min(MOST, different, len(z) - 1) + 1)]
        return max(tried, key=lambda found: _silhouette(z, found, seed))
    if not isinstance(clusters, Integral) or not 1 <= clusters <= different:
        raise InputError(f"clusters are auto or a number from 1 to the {different} different molecules, got {clusters}")
    return into(int(clusters))


def _dense(z: NDArray[np.float64]) -> NDArray[np.int64]:
    """HDBSCAN (Campello et al. 2013) on ten principal components: among many dimensions nothing is dense."""
    reduced = import_extra("sklearn.decomposition").PCA(min(10, *z.shape), svd_solver="full").fit_transform(z)
    least = max(2, min(10, len(z) // 5))
    return np.asarray(import_extra("sklearn.cluster").HDBSCAN(min_cluster_size=least, copy=True).fit_predict(reduced))


def _by_size(found: NDArray[np.int64]) -> NDArray[np.int64]:
    """The same clusters, numbered from the largest; -1 stays what belongs nowhere."""
    names, sizes = np.unique(found[found >= 0], return_counts=True)
    number = {name: place for place, name in enumerate(names[np.argsort(-sizes, kind="stable")])}
    return np.array([number.get(name, -1) for name in found], dtype=np.int64)


def _typical(z: NDArray[np.float64], found: NDArray[np.int64]) -> NDArray[np.bool_]:
    typical = np.zeros(len(z), dtype=bool)
    for name in range(found.max() + 1):
        rows = np.flatnonzero(found == name)
        typical[rows[np.linalg.norm(z[rows] - z[rows].mean(0), axis=1).argmin()]] = True
    return typical


def _silhouette(z: NDArray[np.float64], found: NDArray[Any], seed: int) -> float:
    """-1 to 1; NaN where there are not 2 groups or more, and one with 2 members, among those that are looked at."""
    rows = np.random.default_rng(seed).permutation(len(z))[:_SAMPLED]
    if not 1 < len(set(found[rows])) < len(rows):
        return float("nan")
    return float(import_extra("sklearn.metrics").silhouette_score(z[rows], found[rows]))


def _agreement(z: NDArray[np.float64], found: NDArray[np.int64], labels: NDArray[Any], seed: int) -> dict[str, float]:
    rows = labels != ""
    if not rows.any():
        raise InputError("no molecule has a label: is it the right column?")
    inside = rows & (found >= 0)
    rand = (
        import_extra("sklearn.metrics").adjusted_rand_score(labels[inside], found[inside]) if inside.any() else np.nan
    )
    return {
        "purity": purity(found[inside], labels[inside]) if inside.any() else np.nan,
        "adjusted_rand": float(rand),
        "silhouette_of_labels": _silhouette(z[rows], labels[rows], seed),
    }


def _words(scores: dict[str, float]) -> list[str]:
    names = {"adjusted_rand": "adjusted Rand index", "silhouette_of_labels": "silhouette of the labels"}
    figures = [f"{names.get(name, name)} {value:.3f}" for name, value in scores.items() if name != "clusters"]
    return [f"{scores['clusters']} clusters", *figures]
