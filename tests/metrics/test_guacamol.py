"""GuacaMol scores compared with RDKit descriptors and SciPy density estimates."""

from __future__ import annotations

import re
from math import exp, inf, isnan, nan

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from molecules import DRUGS
from rdkit import Chem, DataStructs
from rdkit.Chem import rdFingerprintGenerator
from rdkit.ML.Descriptors.MoleculeDescriptors import MolecularDescriptorCalculator

from molvae.chem.fingerprints import morgan_bits
from molvae.chem.smiles import parse
from molvae.errors import InputError
from molvae.metrics import guacamol
from molvae.metrics.guacamol import (
    DESCRIPTORS,
    FEATURES,
    INTERNAL_SIMILARITY,
    compute_descriptors,
    fcd_score,
    fingerprints,
    internal_nearest_similarity,
    kl_divergences,
    kl_score,
)

MOLS = [parse(smiles) for smiles in DRUGS.values()]
CONTINUOUS = ("BertzCT", "MolLogP", "MolWt", "TPSA", INTERNAL_SIMILARITY)

REAL_VALUES = arrays(np.float64, st.integers(1, 30), elements=st.integers(-(10**5), 10**5).map(lambda n: n / 100))
COUNT_VALUES = arrays(np.int64, st.integers(1, 30), elements=st.integers(0, 15))
FEATURE_TABLES = st.fixed_dictionaries({name: REAL_VALUES if name in CONTINUOUS else COUNT_VALUES for name in FEATURES})


def compute_features(mols):
    rows = [compute_descriptors(mol) for mol in mols]
    table = {name: np.array([row[name] for row in rows]) for name in DESCRIPTORS}
    return {**table, INTERNAL_SIMILARITY: internal_nearest_similarity(fingerprints(mols))}


def rdkit_nearest_similarity(mols, bits):
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=bits)
    found = [generator.GetFingerprint(mol) for mol in mols]
    return [
        max((DataStructs.TanimotoSimilarity(a, b) for j, b in enumerate(found) if j != i), default=0)
        for i, a in enumerate(found)
    ]


def scipy_divergence(name, reference, generated):
    """Compute the KL divergence by its definition, with SciPy."""
    stats = pytest.importorskip("scipy.stats")
    reference, generated = np.asarray(reference, float), np.asarray(generated, float)
    if name in CONTINUOUS:
        both = np.concatenate([reference, generated])
        points = np.linspace(both.min(), both.max(), 1000)
        p, q = (stats.gaussian_kde(values)(points) for values in (reference, generated))
    else:
        p, edges = np.histogram(reference, bins=10, density=True)
        q, _ = np.histogram(generated, bins=edges, density=True)
    return stats.entropy(p + 1e-10, q + 1e-10)


def test_descriptors_match_rdkit_calculator():
    calculator = MolecularDescriptorCalculator(list(DESCRIPTORS))
    for mol in [*MOLS, *(parse(smiles) for smiles in ("C", "[Na+]", "*", "[H][H]"))]:
        found = compute_descriptors(mol)
        assert tuple(found) == tuple(DESCRIPTORS)
        assert tuple(found.values()) == calculator.CalcDescriptors(mol)
        assert np.isfinite(list(found.values())).all()
    assert [name for name in DESCRIPTORS if DESCRIPTORS[name].kind == "continuous"] == list(CONTINUOUS[:4])


def test_descriptors_and_fingerprints_ignore_stereo():
    flat = [parse(Chem.MolToSmiles(mol, isomericSmiles=False)) for mol in MOLS]
    for mol, flat_mol in zip(MOLS, flat, strict=True):
        assert compute_descriptors(flat_mol) == pytest.approx(compute_descriptors(mol))
    np.testing.assert_array_equal(fingerprints(flat), fingerprints(MOLS))


@pytest.mark.parametrize("block", [1, 7, 1024])
def test_internal_nearest_similarity_matches_rdkit(monkeypatch, block):
    monkeypatch.setattr(guacamol, "_BLOCK_ROWS", block)
    packed = fingerprints(MOLS)
    assert packed.shape == (len(MOLS), 512)
    found = internal_nearest_similarity(packed)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, rdkit_nearest_similarity(MOLS, 4096), rtol=1e-6)
    np.testing.assert_allclose(
        internal_nearest_similarity(morgan_bits(MOLS)), rdkit_nearest_similarity(MOLS, 2048), rtol=1e-6
    )


def test_internal_nearest_similarity_of_small_sets():
    packed = fingerprints(MOLS[:1])
    assert internal_nearest_similarity(fingerprints([])).shape == (0,)
    assert internal_nearest_similarity(packed).tolist() == [0]
    assert internal_nearest_similarity(np.repeat(packed, 2, axis=0)).tolist() == [1, 1]
    assert internal_nearest_similarity(np.zeros((2, 512), np.uint8)).tolist() == [0, 0]
    for invalid in (np.zeros((2, 512)), np.zeros(512, np.uint8)):
        with pytest.raises(InputError, match=r"must be uint8 of shape"):
            internal_nearest_similarity(invalid)


