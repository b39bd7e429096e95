"""The set metrics of MOSES against loops over every pair, every fragment and every step of a distribution."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from math import nan, sqrt
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from molecules import DRUGS
from rdkit import Chem, DataStructs
from rdkit.Chem import QED, Crippen, Descriptors, rdFingerprintGenerator

from molvae.metrics.molecules import describe
from molvae.metrics.moses import WASSERSTEIN, cosine, distances, diversity, likeness
from molvae.metrics.reference import Reference
from molvae.metrics.structures import Structures, structures

SMILES = list(DRUGS.values())
OWN, OTHERS = SMILES[::2], SMILES[1::2]
GENERATOR = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=1024)


def rdkit_bits(smiles):
    return [GENERATOR.GetFingerprint(Chem.MolFromSmiles(text)) for text in smiles]


def bare(fingerprints):
    return Structures(Counter(), Counter(), fingerprints)


def packed(rows):
    return np.array(rows, dtype=np.uint8).reshape(len(rows), 8)


def tanimoto(a, b):
    x, y = int.from_bytes(bytes(a)), int.from_bytes(bytes(b))
    return (x & y).bit_count() / (x | y).bit_count() if x | y else 0.0


def cosine_by_loop(a, b):
    names = [*a, *(name for name in b if name not in a)]
    x, y = ([table.get(name, 0) for name in names] for table in (a, b))
    product = lengths_x = lengths_y = 0.0
    for p, q in zip(x, y, strict=True):
        product, lengths_x, lengths_y = product + p * q, lengths_x + p * p, lengths_y + q * q
    return product / (sqrt(lengths_x) * sqrt(lengths_y))


def area_between(a, b):
    """Of two distributions' steps, each place where either has one."""
    total = 0.0
    for low, high in pairwise(sorted([*a, *b])):
        below_a = sum(value <= low for value in a) / len(a)
        below_b = sum(value <= low for value in b) / len(b)
        total += abs(below_a - below_b) * (high - low)
    return total


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    return Reference(OTHERS, folder=tmp_path_factory.mktemp("reference"), workers=0)


# --- diversity ---


def test_diversity_of_drugs():
    bits = rdkit_bits(SMILES)
    pairs = [[DataStructs.TanimotoSimilarity(a, b) for b in bits] for a in bits]
    found = diversity(structures(SMILES, 0), 0)
    assert list(found) == ["IntDiv", "IntDiv2"]
    size = len(bits)
    assert found["IntDiv"] == pytest.approx(1 - sum(map(sum, pairs)) / size**2, abs=1e-12)
    roots = sum(sqrt(sum(s * s for s in row) / size) for row in pairs)
    assert found["IntDiv2"] == pytest.approx(1 - roots / size, abs=1e-12)


@given(st.lists(st.lists(st.integers(0, 255), min_size=8, max_size=8), min_size=1, max_size=12))
@settings(max_examples=60, deadline=None)
def test_diversity_of_any_bits(rows):
    found = diversity(bare(packed(rows)), 1)
    similarity = [[tanimoto(a, b) for b in rows] for a in rows]
    mean = sum(map(sum, similarity)) / len(rows) ** 2
    roots = sum(sqrt(sum(s * s for s in row) / len(rows)) for row in similarity) / len(rows)
    assert found == {"IntDiv": pytest.approx(1 - mean, abs=1e-12), "IntDiv2": pytest.approx(1 - roots, abs=1e-12)}
    assert found["IntDiv2"] <= found["IntDiv"] + 1e-12  # a mean of squares is no less than the square of the mean


def test_one_molecule_many_times_has_no_diversity():
    assert diversity(structures([DRUGS["aspirin"]] * 5, 0)) == pytest.approx({"IntDiv": 0, "IntDiv2": 0}, abs=1e-12)


# --- likeness ---


def test_likeness_of_drugs(reference):
    own, others = structures(OWN, 0), structures(OTHERS, 0)
    bits, theirs = rdkit_bits(OWN), rdkit_bits(OTHERS)
    found = likeness(own, reference, "Test", 0)
    assert list(found) == ["SNN/Test", "Frag/Test", "Scaf/Test"]
    nearest = [max(DataStructs.TanimotoSimilarity(a, b) for b in theirs) for a in bits]
    assert found["SNN/Test"] == pytest.approx(sum(nearest) / len(nearest), abs=1e-7)
    assert found["Frag/Test"] == pytest.approx(cosine_by_loop(own.fragments, others.fragments), abs=1e-12)
    assert found["Scaf/Test"] == pytest.approx(cosine_by_loop(own.scaffolds, others.scaffolds), abs=1e-12)
    assert 0.1 < found["SNN/Test"] < 0.9
    assert 0.1 < found["Frag/Test"] < 0.9


