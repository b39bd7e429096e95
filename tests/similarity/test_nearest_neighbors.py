"""Nearest neighbors equal argmax and max of the full similarity matrix."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from molecules import substituted_drugs
from rdkit import DataStructs
from rdkit.Chem import rdFingerprintGenerator

from molvae.chem.fingerprints import morgan_bits, tanimoto_matrix
from molvae.errors import InputError
from molvae.similarity import bit_slicing, nearest_neighbors
from molvae.similarity.nearest_neighbors import NearestNeighbors, _nearest_by_matrix_product

WIDTHS = [64, 192, 1024, 2048]
DENSITIES = [0.0, 0.002, 0.03, 0.5, 0.97, 1.0]

MOLS = substituted_drugs()
PACKED = morgan_bits(MOLS, bits=1024)


def nearest(queries, reference, workers=None):
    return NearestNeighbors(reference).query(queries, workers=workers)


def by_matrix(queries, reference):
    matrix = tanimoto_matrix(queries, reference)
    return matrix.argmax(axis=1), matrix.max(axis=1)


def assert_same(found, expected):
    for array, other, dtype in zip(found, expected, (np.int64, np.float32), strict=True):
        assert array.dtype == dtype
        np.testing.assert_array_equal(array, other)


def random_bits(random, rows, density, bits):
    """Packed random rows; with density None each row has its own density."""
    densities = random.choice(DENSITIES, size=(rows, 1)) if density is None else density
    return np.packbits(random.random((rows, bits)) < densities, axis=1, bitorder="little")


def test_drugs_and_their_analogs():
    assert len(PACKED) > 2000
    split = np.random.default_rng(0).permutation(len(PACKED))
    queries, reference = PACKED[split[:700]], PACKED[split[700:]]
    assert_same(nearest(queries, reference), by_matrix(queries, reference))


def test_repeated_queries_of_one_reference():
    neighbors = NearestNeighbors(PACKED[::2])
    found = [neighbors.query(batch) for batch in (PACKED[:1], PACKED[1:1], PACKED[1:300])]
    assert_same((np.concatenate(part) for part in zip(*found, strict=True)), by_matrix(PACKED[:300], PACKED[::2]))


def test_ties_are_broken_by_the_lowest_index():
    """Each molecule finds itself, or an earlier one with the same fingerprint."""
    index, similarity = nearest(PACKED, PACKED)
    assert (similarity == 1).all()
    assert (index <= np.arange(len(PACKED))).all()
    assert (index < np.arange(len(PACKED))).any()
    np.testing.assert_array_equal(PACKED[index], PACKED)


def test_nearest_equals_rdkit():
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=1024)
    reference = [generator.GetFingerprint(mol) for mol in MOLS[::2]]
    index, similarity = nearest(PACKED[1:200:2], PACKED[::2])
    for mol, i, s in zip(MOLS[1:200:2], index, similarity, strict=True):
        expected = np.array(DataStructs.BulkTanimotoSimilarity(generator.GetFingerprint(mol), reference))
        assert (i, s) == (expected.argmax(), np.float32(expected.max()))


@pytest.mark.parametrize("workers", [1, 2, None])
def test_workers_do_not_change_the_result(workers, monkeypatch):
    monkeypatch.setattr(nearest_neighbors, "_BATCH", 16)
    monkeypatch.setattr(nearest_neighbors, "_MIN_PAIRS_FOR_PROCESSES", 1000)
    queries = PACKED[::6]
    assert_same(nearest(queries, PACKED, workers), nearest(queries, PACKED, 3))


@given(
    st.integers(0, 2**32 - 1), st.integers(0, 60), st.integers(1, 400), st.sampled_from(WIDTHS),
    st.sampled_from([None, *DENSITIES]), st.booleans(),
)  # fmt: skip
@settings(max_examples=150, deadline=None)
def test_random_bits_in_small_blocks(random_state, rows, others, bits, density, related):
    """Many ties, rows without bits, blocks of every size, and queries that differ from a reference by a few bits."""
    random = np.random.default_rng(random_state)
    reference = random_bits(random, others, density, bits)
    queries = random_bits(random, rows, density, bits)
    if related:
        reference[others // 2 :] = reference[: others - others // 2]
        queries = reference[random.integers(others, size=rows)] ^ random_bits(random, rows, 0.01, bits)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bit_slicing, "_BLOCK_WORDS", random.choice([1, 2, 5]).item())
        for name, values in {
            "_BATCH": [2, 7, 64], "_MAX_QUERIES": [1, 3, 32], "_MAX_BIT_ROWS": [1, 40, 1000],
            "_START_SIZE": [1, 10, 1000], "_WORDS_PER_COMPARISON": [1, 8, 1000], "_STDS": [0.0, 3.0],
            "_MARGIN": [0.1, 1.0],
        }.items():  # fmt: skip
            patch.setattr(nearest_neighbors, name, random.choice(values).item())
        assert_same(nearest(queries, reference, 1), by_matrix(queries, reference))


@given(st.integers(0, 2**32 - 1), st.sampled_from([None, *DENSITIES]), st.sampled_from([64, 1024, 2048]))
@settings(max_examples=30, deadline=None)
def test_matrix_product(random_state, density, bits):
    """The GPU implementation, run on the CPU."""
    random = np.random.default_rng(random_state)
    queries, reference = (random_bits(random, n, density, bits) for n in random.integers(1, 40, size=2))
    reference[len(reference) // 2 :] = reference[: len(reference) - len(reference) // 2]
    found = _nearest_by_matrix_product(queries, reference, "cpu", rows=5, columns=7)
    assert_same(found, by_matrix(queries, reference))


def test_matrix_product_of_wide_fingerprints():
    random = np.random.default_rng(0)
    queries, reference = (random_bits(random, 20, 0.9, 8192) for _ in range(2))
    found = _nearest_by_matrix_product(queries, reference, "cpu", rows=6, columns=6)
    assert_same(found, nearest(queries, reference))
    assert_same(nearest(queries, reference), by_matrix(queries, reference))


def test_no_queries_and_no_set_bits():
    empty = np.zeros((3, 128), dtype=np.uint8)
    assert_same(nearest(PACKED[:0], PACKED), (np.zeros(0), np.zeros(0)))
    assert_same(_nearest_by_matrix_product(PACKED[:0], PACKED, "cpu"), (np.zeros(0), np.zeros(0)))
    assert_same(nearest(empty, PACKED), (np.zeros(3), np.zeros(3)))
    assert_same(nearest(PACKED[:3], empty), (np.zeros(3), np.zeros(3)))
    assert_same(nearest(empty, empty), (np.zeros(3), np.zeros(3)))


def test_one_query_and_one_reference():
    assert_same(nearest(PACKED[:1], PACKED[:1]), ([0], [1]))


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_empty_reference_is_rejected(device):
    with pytest.raises(InputError, match="the reference is empty"):
        NearestNeighbors(PACKED[:0], device=device)


def test_different_widths_are_rejected():
    with pytest.raises(InputError, match="128 and 64 bytes"):
        nearest(PACKED, PACKED[:, :64])
