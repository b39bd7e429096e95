"""MOSES set metrics compared with direct implementations of their definitions."""

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
from molvae.metrics.moses import (
    WASSERSTEIN_METRICS,
    Structures,
    compute_structures,
    cosine_similarity,
    internal_diversity,
    similarity_to_reference,
    wasserstein_distances,
)
from molvae.metrics.reference import Reference

SMILES = list(DRUGS.values())
GENERATED, REFERENCE = SMILES[::2], SMILES[1::2]
GENERATOR = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=1024)


def rdkit_bits(smiles):
    return [GENERATOR.GetFingerprint(Chem.MolFromSmiles(text)) for text in smiles]


def structures_from_fingerprints(fingerprints):
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


def area_between_cdfs(a, b):
    """Return the area between two empirical cumulative distribution functions."""
    total = 0.0
    for low, high in pairwise(sorted([*a, *b])):
        below_a = sum(value <= low for value in a) / len(a)
        below_b = sum(value <= low for value in b) / len(b)
        total += abs(below_a - below_b) * (high - low)
    return total


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    return Reference(REFERENCE, folder=tmp_path_factory.mktemp("reference"), workers=0)


# --- diversity ---


def test_internal_diversity_of_drugs():
    bits = rdkit_bits(SMILES)
    pairs = [[DataStructs.TanimotoSimilarity(a, b) for b in bits] for a in bits]
    found = internal_diversity(compute_structures(SMILES, 0), 0)
    assert list(found) == ["IntDiv", "IntDiv2"]
    size = len(bits)
    assert found["IntDiv"] == pytest.approx(1 - sum(map(sum, pairs)) / size**2, abs=1e-12)
    roots = sum(sqrt(sum(s * s for s in row) / size) for row in pairs)
    assert found["IntDiv2"] == pytest.approx(1 - roots / size, abs=1e-12)


@given(st.lists(st.lists(st.integers(0, 255), min_size=8, max_size=8), min_size=1, max_size=12))
@settings(max_examples=60, deadline=None)
def test_internal_diversity_of_random_bits(rows):
    found = internal_diversity(structures_from_fingerprints(packed(rows)), 1)
    similarity = [[tanimoto(a, b) for b in rows] for a in rows]
    mean = sum(map(sum, similarity)) / len(rows) ** 2
    roots = sum(sqrt(sum(s * s for s in row) / len(rows)) for row in similarity) / len(rows)
    assert found == {"IntDiv": pytest.approx(1 - mean, abs=1e-12), "IntDiv2": pytest.approx(1 - roots, abs=1e-12)}
    assert found["IntDiv2"] <= found["IntDiv"] + 1e-12  # the mean of squares is at least the square of the mean


def test_internal_diversity_of_repeated_molecule_is_zero():
    assert internal_diversity(compute_structures([DRUGS["aspirin"]] * 5, 0)) == pytest.approx(
        {"IntDiv": 0, "IntDiv2": 0}, abs=1e-12
    )


# --- similarity to a reference ---


def test_similarity_to_reference_of_drugs(reference):
    own, others = compute_structures(GENERATED, 0), compute_structures(REFERENCE, 0)
    bits, reference_bits = rdkit_bits(GENERATED), rdkit_bits(REFERENCE)
    found = similarity_to_reference(own, reference, "Test", 0)
    assert list(found) == ["SNN/Test", "Frag/Test", "Scaf/Test"]
    nearest = [max(DataStructs.TanimotoSimilarity(a, b) for b in reference_bits) for a in bits]
    assert found["SNN/Test"] == pytest.approx(sum(nearest) / len(nearest), abs=1e-7)
    assert found["Frag/Test"] == pytest.approx(cosine_by_loop(own.fragments, others.fragments), abs=1e-12)
    assert found["Scaf/Test"] == pytest.approx(cosine_by_loop(own.scaffolds, others.scaffolds), abs=1e-12)
    assert 0.1 < found["SNN/Test"] < 0.9
    assert 0.1 < found["Frag/Test"] < 0.9


def test_snn_is_not_symmetric(reference):
    """A set of one reference molecule has SNN 1, although the reference set has other molecules."""
    found = similarity_to_reference(compute_structures(REFERENCE[:1], 0), reference, "Test", 1)
    assert found["SNN/Test"] == 1


def test_similarity_of_reference_to_itself_is_one(reference):
    found = similarity_to_reference(compute_structures(REFERENCE, 0), reference, "TestSF", 1)
    assert found == {"SNN/TestSF": 1, "Frag/TestSF": pytest.approx(1), "Scaf/TestSF": pytest.approx(1)}


