"""Bemis-Murcko scaffolds: the rings of a molecule and the chains between them."""

from __future__ import annotations

from rdkit import Chem
from rdkit.Chem.Scaffolds import MurckoScaffold

from molvae.chem.smiles import quiet


def murcko(mol: Chem.Mol) -> str:
    """The scaffold's canonical SMILES without stereo (stereoisomers share one); '' for an acyclic molecule.

    RDKit's variant of Bemis and Murcko 1996: atoms double-bonded to the scaffold stay.
    """
    with quiet():
        scaffold = MurckoScaffold.GetScaffoldForMol(mol)  # type: ignore[no-untyped-call]
        return str(Chem.MolToSmiles(scaffold, isomericSmiles=False))
