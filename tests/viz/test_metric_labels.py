"""Labels of metrics: distances are called distances, and scores are not."""

from __future__ import annotations

import pytest

from molvae.metrics.moses import REFERENCE_METRICS, WASSERSTEIN_METRICS
from molvae.viz.metric_labels import metric_label


@pytest.mark.parametrize("name", [*WASSERSTEIN_METRICS.values(), "FCD/Test", "FCD/TestSF"])
def test_distances(name):
    label, description = metric_label("MOSES", name)
    assert label.endswith("distance")
    assert description.endswith("0 is equal")


@pytest.mark.parametrize(
    ("section", "name"),
    [("GuacaMol", "FCD score"), ("GuacaMol", "KL divergence"), ("MOSES", "Novelty"), ("MOSES", "unique@1000")]
    + [("MOSES", f"{name}/Test") for name in REFERENCE_METRICS if name != "FCD"],
)
def test_scores_and_similarities_are_no_distances(section, name):
    label, description = metric_label(section, name)
    assert label == name
    assert description
    assert "0 is equal" not in description


def test_unknown_metrics_keep_their_names():
    assert metric_label("Molecules", "mean rotatable_bonds") == ("mean rotatable bonds", "")
    assert metric_label("other", "logP") == ("logP", "")
