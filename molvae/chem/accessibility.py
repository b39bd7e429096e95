"""Synthetic accessibility as RDKit defines it, its stereocentres counted by RDKit and not atom by atom in Python."""

from __future__ import annotations

from functools import cache
from math import log, log10

from rdkit import Chem
from rdkit.Chem import rdFingerprintGenerator, rdMolDescriptors

from molvae.chem.contrib import contrib

_UNSEEN = -4.0
"""The score of an environment that is rare, or new, among the molecules people have made."""


def accessibility(mol: Chem.Mol) -> float:
    """1, easy to make, to 10, hard: Ertl and Schuffenhauer 2009, as in RDKit's Contrib (`sascorer.calculateScore`).

    How common its environments of radius 2 are in molecules that have been made, less penalties for size,
    stereocentres, spiro and bridgehead atoms and large rings, and a bonus for symmetry. Raises `InputError` where
    RDKit's table of environments is not installed.
    """
    environments = _generator().GetSparseCountFingerprint(mol).GetNonzeroElements()
    scores, atoms = _scores(), mol.GetNumAtoms()
    common = sum(scores.get(name, _UNSEEN) * count for name, count in environments.items()) / sum(environments.values())
    complexity = (
        atoms**1.005 - atoms
        + log10(_stereocentres(mol) + 1)
        + log10(rdMolDescriptors.CalcNumSpiroAtoms(mol) + 1)
        + log10(rdMolDescriptors.CalcNumBridgeheadAtoms(mol) + 1)
        + (log10(2) if any(len(ring) > 8 for ring in mol.GetRingInfo().AtomRings()) else 0)
    )  # fmt: skip
    symmetry = log(atoms / len(environments)) / 2 if atoms > len(environments) else 0
    score = 11 - (common - complexity + symmetry + 5) / 6.5 * 9  # -4 to 2.5 becomes 10 to 1
    return float(min(max(score if score <= 8 else 8 + log(score - 8), 1), 10))


def _stereocentres(mol: Chem.Mol) -> int:
    """Atoms that are one or could be, stated or not."""
    Chem.AssignStereochemistry(mol, force=True, flagPossibleStereoCenters=True)
    return int(rdMolDescriptors.CalcNumAtomStereoCenters(mol))


@cache
def _generator() -> rdFingerprintGenerator.FingerprintGenerator64:
    return rdFingerprintGenerator.GetMorganGenerator(radius=2)


@cache
def _scores() -> dict[int, float]:
    scorer = contrib("SA_Score", "sascorer")
    scorer.readFragmentScores()
    return dict(scorer._fscores)
