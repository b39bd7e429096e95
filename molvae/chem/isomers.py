"""Isomers that a chemist counts as one proposal: stereoisomers, tautomers, protonation states and isotopologues."""

from __future__ import annotations

import re

from rdkit import Chem
from rdkit.Chem import rdMolDescriptors, rdMolHash

from molvae.chem.rdkit_guard import RDKIT_ERRORS, silence_rdkit
from molvae.chem.smiles import parse

_HYDROGENS_AND_CHARGE = re.compile(r"H\d*(?![a-z])|[+-]\d*$")
_ISOTOPE = Chem.MolFromSmarts("[!0*]")
_HYDROGEN = Chem.MolFromSmarts("[#1]")
_PROTONATED = Chem.MolFromSmarts("[+1;!h0]")
_DEPROTONATED = Chem.MolFromSmarts("[O,S,N,n,c;-1]")
_TAUTOMER = rdMolHash.HashFunction.HetAtomTautomerv2


def skeleton_key(mol: Chem.Mol) -> str:
    """A text that is the same for all isomers, as of `isomer_key`, and differs for most other molecules.

    Heavy atoms by element, and the sum of their topological distances (Wiener index). It takes an eighth of the time of
    `isomer_key`, which has to be computed only for molecules that have it in common.

    >>> from molvae.chem.smiles import parse
    >>> skeleton_key(parse("Oc1ccccn1")) == skeleton_key(parse("O=c1cccc[nH]1"))
    True
    >>> skeleton_key(parse("CCCO")) == skeleton_key(parse("CC(C)O"))
    False
    """
    if mol.HasSubstructMatch(_HYDROGEN):
        mol = _without_isotopes(Chem.RWMol(mol))
    formula = _HYDROGENS_AND_CHARGE.sub("", rdMolDescriptors.CalcMolFormula(mol))
    return f"{formula}:{Chem.GetDistanceMatrix(mol).sum():.0f}"


class IsomerIndex:
    """Molecules by isomer.

    >>> index = IsomerIndex()
    >>> index.add("Oc1ccccn1", skeleton_key(Chem.MolFromSmiles("Oc1ccccn1")))
    >>> index.find("O=c1cccc[nH]1", skeleton_key(Chem.MolFromSmiles("O=c1cccc[nH]1")))
    'Oc1ccccn1'
    """

    def __init__(self) -> None:
        self._by_skeleton: dict[str, list[str]] = {}
        self._keys: dict[str, str] = {}

    def add(self, smiles: str, skeleton: str) -> None:
        """Add a molecule with its `skeleton_key`."""
        self._by_skeleton.setdefault(skeleton, []).append(smiles)

    def find(self, smiles: str, skeleton: str) -> str | None:
        """The first molecule that is an isomer of this one, or None."""
        others = self._by_skeleton.get(skeleton, ())
        return next((other for other in others if self._key(other) == self._key(smiles)), None) if others else None

    def _key(self, smiles: str) -> str:
        if smiles not in self._keys:
            with silence_rdkit():
                self._keys[smiles] = isomer_key(parse(smiles))
        return self._keys[smiles]


def isomer_key(mol: Chem.Mol) -> str:
    """A text that is the same for all stereoisomers, tautomers, protonation states and isotopologues of a molecule.

    The molecule without stereo and isotopes is neutralized where a proton can be moved, and hashed by RDKit's
    tautomer hash [1]_, which covers keto-enol, amide-imidic acid, azole and amidine tautomers, and mesomers. It takes
    as long as parsing. Call it in a `silence_rdkit` block.

    References
    ----------
    .. [1] The documentation of `rdkit.Chem.rdMolHash`, HetAtomTautomerv2.

    Examples
    --------
    >>> from molvae.chem.smiles import parse
    >>> isomer_key(parse("Oc1ccccn1")) == isomer_key(parse("O=c1cccc[nH]1"))
    True
    >>> isomer_key(parse("C[C@H](N)C(=O)O")) == isomer_key(parse("C[C@@H]([NH3+])C(=O)[O-]"))
    True
    """
    flat = _without_isotopes(Chem.RWMol(mol))
    Chem.RemoveStereochemistry(flat)
    _neutralize(flat)
    try:
        return str(rdMolHash.MolHash(flat, _TAUTOMER))
    except RDKIT_ERRORS:
        return str(Chem.MolToSmiles(flat))


def _without_isotopes(mol: Chem.RWMol) -> Chem.RWMol:
    """The molecule without isotope labels and hydrogen atoms."""
    for (index,) in mol.GetSubstructMatches(_ISOTOPE):
        mol.GetAtomWithIdx(index).SetIsotope(0)
    return Chem.RWMol(Chem.RemoveHs(mol)) if mol.HasSubstructMatch(_HYDROGEN) else mol


def _neutralize(mol: Chem.RWMol) -> None:
    """Remove protons from cations and add them to anions, where this leaves an ordinary valence."""
    protonated = {index for (index,) in mol.GetSubstructMatches(_PROTONATED)}
    changes = [(index, -1) for index in protonated]
    for (index,) in mol.GetSubstructMatches(_DEPROTONATED):
        # charge-separated groups, such as nitro, stay as they are
        neighbors = mol.GetAtomWithIdx(index).GetNeighbors()
        if all(other.GetFormalCharge() <= 0 or other.GetIdx() in protonated for other in neighbors):
            changes.append((index, 1))
    for index, change in changes:
        atom = mol.GetAtomWithIdx(index)
        hydrogens, aromatic = atom.GetTotalNumHs() + change, atom.GetIsAromatic()
        atom.SetFormalCharge(0)
        atom.SetNoImplicit(aromatic)
        atom.SetNumExplicitHs(hydrogens if aromatic else 0)
    if changes:
        mol.UpdatePropertyCache(strict=False)
