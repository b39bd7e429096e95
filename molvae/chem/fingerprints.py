"""Morgan fingerprints and Tanimoto similarity: one pair, one against many, many against many.

Radius 2, 2048 bits, the ECFP4-like default of the field; packed ones also of another size (MOSES's is 1024).
Chirality is ignored: two stereoisomers have similarity 1.
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
"""One block of `tanimoto_matrix`: its pairs stay in a core's cache; larger blocks took 1.5 times as long."""


@cache
def _generator(bits: int) -> Any:
    """RDKit's Morgan generator: making one costs as much as using it."""
    if bits <= 0 or bits % 64:
        raise InputError(f"packed fingerprints come in whole 64-bit words: bits is a multiple of 64, got {bits}")
    return rdFingerprintGenerator.GetMorganGenerator(radius=RADIUS, fpSize=bits)


def morgan(mol: Chem.Mol) -> ExplicitBitVect:
    """The Morgan fingerprint of a molecule, 2048 bits (Rogers and Hahn 2010)."""
    fingerprint: ExplicitBitVect = _generator(BITS).GetFingerprint(mol)
    return fingerprint


def morgan_bits(mols: Sequence[Chem.Mol], bits: int = BITS) -> NDArray[np.uint8]:
    """The fingerprints of many molecules, packed: (molecules, bits / 8); bit i is bit i % 8 of byte i // 8.

    Raises `InputError` where `bits` is no multiple of 64.
    """
    generator = _generator(bits)
    packed = b"".join(DataStructs.BitVectToBinaryText(generator.GetFingerprint(mol)) for mol in mols)
    return np.frombuffer(packed, dtype=np.uint8).reshape(-1, bits // 8)


def morgan_counts(mols: Sequence[Chem.Mol], bits: int = BITS) -> NDArray[np.uint8]:
    """How often each of a molecule's environments occurs, folded to `bits` places: (molecules, bits), 15 at most.

    A chain of forty carbons is no more unlike one of fifteen; models keep the counts in unary.
    """
    counts = np.zeros((len(mols), bits), dtype=np.uint8)
    for row, mol in zip(counts, mols, strict=True):
        found = _generator(bits).GetCountFingerprint(mol).GetNonzeroElements()
        row[list(found)] = np.minimum(list(found.values()), 15)
    return counts


def tanimoto(query: ExplicitBitVect, others: Sequence[ExplicitBitVect]) -> NDArray[np.float64]:
    """Tanimoto similarity of `query` to each of `others`: shape (others,), 0 to 1; 0 where both are empty."""
    return np.array(DataStructs.BulkTanimotoSimilarity(query, list(others)), dtype=np.float64)


def tanimoto_to(query: NDArray[np.uint8], others: NDArray[np.uint8]) -> NDArray[np.float64]:
    """`tanimoto` of packed fingerprints: (W,) to each row of (N, W), as by `morgan_bits`; shape (N,)."""
    one, many = word_rows(query[None], others)
    common = np.bitwise_count(one & many).sum(axis=1, dtype=np.int32)
    either = bit_counts(one) + bit_counts(many) - common
    similarity: NDArray[np.float64] = common / np.maximum(either, 1)
    return similarity


def tanimoto_matrix(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Tanimoto similarity of every row of `a` to every row of `b`, both packed as by `morgan_bits`.

        similarity[i, j] = |a_i and b_j| / |a_i or b_j|        0 where both are empty, as in RDKit

    a: (N, W), b: (M, W), W any multiple of 8, returns (N, M). Beyond the result it needs a copy of the inputs and
    1 or 2 MB.
    Raises `InputError` for another shape or type, or where the widths differ.
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
            either = size_a[rows, None] + size_b[columns] - common
            similarity[rows, columns] = common / np.maximum(either, 1)
    return similarity


def word_rows(*packed: NDArray[np.uint8]) -> list[NDArray[np.uint64]]:
    """Packed fingerprints of one width as 64-bit words, (N, W / 8) each; `InputError` unless uint8, (N, 8 n), alike."""
    for rows in packed:
        if rows.dtype != np.uint8 or rows.ndim != 2 or not rows.shape[1] or rows.shape[1] % 8:
            raise InputError(
                f"packed fingerprints are uint8 of shape (N, a multiple of 8), got {rows.dtype} of shape {rows.shape}"
            )
    if len({rows.shape[1] for rows in packed}) > 1:
        raise InputError(f"fingerprints of different widths: {' and '.join(str(p.shape[1]) for p in packed)} bytes")
    return [np.ascontiguousarray(rows).view(np.uint64) for rows in packed]


def word_columns(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Words first, (W / 8, N): a block reads each word of all its rows in one run."""
    return np.ascontiguousarray(words.T)


def bit_counts(words: NDArray[np.uint64]) -> NDArray[np.int32]:
    """Bits set in each row of `word_rows`: (N,)."""
    counts: NDArray[np.int32] = np.bitwise_count(words).sum(axis=1, dtype=np.int32)
    return counts


def common_bits(a: NDArray[np.uint64], b: NDArray[np.uint64]) -> NDArray[np.int32]:
    """Bits set in both, (n, m), of word-first blocks (W / 8, n) and (W / 8, m)."""
    counter = np.uint16 if 64 * len(a) < 2**16 else np.uint32  # the narrower is the faster
    common = np.zeros((a.shape[1], b.shape[1]), dtype=counter)
    for word_a, word_b in zip(a, b, strict=True):
        common += np.bitwise_count(word_a[:, None] & word_b)
    return common.astype(np.int32)
