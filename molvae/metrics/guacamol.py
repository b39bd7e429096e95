"""GuacaMol's distribution-learning scores (Brown et al. 2019): what its KL divergence and FCD scores are made of.

All five are 0 to 1, 1 is best, each of 10,000 molecules:

    validity      valid / drawn
    uniqueness    distinct / valid
    novelty       not in the training set / distinct
    KL            `kl_score`: distinct molecules against 10,000 training molecules drawn at random
    FCD           `fcd_score`: valid molecules, repeats included, against as many drawn the same way

Stereo is taken off first, on both sides, for all but validity and FCD. Each goes on drawing until it has its valid
or distinct ones, but for ten times as many at most; what is missing then still counts in their divisors.
The definitions are those of the authors' program. Its kernel density estimate is scipy's, written out here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import exp, inf, isnan
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem, DataStructs
from rdkit.Chem import Crippen, Descriptors, GraphDescriptors, rdFingerprintGenerator, rdMolDescriptors

from molvae.errors import InputError

RADIUS = 2
BITS = 4096
"""GuacaMol's ECFP4 is twice as wide as `molvae.chem.fingerprints`."""

INTERNAL_SIMILARITY = "internal_similarity"
"""The tenth column, compared as a continuous one: `internal_nearest` of each set."""

_POINTS, _BINS = 1000, 10
_FLOOR = 1e-10
"""Added to every density, in the descriptor's own units: keeps a logarithm finite where a set has nothing."""

_SAME = 1e-9
"""Continuous values closer than this are one: the same logP summed in another order differs by 1e-15."""

_BLOCK = 1024
"""Rows of `internal_nearest` at a time: 16 MB of single bits as floats."""

_KERNELS = 64
"""Kernels of `_density` at a time: half a megabyte."""

_MORGAN = rdFingerprintGenerator.GetMorganGenerator(radius=RADIUS, fpSize=BITS)

Kind = Literal["continuous", "discrete"]


class Descriptor(NamedTuple):
    """RDKit's function, and how two columns of it are compared: by kernel density or by histogram."""

    function: Callable[[Chem.Mol], float]
    kind: Kind


DESCRIPTORS: dict[str, Descriptor] = {
    "BertzCT": Descriptor(GraphDescriptors.BertzCT, "continuous"),
    "MolLogP": Descriptor(Crippen.MolLogP, "continuous"),  # type: ignore[attr-defined]
    "MolWt": Descriptor(Descriptors.MolWt, "continuous"),  # type: ignore[attr-defined]
    "TPSA": Descriptor(rdMolDescriptors.CalcTPSA, "continuous"),
    "NumHAcceptors": Descriptor(rdMolDescriptors.CalcNumHBA, "discrete"),
    "NumHDonors": Descriptor(rdMolDescriptors.CalcNumHBD, "discrete"),
    "NumRotatableBonds": Descriptor(rdMolDescriptors.CalcNumRotatableBonds, "discrete"),
    "NumAliphaticRings": Descriptor(rdMolDescriptors.CalcNumAliphaticRings, "discrete"),
    "NumAromaticRings": Descriptor(rdMolDescriptors.CalcNumAromaticRings, "discrete"),
}
"""The nine descriptors by RDKit's names; stereo changes none of them."""

SCORES = ("validity", "uniqueness", "novelty", "KL divergence", "FCD score")
"""The five, as tables call them."""

COLUMNS: tuple[str, ...] = (*DESCRIPTORS, INTERNAL_SIMILARITY)
"""What `kl_divergences` compares and `kl_score` averages."""


def describe(mol: Chem.Mol) -> dict[str, float]:
    """The nine descriptors of one molecule, in the order of `DESCRIPTORS`: bits, log10, g/mol, Å², counts."""
    return {name: float(descriptor.function(mol)) for name, descriptor in DESCRIPTORS.items()}


