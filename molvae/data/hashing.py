"""Hashes of molecules and of model weights, equal on every platform and in every run, and a compact set of hashes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import nn


def hash_text(text: str, size: int = 8) -> bytes:
    """Return the BLAKE2b digest of a text, `size` bytes long.

    Used for canonical SMILES. With 8 bytes, the probability that any two of n different molecules have the same digest
    is about n^2 / 2^65: one in 37 million for a million molecules, one in 37 for a billion.
    """
    return hashlib.blake2b(text.encode(), digest_size=size).digest()


def hash_texts(texts: Iterable[str], size: int = 8) -> NDArray[np.uint64]:
    """Return the digests of many texts as unsigned 64-bit integers: (N,), or (N, size / 8) if `size` exceeds 8.

    Parameters
    ----------
    texts : iterable of str
        Texts, such as canonical SMILES.
    size : int
        Size of a digest in bytes, a multiple of 8.

    Examples
    --------
    >>> hash_texts(["CCO", "CCN", "CCO"]).argsort(kind="stable").shape
    (3,)
    >>> hash_texts(["CCO", "CCN"], 16).shape
    (2, 2)
    """
    words = np.frombuffer(b"".join([hash_text(text, size) for text in texts]), "<u8").astype(np.uint64)
    return words if size == 8 else words.reshape(-1, size // 8)


def weights_digest(model: nn.Module) -> str:
    """Return a BLAKE2b digest of the weights of a model as they are saved, in half precision: 32 hexadecimal digits."""
    digest = hashlib.blake2b(digest_size=16)
    for tensor in model.state_dict().values():
        saved = tensor.half() if tensor.is_floating_point() else tensor
        digest.update(saved.cpu().numpy().tobytes())
    return digest.hexdigest()


class HashSet:
    """A set of 64-bit hashes that grows batch by batch. It takes 8 bytes per hash; a Python set of integers takes 100.

    The hashes are in sorted arrays, each more than twice as long as the next. A lookup takes a few binary searches. A
    new array is merged with the previous one if it is at least half as long.
    """

    def __init__(self) -> None:
        self._arrays: list[NDArray[np.uint64]] = []

    def __len__(self) -> int:
        return sum(map(len, self._arrays))

    def add(self, hashes: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Add hashes (N,) and return which of them are new, (N,). Of equal hashes, only the first is new."""
        is_new = np.zeros(len(hashes), dtype=bool)
        is_new[np.unique(hashes, return_index=True)[1]] = True
        for array in self._arrays:
            is_new &= array[np.searchsorted(array, hashes).clip(max=len(array) - 1)] != hashes
        if is_new.any():
            self._merge(np.sort(hashes[is_new]))
        return is_new

    def _merge(self, array: NDArray[np.uint64]) -> None:
        while self._arrays and len(self._arrays[-1]) <= 2 * len(array):
            array = np.sort(np.concatenate([self._arrays.pop(), array]), kind="stable")
        self._arrays.append(array)
