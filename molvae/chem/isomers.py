"""Isomers that a chemist counts as one proposal: stereoisomers, tautomers, protonation states and isotopologues."""

from __future__ import annotations

from rdkit import Chem
from rdkit.Chem import rdMolHash

from molvae.chem.rdkit_guard import RDKIT_ERRORS

_PROTONATED = Chem.MolFromSmarts("[+1;!h0]")
_DEPROTONATED = Chem.MolFromSmarts("[O,S,N,n,c;-1]")
_TAUTOMER = rdMolHash.HashFunction.HetAtomTautomerv2


def isomer_key(mol: Chem.Mol) -> str:
    """A text that is the same for all stereoisomers, tautomers, protonation states and isotopologues of a molecule.

    The molecule without stereo and isotopes is neutralized where a proton can be moved, and hashed by RDKit's
    tautomer hash [1]_, which covers keto-enol, amide-imidic acid, azole and amidine tautomers, and mesomers. It takes
    as long as parsing. Call it in a `silence_rdkit` block.

    References
    ----------
    .. [1] O'Boyle and Sayle 2019, "De facto standard or a free-for-all? A benchmark for reading SMILES", and the
       documentation of `rdkit.Chem.rdMolHash`, HetAtomTautomerv2.

    Examples
    --------
    >>> from molvae.chem.smiles import parse
    >>> isomer_key(parse("Oc1ccccn1")) == isomer_key(parse("O=c1cccc[nH]1"))
    True
    >>> isomer_key(parse("C[C@H](N)C(=O)O")) == isomer_key(parse("C[C@@H]([NH3+])C(=O)[O-]"))
    True
    """
    flat = Chem.RWMol(mol)
    Chem.RemoveStereochemistry(flat)
    for atom in flat.GetAtoms():
        atom.SetIsotope(0)
    if any(atom.GetAtomicNum() == 1 for atom in flat.GetAtoms()):
        flat = Chem.RWMol(Chem.RemoveHs(flat))
    _neutralize(flat)
    try:
        return str(rdMolHash.MolHash(flat, _TAUTOMER))
    except RDKIT_ERRORS:
        return str(Chem.MolToSmiles(flat))


def _neutralize(mol: Chem.RWMol) -> None:
    """Remove protons from cations and add them to anions, where this leaves an ordinary valence."""
    changed = False
    for (index,) in mol.GetSubstructMatches(_PROTONATED):
        atom = mol.GetAtomWithIdx(index)
        hydrogens = atom.GetTotalNumHs()
        atom.SetFormalCharge(0)
        atom.SetNoImplicit(atom.GetIsAromatic())
        atom.SetNumExplicitHs(hydrogens - 1 if atom.GetIsAromatic() else 0)
        changed = True
    for (index,) in mol.GetSubstructMatches(_DEPROTONATED):
        atom = mol.GetAtomWithIdx(index)
        if any(neighbor.GetFormalCharge() > 0 for neighbor in atom.GetNeighbors()):
            continue  # a charge-separated group, such as nitro
        hydrogens = atom.GetTotalNumHs()
        atom.SetFormalCharge(0)
        atom.SetNoImplicit(atom.GetIsAromatic())
        atom.SetNumExplicitHs(hydrogens + 1 if atom.GetIsAromatic() else 0)
        changed = True
    if changed:
        mol.UpdatePropertyCache(strict=False)
