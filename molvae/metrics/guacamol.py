"""Distribution-learning scores of the GuacaMol benchmark: descriptors, KL divergence score and FCD score.

All five scores lie between 0 and 1, where 1 is best, and are defined for 10,000 molecules:

    validity       valid / generated
    uniqueness     distinct / valid
    novelty        not in the training set / distinct
    KL divergence  `kl_score`: distinct molecules against 10,000 random training molecules
    FCD score      `fcd_score`: valid molecules, repeats included, against 10,000 random training molecules

Stereochemistry is removed from both sets for all scores but validity and FCD. For a metric of valid or distinct
molecules, GuacaMol generates up to ten times as many until it has 10,000; missing ones count in the denominators.
The definitions are those of the reference implementation. The kernel density estimate is the same as in SciPy.

References
----------
Brown et al., "GuacaMol: Benchmarking Models for de Novo Molecular Design", Journal of Chemical Information and
Modeling 59:1096 (2019).
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
"""Width of the ECFP4 fingerprint of GuacaMol; the fingerprints of `molvae.chem.fingerprints` have 2048 bits."""

INTERNAL_SIMILARITY = "internal_similarity"
"""Name of the tenth feature, which is continuous: `internal_nearest_similarity` of each molecule."""

_N_GRID_POINTS, _N_BINS = 1000, 10
_DENSITY_FLOOR = 1e-10
"""Added to each density, in the unit of the descriptor, so that the logarithm of an empty bin is finite."""

_TOLERANCE = 1e-9
"""Maximum difference of equal continuous values: a logP summed in another order differs by 1e-15."""

_BLOCK_ROWS = 1024
"""Rows of `internal_nearest_similarity` per block: 16 MB of unpacked bits in single precision."""

_KERNEL_BLOCK = 64
"""Kernels of `_kernel_density` per block: 0.5 MB."""

_MORGAN = rdFingerprintGenerator.GetMorganGenerator(radius=RADIUS, fpSize=BITS)

Kind = Literal["continuous", "discrete"]


class Descriptor(NamedTuple):
    """RDKit function of a descriptor, and its kind: continuous (kernel density estimate) or discrete (histogram)."""

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
"""The nine descriptors, by RDKit name. None of them depends on stereochemistry."""

SCORES = ("validity", "uniqueness", "novelty", "KL divergence", "FCD score")
"""Names of the five scores, as published."""

FEATURES: tuple[str, ...] = (*DESCRIPTORS, INTERNAL_SIMILARITY)
"""The ten features that `kl_divergences` compares."""


def compute_descriptors(mol: Chem.Mol) -> dict[str, float]:
    """Compute the nine descriptors of a molecule, in the order of `DESCRIPTORS`.

    Units: BertzCT in bits, MolLogP in log10, MolWt in g/mol, TPSA in Å²; the others are counts.
    """
    return {name: float(descriptor.function(mol)) for name, descriptor in DESCRIPTORS.items()}


def fingerprints(mols: Sequence[Chem.Mol]) -> NDArray[np.uint8]:
    """Compute packed ECFP4 fingerprints of 4096 bits, without stereochemistry: (N, 512)."""
    packed = b"".join(DataStructs.BitVectToBinaryText(_MORGAN.GetFingerprint(mol)) for mol in mols)
    return np.frombuffer(packed, dtype=np.uint8).reshape(-1, BITS // 8)


def internal_nearest_similarity(packed: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Compute the Tanimoto similarity of each molecule of a set to its nearest neighbor within the set.

    Parameters
    ----------
    packed : ndarray of uint8, shape (N, bytes)
        Packed fingerprints of any width. GuacaMol removes repeated molecules first.

    Returns
    -------
    ndarray of float32, shape (N,)
        0 to 1; 0 for a single molecule, 1 for a molecule that occurs twice.

    Raises
    ------
    InputError
        If the array has another type or number of dimensions.
    """
    if packed.dtype != np.uint8 or packed.ndim != 2:
        raise InputError(f"fingerprints must be uint8 of shape (N, bytes), got {packed.dtype} of shape {packed.shape}")
    nearest = np.zeros(len(packed), dtype=np.float32)
    starts = range(0, len(packed), _BLOCK_ROWS)
    for first in starts:
        a = _unpack_bits(packed[first : first + _BLOCK_ROWS])
        for second in starts[first // _BLOCK_ROWS :]:
            b = a if second == first else _unpack_bits(packed[second : second + _BLOCK_ROWS])
            similarity = _tanimoto(a, b)
            if second == first:
                np.fill_diagonal(similarity, 0)
            for start, maximum in ((first, similarity.max(axis=1)), (second, similarity.max(axis=0))):
                rows = nearest[start : start + _BLOCK_ROWS]
                np.maximum(rows, maximum, out=rows)
    return nearest


def kl_divergences(generated: Mapping[str, NDArray[Any]], reference: Mapping[str, NDArray[Any]]) -> dict[str, float]:
    """Compute KL(reference || generated) of each of `FEATURES`, in nats.

    Parameters
    ----------
    generated, reference : mapping of str to ndarray
        Values of each feature, shape (molecules,), at least one; other names are ignored.

    Returns
    -------
    dict of str to float
        0 or more; 0 for equal distributions. inf, which contributes a score of 0, where the reference implementation
        fails: if all values of a continuous feature are equal in one set but not in both together, and if no generated
        value of a discrete feature is in the range of the reference.

    Raises
    ------
    InputError
        If a feature is missing, empty, not one-dimensional or not finite.
    """
    divergences = {}
    for name in FEATURES:
        columns = _checked_values(reference, name, "reference"), _checked_values(generated, name, "generated")
        discrete = name in DESCRIPTORS and DESCRIPTORS[name].kind == "discrete"
        divergences[name] = _discrete_divergence(*columns) if discrete else _continuous_divergence(*columns)
    return divergences


def kl_score(divergences: Mapping[str, float]) -> float:
    """Compute the KL divergence score of GuacaMol, the mean of exp(-divergence).

    Parameters
    ----------
    divergences : mapping of str to float
        KL divergence of each feature, in nats.

    Returns
    -------
    float
        0 to 1; 1 is best.

    Raises
    ------
    InputError
        For an empty mapping, negative values or NaN.

    Examples
    --------
    >>> kl_score({"MolWt": 0.0, "TPSA": float("inf")})
    0.5
    """
    if not divergences or any(isnan(value) or value < 0 for value in divergences.values()):
        raise InputError(f"the KL score needs at least one divergence, each 0 or more, got {dict(divergences)}")
    return sum(exp(-value) for value in divergences.values()) / len(divergences)


def fcd_score(fcd: float) -> float:
    """Compute the FCD score of GuacaMol, exp(-0.2 FCD), 0 to 1. Raises `InputError` for a negative distance or NaN."""
    if isnan(fcd) or fcd < 0:
        raise InputError(f"a Fréchet ChemNet distance must be 0 or more, got {fcd}")
    return exp(-0.2 * fcd)


def _unpack_bits(packed: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Unpack (n, bytes) to (n, bits) of 0 and 1, as floats, because their matrix product uses BLAS."""
    return np.unpackbits(packed, axis=1).astype(np.float32)


def _tanimoto(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return similarities (n, m) of (n, bits) and (m, bits); 0 for two empty fingerprints, as in RDKit."""
    common = a @ b.T
    union = a.sum(axis=1)[:, None] + b.sum(axis=1) - common
    similarity: NDArray[np.float32] = common / np.maximum(union, 1)
    return similarity


def _checked_values(columns: Mapping[str, NDArray[Any]], name: str, role: str) -> NDArray[np.float64]:
    if name not in columns:
        raise InputError(f"the {role} set has no column {name!r}; the KL score needs {', '.join(FEATURES)}")
    values = np.asarray(columns[name], dtype=np.float64)
    if values.ndim != 1 or not values.size or not np.isfinite(values).all():
        raise InputError(f"{role} column {name!r} must be finite numbers of shape (molecules,), at least one")
    return values


def _continuous_divergence(reference: NDArray[np.float64], generated: NDArray[np.float64]) -> float:
    """Compute the KL divergence of Gaussian kernel density estimates at 1000 points over the range of both sets."""
    low, high = min(reference.min(), generated.min()), max(reference.max(), generated.max())
    if high - low < _TOLERANCE:
        return 0.0
    if min(np.ptp(reference), np.ptp(generated)) < _TOLERANCE:
        return inf
    points = np.linspace(low, high, _N_GRID_POINTS)
    return _divergence(_kernel_density(reference, points), _kernel_density(generated, points))


def _kernel_density(values: NDArray[np.float64], points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Estimate the density of `values` at `points`; bandwidth: n^(-1/5) standard deviations (Scott 1992)."""
    bandwidth = values.std(ddof=1) * len(values) ** -0.2
    total = np.zeros(len(points))
    for start in range(0, len(values), _KERNEL_BLOCK):
        offsets = (points[:, None] - values[start : start + _KERNEL_BLOCK]) / bandwidth
        total += np.exp(-0.5 * offsets**2).sum(axis=1)
    density: NDArray[np.float64] = total / (len(values) * bandwidth * np.sqrt(2 * np.pi))
    return density


def _discrete_divergence(reference: NDArray[np.float64], generated: NDArray[np.float64]) -> float:
    """Compute the KL divergence of histograms with 10 bins over the range of the reference.

    Generated values outside that range are ignored, as in GuacaMol.
    """
    expected, edges = np.histogram(reference, bins=_N_BINS, density=True)
    in_range = generated[(generated >= edges[0]) & (generated <= edges[-1])]
    if not in_range.size:
        return inf
    observed, _ = np.histogram(in_range, bins=edges, density=True)
    return _divergence(expected, observed)


def _divergence(p: NDArray[np.float64], q: NDArray[np.float64]) -> float:
    """Compute KL(p || q) of densities at the same points, after adding the floor and normalizing; at least 0."""
    p, q = p + _DENSITY_FLOOR, q + _DENSITY_FLOOR
    p, q = p / p.sum(), q / q.sum()
    return max(0.0, float((p * np.log(p / q)).sum()))
