"""What two molecules have in common and where they differ, for pictures."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rdkit import Chem
from rdkit.Chem import rdFMCS, rdRascalMCES

from molvae.chem.rdkit_guard import rdkit_guard
from molvae.errors import MoleculeError

MAX_COMPARED_ATOMS = 120
"""Larger molecules are not compared."""

PAIR_SECONDS = 1
"""Limit of the search for the common substructure of two molecules; a drug-like pair takes about 10 ms."""

_MIN_SIMILARITY = 0.15  # molecules that share fewer atoms and bonds are not compared
_MIN_FRAGMENT = 3  # atoms; smaller pieces match by chance
_MAX_BOND_PAIRS = 1500  # of Rascal; the graph that it searches grows with their square


@dataclass(frozen=True)
class Comparison:
    """Atoms and bonds of a molecule that another one lacks, and which of its atoms match.

    Attributes
    ----------
    matches : mapping of int to int
        Atom to the corresponding atom of the other molecule, which may be of another element.
    atoms, bonds : tuple of int
        The changed atoms and bonds; an atom that has lost a substituent is a changed atom.
    """

    matches: Mapping[int, int]
    atoms: tuple[int, ...] = ()
    bonds: tuple[int, ...] = ()


class Stopwatch:
    """Limits the time that is spent on comparing the molecules of one page or image.

    Parameters
    ----------
    seconds : float
        Total time of the blocks.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._start = 0.0

    def __enter__(self) -> None:
        self._start = time.monotonic()

    def __exit__(self, *_: object) -> None:
        self.seconds -= time.monotonic() - self._start

    @property
    def is_over(self) -> bool:
        """Whether the time has been spent."""
        return self.seconds <= 0


def compare(mol: Chem.Mol, reference: Chem.Mol) -> Comparison | None:
    """Compare a molecule with a reference by their maximum common edge subgraph [1]_.

    Parameters
    ----------
    mol, reference : Mol
        Sanitized.

    Returns
    -------
    Comparison or None
        None if the molecules have little in common, are large, or RDKit fails.

    References
    ----------
    .. [1] Raymond, Gardiner and Willett, "RASCAL: calculation of graph similarity using maximum common edge
       subgraphs", Comput. J. 45, 631 (2002).
    """
    if not 1 < mol.GetNumAtoms() <= MAX_COMPARED_ATOMS or not 1 < reference.GetNumAtoms() <= MAX_COMPARED_ATOMS:
        return None
    try:
        with rdkit_guard("cannot compare the molecules"):
            matched = _common_atoms(mol, reference)
            if not matched:
                return None
            matched |= _common_ions(mol, reference)
            changed_bonds = _changed_bonds(mol, reference, matched)
            atoms = {atom.GetIdx() for atom in mol.GetAtoms()} - matched.keys()
            atoms |= _changed_stereo(mol, reference, matched)
            matched = _extend(mol, reference, matched)
            atoms |= _lost_substituents(mol, reference, matched)
    except MoleculeError:
        return None
    return Comparison(matched, tuple(sorted(atoms)), changed_bonds)


def _common_atoms(mol: Chem.Mol, reference: Chem.Mol) -> dict[int, int]:
    """Atom of the molecule to atom of the reference; empty if they have little in common."""
    options: Any = rdRascalMCES.RascalOptions()
    options.similarityThreshold = _MIN_SIMILARITY
    options.timeout = PAIR_SECONDS
    options.ringMatchesRingOnly = True
    options.completeAromaticRings = False
    options.maxBondMatchPairs = _MAX_BOND_PAIRS
    results = rdRascalMCES.FindMCES(mol, reference, options)
    if results:
        return _without_small_pieces(mol, results[0])
    # Rascal gives up on repetitive molecules such as peptides, where a connected substructure is found at once
    found = rdFMCS.FindMCS([mol, reference], timeout=PAIR_SECONDS, ringMatchesRingOnly=True, completeRingsOnly=True)
    if found.numAtoms < max(_MIN_FRAGMENT, mol.GetNumAtoms() / 3):
        return {}
    pattern = found.queryMol
    return dict(zip(mol.GetSubstructMatch(pattern), reference.GetSubstructMatch(pattern), strict=False))