@pytest.mark.parametrize("split", [10, 24, 40])
def test_kl_divergences_match_definition(split):
    generated, reference = compute_features(MOLS[:split]), compute_features(MOLS[split:])
    found = kl_divergences(generated, reference)
    assert tuple(found) == FEATURES
    for name, value in found.items():
        assert value == pytest.approx(scipy_divergence(name, reference[name], generated[name]), rel=1e-9), name
    assert kl_score(found) == pytest.approx(np.mean([exp(-value) for value in found.values()]))
    assert 0 < kl_score(found) < 1


def test_equal_sets_score_1():
    for mols in (MOLS, MOLS[:1]):
        divergences = kl_divergences(compute_features(mols), compute_features(mols))
        assert set(divergences.values()) == {0.0}
        assert kl_score(divergences) == 1
    assert fcd_score(0) == 1


def test_kl_divergence_is_not_symmetric():
    """A narrow distribution is penalized more than a wide one."""
    wide, narrow = compute_features(MOLS), compute_features(MOLS)
    wide["NumHDonors"], narrow["NumHDonors"] = np.array([0, 1, 2, 9]), np.array([0, 0, 9, 9])
    divergence = kl_divergences(narrow, wide)["NumHDonors"]
    assert divergence == pytest.approx(scipy_divergence("NumHDonors", wide["NumHDonors"], narrow["NumHDonors"]))
    assert divergence > 5 > 1 > kl_divergences(wide, narrow)["NumHDonors"]


@pytest.mark.parametrize(
    ("name", "generated", "reference", "expected"),
    [
        ("TPSA", [3.3], [3.3, 3.3], 0),
        ("TPSA", [0.1] * 3, [0.1] * 7, 0),
        ("TPSA", [3.3], [3.4], inf),
        ("TPSA", [3.3], [3.3, 3.4], inf),
        ("TPSA", [3.3, 3.4], [3.3], inf),
        ("NumHDonors", [2], [2, 2, 2], 0),
        ("NumHDonors", [3, 4], [2, 2], inf),
        ("NumHDonors", [6, 7, 8], [0, 5], inf),
    ],
)
def test_kl_divergence_of_degenerate_distributions(name, generated, reference, expected):
    """Cases in which the reference implementation raises or returns NaN."""
    table = compute_features(MOLS)
    found = kl_divergences({**table, name: np.array(generated)}, {**table, name: np.array(reference)})
    assert found[name] == expected
    assert kl_score(found) == pytest.approx(1 if expected == 0 else 0.9)


@pytest.mark.parametrize(
    "invalid", [np.array([]), np.array([1.0, nan]), np.array([inf, 1]), np.ones((3, 1)), np.array(1.0)]
)
def test_invalid_values_raise(invalid):
    valid = compute_features(MOLS)
    for name in ("MolWt", "NumHDonors"):
        with pytest.raises(InputError, match=f"generated column '{name}' must be finite numbers"):
            kl_divergences({**valid, name: invalid}, valid)
        with pytest.raises(InputError, match=f"reference column '{name}' must be finite numbers"):
            kl_divergences(valid, {**valid, name: invalid})


def test_missing_and_extra_columns():
    valid = compute_features(MOLS)
    assert kl_divergences({**valid, "qed": np.array([nan])}, valid) == kl_divergences(valid, valid)
    with pytest.raises(InputError, match=re.escape("the reference set has no column 'internal_similarity'")):
        kl_divergences(valid, {name: valid[name] for name in DESCRIPTORS})


def test_scores_of_known_values():
    assert kl_score({"a": 0, "b": inf}) == 0.5
    assert fcd_score(5) == pytest.approx(exp(-1))
    assert fcd_score(inf) == 0
    for invalid in ({}, {"a": nan}, {"a": -1.0}):
        with pytest.raises(InputError, match="at least one divergence"):
            kl_score(invalid)
    for invalid in (nan, -1e-3):
        with pytest.raises(InputError, match="must be 0 or more"):
            fcd_score(invalid)


@given(FEATURE_TABLES, FEATURE_TABLES, st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_kl_score_is_bounded_and_independent_of_order(generated, reference, random_state):
    found = kl_divergences(generated, reference)
    assert not any(isnan(value) or value < 0 for value in found.values())
    assert 0 <= kl_score(found) <= 1
    rng = np.random.default_rng(random_state)
    shuffled = [{name: rng.permutation(table[name]) for name in FEATURES} for table in (generated, reference)]
    assert kl_divergences(*shuffled) == pytest.approx(found, rel=1e-6, abs=1e-9)
    assert kl_score(kl_divergences(generated, generated)) == 1


@given(REAL_VALUES, REAL_VALUES)
@settings(max_examples=40, deadline=None)
def test_continuous_divergence_matches_scipy(a, b):
    table = dict.fromkeys(FEATURES, np.zeros(1))
    found = kl_divergences({**table, "MolWt": a}, {**table, "MolWt": b})["MolWt"]
    if min(np.ptp(a), np.ptp(b)) > 0:
        assert found == pytest.approx(scipy_divergence("MolWt", b, a), rel=1e-6, abs=1e-9)
    else:
        assert found == (0 if set(a) == set(b) else inf)
