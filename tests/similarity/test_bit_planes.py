"""Fingerprints bit by bit, against RDKit's counts and against themselves row by row."""

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
from molvae.similarity.bit_planes import BitPlanes, set_bits

MOLS = [parse(smiles) for smiles in DRUGS.values()]


@pytest.mark.parametrize("count", [0, 1, 40, 64, 65, 128, 2049])
def test_there_and_back(tmp_path, count):
    packed = np.tile(morgan_bits(MOLS), (50, 1))[:count]
    BitPlanes.of(packed).save(tmp_path / "a.npy")
    planes = BitPlanes.load(tmp_path / "a.npy", count)
    np.testing.assert_array_equal(planes.packed(), packed)
    assert planes.sizes.tolist() == [int(np.bitwise_count(row).sum()) for row in packed]


def test_common_bits_are_rdkits():
    planes = BitPlanes.of(morgan_bits(MOLS))
    for mol in MOLS:
        query = morgan(mol)
        bits = set_bits(morgan_bits([mol])[0])
        wanted = [(query & morgan(other)).GetNumOnBits() for other in MOLS]
        assert planes.common(bits).tolist() == wanted
        some = np.array([3, 0, 17])
        assert planes.common_at(bits, some).tolist() == [wanted[i] for i in some]
        similarity = planes.common(bits) / (len(bits) + planes.sizes - planes.common(bits))
        assert similarity.tolist() == DataStructs.BulkTanimotoSimilarity(query, [morgan(other) for other in MOLS])


@given(arrays(np.uint8, st.tuples(st.integers(1, 70), st.just(256))), st.integers(0, 2048))
def test_any_bits_are_counted(packed, asked):
    """Also of fingerprints that no molecule has: none set, all set."""
    packed[0] = 255
    bits = np.random.default_rng(asked).permutation(2048)[:asked]
    unpacked = np.unpackbits(packed, axis=1, bitorder="little")
    planes = BitPlanes.of(packed)
    assert planes.common(bits).tolist() == unpacked[:, bits].sum(1, dtype=int).tolist()
    assert planes.sizes.tolist() == unpacked.sum(1, dtype=int).tolist()


def test_a_file_of_another_library_is_named(tmp_path):
    BitPlanes.of(morgan_bits(MOLS)).save(tmp_path / "a.npy")
    with pytest.raises(InputError, match=r"a\.npy: not the fingerprints of 1,000"):
        BitPlanes.load(tmp_path / "a.npy", 1000)
    (tmp_path / "a.npy").write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"a\.npy: cannot read"):
        BitPlanes.load(tmp_path / "a.npy", 1)
