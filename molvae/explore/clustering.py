"""Clusters of molecules in latent space, and their agreement with known classes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from molvae.data.arguments import with_index_of
from molvae.data.checked_arguments import checked_arguments
from molvae.errors import InputError, import_extra
from molvae.explore.latent_points import Array, EncodedMolecules, n_distinct_rows
from molvae.explore.projection import is_missing, principal_components
from molvae.generator import Generator
from molvae.viz.scatter import save_scatter

METHODS = ("kmeans", "agglomerative", "hdbscan")
MAX_AUTO_CLUSTERS = 20
"""Largest number of clusters that `n_clusters="auto"` tries."""

SILHOUETTE_SAMPLE_SIZE = 5000
"""The silhouette coefficient is computed from at most this many molecules: its cost grows with their square."""

MIN_SILHOUETTE = 0.25
"""Below this silhouette coefficient, no substantial structure has been found, according to Kaufman and Rousseeuw,
"Finding groups in data", 1990, table 4.

Measured with the shipped model: 30 to 300 unrelated drug-like molecules reach 0.22 to 0.06, analogs of 5 drugs 0.33.
"""

NOISE = -1
"""Label of molecules in no cluster (scikit-learn's convention)."""


@checked_arguments
def cluster(
    generator: Generator,
    smiles: Iterable[str],
    *,
    n_clusters: int | str = "auto",
    method: str = "kmeans",
    labels: Sequence[Any] | pd.Series[Any] | None = None,
    random_state: int = 0,
    keep_salts: bool = False,
) -> pd.DataFrame:
    """Cluster molecules by their latents.

    Parameters
    ----------
    generator : Generator
        The model.
    smiles : iterable of str
        Molecules, at least 3 different ones. A pandas Series keeps its index in the result.
    n_clusters : int or "auto"
        Number of clusters. "auto" takes the number from 2 to 20 with the largest silhouette coefficient. If that is
        below 0.25, the summary says that there are no clear clusters; the column `cluster` then only divides the
        molecules.
    method : {"kmeans", "agglomerative", "hdbscan"}
        "agglomerative" uses Ward linkage. "hdbscan" [1]_ determines the number of clusters itself and labels
        molecules in no cluster -1.
    labels : sequence, optional
        A known class per row to compare the clusters with. Missing labels are ignored, and so are molecules in no
        cluster.
    random_state : int
        Seed of k-means and of the sample that the silhouette coefficient is computed from.
    keep_salts : bool
        Keep salts and solvents, which few models can represent; otherwise the largest fragment is used.

    Returns
    -------
    DataFrame
        One row per input with the columns `smiles`, `error`, `note`, `cluster` (from 0, the largest first; missing
        for an error), `is_representative` (True for the molecule closest to its cluster's mean), `label` (if labels are
        given), `x` and `y` (principal components, for the map). `attrs`: statistics (clusters, silhouette, clear:
        whether the silhouette is at least 0.25; with labels also purity, adjusted_rand and silhouette_of_labels; NaN
        where undefined), summary.

    Raises
    ------
    InputError
        For an unknown method, an invalid number of clusters or a wrong number of labels.
    MissingExtraError
        If scikit-learn is not installed.

    References
    ----------
    .. [1] Campello, Moulavi and Sander, "Density-based clustering based on hierarchical density estimates", 2013.

    Examples
    --------
    >>> from molvae import explore, load
    >>> table = explore.cluster(load(), ["CCO", "CCCO", "CCCCO", "c1ccccc1", "Cc1ccccc1"], n_clusters=2)
    >>> table["cluster"].tolist()
    [0, 0, 0, 1, 1]
    """
    molecules = EncodedMolecules.from_smiles(generator, smiles, min_distinct=3, keep_salts=keep_salts)
    latents = molecules.latents
    assigned = _order_by_size(_fit_clusters(latents, n_clusters, method, random_state))
    frame = molecules.with_columns(cluster=assigned, is_representative=_is_representative(latents, assigned))
    clustered = assigned != NOISE
    coefficient = silhouette(latents[clustered], assigned[clustered], random_state)
    statistics: dict[str, Any] = {"clusters": int(assigned.max()) + 1, "silhouette": coefficient}
    statistics["clear"] = bool(coefficient >= MIN_SILHOUETTE)
    if labels is not None:
        if len(labels) != len(frame):
            raise InputError(f"labels must contain one value per row: got {len(labels)} labels for {len(frame)} rows")
        frame["label"] = ["" if is_missing(label) else label for label in labels]
        known = frame.loc[frame["error"] == "", "label"].astype(str).to_numpy()
        statistics |= label_agreement(latents, assigned, known, random_state)
    xy = principal_components(2).fit_transform(latents)
    frame = frame.join(molecules.with_columns(x=xy[:, 0], y=xy[:, 1])[["x", "y"]])
    summary = [_summary(statistics)]
    if n_clusters == "auto" and not statistics["clear"]:
        summary.append(_no_clusters(statistics, method))
    frame.attrs = {"statistics": statistics, "summary": summary}
    return with_index_of(frame, smiles)


def draw_clusters(frame: pd.DataFrame, path: str | Path) -> Path:
    """Save a `cluster` table as a map of its first two principal components.

    Parameters
    ----------
    frame : DataFrame
        Result of `cluster`.
    path : str or Path
        Output file, .png, .svg or .html; replaced atomically.

    Returns
    -------
    Path
        The path of the file.
    """
    valid = frame[frame["error"] == ""]
    return save_scatter(valid.assign(cluster=valid["cluster"].astype(str)), path, "cluster")


def purity(clusters: NDArray[Any], labels: NDArray[Any]) -> float:
    """Fraction of molecules with the most frequent label of their cluster.

    Parameters
    ----------
    clusters, labels : ndarray of shape (M,)
        Cluster and known label of each molecule.

    Returns
    -------
    float
        0 to 1; it increases with the number of clusters.
    """
    table = pd.crosstab(clusters, labels).to_numpy()
    return float(table.max(axis=1).sum() / table.sum())


def silhouette(latents: Array, clusters: NDArray[Any], random_state: int) -> float:
    """Silhouette coefficient of a random sample of at most `SILHOUETTE_SAMPLE_SIZE` molecules.

    Parameters
    ----------
    latents : ndarray of shape (M, D)
        Latents.
    clusters : ndarray of shape (M,)
        Cluster of each molecule.
    random_state : int
        Seed of the sample.

    Returns
    -------
    float
        -1 to 1; NaN unless the sample has at least 2 clusters and fewer clusters than molecules.
    """
    rows = np.random.default_rng(random_state).permutation(len(latents))[:SILHOUETTE_SAMPLE_SIZE]
    if not 1 < len(set(clusters[rows])) < len(rows):
        return float("nan")
    return float(import_extra("sklearn.metrics").silhouette_score(latents[rows], clusters[rows]))


def label_agreement(
    latents: Array, clusters: NDArray[np.int64], labels: NDArray[Any], random_state: int
) -> dict[str, float]:
    """Compare clusters with known labels.

    Parameters
    ----------
    latents : ndarray of shape (M, D)
        Latents.
    clusters : ndarray of shape (M,)
        Cluster of each molecule; `NOISE` for none.
    labels : ndarray of shape (M,)
        Known labels; "" if unknown.
    random_state : int
        Seed of the sample for the silhouette.

    Returns
    -------
    dict of str to float
        purity, adjusted_rand and silhouette_of_labels; NaN where undefined.

    Raises
    ------
    InputError
        If all labels are unknown.
    """
    labeled = labels != ""
    if not labeled.any():
        raise InputError("no valid molecule has a label: check the column of the labels")
    both = labeled & (clusters != NOISE)
    adjusted_rand = np.nan
    if both.any():
        adjusted_rand = import_extra("sklearn.metrics").adjusted_rand_score(labels[both], clusters[both])
    return {
        "purity": purity(clusters[both], labels[both]) if both.any() else np.nan,
        "adjusted_rand": float(adjusted_rand),
        "silhouette_of_labels": silhouette(latents[labeled], labels[labeled], random_state),
    }


def _fit_clusters(latents: Array, n_clusters: int | str, method: str, random_state: int) -> NDArray[np.int64]:
    """Cluster labels (M,) as scikit-learn numbers them."""
    if method not in METHODS:
        raise InputError(f"method must be one of {', '.join(METHODS)}, got {method!r}")
    if method == "hdbscan":
        if n_clusters != "auto":
            raise InputError(f"hdbscan determines the number of clusters itself: use 'auto' instead of {n_clusters}")
        return _fit_hdbscan(latents)

    def fit(count: int) -> NDArray[np.int64]:
        sklearn = import_extra("sklearn.cluster")
        if method == "kmeans":
            model = sklearn.KMeans(count, n_init=4, random_state=random_state)
        else:
            model = sklearn.AgglomerativeClustering(count)
        return np.asarray(model.fit_predict(latents))

    n_distinct = n_distinct_rows(latents)
    if n_clusters == "auto":
        candidates = [fit(count) for count in range(2, min(MAX_AUTO_CLUSTERS, n_distinct, len(latents) - 1) + 1)]
        return max(candidates, key=lambda clusters: silhouette(latents, clusters, random_state))
    if not isinstance(n_clusters, Integral) or not 1 <= n_clusters <= n_distinct:
        raise InputError(
            f"the number of clusters must be 'auto' or from 1 to {n_distinct} (the different molecules), "
            f"got {n_clusters}"
        )
    return fit(int(n_clusters))


def _fit_hdbscan(latents: Array) -> NDArray[np.int64]:
    """HDBSCAN on the first 10 principal components: in more dimensions density estimates fail."""
    reduced = principal_components(min(10, *latents.shape)).fit_transform(latents)
    min_cluster_size = max(2, min(10, len(latents) // 5))
    model = import_extra("sklearn.cluster").HDBSCAN(min_cluster_size=min_cluster_size, copy=True)
    return np.asarray(model.fit_predict(reduced))


def _order_by_size(clusters: NDArray[np.int64]) -> NDArray[np.int64]:
    """Renumber clusters by decreasing size; noise stays -1."""
    labels, sizes = np.unique(clusters[clusters >= 0], return_counts=True)
    rank = {label: index for index, label in enumerate(labels[np.argsort(-sizes, kind="stable")])}
    return np.array([rank.get(label, NOISE) for label in clusters], dtype=np.int64)


def _is_representative(latents: Array, clusters: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Mark the molecule of each cluster that is closest to the cluster's mean."""
    marked = np.zeros(len(latents), dtype=bool)
    for label in range(clusters.max() + 1):
        rows = np.flatnonzero(clusters == label)
        marked[rows[np.linalg.norm(latents[rows] - latents[rows].mean(0), axis=1).argmin()]] = True
    return marked


def _no_clusters(statistics: dict[str, Any], method: str) -> str:
    """Why the clusters that were found automatically are none."""
    if not statistics["clusters"]:
        return "no clusters: no region is dense enough"
    if np.isnan(statistics["silhouette"]):
        return "no clear clusters: there is only one"
    hint = "" if method == "hdbscan" else "; --method hdbscan finds dense groups and leaves out the other molecules"
    return (
        f"no clear clusters: the largest silhouette is {statistics['silhouette']:.3f}, and below {MIN_SILHOUETTE} "
        f"there is no substantial structure (Kaufman and Rousseeuw 1990); the groups only divide the molecules{hint}"
    )


def _summary(statistics: dict[str, Any]) -> str:
    """Text such as "3 clusters, silhouette 0.312, purity 0.900"."""
    names = {"adjusted_rand": "adjusted Rand index", "silhouette_of_labels": "silhouette of the labels"}
    scores = [
        f"{names.get(name, name)} {value:.3f}"
        for name, value in statistics.items()
        if name not in ("clusters", "clear")
    ]
    count = statistics["clusters"]
    return ", ".join([f"{count} cluster{'' if count == 1 else 's'}", *scores])
