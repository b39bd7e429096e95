"""Sums of bits by adders on words, against sums of the bits themselves."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from molvae.similarity.bit_slicing import added, at_least, numbers, turned, unpacked


@pytest.mark.parametrize("rows", [0, 1, 8, 63, 2048, 2049])
@pytest.mark.parametrize("width", [1, 8, 256, 300])
def test_turned_twice_is_as_before(rows, width):
    packed = np.random.default_rng(rows).integers(256, size=(rows, width), dtype=np.uint8)
    columns = turned(packed)
    assert columns.shape == (8 * width, -(-rows // 8))
    bits = np.unpackbits(packed, axis=1, bitorder="little")
    np.testing.assert_array_equal(np.unpackbits(columns, axis=1, bitorder="little")[:, :rows], bits.T)
    np.testing.assert_array_equal(turned(columns)[:rows], packed)


@given(st.integers(0, 700), st.integers(1, 4), st.integers(1, 3), st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_sums_are_those_of_the_bits(rows, groups, words, seed, density):
    """None, few and more than 255 rows, all bits set and none."""
    random = np.random.default_rng(seed)
    bits = random.random((rows, groups, 64 * words)) < density
    bits[:, 0, 0], bits[:, 0, 1] = True, False
    digits = added(np.packbits(bits, axis=-1, bitorder="little").view(np.uint64))
    sums = bits.sum(axis=0)
    np.testing.assert_array_equal(numbers(digits), sums)
    need = random.integers(0, 2 ** len(digits), size=groups)
    np.testing.assert_array_equal(unpacked(at_least(digits, need)), sums >= need[:, None])
