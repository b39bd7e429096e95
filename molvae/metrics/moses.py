"""Set metrics of the MOSES benchmark, with the definitions of its reference implementation.

A set consists of its valid molecules, repeats included. The set that it is compared with is a
`molvae.metrics.reference.Reference`.

References
----------
Polykovskiy et al., "Molecular Sets (MOSES): A Benchmarking Platform for Molecular Generation Models", Frontiers in
Pharmacology 11:565644 (2020).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rdkit import Chem
from scipy.stats import wasserstein_distance

from molvae.chem.fingerprints import morgan_bits
from molvae.chem.rdkit_guard import RDKIT_ERRORS
from molvae.chem.scaffolds import murcko_scaffold
from molvae.chem.smiles import parse, silence_rdkit
from molvae.data.parallel import chunked, map_chunks
from molvae.similarity.power_means import power_means

if TYPE_CHECKING:
    from molvae.metrics.reference import Reference

FINGERPRINT_BITS = 1024
"""Width of the Morgan fingerprints of MOSES; those of `molvae.chem.fingerprints` have 2048 bits."""

MAX_FRAGMENTED = 500
"""Atoms of the largest molecule that is split into BRICS fragments. RDKit's time grows with its cube: 0.3 s for 500."""

UNIQUE_AT = (1_000, 10_000)
"""Values of k for the metrics unique@k."""

WASSERSTEIN_METRICS = {"logp": "logP", "sa": "SA", "qed": "QED", "mw": "weight"}
"""Name in MOSES of the Wasserstein distance of each property."""

DIVERSITY_METRICS = ("IntDiv", "IntDiv2")
"""Metrics that need no reference set."""

REFERENCE_METRICS = ("SNN", "Frag", "Scaf", "FCD")
"""Metrics that compare with a reference set; `similarity_to_reference` computes all except FCD."""


@dataclass(frozen=True)
class Structures:
    """Fragments, scaffolds and fingerprints of a set of N valid molecules, repeats included, as defined by MOSES.

    Attributes
    ----------
    fragments : Counter of str
        Counts of the BRICS fragments of the molecules with at most `MAX_FRAGMENTED` atoms.
    scaffolds : Counter of str
        Counts of the Bemis-Murcko scaffolds with at least two rings, with stereochemistry.
    fingerprints : ndarray of uint8, shape (N, 128)
        Packed Morgan fingerprints, radius 2, 1024 bits.
    """

    fragments: Counter[str]
    scaffolds: Counter[str]
    fingerprints: NDArray[np.uint8]


def compute_structures(smiles: Iterable[str], workers: int | None = None) -> Structures:
    """Compute the structures of valid SMILES, in order. Raises `MoleculeError` for an invalid one."""
    return merge_structures(map_chunks(_structures_from_smiles, chunked(smiles), workers))


def structures_from_mols(mols: Sequence[Chem.Mol]) -> Structures:
    """Compute the structures of RDKit molecules, in order."""
    with silence_rdkit():
        fragments = Counter(fragment for mol in mols for fragment in _brics_fragments(mol))
        scaffolds = Counter(scaffold for mol in mols if (scaffold := multi_ring_scaffold(mol)))
    return Structures(fragments, scaffolds, morgan_bits(mols, FINGERPRINT_BITS))


def merge_structures(parts: Iterable[Structures]) -> Structures:
    """Concatenate the structures of several sets."""
    fragments, scaffolds = Counter[str](), Counter[str]()
    fingerprints = [np.empty((0, FINGERPRINT_BITS // 8), np.uint8)]
    for part in parts:
        fragments.update(part.fragments)
        scaffolds.update(part.scaffolds)
        fingerprints.append(part.fingerprints)
    return Structures(fragments, scaffolds, np.concatenate(fingerprints))


def multi_ring_scaffold(mol: Chem.Mol) -> str:
    """Return the Bemis-Murcko scaffold; "" if it has fewer than two rings, or if RDKit cannot compute it.

    Call it in a `silence_rdkit` block.
    """
    if mol.GetRingInfo().NumRings() < 2:
        return ""
    try:
        scaffold = murcko_scaffold(mol)
        return str(Chem.MolToSmiles(scaffold)) if scaffold.GetRingInfo().NumRings() >= 2 else ""
    except RDKIT_ERRORS:
        return ""


def internal_diversity(structures: Structures, workers: int | None = None) -> dict[str, float]:
    """Compute IntDiv and IntDiv2 of a set: 1 minus a power mean of the Tanimoto similarities of all pairs.

    The pairs include each molecule with itself. IntDiv uses the arithmetic mean; IntDiv2 averages, over the molecules,
    the root mean square of the similarities to all molecules.
    """
    arithmetic, quadratic = power_means(structures.fingerprints, (1, 2), workers=workers)
    return {"IntDiv": 1 - float(arithmetic.mean()), "IntDiv2": 1 - float(quadratic.mean())}


def similarity_to_reference(
    structures: Structures, reference: Reference, label: str, workers: int | None = None, device: str = "cpu"
) -> dict[str, float | None]:
    """Compute SNN, Frag and Scaf of a set with respect to a reference set.

    Parameters
    ----------
    structures : Structures
        Structures of the set.
    reference : Reference
        The reference set.
    label : str
        Suffix of the names, such as "Test" for "SNN/Test".
    workers : int, optional
        Processes of the neighbor search; None uses all cores.
    device : str
        Device of the neighbor search.

    Returns
    -------
    dict of str to float or None
        SNN: mean Tanimoto similarity of each molecule to its nearest neighbor in the reference set. Frag and Scaf:
        cosine similarity of the counts of fragments and of scaffolds; None if one of the sets has none.
    """
    other = reference.structures
    _, similarity = reference.finder(device).query(structures.fingerprints, workers=workers)
    return {
        f"SNN/{label}": float(similarity.mean(dtype=np.float64)),
        f"Frag/{label}": cosine_similarity(structures.fragments, other.fragments),
        f"Scaf/{label}": cosine_similarity(structures.scaffolds, other.scaffolds),
    }


def wasserstein_distances(table: pd.DataFrame, reference: Reference) -> dict[str, float]:
    """Compute the Wasserstein distances of the properties to the reference set, in the units of the properties."""
    expected = reference.properties
    return {
        label: float(wasserstein_distance(table[name], expected[name])) for name, label in WASSERSTEIN_METRICS.items()
    }


def cosine_similarity(a: Mapping[str, int], b: Mapping[str, int]) -> float | None:
    """Compute the cosine similarity of two tables of counts, 0 to 1; None if one of them is empty.

    >>> cosine_similarity({"C": 3, "N": 4}, {"C": 1})
    0.6
    """
    if not a or not b:
        return None
    dot = sum(count * b[name] for name, count in a.items() if name in b)
    return dot / sqrt(sum(c * c for c in a.values()) * sum(c * c for c in b.values()))


def _structures_from_smiles(smiles: list[str]) -> Structures:
    with silence_rdkit():
        return structures_from_mols([parse(text) for text in smiles])


def _brics_fragments(mol: Chem.Mol) -> list[str]:
    """SMILES of the BRICS fragments; none if RDKit cannot cut the molecule, or for more than `MAX_FRAGMENTED` atoms."""
    if mol.GetNumAtoms() > MAX_FRAGMENTED:
        return []
    try:
        return str(Chem.MolToSmiles(Chem.FragmentOnBRICSBonds(mol))).split(".")
    except RDKIT_ERRORS:
        return []