def _without_small_pieces(mol: Chem.Mol, result: rdRascalMCES.RascalResult) -> dict[int, int]:
    """The matching atoms without connected pieces of one or two atoms; Rascal's option for it is ten times slower."""
    matches = {int(atom): int(other) for atom, other in result.atomMatches()}
    piece = {atom: {atom} for atom in matches}
    for index, _ in result.bondMatches():
        bond = mol.GetBondWithIdx(int(index))
        joined = piece[bond.GetBeginAtomIdx()] | piece[bond.GetEndAtomIdx()]
        piece |= dict.fromkeys(joined, joined)
    return {atom: other for atom, other in matches.items() if len(piece[atom]) >= _MIN_FRAGMENT}


def _common_ions(mol: Chem.Mol, reference: Chem.Mol) -> dict[int, int]:
    """Atoms without bonds, such as the sodium of a salt, which the search for common bonds does not find."""
    free = [atom for atom in reference.GetAtoms() if not atom.GetDegree()]
    matches = {}
    for atom in (atom for atom in mol.GetAtoms() if not atom.GetDegree()):
        kind = (atom.GetAtomicNum(), atom.GetFormalCharge())
        same = [other for other in free if (other.GetAtomicNum(), other.GetFormalCharge()) == kind]
        if same:
            matches[atom.GetIdx()] = same[0].GetIdx()
            free.remove(same[0])
    return matches


def _changed_bonds(mol: Chem.Mol, reference: Chem.Mol, matches: Mapping[int, int]) -> tuple[int, ...]:
    """Bonds that the reference does not have between the corresponding atoms, or has with another order."""
    changed = []
    for bond in mol.GetBonds():
        begin, end = matches.get(bond.GetBeginAtomIdx()), matches.get(bond.GetEndAtomIdx())
        other = None if begin is None or end is None else reference.GetBondBetweenAtoms(begin, end)
        if other is None or other.GetBondType() != bond.GetBondType() or other.GetStereo() != bond.GetStereo():
            changed.append(bond.GetIdx())
    return tuple(changed)


def _extend(mol: Chem.Mol, reference: Chem.Mol, matches: Mapping[int, int]) -> dict[int, int]:
    """Match further atoms by their neighbors, whatever their element, such as the nitrogen that replaces a carbon."""
    extended = dict(matches)
    taken = set(matches.values())
    unmatched = [atom for atom in mol.GetAtoms() if atom.GetIdx() not in extended]
    for atom in unmatched:
        neighbors = [extended[n.GetIdx()] for n in atom.GetNeighbors() if n.GetIdx() in extended]
        if not neighbors:
            continue
        candidates = set.intersection(
            *({n.GetIdx() for n in reference.GetAtomWithIdx(other).GetNeighbors()} for other in neighbors)
        )
        free = [c for c in sorted(candidates - taken) if reference.GetAtomWithIdx(c).IsInRing() == atom.IsInRing()]
        if free:
            extended[atom.GetIdx()] = free[0]
            taken.add(free[0])
    return extended


def _lost_substituents(mol: Chem.Mol, reference: Chem.Mol, matches: Mapping[int, int]) -> set[int]:
    """Atoms that have fewer neighbors than in the reference."""
    return {
        atom for atom, other in matches.items()
        if mol.GetAtomWithIdx(atom).GetDegree() < reference.GetAtomWithIdx(other).GetDegree()
    }  # fmt: skip


def _changed_stereo(mol: Chem.Mol, reference: Chem.Mol, matches: Mapping[int, int]) -> set[int]:
    """Stereocenters with the opposite configuration, or that only one of the molecules specifies."""
    unspecified = Chem.ChiralType.CHI_UNSPECIFIED
    changed = set()
    for atom, other in matches.items():
        a, b = mol.GetAtomWithIdx(atom), reference.GetAtomWithIdx(other)
        tags = (a.GetChiralTag(), b.GetChiralTag())
        if tags == (unspecified, unspecified):
            continue
        order = [matches.get(n.GetIdx(), -1) for n in a.GetNeighbors()]
        others = [n.GetIdx() for n in b.GetNeighbors()]
        others = [n if n in order else -1 for n in others]
        if sorted(order) != sorted(others) or order.count(-1) > 1:
            continue  # the neighbors differ, which is marked anyway
        inverted = _is_odd([others.index(n) for n in order])
        if unspecified in tags or (tags[0] != tags[1]) != inverted:
            changed.add(atom)
    return changed


def _is_odd(order: list[int]) -> bool:
    """Whether a permutation is odd."""
    return sum(a > b for i, a in enumerate(order) for b in order[i + 1 :]) % 2 == 1
