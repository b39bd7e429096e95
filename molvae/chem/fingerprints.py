"""Morgan fingerprints and Tanimoto similarity, one to many and many to many.

Radius 2 and 2048 bits, similar to ECFP4; packed fingerprints may have another size (MOSES uses 1024 bits). Chirality is
ignored, so stereoisomers have similarity 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

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
"""Block size of `tanimoto_matrix`, chosen to fit the cache of a CPU core; larger blocks take 1.5 times as long."""


@cache
def _generator(bits: int) -> Any:
    """RDKit's Morgan generator, cached because creating it takes as long as computing a fingerprint."""
    if bits <= 0 or bits % 64:
        raise InputError(f"bits must be a positive multiple of 64, got {bits}")
    return rdFingerprintGenerator.GetMorganGenerator(radius=RADIUS, fpSize=bits)


def morgan(mol: Chem.Mol) -> ExplicitBitVect:
    """The Morgan fingerprint of a molecule, 2048 bits (Rogers and Hahn 2010, J. Chem. Inf. Model. 50, 742)."""
    fingerprint: ExplicitBitVect = _generator(BITS).GetFingerprint(mol)
    return fingerprint


def morgan_bits(mols: Sequence[Chem.Mol], bits: int = BITS) -> NDArray[np.uint8]:
    """Packed Morgan fingerprints of N molecules: (N, bits / 8); bit i is bit i % 8 of byte i // 8.

    Raises `InputError` unless `bits` is a multiple of 64.
    """
    generator = _generator(bits)
    packed = b"".join(DataStructs.BitVectToBinaryText(generator.GetFingerprint(mol)) for mol in mols)
    return np.frombuffer(packed, dtype=np.uint8).reshape(-1, bits // 8)


def morgan_counts(mols: Sequence[Chem.Mol], bits: int = BITS) -> NDArray[np.uint8]:
    """Morgan count fingerprints of N molecules, folded to `bits`: (N, bits), counts clipped at 15."""
    counts = np.zeros((len(mols), bits), dtype=np.uint8)
    for row, mol in zip(counts, mols, strict=True):
        nonzero = _generator(bits).GetCountFingerprint(mol).GetNonzeroElements()
        row[list(nonzero)] = np.minimum(list(nonzero.values()), 15)
    return counts


def tanimoto(query: ExplicitBitVect, others: Sequence[ExplicitBitVect]) -> NDArray[np.float64]:
    """Tanimoto similarity of `query` to each of N others: (N,), 0 to 1; 0 if both have no bits."""
    return np.array(DataStructs.BulkTanimotoSimilarity(query, list(others)), dtype=np.float64)


def tanimoto_to(query: NDArray[np.uint8], others: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Tanimoto similarity of a packed fingerprint (W,) to each row of (N, W): (N,)."""
    one, many = word_rows(query[None], others)
    common = np.bitwise_count(one & many).sum(axis=1, dtype=np.int32)
    union = bit_counts(one) + bit_counts(many) - common
    similarity: NDArray[np.float64] = common / np.maximum(union, 1)
    return similarity


def tanimoto_matrix(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Tanimoto similarity of every row of `a` to every row of `b`.

        similarity[i, j] = |a_i and b_j| / |a_i or b_j|        0 if both have no bits, as in RDKit

    Memory beyond the result: a copy of the inputs, and 2 MB.

    Parameters
    ----------
    a : array of uint8, shape (N, W)
        Packed fingerprints as made by `morgan_bits`; W a multiple of 8.
    b : array of uint8, shape (M, W)

    Returns
    -------
    array of float32, shape (N, M)

    Raises
    ------
    InputError
        For another shape or type, or different widths.
    """
    rows_a, rows_b = word_rows(a, b)
    words_a, words_b = word_columns(rows_a), word_columns(rows_b)
    size_a, size_b = bit_counts(rows_a), bit_counts(rows_b)
    similarity = np.empty((len(size_a), len(size_b)), dtype=np.float32)
    for i in range(0, len(size_a), _ROWS):
        rows = slice(i, i + _ROWS)
        for j in range(0, len(size_b), _COLUMNS):
            columns = slice(j, j + _COLUMNS)
            common = common_bits(words_a[:, rows], words_b[:, columns])
            union = size_a[rows, None] + size_b[columns] - common
            similarity[rows, columns] = common / np.maximum(union, 1)
    return similarity


def word_rows(*packed: NDArray[np.uint8]) -> list[NDArray[np.uint64]]:
    """Packed fingerprints as 64-bit words, (N, W / 8) each.

    Raises `InputError` unless all are uint8, of shape (N, multiple of 8), and of the same width.
    """
    for rows in packed:
        if rows.dtype != np.uint8 or rows.ndim != 2 or not rows.shape[1] or rows.shape[1] % 8:
            raise InputError(
                f"packed fingerprints must be uint8 of shape (N, multiple of 8), got {rows.dtype} of shape {rows.shape}"
            )
    if len({rows.shape[1] for rows in packed}) > 1:
        raise InputError(f"fingerprints of different widths: {' and '.join(str(p.shape[1]) for p in packed)} bytes")
    return [np.ascontiguousarray(rows).view(np.uint64) for rows in packed]


def word_columns(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The transposed words, (W / 8, N): a block then reads each word of all its rows contiguously."""
    return np.ascontiguousarray(words.T)


def bit_counts(words: NDArray[np.uint64]) -> NDArray[np.int32]:
    """Set bits in each row of words: (N,)."""
    counts: NDArray[np.int32] = np.bitwise_count(words).sum(axis=1, dtype=np.int32)
    return counts


def common_bits(a: NDArray[np.uint64], b: NDArray[np.uint64]) -> NDArray[np.int32]:
    """Common set bits, (n, m), of transposed words (W / 8, n) and (W / 8, m)."""
    counter = np.uint16 if 64 * len(a) < 2**16 else np.uint32  # the narrower type is faster
    common = np.zeros((a.shape[1], b.shape[1]), dtype=counter)
    for word_a, word_b in zip(a, b, strict=True):
        common += np.bitwise_count(word_a[:, None] & word_b)
    return common.astype(np.int32)
