"""Fingerprints and similarities equal those of RDKit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from molecules import DRUGS
from rdkit import DataStructs
from rdkit.Chem import AllChem, rdFingerprintGenerator
from rdkit.DataStructs import ExplicitBitVect

from molvae.chem import fingerprints
from molvae.chem.fingerprints import BITS, BYTES, morgan, morgan_bits, tanimoto, tanimoto_matrix
from molvae.chem.smiles import parse
from molvae.errors import InputError

MOLS = [parse(smiles) for smiles in DRUGS.values()]
FINGERPRINTS = [morgan(mol) for mol in MOLS]


def by_rdkit(a, b):
    return np.array([[DataStructs.TanimotoSimilarity(x, y) for y in b] for x in a])


def test_morgan_equals_rdkit():
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)
    assert morgan(MOLS[0]) == generator.GetFingerprint(MOLS[0])
    assert morgan(MOLS[0]).GetNumBits() == BITS


def test_packed_bits_equal_rdkit():
    packed = morgan_bits(MOLS)
    assert packed.shape == (len(MOLS), BYTES)
    for row, fingerprint in zip(np.unpackbits(packed, axis=1, bitorder="little"), FINGERPRINTS, strict=True):
        assert np.flatnonzero(row).tolist() == list(fingerprint.GetOnBits())


def test_packed_bits_of_another_size():
    """Fingerprints of 1024 bits equal those of the MOSES code."""
    packed = morgan_bits(MOLS, bits=1024)
    assert packed.shape == (len(MOLS), 128)
    assert morgan_bits([], bits=1024).shape == (0, 128)
    for row, mol in zip(np.unpackbits(packed, axis=1, bitorder="little"), MOLS, strict=True):
        expected = AllChem.GetMorganFingerprintAsBitVect(mol, 2, nBits=1024)
        assert np.flatnonzero(row).tolist() == list(expected.GetOnBits())


@pytest.mark.parametrize("bits", [0, -64, 100, 1023])
def test_sizes_must_be_multiples_of_64(bits):
    with pytest.raises(InputError, match="multiple of 64, got"):
        morgan_bits(MOLS, bits=bits)


def test_tanimoto_of_one_to_many():
    similarity = tanimoto(FINGERPRINTS[0], FINGERPRINTS)
    assert similarity[0] == 1
    np.testing.assert_array_equal(similarity, by_rdkit(FINGERPRINTS[:1], FINGERPRINTS)[0])
    assert tanimoto(FINGERPRINTS[0], []).shape == (0,)


@pytest.mark.parametrize(("rows", "columns"), [(0, 0), (0, 3), (1, 1), (1, 0), (17, len(MOLS))])
def test_matrix_of_drugs(rows, columns):
    packed = morgan_bits(MOLS)
    similarity = tanimoto_matrix(packed[:rows], packed[:columns])
    assert similarity.dtype == np.float32
    assert similarity.shape == (rows, columns)
    expected = by_rdkit(FINGERPRINTS[:rows], FINGERPRINTS[:columns]).reshape(rows, columns)
    np.testing.assert_allclose(similarity, expected, rtol=1e-6)


@given(
    st.integers(0, 2**32 - 1), st.integers(0, 40), st.integers(0, 40), st.sampled_from([0.0, 0.02, 0.5, 1.0]),
    st.sampled_from([64, 1024, BITS]),
)  # fmt: skip
@settings(max_examples=30, deadline=None)
def test_matrix_in_small_blocks(random_state, rows, columns, density, bits):
    """Block sizes that do not divide the matrix, rows without and with all bits, and sums up to 2048."""
    random = np.random.default_rng(random_state)
    a, b = (random.random((n, bits)) < density for n in (rows, columns))
    a[: rows // 4] = False
    expected = by_rdkit([_bit_vector(row) for row in a], [_bit_vector(row) for row in b]).reshape(rows, columns)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fingerprints, "_ROWS", 3)
        patch.setattr(fingerprints, "_COLUMNS", 7)
        similarity = tanimoto_matrix(*(np.packbits(x, axis=1, bitorder="little") for x in (a, b)))
    np.testing.assert_allclose(similarity, expected, rtol=1e-6)


def _bit_vector(row):
    vector = ExplicitBitVect(len(row))
    vector.SetBitsFromList(np.flatnonzero(row).tolist())
    return vector


def test_similarity_of_empty_fingerprints_is_zero():
    empty, zeros = ExplicitBitVect(BITS), np.zeros((1, BYTES), dtype=np.uint8)
    assert DataStructs.TanimotoSimilarity(empty, empty) == 0
    assert tanimoto(empty, [empty])[0] == 0
    assert tanimoto_matrix(zeros, zeros)[0, 0] == 0


def test_non_contiguous_rows():
    packed = morgan_bits(MOLS)
    expected = tanimoto_matrix(packed, packed)[::2, ::-1]
    np.testing.assert_array_equal(tanimoto_matrix(packed[::2], np.asfortranarray(packed)[::-1]), expected)


def test_wide_fingerprints_do_not_overflow():
    full = np.full((2, 8192), 255, dtype=np.uint8)
    np.testing.assert_array_equal(tanimoto_matrix(full, full), 1)


@pytest.mark.parametrize(
    "bad",
    [
        np.zeros((2, 12), np.uint8),
        np.zeros((2, 0), np.uint8),
        np.zeros((2, BYTES), np.int64),
        np.zeros(BYTES, np.uint8),
    ],
)
def test_other_shapes_and_types_are_rejected(bad):
    with pytest.raises(InputError, match=r"uint8 of shape \(N, multiple of 8\), got"):
        tanimoto_matrix(bad, morgan_bits(MOLS))


def test_different_widths_are_rejected():
    with pytest.raises(InputError, match="different widths: 128 and 256 bytes"):
        tanimoto_matrix(morgan_bits(MOLS, bits=1024), morgan_bits(MOLS))
