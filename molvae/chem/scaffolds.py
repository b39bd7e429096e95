"""Bemis-Murcko scaffolds: the rings of a molecule and the chains between them."""

from __future__ import annotations

from rdkit import Chem
from rdkit.Chem.Scaffolds import MurckoScaffold

from molvae.chem.smiles import silence_rdkit

LARGE = 300
"""Atoms beyond which RDKit, whose time grows with their cube, would take a second and more."""


def murcko_smiles(mol: Chem.Mol) -> str:
    """The scaffold's canonical SMILES without stereo (stereoisomers share one); '' for an acyclic molecule."""
    with silence_rdkit():
        return str(Chem.MolToSmiles(murcko_scaffold(mol), isomericSmiles=False))


def murcko_scaffold(mol: Chem.Mol) -> Chem.Mol:
    """The scaffold, stereo kept, its rings found; without atoms for an acyclic molecule.

    RDKit's variant of Bemis and Murcko 1996: atoms double-bonded to the scaffold stay. Keep a `silence_rdkit` block around it.
    """
    if not mol.GetRingInfo().NumRings():
        return Chem.Mol()
    if mol.GetNumAtoms() > LARGE:
        return _large_scaffold(mol)
    return MurckoScaffold.GetScaffoldForMol(mol)  # type: ignore[no-any-return, no-untyped-call]


def _large_scaffold(mol: Chem.Mol) -> Chem.Mol:
    """What RDKit gives, in linear time; of small molecules it would take twice as long as RDKit."""
    inside = _rings_and_chains_between(mol)
    kept = list(inside)
    for bond in mol.GetBonds():
        begin, end = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()
        if inside[begin] != inside[end] and bond.GetBondType() == Chem.BondType.DOUBLE:
            kept[begin] = kept[end] = True
    scaffold = Chem.RWMol(mol)
    scaffold.BeginBatchEdit()
    for atom in mol.GetAtoms():
        if kept[atom.GetIdx()]:
            continue
        for neighbor in atom.GetNeighbors():
            place = scaffold.GetAtomWithIdx(neighbor.GetIdx())
            # what is written in brackets, and [nH], has the hydrogens written there and no others
            written = place.GetNoImplicit() or (place.GetIsAromatic() and place.GetAtomicNum() != 6)
            if inside[neighbor.GetIdx()] and written:
                place.SetNumExplicitHs(place.GetNumExplicitHs() + 1)
        scaffold.RemoveAtom(atom.GetIdx())
    scaffold.CommitBatchEdit()
    scaffold.ClearComputedProps()
    scaffold.UpdatePropertyCache(strict=False)
    Chem.GetSymmSSSR(scaffold)
    return scaffold.GetMol()


def _rings_and_chains_between(mol: Chem.Mol) -> list[bool]:
    """For each atom whether it is left when ends of chains are taken off until there are none."""
    degree = [atom.GetDegree() for atom in mol.GetAtoms()]
    ends = [index for index, bonds in enumerate(degree) if bonds <= 1]
    while ends:
        index = ends.pop()
        degree[index] = 0
        for neighbor in mol.GetAtomWithIdx(index).GetNeighbors():
            degree[neighbor.GetIdx()] -= 1
            if degree[neighbor.GetIdx()] == 1:
                ends.append(neighbor.GetIdx())
    return [bonds > 1 for bonds in degree]
