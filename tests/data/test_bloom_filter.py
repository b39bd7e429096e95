"""Bloom filter: no false negatives, the expected rate of false positives, and damaged files."""

from __future__ import annotations

import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from molecules import DRUGS

from molvae.data.bloom_filter import FORMAT, BloomFilter
from molvae.errors import CheckpointError, InputError


@pytest.fixture
def bloom():
    return BloomFilter.from_smiles(DRUGS.values())


@given(st.lists(st.text(max_size=30), max_size=60), st.integers(1, 40))
@settings(max_examples=60, deadline=None)
def test_no_false_negatives(texts, bits_per_item):
    bloom = BloomFilter.from_smiles(iter(texts), bits_per_item)
    assert len(bloom) == len(set(texts))
    assert bloom.contains(texts).all()
    assert all(text in bloom for text in texts)


@pytest.mark.parametrize("bits_per_item", [4, 8, 12])
def test_false_positive_rate(bits_per_item):
    bloom = BloomFilter.from_smiles((f"C{i}" for i in range(20_000)), bits_per_item)
    measured = bloom.contains([f"N{i}" for i in range(100_000)]).mean()
    assert bloom.false_positive_rate / 3 < measured < bloom.false_positive_rate * 3


def test_default_false_positive_rate():
    """More members than fit in one chunk of hashes."""
    members = [f"C{i}" for i in range(70_000)]
    bloom = BloomFilter.from_smiles(members)
    assert bloom.n_hashes == 11
    assert bloom.bits.size == 2 * len(members)
    assert 0.0004 < bloom.false_positive_rate < 0.0005
    assert bloom.contains(members).all()
    assert bloom.contains([f"N{i}" for i in range(100_000)]).sum() < 150


def test_bits_are_portable():
    """The bits follow from the BLAKE2b hashes alone, on every platform."""
    import hashlib

    digest = hashlib.blake2b(b"CCO", digest_size=16).digest()
    first, second = (int.from_bytes(digest[i : i + 8], "little") for i in (0, 8))
    expected = {(first + k * (second | 1)) % 2**64 % 64 for k in range(11)}
    bits = np.unpackbits(BloomFilter.from_smiles(["CCO"]).bits, bitorder="little")
    assert set(np.flatnonzero(bits)) == expected


def test_duplicates_count_once():
    assert len(BloomFilter.from_smiles(["C", "CC", "C"])) == 2


def test_empty_filter():
    bloom = BloomFilter.from_smiles([])
    assert len(bloom) == 0
    assert bloom.false_positive_rate == 0
    assert not bloom.contains(["C", "CC"]).any()
    assert bloom.contains([]).shape == (0,)
    assert bloom.contains([]).dtype == np.bool_


def test_non_text_is_not_a_member(bloom):
    assert None not in bloom
    assert 7 not in bloom


def test_bits_per_item_must_be_positive():
    with pytest.raises(InputError, match="bits_per_item must be 1 or more, got 0"):
        BloomFilter.from_smiles([], 0)


@pytest.mark.parametrize("name", ["bloom_filter.npz", "bloom_filter"])
def test_save_and_load(bloom, tmp_path, name):
    bloom.save(tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    loaded = BloomFilter.load(str(tmp_path / name))
    np.testing.assert_array_equal(loaded.bits, bloom.bits)
    assert (loaded.n_hashes, loaded.n_items) == (bloom.n_hashes, bloom.n_items)
    assert loaded.contains(list(DRUGS.values())).all()


def test_missing_file(tmp_path):
    with pytest.raises(CheckpointError, match=r"lacks nothing\.npz"):
        BloomFilter.load(tmp_path / "nothing.npz")


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_damaged_file(tmp_path_factory, data):
    """A truncated or changed file raises an error that names it, unless the zip format ignores the changed byte."""
    path = tmp_path_factory.mktemp("damaged") / "bloom_filter.npz"
    bloom = BloomFilter.from_smiles(DRUGS.values())
    bloom.save(path)
    content = bytearray(path.read_bytes())
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(0, len(content) - 1))]
    else:
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    message, loaded = "", bloom
    try:
        loaded = BloomFilter.load(path)
    except CheckpointError as error:
        message = str(error)
    if message:
        assert "bloom_filter.npz" in message
    else:
        assert (loaded.n_hashes, loaded.n_items) == (bloom.n_hashes, bloom.n_items)
        np.testing.assert_array_equal(loaded.bits, bloom.bits)


def test_damage_that_looks_like_encryption(tmp_path):
    path = tmp_path / "bloom_filter.npz"
    BloomFilter.from_smiles(DRUGS.values()).save(path)
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1  # the flag of an encrypted member, in zip's central directory
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"bloom_filter\.npz is damaged.*encrypted"):
        BloomFilter.load(path)


@pytest.mark.parametrize(
    ("header", "bits", "message"),
    [
        (
            [FORMAT + 1, 11, 1],
            np.zeros(8, np.uint8),
            f"format {FORMAT + 1}; .* reads {FORMAT}",
        ),
        ([FORMAT, 0, 1], np.zeros(8, np.uint8), "has 0 hash functions"),
        ([FORMAT, 10**9, 1], np.zeros(8, np.uint8), "has 1000000000 hash functions"),
        ([FORMAT, 11, 1], np.zeros(0, np.uint8), r"bits have the shape \(0,\)"),
        ([FORMAT, 11, 1], np.zeros(8), "the type float64"),
        ([FORMAT, 11], np.zeros(8, np.uint8), "damaged"),
        (FORMAT, np.zeros(8, np.uint8), "damaged"),
    ],
)
def test_invalid_header_or_bits(tmp_path, header, bits, message):
    np.savez(tmp_path / "bloom_filter.npz", header=np.array(header), bits=bits)
    with pytest.raises(CheckpointError, match=message):
        BloomFilter.load(tmp_path / "bloom_filter.npz")


def test_load_does_not_unpickle(tmp_path):
    np.savez(tmp_path / "bloom_filter.npz", header=np.array([FORMAT, 1, 1]), bits=np.array([object()], dtype=object))
    with pytest.raises(CheckpointError, match=r"bloom_filter\.npz"):
        BloomFilter.load(tmp_path / "bloom_filter.npz")
    np.save(tmp_path / "bloom_filter.npy", np.zeros(3))  # one array instead of an archive of arrays
    with pytest.raises(CheckpointError, match=r"bloom_filter\.npy"):
        BloomFilter.load(tmp_path / "bloom_filter.npy")


def test_compressed_file_is_rejected(tmp_path):
    """A small compressed file, or a header with a huge shape, could exhaust the memory."""
    np.savez_compressed(tmp_path / "a.npz", header=np.array([1, 7, 9]), bits=np.zeros(64, np.uint8))
    with pytest.raises(CheckpointError, match=r"a\.npz is damaged: it is compressed"):
        BloomFilter.load(tmp_path / "a.npz")
    header = np.lib.format.magic(1, 0) + (118).to_bytes(2, "little")
    header += str({"descr": "|u1", "fortran_order": False, "shape": (10**13,)}).ljust(117).encode() + b"\n"
    with zipfile.ZipFile(tmp_path / "b.npz", "w") as archive:
        archive.writestr("header.npy", header)
        archive.writestr("bits.npy", header)
    with pytest.raises(CheckpointError, match=r"b\.npz is damaged: it is not an \.npz file"):
        BloomFilter.load(tmp_path / "b.npz")