def test_each_molecule_of_the_set_looks_for_its_nearest(reference):
    """SNN has a direction: a set of one known molecule is all near, the reference to it is not."""
    found = likeness(structures(OTHERS[:1], 0), reference, "Test", 1)
    assert found["SNN/Test"] == 1


def test_a_set_is_like_itself(reference):
    found = likeness(structures(OTHERS, 0), reference, "TestSF", 1)
    assert found == {"SNN/TestSF": 1, "Frag/TestSF": pytest.approx(1), "Scaf/TestSF": pytest.approx(1)}


def test_without_scaffolds_there_is_no_likeness_of_them(reference):
    found = likeness(structures([DRUGS["aspirin"], DRUGS["valproic acid"]], 0), reference, "Test", 1)
    assert found["Scaf/Test"] is None
    assert found["Frag/Test"] > 0


# --- workers ---


@pytest.mark.parametrize("workers", [1, 2, None])
def test_workers_make_no_difference(workers, reference, tmp_path):
    """0 workers, as everywhere, is this process alone."""
    many = (SMILES * 12)[:530]  # two chunks
    here, there = structures(many, 0), structures(many, workers)
    elsewhere = Reference(OTHERS, folder=tmp_path, workers=workers)
    assert diversity(here, 0) == diversity(there, workers)
    assert likeness(here, reference, "Test", 0) == likeness(there, elsewhere, "Test", workers)
    table = describe(OWN, tuple(WASSERSTEIN))
    assert distances(table, reference) == distances(table, elsewhere)


# --- cosine ---

COUNTS = st.dictionaries(st.sampled_from("abcdefgh"), st.integers(1, 10**6), min_size=1)


@given(COUNTS, COUNTS, st.integers(1, 50))
def test_cosine_of_any_counts(a, b, times):
    found = cosine(a, b)
    assert found == pytest.approx(cosine_by_loop(a, b), abs=1e-12)
    assert 0 <= found <= 1 + 1e-12
    assert cosine(b, a) == found
    assert cosine({name: times * count for name, count in a.items()}, b) == pytest.approx(found)
    assert cosine(a, a) == pytest.approx(1)


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ({"x": 3}, {"x": 4}, 1),
        ({"x": 3}, {"y": 4}, 0),
        ({"x": 3, "y": 4}, {"x": 1}, 0.6),
        ({"x": 1, "y": 1}, {"y": 1, "z": 1}, 0.5),
        ({}, {"x": 1}, None),
        ({"x": 1}, {}, None),
        ({}, {}, None),
        (Counter(), Counter("abc"), None),
    ],
)
def test_cosine_by_hand(a, b, expected):
    assert cosine(a, b) == (expected if expected is None else pytest.approx(expected))


def test_a_counter_gains_no_names():
    a, b = Counter("aab"), Counter("bcc")
    cosine(a, b)
    assert (a, b) == (Counter("aab"), Counter("bcc"))
    assert (len(a), len(b)) == (2, 2)


# --- distances ---

NUMBERS = st.lists(st.floats(-1000, 1000), min_size=1, max_size=12)


@given(NUMBERS, NUMBERS)
@settings(deadline=None)
def test_distances_are_the_area_between_the_distributions(a, b):
    none = {name: [0.0] for name in WASSERSTEIN}
    for name, label in WASSERSTEIN.items():
        table = pd.DataFrame({column: a if column == name else [1.0] * len(a) for column in WASSERSTEIN})
        found = distances(table, SimpleNamespace(properties={**none, name: b}))
        expected = dict.fromkeys(WASSERSTEIN.values(), 1.0) | {label: area_between(a, b)}
        assert found == pytest.approx(expected, abs=1e-9, rel=1e-9)


def test_distances_of_drugs(reference):
    from rdkit.Contrib.SA_Score import sascorer

    functions = {"logP": Crippen.MolLogP, "SA": sascorer.calculateScore, "QED": QED.qed, "weight": Descriptors.MolWt}
    found = distances(describe(OWN, tuple(WASSERSTEIN)), reference)
    assert list(found) == list(functions)
    for label, function in functions.items():
        own, others = ([function(Chem.MolFromSmiles(text)) for text in smiles] for smiles in (OWN, OTHERS))
        assert found[label] == pytest.approx(area_between(own, others), rel=1e-9)
    assert distances(describe(OTHERS, tuple(WASSERSTEIN)), reference) == dict.fromkeys(functions, 0)


def test_a_set_moved_by_a_constant_is_as_far_away(reference):
    table = reference.properties[list(WASSERSTEIN)] + 2.5
    assert distances(table, reference) == pytest.approx(dict.fromkeys(WASSERSTEIN.values(), 2.5))


def test_a_missing_figure_is_no_number(reference):
    table = reference.properties[list(WASSERSTEIN)].copy()
    table.loc[0, "qed"] = nan
    found = distances(table, reference)
    assert np.isnan(found["QED"])
    assert found["logP"] == 0