def test_scaf_is_none_without_scaffolds(reference):
    found = similarity_to_reference(
        compute_structures([DRUGS["aspirin"], DRUGS["valproic acid"]], 0), reference, "Test", 1
    )
    assert found["Scaf/Test"] is None
    assert found["Frag/Test"] > 0


# --- workers ---


@pytest.mark.parametrize("workers", [1, 2, None])
def test_workers_do_not_change_metrics(workers, reference, tmp_path):
    """With workers=0, everything is computed in this process."""
    smiles = (SMILES * 12)[:530]  # two chunks
    serial, parallel = compute_structures(smiles, 0), compute_structures(smiles, workers)
    other_reference = Reference(REFERENCE, folder=tmp_path, workers=workers)
    assert internal_diversity(serial, 0) == internal_diversity(parallel, workers)
    assert similarity_to_reference(serial, reference, "Test", 0) == similarity_to_reference(
        parallel, other_reference, "Test", workers
    )
    table = describe(GENERATED, tuple(WASSERSTEIN_METRICS))
    assert wasserstein_distances(table, reference) == wasserstein_distances(table, other_reference)


# --- cosine similarity ---

COUNTS = st.dictionaries(st.sampled_from("abcdefgh"), st.integers(1, 10**6), min_size=1)


@given(COUNTS, COUNTS, st.integers(1, 50))
def test_cosine_similarity_of_random_counts(a, b, times):
    found = cosine_similarity(a, b)
    assert found == pytest.approx(cosine_by_loop(a, b), abs=1e-12)
    assert 0 <= found <= 1 + 1e-12
    assert cosine_similarity(b, a) == found
    assert cosine_similarity({name: times * count for name, count in a.items()}, b) == pytest.approx(found)
    assert cosine_similarity(a, a) == pytest.approx(1)


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
def test_cosine_similarity_of_known_counts(a, b, expected):
    assert cosine_similarity(a, b) == (expected if expected is None else pytest.approx(expected))


def test_cosine_similarity_does_not_modify_counters():
    a, b = Counter("aab"), Counter("bcc")
    cosine_similarity(a, b)
    assert (a, b) == (Counter("aab"), Counter("bcc"))
    assert (len(a), len(b)) == (2, 2)


# --- Wasserstein distances ---

NUMBERS = st.lists(st.floats(-1000, 1000), min_size=1, max_size=12)


@given(NUMBERS, NUMBERS)
@settings(deadline=None)
def test_wasserstein_distance_is_area_between_cdfs(a, b):
    zeros = {name: [0.0] for name in WASSERSTEIN_METRICS}
    for name, label in WASSERSTEIN_METRICS.items():
        table = pd.DataFrame({column: a if column == name else [1.0] * len(a) for column in WASSERSTEIN_METRICS})
        found = wasserstein_distances(table, SimpleNamespace(properties={**zeros, name: b}))
        expected = dict.fromkeys(WASSERSTEIN_METRICS.values(), 1.0) | {label: area_between_cdfs(a, b)}
        assert found == pytest.approx(expected, abs=1e-9, rel=1e-9)


def test_wasserstein_distances_of_drugs(reference):
    from rdkit.Contrib.SA_Score import sascorer

    functions = {"logP": Crippen.MolLogP, "SA": sascorer.calculateScore, "QED": QED.qed, "weight": Descriptors.MolWt}
    found = wasserstein_distances(describe(GENERATED, tuple(WASSERSTEIN_METRICS)), reference)
    assert list(found) == list(functions)
    for label, function in functions.items():
        own, others = ([function(Chem.MolFromSmiles(text)) for text in smiles] for smiles in (GENERATED, REFERENCE))
        assert found[label] == pytest.approx(area_between_cdfs(own, others), rel=1e-9)
    assert wasserstein_distances(describe(REFERENCE, tuple(WASSERSTEIN_METRICS)), reference) == dict.fromkeys(
        functions, 0
    )


def test_wasserstein_distance_of_shifted_values_is_the_shift(reference):
    table = reference.properties[list(WASSERSTEIN_METRICS)] + 2.5
    assert wasserstein_distances(table, reference) == pytest.approx(dict.fromkeys(WASSERSTEIN_METRICS.values(), 2.5))


def test_wasserstein_distance_of_missing_value_is_nan(reference):
    table = reference.properties[list(WASSERSTEIN_METRICS)].copy()
    table.loc[0, "qed"] = nan
    found = wasserstein_distances(table, reference)
    assert np.isnan(found["QED"])
    assert found["logP"] == 0
