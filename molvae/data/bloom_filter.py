"""Bloom filter of canonical SMILES: tells whether a molecule was in the training set, small enough to distribute.

A Bloom filter has no false negatives and a small, known rate of false positives: 0.05 % with 16 bits per molecule, so
that 2.2 million molecules need 4.4 MB.

References
----------
Bloom, Commun. ACM 1970, 13, 422; Kirsch and Mitzenmacher, Less Hashing, Same Performance, ESA 2006.
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
"""Format of the saved file; changes with the hash function or the layout of the bits."""

MAX_HASHES = 64
"""Maximum number of bits that each member sets."""

_CHUNK_SIZE = 65_536  # texts hashed at a time: 6 MB of bit positions


@dataclass(frozen=True, eq=False)
class BloomFilter:
    """A set of texts that answers membership queries with a known rate of false positives.

    Texts are compared literally, so queries must be canonical SMILES if the filter was built from those.

    Attributes
    ----------
    bits : ndarray of uint8, shape (bytes,)
        Bit i of the filter is bit i % 8 of byte i // 8.
    hashes : int
        Number of bits that each member sets.
    items : int
        Number of distinct members.

    Examples
    --------
    >>> training_set = BloomFilter.from_smiles(["CCO", "CCN"])
    >>> "CCO" in training_set, training_set.contains(["CCN", "CCC"]).tolist()
    (True, [True, False])
    """

    bits: NDArray[np.uint8]
    hashes: int
    items: int

    @classmethod
    def from_smiles(cls, smiles: Iterable[str], bits_per_item: int = 16) -> BloomFilter:
        """Build a filter. Needs 16 bytes per text and 1 byte per bit of the filter meanwhile."""
        if bits_per_item < 1:
            raise InputError(f"bits_per_item must be 1 or more, got {bits_per_item}")
        words = np.concatenate([np.empty((0, 2), np.uint64), *_hashed(smiles)])
        items = len(np.unique(words[:, 0]))
        hashes = min(max(1, round(bits_per_item * log(2))), MAX_HASHES)  # minimizes the false positive rate
        flags = np.zeros(max(64, -(-items * bits_per_item // 8) * 8), dtype=np.bool_)
        for start in range(0, len(words), _CHUNK_SIZE):
            flags[_positions(words[start : start + _CHUNK_SIZE], hashes, flags.size)] = True
        return cls(np.packbits(flags, bitorder="little"), hashes, items)

    def __len__(self) -> int:
        return self.items

    def __contains__(self, smiles: object) -> bool:
        return isinstance(smiles, str) and bool(self.contains([smiles])[0])

    def contains(self, smiles: Sequence[str]) -> NDArray[np.bool_]:
        """Return for each of N texts whether it is a member, shape (N,); False is always correct."""
        return np.concatenate([np.empty(0, np.bool_), *map(self._test, _hashed(smiles))])

    @property
    def false_positive_rate(self) -> float:
        """Probability that a text that is not a member is reported as one: (1 - exp(-hashes items / bits)) ^ hashes."""
        return float((1 - np.exp(-self.hashes * self.items / (self.bits.size * 8))) ** self.hashes)

    def save(self, path: str | Path) -> None:
        """Write an .npz file of arrays under exactly this name."""
        header = np.array([FORMAT, self.hashes, self.items], dtype=np.int64)
        with open(path, "wb") as file:  # numpy appends .npz to a name, but not to a file
            np.savez(file, header=header, bits=self.bits)

    @classmethod
    def load(cls, path: str | Path) -> BloomFilter:
        """Read a file that `save` wrote; no code in the file is executed.

        Raises `CheckpointError` if the file is missing, damaged, or of another format.
        """
        try:
            with open(path, "rb") as file, np.load(file, allow_pickle=False) as arrays:
                if any(entry.compress_type != zipfile.ZIP_STORED for entry in arrays.zip.infolist()):
                    raise ValueError("it is compressed, which this format does not use")
                header, bits = arrays["header"], arrays["bits"]
            version, hashes, items = (int(number) for number in header)
        except FileNotFoundError:
            raise CheckpointError(f"{path}: the Bloom filter does not exist") from None
        except (
            OSError, ValueError, TypeError, KeyError, AttributeError, EOFError, RuntimeError, MemoryError,
            OverflowError, zipfile.BadZipFile, zlib.error,
        ) as error:  # fmt: skip
            raise CheckpointError(f"{path}: damaged, or not a Bloom filter ({error})") from error
        if version != FORMAT:
            raise CheckpointError(f"{path}: Bloom filter of format {version}; this version reads {FORMAT}")
        if bits.dtype != np.uint8 or bits.ndim != 1 or bits.size < 8 or not 1 <= hashes <= MAX_HASHES or items < 0:
            raise CheckpointError(f"{path}: damaged: its arrays are not those of a Bloom filter")
        return cls(bits, hashes, items)

    def _test(self, words: NDArray[np.uint64]) -> NDArray[np.bool_]:
        positions = _positions(words, self.hashes, self.bits.size * 8)
        found = self.bits[positions >> 3] >> (positions & 7).astype(np.uint8) & 1
        is_member: NDArray[np.bool_] = found.all(axis=1)
        return is_member


def _hashed(smiles: Iterable[str]) -> Iterator[NDArray[np.uint64]]:
    """Yield two 64-bit words per text, (N, 2), in chunks."""
    texts = iter(smiles)
    while chunk := list(islice(texts, _CHUNK_SIZE)):
        yield hash_texts(chunk, 16)


def _positions(words: NDArray[np.uint64], hashes: int, size: int) -> NDArray[np.int64]:
    """Return the bits of N texts, (N, hashes), by double hashing: first + k second, modulo `size` (Kirsch 2006).

    The sum may wrap at 2^64, which does no harm. The second word is made odd, because 0 would give one bit only.
    """
    first, second = words[:, :1], words[:, 1:] | np.uint64(1)
    steps = np.arange(hashes, dtype=np.uint64)
    return ((first + steps * second) % np.uint64(size)).astype(np.int64)
