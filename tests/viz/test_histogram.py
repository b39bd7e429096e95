"""Histograms: bins, shares and labels, read back from the SVG."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np
import pytest
from molecules import DRUGS

from molvae.chem.properties import compute_properties
from molvae.chem.smiles import parse
from molvae.viz.histogram import HistogramAxis, bin_edges, histogram
from molvae.viz.report import PROPERTY_AXES, SIMILARITY_AXES

SVG = "{http://www.w3.org/2000/svg}"
PROPERTIES = compute_properties([parse(smiles) for smiles in DRUGS.values()], list(PROPERTY_AXES))


class Chart:
    """Bins and shares of a chart, from its SVG and the labels of the vertical axis."""

    def __init__(self, svg):
        self.root = ElementTree.fromstring(svg)
        self.description = self.root.find(f"{SVG}title").text
        heights = {float(e.text[:-1]) / 100: float(e.get("y")) for e in self.elements("text", "share")}
        low, high = min(heights), max(heights)
        self.base = heights[low] - 4
        self.pixels_per_share = (heights[low] - heights[high]) / (high - low)
        self.bars = self.elements("rect", "bar")
        self.shares = [float(bar.get("height")) / self.pixels_per_share for bar in self.bars]
        tooltips = [bar.find(f"{SVG}title").text for bar in self.bars]
        self.bins = [tuple(map(float, text.split(":")[0].split(" to "))) for text in tooltips]

    def elements(self, tag, kind):
        return [e for e in self.root.iter(f"{SVG}{tag}") if e.get("class") == kind]

    @property
    def outline(self):
        (path,) = self.elements("path", "outline")
        return [(self.base - float(y)) / self.pixels_per_share for y in re.findall(r"V([\d.]+)H", path.get("d"))]

    @property
    def texts(self):
        return [e.text for e in self.root.iter(f"{SVG}text")]


def chart(values, reference=(), axis=PROPERTY_AXES["logp"]):
    return Chart(histogram(axis, np.asarray(values, dtype=float), np.asarray(reference, dtype=float)))


def expected_shares(values, bins):
    """Shares of half-open bins; the first and last bin include all values beyond them."""
    values, last = np.asarray(values), len(bins) - 1
    inside = [((values >= low) | (i == 0)) & ((values < high) | (i == last)) for i, (low, high) in enumerate(bins)]
    return [row.mean() for row in inside]


@pytest.mark.parametrize("name", PROPERTIES)
def test_bars_and_outline_are_shares_of_set_and_reference(name):
    values = PROPERTIES[name].round(6)
    reference = (values[::3] * 1.5).round(6)
    found = chart(values, reference, PROPERTY_AXES[name])
    np.testing.assert_allclose(found.shares, expected_shares(values, found.bins), atol=2e-3)
    np.testing.assert_allclose(found.outline, expected_shares(reference, found.bins), atol=2e-3)
    assert sum(found.shares) == pytest.approx(1, abs=0.02)
    assert all(a[1] == b[0] for a, b in zip(found.bins, found.bins[1:], strict=False))


def test_no_outline_without_a_reference():
    alone = chart([1.0, 2.0, 2.0])
    assert alone.elements("path", "outline") == []
    assert not any("reference" in text for text in alone.texts)


def test_description_states_counts_and_medians():
    expected = "logP: histogram of 1 of the set, median 1.0 and 1 of the reference, median 2.0"
    assert chart([1.0], [2.0]).description == expected


@pytest.mark.parametrize("name", PROPERTIES)
def test_everything_lies_inside_the_image(name):
    found = chart(PROPERTIES[name], PROPERTIES[name] * 3, PROPERTY_AXES[name])
    width, height = (float(found.root.get(side)) for side in ("width", "height"))
    for bar in found.bars:
        x, y, w, h = (float(bar.get(key)) for key in ("x", "y", "width", "height"))
        assert 0 < x < x + w < width
        assert 0 < y <= y + h < height
    ticks = [float(e.get("x")) for e in found.elements("text", "value")]
    assert len(ticks) >= 3
    assert np.diff(ticks).min() > 25  # room for labels of four digits
    assert 0 < ticks[0] < ticks[-1] < width


def test_outliers_count_in_the_end_bar_and_are_noted():
    values = [1.0] * 999 + [1e6]
    found = chart(values)
    assert len(found.bars) <= 48
    assert sum(found.shares) == pytest.approx(1, abs=0.01)
    assert "end bars include outliers: 1 of the set" in found.texts
    assert not any("outliers" in text for text in chart(values[:-1]).texts)


def test_bins_of_counts_are_centered_at_whole_numbers():
    assert chart([0, 1, 1, 3], axis=PROPERTY_AXES["rings"]).bins[:3] == [(-0.5, 0.5), (0.5, 1.5), (1.5, 2.5)]


@pytest.mark.parametrize("values", [[-3.2, 0.1], [0.0], [-0.5], [7.25], [1e-9, 1e4], [-1e9]])
def test_bin_edges_cover_all_values_in_equal_steps(values):
    edges = bin_edges(HistogramAxis("", "", 0.5, 1), [np.array(values)])
    assert edges[0] <= min(values) <= max(values) <= edges[-1]
    assert 8 <= len(edges) - 1 <= 50
    np.testing.assert_allclose(np.diff(edges), edges[1] - edges[0])


@pytest.mark.parametrize("name", SIMILARITY_AXES)
def test_similarity_thresholds_are_marked_with_their_shares(name):
    found = chart([0.1, 0.4, 0.5, 0.6, 1.0], axis=SIMILARITY_AXES[name])
    assert [text for text in found.texts if "≥" in text] == ["80% ≥ 0.4", "40% ≥ 0.6"]
    assert (found.bins[0][0], found.bins[-1][1]) == (0, 1)
    bars = {low: float(bar.get("x")) for (low, _), bar in zip(found.bins, found.bars, strict=True)}
    marks = [float(path.get("d").split()[0][1:]) for path in found.elements("path", "mark")]
    np.testing.assert_allclose(marks, [bars[0.4], bars[0.6]], atol=0.6)
