"""Similarity maps: distances that follow Tanimoto distances, and the drawing of every molecule and seed."""

from __future__ import annotations

from xml.etree import ElementTree

import numpy as np
import pytest
from molecules import DRUGS
from scipy.spatial.distance import pdist, squareform
from scipy.stats import spearmanr

from molvae.chem.fingerprints import morgan_bits, tanimoto_matrix
from molvae.chem.smiles import parse
from molvae.viz.similarity_map import coordinates, similarity_map

SMILES = list(DRUGS.values())
BITS = morgan_bits([parse(text) for text in SMILES])


def test_distances_correlate_with_tanimoto_distances():
    points = coordinates(BITS)
    assert points.shape == (len(SMILES), 2)
    tanimoto_distance = squareform(1 - tanimoto_matrix(BITS, BITS), checks=False)
    assert spearmanr(pdist(points), tanimoto_distance).statistic > 0.2


def test_identical_fingerprints_coincide():
    points = coordinates(BITS[[0, 0, 5, 9]])
    np.testing.assert_allclose(points[0], points[1], atol=1e-6)


def test_three_molecules_keep_their_distances():
    points = coordinates(BITS[:3])
    np.testing.assert_allclose(squareform(pdist(points)), 1 - tanimoto_matrix(BITS[:3], BITS[:3]), atol=1e-6)


@pytest.mark.parametrize("count", [0, 1, 2])
def test_few_molecules(count):
    assert coordinates(BITS[:count]).shape == (count, 2)
    assert "<svg" in similarity_map(SMILES[:count], [], np.zeros(count), BITS[:count])


def test_a_dot_per_molecule_and_a_diamond_per_seed():
    seeds, molecules = SMILES[:2], SMILES[2:]
    fingerprints = BITS[[*range(2, len(SMILES)), 0, 1]]
    tree = ElementTree.fromstring(similarity_map(molecules, seeds, np.linspace(1, 0, len(molecules)), fingerprints))
    tags = [element.tag.split("}")[1] for element in tree]
    assert tags.count("circle") == len(molecules)
    assert tags.count("path") == 2
    colors = [element.get("fill") for element in tree if element.tag.endswith("circle")]
    assert (colors[0], colors[-1]) == ("#d6e2ee", "#08519c")  # the best is drawn last, over the others


def test_tooltips_are_escaped():
    svg = similarity_map(["<script>"], ["</svg>"], np.zeros(1), BITS[:2])
    assert [e.text for e in ElementTree.fromstring(svg).iter() if e.tag.endswith("title")][1:] == [
        "<script>: 0",
        "seed </svg>",
    ]


def test_number_of_seeds_is_limited():
    many = (10 * SMILES)[:305]
    fingerprints = BITS[[0, 1, *(i % len(SMILES) for i in range(305))]]
    svg = similarity_map(SMILES[:2], many, np.zeros(2), fingerprints)
    assert svg.count("<path") == 300
    assert "300 of 305 seeds" in svg