def fingerprints(mols: Sequence[Chem.Mol]) -> NDArray[np.uint8]:
    """GuacaMol's ECFP4 of many molecules, packed: (molecules, 512); stereo is ignored."""
    packed = b"".join(DataStructs.BitVectToBinaryText(_MORGAN.GetFingerprint(mol)) for mol in mols)
    return np.frombuffer(packed, dtype=np.uint8).reshape(-1, BITS // 8)


def internal_nearest(packed: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Tanimoto similarity of each molecule to the nearest other one of its set: (N, bytes) -> (N,), 0 to 1.

    The rows are those of `fingerprints`, or packed likewise at another width. A molecule alone has 0, and one that
    occurs twice 1: GuacaMol leaves repeats out first. Raises `InputError` for another shape or type.
    """
    if packed.dtype != np.uint8 or packed.ndim != 2:
        raise InputError(f"packed fingerprints are uint8 of shape (N, bytes), got {packed.dtype} of {packed.shape}")
    nearest = np.zeros(len(packed), dtype=np.float32)
    starts = range(0, len(packed), _BLOCK)
    for first in starts:
        a = _bits(packed[first : first + _BLOCK])
        for second in starts[first // _BLOCK :]:
            b = a if second == first else _bits(packed[second : second + _BLOCK])
            similarity = _tanimoto(a, b)
            if second == first:
                np.fill_diagonal(similarity, 0)
            for start, best in ((first, similarity.max(axis=1)), (second, similarity.max(axis=0))):
                rows = nearest[start : start + _BLOCK]
                np.maximum(rows, best, out=rows)
    return nearest


def kl_divergences(generated: Mapping[str, NDArray[Any]], reference: Mapping[str, NDArray[Any]]) -> dict[str, float]:
    """KL(reference || generated) of each of `COLUMNS`, in nats: 0 or more, 0 for equal columns, inf for disjoint ones.

    Each column is (molecules,), of any length from 1; other names are ignored. `inf`, which scores 0, stands for
    what GuacaMol fails on: a continuous column with a single value on one side, or with one on each that differ, and
    a discrete one with no generated value within the reference's range. Raises `InputError` for a column that is
    missing, empty, not flat or not finite.
    """
    divergences = {}
    for name in COLUMNS:
        columns = _column(reference, name, "reference"), _column(generated, name, "generated")
        discrete = name in DESCRIPTORS and DESCRIPTORS[name].kind == "discrete"
        divergences[name] = _discrete(*columns) if discrete else _continuous(*columns)
    return divergences


def kl_score(divergences: Mapping[str, float]) -> float:
    """GuacaMol's KL score: the mean of exp(-divergence), 0 to 1, 1 is best. Raises `InputError` for none or NaN."""
    if not divergences or any(isnan(value) or value < 0 for value in divergences.values()):
        raise InputError(f"a KL score needs divergences of 0 or more, got {dict(divergences)}")
    return sum(exp(-value) for value in divergences.values()) / len(divergences)


def fcd_score(fcd: float) -> float:
    """GuacaMol's FCD score, exp(-0.2 FCD): 0 to 1, 1 is best. Raises `InputError` for a negative distance or NaN."""
    if isnan(fcd) or fcd < 0:
        raise InputError(f"a Fréchet ChemNet distance is 0 or more, got {fcd}")
    return exp(-0.2 * fcd)


def _bits(packed: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(n, bytes) -> (n, bits) of 0 and 1: as floats, because their product is then a matrix library's."""
    return np.unpackbits(packed, axis=1).astype(np.float32)


def _tanimoto(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n, bits) and (m, bits) -> (n, m); counts below 2^24 are exact. 0 where both are empty, as in RDKit."""
    common = a @ b.T
    either = a.sum(axis=1)[:, None] + b.sum(axis=1) - common
    similarity: NDArray[np.float32] = common / np.maximum(either, 1)
    return similarity


def _column(columns: Mapping[str, NDArray[Any]], name: str, side: str) -> NDArray[np.float64]:
    if name not in columns:
        raise InputError(f"the {side} set has no column {name!r}; a KL score needs {', '.join(COLUMNS)}")
    values = np.asarray(columns[name], dtype=np.float64)
    if values.ndim != 1 or not values.size or not np.isfinite(values).all():
        raise InputError(f"{side} column {name!r} must be finite numbers of shape (molecules,), at least one")
    return values


def _continuous(reference: NDArray[np.float64], generated: NDArray[np.float64]) -> float:
    """By Gaussian kernel densities at 1000 points from the least to the greatest of both."""
    low, high = min(reference.min(), generated.min()), max(reference.max(), generated.max())
    if high - low < _SAME:
        return 0.0
    if min(np.ptp(reference), np.ptp(generated)) < _SAME:
        return inf
    points = np.linspace(low, high, _POINTS)
    return _divergence(_density(reference, points), _density(generated, points))


def _density(values: NDArray[np.float64], points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Kernel density of `values` at `points`: bandwidth n^(-1/5) times the standard deviation (Scott 1992)."""
    bandwidth = values.std(ddof=1) * len(values) ** -0.2
    total = np.zeros(len(points))
    for start in range(0, len(values), _KERNELS):
        away = (points[:, None] - values[start : start + _KERNELS]) / bandwidth
        total += np.exp(-0.5 * away**2).sum(axis=1)
    density: NDArray[np.float64] = total / (len(values) * bandwidth * np.sqrt(2 * np.pi))
    return density


def _discrete(reference: NDArray[np.float64], generated: NDArray[np.float64]) -> float:
    """By histograms over the reference's range in 10 bins; generated values outside are left out, as in GuacaMol."""
    expected, edges = np.histogram(reference, bins=_BINS, density=True)
    within = generated[(generated >= edges[0]) & (generated <= edges[-1])]
    if not within.size:
        return inf
    found, _ = np.histogram(within, bins=edges, density=True)
    return _divergence(expected, found)


def _divergence(p: NDArray[np.float64], q: NDArray[np.float64]) -> float:
    """KL(p || q) of two densities at the same points, raised by the floor and scaled to 1; rounding's -1e-17 is 0."""
    p, q = p + _FLOOR, q + _FLOOR
    p, q = p / p.sum(), q / q.sum()
    return max(0.0, float((p * np.log(p / q)).sum()))
