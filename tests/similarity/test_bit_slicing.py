"""Bit-sliced counting against NumPy sums of the bits and RDKit's counts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from molecules import DRUGS
from rdkit import DataStructs

from molvae.chem.fingerprints import morgan, morgan_bits
from molvae.chem.smiles import parse
from molvae.errors import InputError
from molvae.similarity.bit_slicing import (
    BitPlanes,
    add_bit_rows,
    digits_to_numbers,
    greater_equal,
    set_bits,
    transpose_bits,
    unpack_words,
)

MOLS = [parse(smiles) for smiles in DRUGS.values()]


@pytest.mark.parametrize("rows", [0, 1, 8, 63, 2048, 2049])
@pytest.mark.parametrize("width", [1, 8, 256, 300])
def test_transpose_bits(rows, width):
    packed = np.random.default_rng(rows).integers(256, size=(rows, width), dtype=np.uint8)
    columns = transpose_bits(packed)
    assert columns.shape == (8 * width, -(-rows // 8))
    bits = np.unpackbits(packed, axis=1, bitorder="little")
    np.testing.assert_array_equal(np.unpackbits(columns, axis=1, bitorder="little")[:, :rows], bits.T)
    np.testing.assert_array_equal(transpose_bits(columns)[:rows], packed)


@given(st.integers(0, 700), st.integers(1, 4), st.integers(1, 3), st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_sums_and_comparisons(rows, groups, words, random_state, density):
    """Without rows, with few and with more than 255 rows; with all bits and no bits set."""
    random = np.random.default_rng(random_state)
    bits = random.random((rows, groups, 64 * words)) < density
    bits[:, 0, 0], bits[:, 0, 1] = True, False
    digits = add_bit_rows(np.packbits(bits, axis=-1, bitorder="little").view(np.uint64))
    sums = bits.sum(axis=0)
    np.testing.assert_array_equal(digits_to_numbers(digits), sums)
    least = random.integers(0, 2 ** len(digits), size=groups)
    np.testing.assert_array_equal(unpack_words(greater_equal(digits, least)), sums >= least[:, None])


@pytest.mark.parametrize("count", [0, 1, 40, 64, 65, 128, 2049])
def test_bit_planes_round_trip(tmp_path, count):
    packed = np.tile(morgan_bits(MOLS), (50, 1))[:count]
    BitPlanes.from_packed(packed).save(tmp_path / "a.npy")
    planes = BitPlanes.load(tmp_path / "a.npy", count)
    np.testing.assert_array_equal(planes.packed(), packed)
    assert planes.sizes.tolist() == [int(np.bitwise_count(row).sum()) for row in packed]


def test_common_bits_equal_rdkit():
    planes = BitPlanes.from_packed(morgan_bits(MOLS))
    for mol in MOLS:
        query = morgan(mol)
        bits = set_bits(morgan_bits([mol])[0])
        expected = [(query & morgan(other)).GetNumOnBits() for other in MOLS]
        common = planes.count_common(bits)
        assert common.tolist() == expected
        selected = np.array([3, 0, 17])
        assert planes.count_common_at(bits, selected).tolist() == [expected[i] for i in selected]
        similarity = common / (len(bits) + planes.sizes - common)
        assert similarity.tolist() == DataStructs.BulkTanimotoSimilarity(query, [morgan(other) for other in MOLS])


@given(arrays(np.uint8, st.tuples(st.integers(1, 70), st.just(256))), st.integers(0, 2048))
def test_common_bits_of_arbitrary_fingerprints(packed, n_bits):
    packed[0] = 255
    bits = np.random.default_rng(n_bits).permutation(2048)[:n_bits]
    unpacked = np.unpackbits(packed, axis=1, bitorder="little")
    planes = BitPlanes.from_packed(packed)
    assert planes.count_common(bits).tolist() == unpacked[:, bits].sum(1, dtype=int).tolist()
    assert planes.sizes.tolist() == unpacked.sum(1, dtype=int).tolist()


def test_invalid_bit_planes_file_is_rejected(tmp_path):
    BitPlanes.from_packed(morgan_bits(MOLS)).save(tmp_path / "a.npy")
    with pytest.raises(InputError, match=r"fingerprints of 1,000 molecules"):
        BitPlanes.load(tmp_path / "a.npy", 1000)
    (tmp_path / "a.npy").write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"not a \.npy file"):
        BitPlanes.load(tmp_path / "a.npy", 1)
