"""Morgan fingerprints and Tanimoto similarity: one pair, one against many, many against many.

Radius 2, 2048 bits, the ECFP4-like default of the field.
Chirality is ignored: two stereoisomers have similarity 1.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem, DataStructs
from rdkit.Chem import rdFingerprintGenerator
from rdkit.DataStructs import ExplicitBitVect

from molvae.errors import InputError

RADIUS = 2
BITS = 2048
BYTES = BITS // 8

_ROWS, _COLUMNS = 16, 4096
"""One block of `tanimoto_matrix`: its pairs stay in a core's cache; larger blocks took 1.5 times as long."""

_MORGAN = rdFingerprintGenerator.GetMorganGenerator(radius=RADIUS, fpSize=BITS)


def morgan(mol: Chem.Mol) -> ExplicitBitVect:
    """The Morgan fingerprint of a molecule, 2048 bits (Rogers and Hahn 2010)."""
    fingerprint: ExplicitBitVect = _MORGAN.GetFingerprint(mol)
    return fingerprint


def morgan_bits(mols: Sequence[Chem.Mol]) -> NDArray[np.uint8]:
    """The fingerprints of many molecules, packed: (molecules, 256); bit i is bit i % 8 of byte i // 8."""
    packed = b"".join(DataStructs.BitVectToBinaryText(morgan(mol)) for mol in mols)
    return np.frombuffer(packed, dtype=np.uint8).reshape(-1, BYTES)


def tanimoto(query: ExplicitBitVect, others: Sequence[ExplicitBitVect]) -> NDArray[np.float64]:
    """Tanimoto similarity of `query` to each of `others`: shape (others,), 0 to 1; 0 where both are empty."""
    return np.array(DataStructs.BulkTanimotoSimilarity(query, list(others)), dtype=np.float64)


def tanimoto_matrix(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Tanimoto similarity of every row of `a` to every row of `b`, both packed as by `morgan_bits`.

        similarity[i, j] = |a_i and b_j| / |a_i or b_j|        0 where both are empty, as in RDKit

    a: (N, 256), b: (M, 256), returns (N, M). Beyond the result it needs a copy of the inputs and 1 or 2 MB.
    Raises `InputError` for another shape or type.
    """
    words_a, words_b = _words(a), _words(b)  # 32 x N, 32 x M
    size_a = np.bitwise_count(words_a).sum(axis=0, dtype=np.int32)
    size_b = np.bitwise_count(words_b).sum(axis=0, dtype=np.int32)
    similarity = np.empty((len(size_a), len(size_b)), dtype=np.float32)
    for i in range(0, len(size_a), _ROWS):
        rows = slice(i, i + _ROWS)
        for j in range(0, len(size_b), _COLUMNS):
            columns = slice(j, j + _COLUMNS)
            common = _common(words_a[:, rows], words_b[:, columns])
            either = size_a[rows, None] + size_b[columns] - common
            similarity[rows, columns] = common / np.maximum(either, 1)
    return similarity


def _words(packed: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """The bits as 64-bit words, words first (32, N): a block reads each word of all its rows in one run."""
    if packed.dtype != np.uint8 or packed.ndim != 2 or packed.shape[1] != BYTES:
        raise InputError(
            f"packed fingerprints are uint8 of shape (N, {BYTES}), got {packed.dtype} of shape {packed.shape}"
        )
    return np.ascontiguousarray(np.ascontiguousarray(packed).view(np.uint64).T)


def _common(a: NDArray[np.uint64], b: NDArray[np.uint64]) -> NDArray[np.int32]:
    """Bits set in both, (n, m), of word-first blocks (32, n) and (32, m)."""
    common = np.zeros((a.shape[1], b.shape[1]), dtype=np.uint16)  # 2048 at most
    for word_a, word_b in zip(a, b, strict=True):
        common += np.bitwise_count(word_a[:, None] & word_b)
    return common.astype(np.int32)
