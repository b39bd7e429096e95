"""Stereo marks of a SMILES that RDKit or a model cannot represent, or that say nothing."""

from __future__ import annotations

import re
from collections import deque

from rdkit import Chem

_UNSPECIFIED = Chem.ChiralType.CHI_UNSPECIFIED
_ATROPISOMERS = (Chem.BondStereo.STEREOATROPCW, Chem.BondStereo.STEREOATROPCCW)
_WEDGES = re.compile(r"w[UD]:")
_ATOM = re.compile(r"\[\d*[A-Za-z][a-z]?@")
_ANY_ATOM = re.compile(r"\[[^\]]*\]|Br|Cl|[BCNOPSFIbcnops*]")
_GROUPS = {Chem.StereoGroupType.STEREO_AND: "&", Chem.StereoGroupType.STEREO_OR: "o"}
_LARGEST_BICYCLE = 8
"""Atoms between two bridgeheads up to which both have to point outwards."""


def unrepresented_stereo(mol: Chem.Mol, smiles: str) -> list[str]:
    """Notes of the stereo in a SMILES that RDKit does not read into the graph: allenes and atropisomers."""
    notes = []
    if "@" in smiles and _has_chiral_allene(smiles):
        notes.append("stereo of an allene cannot be represented")
    if any(bond.GetStereo() in _ATROPISOMERS for bond in mol.GetBonds()) or _WEDGES.search(smiles.partition("|")[2]):
        notes.append("stereo of an atropisomer cannot be represented")
    return notes


def _has_chiral_allene(smiles: str) -> bool:
    """Whether a carbon atom with two double bonds has a stereo mark."""
    raw = Chem.MolFromSmiles(smiles.split("|")[0].strip(), sanitize=False)
    if raw is None:
        return False
    marked = {token.start() for token in _ATOM.finditer(smiles)}
    if not marked:
        return False
    cumulated = {
        atom.GetIdx() for atom in raw.GetAtoms()
        if atom.GetAtomicNum() == 6 and [b.GetBondType() for b in atom.GetBonds()] == [Chem.BondType.DOUBLE] * 2
    }  # fmt: skip
    # RDKit keeps the order of the atoms in the text
    return any(index in cumulated and atom.start() in marked for index, atom in enumerate(_ANY_ATOM.finditer(smiles)))


def without_enhanced_stereo(mol: Chem.Mol, notes: list[str]) -> Chem.Mol:
    """Without the stereo of AND and OR groups, so that a racemate is not taken for one of its enantiomers."""
    groups = [group for group in mol.GetStereoGroups() if group.GetGroupType() in _GROUPS]
    if not groups:
        return mol
    mol = Chem.RWMol(mol)
    n_centers = 0
    for group in groups:
        for atom in group.GetAtoms():
            mol.GetAtomWithIdx(atom.GetIdx()).SetChiralTag(_UNSPECIFIED)
            n_centers += 1
        for bond in group.GetBonds():
            mol.GetBondWithIdx(bond.GetIdx()).SetStereo(Chem.BondStereo.STEREONONE)
    mol.SetStereoGroups([])
    mol = mol.GetMol()
    Chem.AssignStereochemistry(mol, cleanIt=True, force=True)
    kinds = " and ".join(
        sorted({"racemic (&)" if _GROUPS[g.GetGroupType()] == "&" else "relative (o)" for g in groups})
    )
    plural = "s" if n_centers > 1 else ""
    notes.append(f"enhanced stereo: {n_centers} {kinds} center{plural} left unspecified")
    return mol


def remove_implied_nitrogen_stereo(mol: Chem.Mol, notes: list[str]) -> Chem.Mol:
    """Without the stereo of bridgehead nitrogens that the rest of the molecule determines, as in quinine."""
    nitrogens = [
        atom for atom in mol.GetAtoms()
        if atom.GetAtomicNum() == 7 and atom.GetChiralTag() != _UNSPECIFIED and atom.IsInRing()
    ]  # fmt: skip
    if not nitrogens:
        return mol
    opposite = {atom.GetIdx(): _opposite_bridgehead(mol, atom) for atom in nitrogens}
    implied = {nitrogen for nitrogen, other in opposite.items() if other is not None}
    bare = Chem.Mol(mol)
    for index in implied:
        bare.GetAtomWithIdx(index).SetChiralTag(_UNSPECIFIED)
    Chem.AssignStereochemistry(bare, cleanIt=True, force=True)
    # the opposite bridgehead may be a stereocenter only relative to the nitrogen; a loss of others would be a change
    if not implied or _centers(mol) - _centers(bare) - implied - {opposite[index] for index in implied}:
        return mol
    notes.append("stereo of the bridgehead [N@] removed, because the ring system determines it")
    return bare


def _centers(mol: Chem.Mol) -> set[int]:
    return {atom.GetIdx() for atom in mol.GetAtoms() if atom.GetChiralTag() != _UNSPECIFIED}


def _opposite_bridgehead(mol: Chem.Mol, nitrogen: Chem.Atom) -> int | None:
    """The stereocenter of another element that three short bridges connect to a nitrogen: both point outwards."""
    start = nitrogen.GetIdx()
    ends = [bond.GetOtherAtomIdx(start) for bond in nitrogen.GetBonds() if bond.IsInRing()]
    if len(ends) != 3:
        return None
    others = sorted(i for i in _centers(mol) if mol.GetAtomWithIdx(i).GetAtomicNum() != 7 and i not in ends)
    return next((i for i in others if _n_bridge_atoms(mol, start, ends, i) <= _LARGEST_BICYCLE), None)


def _n_bridge_atoms(mol: Chem.Mol, start: int, ends: list[int], other: int) -> int:
    """Atoms of three disjoint paths between two bridgeheads; a large number if there are none."""
    used = {start}
    total = 0
    for end in ends:
        path = _shortest_path(mol, end, other, used | set(ends) - {end})
        if not path:
            return _LARGEST_BICYCLE + 1
        used |= set(path)
        total += len(path)
    return total


def _shortest_path(mol: Chem.Mol, begin: int, goal: int, blocked: set[int]) -> list[int]:
    """The atoms from `begin` to the one before `goal`."""
    previous = {begin: -1}
    queue = deque([begin])
    while queue:
        here = queue.popleft()
        for neighbor in mol.GetAtomWithIdx(here).GetNeighbors():
            index = neighbor.GetIdx()
            if index == goal:
                path = [here]
                while previous[path[-1]] >= 0:
                    path.append(previous[path[-1]])
                return path
            if index not in previous and index not in blocked:
                previous[index] = here
                queue.append(index)
    return []
