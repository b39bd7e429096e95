"""Clusters of latents, and their agreement with known classes beside scikit-learn's own figures."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from sklearn.cluster import AgglomerativeClustering
from sklearn.metrics import adjusted_rand_score, silhouette_score
from tiny_vae import SMALL

from molvae.errors import InputError
from molvae.explore import clustering as clusters
from molvae.explore.clustering import _agreement, _by_size, _cluster, _silhouette, cluster, draw_clusters, purity

ROWS = [*SMALL, "C1CC"]
LABELS = ["ring" if "1" in row else "chain" for row in ROWS]


@pytest.fixture(scope="module")
def clustered(tiny):
    return cluster(tiny, ROWS, clusters=3, method="agglomerative", labels=LABELS)


def _good(frame):
    return frame[frame["error"] == ""]


def test_the_clusters_and_scores_are_scikit_learns(tiny, clustered):
    z = tiny.encode(SMALL).iloc[:, 2:].to_numpy(float)
    expected = AgglomerativeClustering(3).fit_predict(z)
    found = _good(clustered)["cluster"].to_numpy(int)
    assert adjusted_rand_score(expected, found) == 1
    scores = clustered.attrs["scores"]
    assert scores["clusters"] == 3
    assert scores["silhouette"] == pytest.approx(silhouette_score(z, expected))
    assert scores["adjusted_rand"] == pytest.approx(adjusted_rand_score(LABELS[:-1], expected))
    assert scores["silhouette_of_labels"] == pytest.approx(silhouette_score(z, LABELS[:-1]))
    assert "3 clusters, silhouette" in clustered.attrs["summary"][0]


def test_the_largest_is_first_and_each_has_one_typical_molecule(clustered):
    good = _good(clustered)
    sizes = good["cluster"].value_counts()
    assert list(sizes.sort_index()) == sorted(sizes, reverse=True)
    assert list(good[good["is_representative"]]["cluster"].sort_values()) == [0, 1, 2]
    assert pd.isna(clustered["cluster"].iloc[-1])
    assert list(clustered["smiles"]) == ROWS


def test_purity():
    assert purity(np.array([0, 0, 0, 1, 1]), np.array(["a", "a", "b", "b", "b"])) == 0.8
    assert purity(np.arange(4), np.array(list("abab"))) == 1
    assert purity(np.zeros(4), np.array(list("aaab"))) == 0.75


@pytest.mark.parametrize("method", ["kmeans", "agglomerative", "hdbscan"])
def test_auto_finds_a_number_and_the_seed_repeats_it(tiny, method):
    table = cluster(tiny, ROWS, method=method)
    pd.testing.assert_frame_equal(table, cluster(tiny, ROWS, method=method))
    assert 0 <= table.attrs["scores"]["clusters"] <= 20


def test_what_is_in_no_cluster_counts_in_no_score():
    """Two groups, and noise far from both: the silhouette is that of the groups alone."""
    random = np.random.default_rng(0)
    z = np.concatenate([random.normal(size=(40, 3)), 30 + random.normal(size=(40, 3)), 90 * random.normal(size=(9, 3))])
    found = np.repeat([0, 1, -1], [40, 40, 9])
    labels = np.repeat(["a", "b", "a"], [40, 40, 9]).astype(object)
    scores = _agreement(z, found, labels, 0)
    assert scores["purity"] == scores["adjusted_rand"] == 1
    nowhere = _agreement(z, np.full(89, -1), labels, 0)
    assert np.isnan([nowhere["purity"], nowhere["adjusted_rand"]]).all()


def test_hdbscan_finds_two_far_groups_the_larger_first():
    random = np.random.default_rng(0)
    z = np.concatenate([random.normal(size=(40, 16)), 30 + random.normal(size=(60, 16))])
    found = _by_size(_cluster(z, "auto", "hdbscan", 0))
    assert (found[:40] == 1).mean() > 0.9
    assert (found[40:] == 0).mean() > 0.9


def test_auto_takes_the_best_silhouette(tiny):
    best = cluster(tiny, SMALL).attrs["scores"]
    others = [cluster(tiny, SMALL, clusters=count).attrs["scores"]["silhouette"] for count in range(2, 21)]
    assert best["silhouette"] == pytest.approx(max(others))


def test_empty_labels_are_not_compared(tiny):
    empty = itertools.cycle(["", None, np.nan, "NaN"])
    some = [label if i % 2 else next(empty) for i, label in enumerate(LABELS)]
    scores = cluster(tiny, ROWS, clusters=3, method="agglomerative", labels=some).attrs["scores"]
    full = cluster(tiny, ROWS, clusters=3, method="agglomerative")
    found = _good(full)["cluster"].to_numpy(int)
    assert scores["adjusted_rand"] == pytest.approx(adjusted_rand_score(LABELS[1:-1:2], found[1::2]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"clusters": 99}, "1 to the 30 different molecules, got 99"),
        ({"clusters": 0}, "1 to the 30 different molecules, got 0"),
        ({"clusters": "many"}, "got many"),
        ({"method": "dbscan"}, "kmeans, agglomerative, hdbscan, got 'dbscan'"),
        ({"method": "hdbscan", "clusters": 3}, "itself: leave it at auto"),
        ({"labels": ["a"]}, "31 rows, 1 labels"),
        ({"labels": [""] * 31}, "no molecule has a label"),
    ],
)
def test_what_is_no_clustering(tiny, options, message):
    with pytest.raises(InputError, match=message):
        cluster(tiny, ROWS, **options)


def test_one_cluster_has_no_silhouette(tiny):
    scores = cluster(tiny, SMALL, clusters=1, labels=LABELS[:-1]).attrs["scores"]
    assert np.isnan(scores["silhouette"])
    assert scores["purity"] == max(LABELS[:-1].count(label) for label in ("ring", "chain")) / 30


def test_a_rare_label_may_be_missed_by_the_sample(monkeypatch):
    z = np.random.default_rng(0).normal(size=(200, 3))
    labels = np.array(["rare", *["common"] * 199])
    monkeypatch.setattr(clusters, "_SAMPLED", 20)
    assert all(np.isnan(_silhouette(z, labels, seed)) for seed in range(5))
    monkeypatch.setattr(clusters, "_SAMPLED", 200)
    assert _silhouette(z, labels, 0) == pytest.approx(silhouette_score(z, labels))


@pytest.mark.parametrize("suffix", [".png", ".html"])
def test_pictures(clustered, tmp_path, suffix):
    assert draw_clusters(clustered, tmp_path / f"c{suffix}").stat().st_size > 5000


def test_no_more_clusters_than_different_molecules(tiny, recwarn):
    """And none are tried, of which scikit-learn would warn."""
    frame = cluster(tiny, ["CCO", "CCN", "CCCCCC"] * 5)
    assert frame["cluster"].nunique() <= 3
    assert not [warning for warning in recwarn if "distinct clusters" in str(warning.message)]
    with pytest.raises(InputError, match="to the 3 different molecules, got 4"):
        cluster(tiny, ["CCO", "CCN", "CCCCCC"] * 5, clusters=4)
    assert cluster(tiny, ["CCO", "CCN", "CCCCCC"], clusters=np.int64(2))["cluster"].nunique() == 2


def test_a_column_is_answered_under_its_own_index(tiny):
    column = pd.Series([*SMALL[:6], "C1CC"], index=list("zyxxabc"))
    frame = cluster(tiny, column)
    assert frame.index.equals(column.index)
    pd.testing.assert_frame_equal(frame.reset_index(drop=True), cluster(tiny, list(column)))
