"""Clusters of latents and their scores, compared with scikit-learn."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from sklearn.cluster import AgglomerativeClustering
from sklearn.metrics import adjusted_rand_score, silhouette_score
from tiny_vae import SMALL

from molvae.errors import InputError
from molvae.explore import clustering
from molvae.explore.clustering import (
    _fit_clusters,
    _order_by_size,
    cluster,
    draw_clusters,
    label_agreement,
    purity,
    silhouette,
)

ROWS = [*SMALL, "C1CC"]
LABELS = ["ring" if "1" in row else "chain" for row in ROWS]


@pytest.fixture(scope="module")
def clustered(tiny):
    return cluster(tiny, ROWS, n_clusters=3, method="agglomerative", labels=LABELS)


def valid_rows(frame):
    return frame[frame["error"] == ""]


def test_clusters_and_scores_match_scikit_learn(tiny, clustered):
    latents = tiny.encode(SMALL).filter(regex=r"^z\d+$").to_numpy(float)
    expected = AgglomerativeClustering(3).fit_predict(latents)
    assert adjusted_rand_score(expected, valid_rows(clustered)["cluster"].to_numpy(int)) == 1
    statistics = clustered.attrs["statistics"]
    assert statistics["clusters"] == 3
    assert statistics["silhouette"] == pytest.approx(silhouette_score(latents, expected))
    assert statistics["adjusted_rand"] == pytest.approx(adjusted_rand_score(LABELS[:-1], expected))
    assert statistics["silhouette_of_labels"] == pytest.approx(silhouette_score(latents, LABELS[:-1]))
    assert "3 clusters, silhouette" in clustered.attrs["summary"][0]


def test_cluster_numbers_and_representatives(clustered):
    valid = valid_rows(clustered)
    sizes = valid["cluster"].value_counts()
    assert list(sizes.sort_index()) == sorted(sizes, reverse=True)
    assert list(valid[valid["is_representative"]]["cluster"].sort_values()) == [0, 1, 2]


def test_invalid_rows_have_no_cluster(clustered):
    assert list(clustered["smiles"]) == ROWS
    assert pd.isna(clustered["cluster"].iloc[-1])


def test_purity():
    assert purity(np.array([0, 0, 0, 1, 1]), np.array(["a", "a", "b", "b", "b"])) == 0.8
    assert purity(np.arange(4), np.array(list("abab"))) == 1
    assert purity(np.zeros(4), np.array(list("aaab"))) == 0.75


@pytest.mark.parametrize("method", ["kmeans", "agglomerative", "hdbscan"])
def test_automatic_number_of_clusters_is_reproducible(tiny, method):
    table = cluster(tiny, ROWS, method=method)
    pd.testing.assert_frame_equal(table, cluster(tiny, ROWS, method=method))
    assert 0 <= table.attrs["statistics"]["clusters"] <= 20


def test_noise_is_excluded_from_the_agreement():
    rng = np.random.default_rng(0)
    latents = np.concatenate([rng.normal(size=(40, 3)), 30 + rng.normal(size=(40, 3)), 90 * rng.normal(size=(9, 3))])
    clusters = np.repeat([0, 1, -1], [40, 40, 9])
    labels = np.repeat(["a", "b", "a"], [40, 40, 9]).astype(object)
    scores = label_agreement(latents, clusters, labels, 0)
    assert scores["purity"] == scores["adjusted_rand"] == 1
    only_noise = label_agreement(latents, np.full(89, -1), labels, 0)
    assert np.isnan([only_noise["purity"], only_noise["adjusted_rand"]]).all()


def test_hdbscan_finds_two_separate_groups():
    rng = np.random.default_rng(0)
    latents = np.concatenate([rng.normal(size=(40, 16)), 30 + rng.normal(size=(60, 16))])
    clusters = _order_by_size(_fit_clusters(latents, "auto", "hdbscan", 0))
    assert (clusters[:40] == 1).mean() > 0.9
    assert (clusters[40:] == 0).mean() > 0.9


def test_automatic_number_has_the_largest_silhouette(tiny):
    best = cluster(tiny, SMALL).attrs["statistics"]["silhouette"]
    others = [cluster(tiny, SMALL, n_clusters=count).attrs["statistics"]["silhouette"] for count in range(2, 21)]
    assert best == pytest.approx(max(others))


def test_missing_labels_are_ignored(tiny):
    missing = itertools.cycle(["", None, np.nan, "NaN"])
    labels = [label if i % 2 else next(missing) for i, label in enumerate(LABELS)]
    table = cluster(tiny, ROWS, n_clusters=3, method="agglomerative", labels=labels)
    clusters = valid_rows(table)["cluster"].to_numpy(int)
    expected = adjusted_rand_score(LABELS[1:-1:2], clusters[1::2])
    assert table.attrs["statistics"]["adjusted_rand"] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_clusters": 99}, "from 1 to 30 .* got 99"),
        ({"n_clusters": 0}, "from 1 to 30 .* got 0"),
        ({"n_clusters": "many"}, "got many"),
        ({"method": "dbscan"}, "'dbscan'"),
        ({"method": "hdbscan", "n_clusters": 3}, "use 'auto' instead of 3"),
        ({"labels": ["a"]}, "1 labels for 31 rows"),
        ({"labels": [""] * 31}, "no valid molecule has a label"),
    ],
)
def test_invalid_options_are_rejected(tiny, options, message):
    with pytest.raises(InputError, match=message):
        cluster(tiny, ROWS, **options)


def test_one_cluster_has_no_silhouette(tiny):
    statistics = cluster(tiny, SMALL, n_clusters=1, labels=LABELS[:-1]).attrs["statistics"]
    assert np.isnan(statistics["silhouette"])
    assert statistics["purity"] == max(LABELS[:-1].count(label) for label in ("ring", "chain")) / 30


def test_silhouette_of_a_sample_without_a_rare_label_is_nan(monkeypatch):
    latents = np.random.default_rng(0).normal(size=(200, 3))
    labels = np.array(["rare", *["common"] * 199])
    monkeypatch.setattr(clustering, "SILHOUETTE_SAMPLE_SIZE", 20)
    assert all(np.isnan(silhouette(latents, labels, random_state)) for random_state in range(5))
    monkeypatch.setattr(clustering, "SILHOUETTE_SAMPLE_SIZE", 200)
    assert silhouette(latents, labels, 0) == pytest.approx(silhouette_score(latents, labels))


def test_duplicates_limit_the_number_of_clusters(tiny, recwarn):
    """ "auto" does not try larger numbers, about which scikit-learn would warn."""
    smiles = ["CCO", "CCN", "CCCCCC"] * 5
    assert cluster(tiny, smiles)["cluster"].nunique() <= 3
    assert not [warning for warning in recwarn if "distinct clusters" in str(warning.message)]
    with pytest.raises(InputError, match="from 1 to 3 "):
        cluster(tiny, smiles, n_clusters=4)


def test_number_of_clusters_may_be_a_numpy_integer(tiny):
    assert cluster(tiny, ["CCO", "CCN", "CCCCCC"], n_clusters=np.int64(2))["cluster"].nunique() == 2


@pytest.mark.parametrize("suffix", [".png", ".html"])
def test_image(clustered, tmp_path, suffix):
    assert draw_clusters(clustered, tmp_path / f"clusters{suffix}").stat().st_size > 5000


def test_series_keeps_its_index(tiny):
    column = pd.Series([*SMALL[:6], "C1CC"], index=list("zyxxabc"))
    frame = cluster(tiny, column)
    assert frame.index.equals(column.index)
    pd.testing.assert_frame_equal(frame.reset_index(drop=True), cluster(tiny, list(column)))


def test_automatic_clustering_says_when_there_are_no_clusters(tiny, monkeypatch):
    """Below the silhouette of Kaufman and Rousseeuw the summary says so; a number that was asked for is not judged."""
    monkeypatch.setattr("molvae.explore.clustering.silhouette", lambda *_: 0.076)
    table = cluster(tiny, SMALL)
    assert not table.attrs["statistics"]["clear"]
    assert "no clear clusters: the largest silhouette is 0.076, and below 0.25" in table.attrs["summary"][1]
    assert len(cluster(tiny, SMALL, n_clusters=2).attrs["summary"]) == 1
    monkeypatch.setattr("molvae.explore.clustering.silhouette", lambda *_: 0.3)
    table = cluster(tiny, SMALL)
    assert table.attrs["statistics"]["clear"]
    assert len(table.attrs["summary"]) == 1
