"""Bloom filter of canonical SMILES: a compact test of whether a molecule is in the training set.

A Bloom filter has no false negatives and a small, known rate of false positives. With 16 bits per molecule the rate is
0.05 %, and 2.2 million molecules need 4.4 MB.

References
----------
Bloom, Commun. ACM 1970, 13, 422; Kirsch and Mitzenmacher, Less Hashing, Same Performance, ESA 2006.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from math import log
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from molvae.data.array_files import read_npz
from molvae.data.hashing import hash_texts
from molvae.data.json_files import reading
from molvae.errors import CheckpointError, InputError

FORMAT = 1
"""Format of the saved file; changes with the hash function or the layout of the bits."""

MAX_HASHES = 64
"""Maximum number of hash functions, that is, of bits that each member sets."""

_CHUNK_SIZE = 65_536  # texts hashed at a time: 6 MB of bit positions


@dataclass(frozen=True, eq=False)
class BloomFilter:
    """A set of texts that answers membership queries with a known rate of false positives.

    Texts are compared as they are. If the filter was built from canonical SMILES, queries must be canonical SMILES.

    Attributes
    ----------
    bits : ndarray of uint8, shape (bytes,)
        Bit i of the filter is bit i % 8 of byte i // 8.
    n_hashes : int
        Number of bits that each member sets.
    n_items : int
        Number of distinct members.

    Examples
    --------
    >>> training_set = BloomFilter.from_smiles(["CCO", "CCN"])
    >>> "CCO" in training_set, training_set.contains(["CCN", "CCC"]).tolist()
    (True, [True, False])
    """

    bits: NDArray[np.uint8]
    n_hashes: int
    n_items: int

    @classmethod
    def from_smiles(cls, smiles: Iterable[str], bits_per_item: int = 16) -> BloomFilter:
        """Build a filter.

        Uses 16 bytes of memory per text and 1 byte per bit of the filter.

        Parameters
        ----------
        smiles : iterable of str
            The members. Duplicates are allowed.
        bits_per_item : int
            Size of the filter, at least 1. More bits give fewer false positives.

        Raises
        ------
        InputError
            If `bits_per_item` is less than 1.
        """
        if bits_per_item < 1:
            raise InputError(f"bits_per_item must be 1 or more, got {bits_per_item}")
        words = np.concatenate([np.empty((0, 2), np.uint64), *_hash_chunks(smiles)])
        n_items = len(np.unique(words[:, 0]))
        n_hashes = min(max(1, round(bits_per_item * log(2))), MAX_HASHES)  # minimizes the false positive rate
        flags = np.zeros(max(64, -(-n_items * bits_per_item // 8) * 8), dtype=np.bool_)
        for start in range(0, len(words), _CHUNK_SIZE):
            flags[_positions(words[start : start + _CHUNK_SIZE], n_hashes, flags.size)] = True
        return cls(np.packbits(flags, bitorder="little"), n_hashes, n_items)

    def with_items(self, smiles: Iterable[str]) -> BloomFilter:
        """Return a filter of the same size with further members.

        Examples
        --------
        >>> training_set = BloomFilter.from_smiles(["CCO"]).with_items(["CCN", "CCO"])
        >>> len(training_set), "CCN" in training_set
        (2, True)
        """
        texts = list(dict.fromkeys(smiles))
        new = [text for text, known in zip(texts, self.contains(texts).tolist(), strict=True) if not known]
        flags = np.unpackbits(self.bits, bitorder="little").astype(np.bool_)
        for words in _hash_chunks(new):
            flags[_positions(words, self.n_hashes, flags.size)] = True
        return BloomFilter(np.packbits(flags, bitorder="little"), self.n_hashes, self.n_items + len(new))

    def __len__(self) -> int:
        return self.n_items

    def __contains__(self, smiles: object) -> bool:
        return isinstance(smiles, str) and bool(self.contains([smiles])[0])

    def contains(self, smiles: Sequence[str]) -> NDArray[np.bool_]:
        """Return for each of N texts whether it is a member, shape (N,). False is always correct."""
        return np.concatenate([np.empty(0, np.bool_), *map(self._test, _hash_chunks(smiles))])

    @property
    def false_positive_rate(self) -> float:
        """Probability that a non-member is reported as a member: (1 - exp(-n_hashes n_items / n_bits)) ^ n_hashes."""
        return float((1 - np.exp(-self.n_hashes * self.n_items / (self.bits.size * 8))) ** self.n_hashes)

    def save(self, path: str | Path) -> None:
        """Write an .npz file. The suffix .npz is not added to `path`."""
        header = np.array([FORMAT, self.n_hashes, self.n_items], dtype=np.int64)
        with open(path, "wb") as file:  # np.savez adds .npz to a file name, but not to an open file
            np.savez(file, header=header, bits=self.bits)

    @classmethod
    def load(cls, path: str | Path) -> BloomFilter:
        """Read a file written by `save`. No code in the file is executed.

        Raises
        ------
        CheckpointError
            If the file is missing, damaged, or of another format.
        """
        path = Path(path)
        with reading(path, CheckpointError, "copy it again, or train the model again"):
            arrays = read_npz(path, ("header", "bits"))
            header, bits = arrays["header"], arrays["bits"]
            if header.shape != (3,) or header.dtype.kind not in "iu":
                raise InputError(f"the header has the shape {header.shape} and the type {header.dtype}")
            version, n_hashes, n_items = header.tolist()
            if version != FORMAT:
                raise InputError(f"it is a Bloom filter of format {version}; this version reads {FORMAT}")
            if bits.dtype != np.uint8 or bits.ndim != 1 or bits.size < 8:
                raise InputError(f"the bits have the shape {bits.shape} and the type {bits.dtype}")
            if not 1 <= n_hashes <= MAX_HASHES or n_items < 0:
                raise InputError(f"it has {n_hashes} hash functions and {n_items} items")
        return cls(bits, n_hashes, n_items)

    def _test(self, words: NDArray[np.uint64]) -> NDArray[np.bool_]:
        positions = _positions(words, self.n_hashes, self.bits.size * 8)
        found = self.bits[positions >> 3] >> (positions & 7).astype(np.uint8) & 1
        is_member: NDArray[np.bool_] = found.all(axis=1)
        return is_member


def _hash_chunks(smiles: Iterable[str]) -> Iterator[NDArray[np.uint64]]:
    """Yield two 64-bit hashes per text, (N, 2), chunk by chunk."""
    texts = iter(smiles)
    while chunk := list(islice(texts, _CHUNK_SIZE)):
        yield hash_texts(chunk, 16)


def _positions(words: NDArray[np.uint64], n_hashes: int, size: int) -> NDArray[np.int64]:
    """Return the bits of N texts, (N, n_hashes), by double hashing: first + k second, modulo `size` (Kirsch 2006).

    The sum may overflow at 2^64, which does not matter. The second hash is made odd, because 0 would set only one bit.
    """
    first, second = words[:, :1], words[:, 1:] | np.uint64(1)
    steps = np.arange(n_hashes, dtype=np.uint64)
    return ((first + steps * second) % np.uint64(size)).astype(np.int64)
