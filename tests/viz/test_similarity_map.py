"""Distances in the plane follow the Tanimoto distances; the picture shows every molecule and seed."""

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


def test_the_like_are_near_the_like():
    places = coordinates(BITS)
    assert places.shape == (len(SMILES), 2)
    assert spearmanr(pdist(places), squareform(1 - tanimoto_matrix(BITS, BITS), checks=False)).statistic > 0.2
    twins = coordinates(BITS[[0, 0, 5, 9]])
    np.testing.assert_allclose(twins[0], twins[1], atol=1e-6)


def test_three_points_that_fit_into_a_plane_keep_their_distances():
    places = coordinates(BITS[:3])
    np.testing.assert_allclose(squareform(pdist(places)), 1 - tanimoto_matrix(BITS[:3], BITS[:3]), atol=1e-6)


@pytest.mark.parametrize("count", [0, 1, 2])
def test_few_molecules(count):
    assert coordinates(BITS[:count]).shape == (count, 2)
    assert "<svg" in similarity_map(SMILES[:count], [], np.zeros(count), BITS[:count])


def test_the_picture():
    seeds, molecules = SMILES[:2], SMILES[2:]
    picture = similarity_map(molecules, seeds, np.linspace(1, 0, len(molecules)), BITS[[*range(2, len(SMILES)), 0, 1]])
    tree = ElementTree.fromstring(picture)
    tags = [element.tag.split("}")[1] for element in tree]
    assert tags.count("circle") == len(molecules)
    assert tags.count("path") == 2
    colors = [element.get("fill") for element in tree if element.tag.endswith("circle")]
    assert (colors[0], colors[-1]) == ("#d6e2ee", "#08519c")  # the best is drawn last, over the others


def test_of_very_many_seeds_some_are_drawn():
    many = 10 * [*SMILES]
    picture = similarity_map(SMILES[:2], many[:305], np.zeros(2), BITS[[0, 1, *(i % len(SMILES) for i in range(305))]])
    assert picture.count("<path") == 300
    assert "300 of 305 seeds" in picture
