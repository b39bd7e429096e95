"""Was this molecule in the training set? A Bloom filter of canonical SMILES, small enough to ship.

A filter never says "not seen" of a member; it says "seen" of a stranger at a known, small rate. At 16 bits an
item that rate is 0.05 %, and 2.2 million molecules take 4.4 MB.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from math import log
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from molvae.data.hashing import hash_texts
from molvae.errors import CheckpointError, InputError

FORMAT = 1
"""Of the saved file; changes when the hash or the layout of the bits does."""

MOST_HASHES = 64
_CHUNK = 65_536  # strings hashed at a time: 6 MB of positions


@dataclass(frozen=True, eq=False)
class BloomFilter:
    """The strings of a set, as bits. It compares strings: ask with canonical SMILES if built from those.

    bits: uint8, shape (bytes,), bit i is bit i % 8 of byte i // 8. hashes: bits set by each member.
    items: distinct members.
    """

    bits: NDArray[np.uint8]
    hashes: int
    items: int

    @classmethod
    def from_smiles(cls, smiles: Iterable[str], bits_per_item: int = 16) -> BloomFilter:
        """Read all strings once. Memory while building: 16 bytes a string and 1 byte a bit."""
        if bits_per_item < 1:
            raise InputError(f"bits_per_item must be 1 or more, got {bits_per_item}")
        words = np.concatenate([np.empty((0, 2), np.uint64), *_hashed(smiles)])
        items = len(np.unique(words[:, 0]))
        hashes = min(max(1, round(bits_per_item * log(2))), MOST_HASHES)  # the number that makes the rate least
        flags = np.zeros(max(64, -(-items * bits_per_item // 8) * 8), dtype=np.bool_)
        for start in range(0, len(words), _CHUNK):
            flags[_positions(words[start : start + _CHUNK], hashes, flags.size)] = True
        return cls(np.packbits(flags, bitorder="little"), hashes, items)

    def __len__(self) -> int:
        return self.items

    def __contains__(self, smiles: object) -> bool:
        return isinstance(smiles, str) and bool(self.contains([smiles])[0])

    def contains(self, smiles: Sequence[str]) -> NDArray[np.bool_]:
        """Whether each string was seen, shape (strings,); True of a stranger at `false_positive_rate`."""
        return np.concatenate([np.empty(0, np.bool_), *map(self._test, _hashed(smiles))])

    @property
    def false_positive_rate(self) -> float:
        """The chance that a string never seen is called seen: (1 - exp(-hashes items / bits)) ^ hashes."""
        return float((1 - np.exp(-self.hashes * self.items / (self.bits.size * 8))) ** self.hashes)

    def save(self, path: str | Path) -> None:
        """Write one .npz file under exactly this name; it holds arrays only."""
        header = np.array([FORMAT, self.hashes, self.items], dtype=np.int64)
        with open(path, "wb") as file:  # given a name, numpy would append .npz to it
            np.savez(file, header=header, bits=self.bits)

    @classmethod
    def load(cls, path: str | Path) -> BloomFilter:
        """Read what `save` wrote; nothing in the file is executed.

        Raises `CheckpointError` naming the file where it is missing, damaged, or of another format.
        """
        try:
            with open(path, "rb") as file, np.load(file, allow_pickle=False) as arrays:
                if any(entry.compress_type != zipfile.ZIP_STORED for entry in arrays.zip.infolist()):
                    raise ValueError("it is compressed, and who knows to what size it would grow")
                header, bits = arrays["header"], arrays["bits"]
            version, hashes, items = (int(number) for number in header)
        except FileNotFoundError:
            raise CheckpointError(f"{path}: there is no such file of seen molecules") from None
        except (
            OSError, ValueError, TypeError, KeyError, AttributeError, EOFError, RuntimeError, MemoryError,
            OverflowError, zipfile.BadZipFile, zlib.error,
        ) as error:  # fmt: skip
            raise CheckpointError(f"{path}: damaged, or not a file of seen molecules ({error})") from error
        if version != FORMAT:
            raise CheckpointError(f"{path}: seen molecules in format {version}, this molvae reads {FORMAT}")
        if bits.dtype != np.uint8 or bits.ndim != 1 or bits.size < 8 or not 1 <= hashes <= MOST_HASHES or items < 0:
            raise CheckpointError(f"{path}: damaged, its numbers do not make a Bloom filter")
        return cls(bits, hashes, items)

    def _test(self, words: NDArray[np.uint64]) -> NDArray[np.bool_]:
        positions = _positions(words, self.hashes, self.bits.size * 8)
        found = self.bits[positions >> 3] >> (positions & 7).astype(np.uint8) & 1
        seen: NDArray[np.bool_] = found.all(axis=1)
        return seen


def _hashed(smiles: Iterable[str]) -> Iterator[NDArray[np.uint64]]:
    """Two 64-bit words a string, (strings, 2), in chunks. blake2b is the same on every platform and run."""
    strings = iter(smiles)
    while chunk := list(islice(strings, _CHUNK)):
        yield hash_texts(chunk, 16)


def _positions(words: NDArray[np.uint64], hashes: int, size: int) -> NDArray[np.int64]:
    """The bits of each string, (strings, hashes): first + k second, mod `size`; Kirsch, Mitzenmacher 2006.

    The sum may wrap at 2^64, which is as good a hash. The second word is made odd: a zero would set one bit.
    """
    first, second = words[:, :1], words[:, 1:] | np.uint64(1)
    steps = np.arange(hashes, dtype=np.uint64)
    return ((first + steps * second) % np.uint64(size)).astype(np.int64)
