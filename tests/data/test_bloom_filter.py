"""The filter of seen molecules: no member is ever missed, and strangers pass as often as it says."""

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
def seen():
    return BloomFilter.from_smiles(DRUGS.values())


@given(st.lists(st.text(max_size=30), max_size=60), st.integers(1, 40))
@settings(max_examples=60, deadline=None)
def test_no_member_is_missed(strings, bits_per_item):
    seen = BloomFilter.from_smiles(iter(strings), bits_per_item)
    assert len(seen) == len(set(strings))
    assert seen.contains(strings).all()
    assert all(string in seen for string in strings)


@pytest.mark.parametrize("bits_per_item", [4, 8, 12])
def test_strangers_pass_as_often_as_stated(bits_per_item):
    seen = BloomFilter.from_smiles((f"C{i}" for i in range(20_000)), bits_per_item)
    measured = seen.contains([f"N{i}" for i in range(100_000)]).mean()
    assert seen.false_positive_rate / 3 < measured < seen.false_positive_rate * 3


def test_the_default_is_half_a_per_mille():
    """More items than one chunk of hashing holds, so that chunk borders are crossed too."""
    members = [f"C{i}" for i in range(70_000)]
    seen = BloomFilter.from_smiles(members)
    assert seen.hashes == 11
    assert seen.bits.size == 2 * len(members)
    assert 0.0004 < seen.false_positive_rate < 0.0005
    assert seen.contains(members).all()
    assert seen.contains([f"N{i}" for i in range(100_000)]).sum() < 150


def test_hashes_are_the_same_on_every_machine():
    """A filter that ships is read elsewhere: these bits were worked out from blake2b's definition by hand."""
    import hashlib

    digest = hashlib.blake2b(b"CCO", digest_size=16).digest()
    first, second = (int.from_bytes(digest[i : i + 8], "little") for i in (0, 8))
    expected = {(first + k * (second | 1)) % 2**64 % 64 for k in range(11)}
    bits = np.unpackbits(BloomFilter.from_smiles(["CCO"]).bits, bitorder="little")
    assert set(np.flatnonzero(bits)) == expected


def test_repeats_count_once():
    assert len(BloomFilter.from_smiles(["C", "CC", "C"])) == 2


def test_an_empty_set_has_seen_nothing():
    seen = BloomFilter.from_smiles([])
    assert len(seen) == 0
    assert seen.false_positive_rate == 0
    assert not seen.contains(["C", "CC"]).any()
    assert seen.contains([]).shape == (0,)
    assert seen.contains([]).dtype == np.bool_


def test_what_is_not_text_is_not_in_it(seen):
    assert None not in seen
    assert 7 not in seen


def test_too_few_bits_are_rejected():
    with pytest.raises(InputError, match="bits_per_item must be 1 or more, got 0"):
        BloomFilter.from_smiles([], 0)


@pytest.mark.parametrize("name", ["seen.npz", "seen"])
def test_saved_and_loaded(seen, tmp_path, name):
    seen.save(tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    loaded = BloomFilter.load(str(tmp_path / name))
    np.testing.assert_array_equal(loaded.bits, seen.bits)
    assert (loaded.hashes, loaded.items) == (seen.hashes, seen.items)
    assert loaded.contains(list(DRUGS.values())).all()


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"nothing\.npz: there is no such file"):
        BloomFilter.load(tmp_path / "nothing.npz")


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_a_file_cut_short_or_overwritten_is_named(tmp_path_factory, data):
    """Cut or changed anywhere: an error that names the file, or (a byte that zip ignores) the same filter."""
    path = tmp_path_factory.mktemp("novelty") / "seen.npz"
    seen = BloomFilter.from_smiles(DRUGS.values())
    seen.save(path)
    content = bytearray(path.read_bytes())
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(0, len(content) - 1))]
    else:
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    message, loaded = "", seen
    try:
        loaded = BloomFilter.load(path)
    except CheckpointError as error:
        message = str(error)
    if message:
        assert "seen.npz" in message
    else:
        assert (loaded.hashes, loaded.items) == (seen.hashes, seen.items)
        np.testing.assert_array_equal(loaded.bits, seen.bits)


def test_a_file_whose_damage_looks_like_encryption_is_named(tmp_path):
    path = tmp_path / "seen.npz"
    BloomFilter.from_smiles(DRUGS.values()).save(path)
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1  # the flag of an encrypted member, in zip's central directory
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"seen\.npz: damaged.*encrypted"):
        BloomFilter.load(path)


@pytest.mark.parametrize(
    ("header", "bits", "message"),
    [
        ([FORMAT + 1, 11, 1], np.zeros(8, np.uint8), f"format {FORMAT + 1}, this molvae reads {FORMAT}"),
        ([FORMAT, 0, 1], np.zeros(8, np.uint8), "do not make a Bloom filter"),
        ([FORMAT, 10**9, 1], np.zeros(8, np.uint8), "do not make a Bloom filter"),
        ([FORMAT, 11, 1], np.zeros(0, np.uint8), "do not make a Bloom filter"),
        ([FORMAT, 11, 1], np.zeros(8), "do not make a Bloom filter"),
        ([FORMAT, 11], np.zeros(8, np.uint8), "damaged"),
        (FORMAT, np.zeros(8, np.uint8), "damaged"),
    ],
)
def test_numbers_that_make_no_filter_are_rejected(tmp_path, header, bits, message):
    np.savez(tmp_path / "seen.npz", header=np.array(header), bits=bits)
    with pytest.raises(CheckpointError, match=message):
        BloomFilter.load(tmp_path / "seen.npz")


def test_loading_runs_no_pickle(tmp_path):
    np.savez(tmp_path / "seen.npz", header=np.array([FORMAT, 1, 1]), bits=np.array([object()], dtype=object))
    with pytest.raises(CheckpointError, match=r"seen\.npz"):
        BloomFilter.load(tmp_path / "seen.npz")
    np.save(tmp_path / "seen.npy", np.zeros(3))  # one array, not a file of several
    with pytest.raises(CheckpointError, match=r"seen\.npy"):
        BloomFilter.load(tmp_path / "seen.npy")


def test_a_compressed_file_is_not_unpacked(tmp_path):
    """A few bytes may grow to all memory; and a header may ask for it."""
    np.savez_compressed(tmp_path / "a.npz", header=np.array([1, 7, 9]), bits=np.zeros(64, np.uint8))
    with pytest.raises(CheckpointError, match=r"damaged, or not a file of seen molecules \(it is compressed"):
        BloomFilter.load(tmp_path / "a.npz")
    header = np.lib.format.magic(1, 0) + (118).to_bytes(2, "little")
    header += str({"descr": "|u1", "fortran_order": False, "shape": (10**13,)}).ljust(117).encode() + b"\n"
    with zipfile.ZipFile(tmp_path / "b.npz", "w") as archive:
        archive.writestr("header.npy", header)
        archive.writestr("bits.npy", header)
    with pytest.raises(CheckpointError, match="damaged, or not a file of seen molecules"):
        BloomFilter.load(tmp_path / "b.npz")
