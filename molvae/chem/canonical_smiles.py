"""Canonical SMILES that stay the same when they are parsed and written again, in whatever order the atoms came.

RDKit's canonical SMILES is not quite that. Two small classes of molecules have several, depending on the order of the
input atoms: graphs whose atoms look alike in every neighborhood, but are in different rings, and symmetric ring systems
with many stereocenters, such as inositol. Of their SMILES the alphabetically first is taken. In a third class, rings
with stereocenters that depend on each other, the SMILES may need a second pass. All other molecules take the fast way:
tests of symmetry recognize these classes.
"""

from __future__ import annotations

import re
from collections import Counter

from rdkit import Chem

from molvae.chem.smiles import write

_MIN_TIES = 5
"""Atoms that have the rank of another atom in the smallest molecule of the first class."""
_MIN_EQUIVALENT_CENTERS = 3
_MIN_DEPENDENT_CENTERS = 2
_N_ORDERS = 48
"""Random atom orders that are tried for each SMILES of a molecule of the second class."""
_MAX_FRAGMENTS = 5
"""Fragments of the largest mixture of the second class; the atoms of equal fragments are equivalent in any case."""

_CAGE_ATOMS = 3
"""Atoms for each ring of a cage at most; drugs have more."""

_MAX_FORMS = 16
_MAX_CHARACTERS = 50_000
_LONG = 300  # characters; longer SMILES of symmetric molecules are not always canonical
# unspecified bonds, stereo of metals, and stereo of cations, such as sulfonium
_UNUSUAL = re.compile(r"~|@[A-Z]{2}\d|@\+")
_RANDOM_SEED = 20260


def stable_smiles(mol: Chem.Mol, source: str = "") -> tuple[Chem.Mol, str]:
    """The canonical SMILES of a molecule that does not depend on its atom order.

    Parameters
    ----------
    mol : rdkit.Chem.Mol
        A sanitized molecule.
    source : str
        The SMILES that `mol` was parsed from, if known: a canonical SMILES needs fewer tests.

    Returns
    -------
    (rdkit.Chem.Mol, str)
        The SMILES, and a molecule for which it is the output of `write`: `mol` itself, for almost all molecules.
    """
    text = write(mol)
    n_centers, n_fragments = text.count("@"), text.count(".") + 1
    if n_centers >= _MIN_EQUIVALENT_CENTERS and n_fragments <= _MAX_FRAGMENTS and _has_equivalent_centers(mol):
        return _first_of_all_orders(mol, text)
    if text == source:
        return mol, text
    if len(text) > _LONG or _UNUSUAL.search(text) or _has_ambiguous_atoms(mol):
        return _first_of_cycle(mol, text)
    if n_centers >= _MIN_DEPENDENT_CENTERS and _has_dependent_centers(mol):
        return _first_of_cycle(mol, text)
    return mol, text


def _has_ambiguous_atoms(mol: Chem.Mol) -> bool:
    """Whether atoms of one rank are in different numbers of rings, or the molecule is a cage of many rings."""
    if mol.GetRingInfo().NumRings() * _CAGE_ATOMS > mol.GetNumAtoms():
        return True
    ranks = list(Chem.CanonicalRankAtoms(mol, breakTies=False))
    if len(ranks) - len(set(ranks)) < _MIN_TIES:
        return False
    rings = mol.GetRingInfo()
    n_rings: dict[int, int] = {}
    return any(n_rings.setdefault(rank, rings.NumAtomRings(i)) != rings.NumAtomRings(i) for i, rank in enumerate(ranks))


def _has_equivalent_centers(mol: Chem.Mol) -> bool:
    """Whether at least three stereocenters in rings have one rank if their stereo is set aside."""
    centers = [
        atom.GetIdx() for atom in mol.GetAtoms()
        if atom.GetChiralTag() != Chem.ChiralType.CHI_UNSPECIFIED and atom.IsInRing()
    ]  # fmt: skip
    if len(centers) < _MIN_EQUIVALENT_CENTERS:
        return False
    ranks = Chem.CanonicalRankAtoms(mol, breakTies=False, includeChirality=False)
    return max(Counter(ranks[index] for index in centers).values()) >= _MIN_EQUIVALENT_CENTERS


def _has_dependent_centers(mol: Chem.Mol) -> bool:
    """Whether a stereocenter has two neighbors in its ring that only stereo tells apart, as the cis and trans isomers
    of 1,4-dimethylcyclohexane have. RDKit's canonical SMILES of such molecules may need a second pass."""
    ranks = Chem.CanonicalRankAtoms(mol, breakTies=False, includeChirality=False)
    for atom in mol.GetAtoms():
        if atom.GetChiralTag() != Chem.ChiralType.CHI_UNSPECIFIED and atom.IsInRing():
            neighbors = [ranks[neighbor.GetIdx()] for neighbor in atom.GetNeighbors()]
            if len(set(neighbors)) < len(neighbors):
                return True
    return False


def _first_of_cycle(mol: Chem.Mol, text: str) -> tuple[Chem.Mol, str]:
    """Parse and write until a SMILES returns; the first of the cycle in the alphabet."""
    forms = {text: mol}
    while (again := Chem.MolFromSmiles(text)) is not None and len(forms) < _MAX_FORMS:
        following = write(again)
        if following in forms:
            texts = list(forms)
            first = min(texts[texts.index(following) :])
            return (again, first) if first == following else (forms[first], first)
        forms[following], text = again, following
    return mol, write(mol)


def _first_of_all_orders(mol: Chem.Mol, text: str) -> tuple[Chem.Mol, str]:
    """The first of the SMILES that random atom orders give, and random orders of these.

    At most `_MAX_CHARACTERS` are parsed, which all molecules but ring systems of hundreds of stereocenters need.
    """
    forms, waiting, left = {text: mol}, [text], _MAX_CHARACTERS
    n_orders = min(_N_ORDERS, _MAX_CHARACTERS // len(text))
    while waiting and len(forms) < _MAX_FORMS and left > 0:
        left -= n_orders * len(text)
        parsed = Chem.MolFromSmiles(waiting.pop())
        if parsed is None:
            continue
        for order in {*Chem.MolToRandomSmilesVect(parsed, n_orders, _RANDOM_SEED)}:
            other = Chem.MolFromSmiles(order)
            if other is not None and (form := write(other)) not in forms:
                forms[form] = other
                waiting.append(form)
    first = min(forms)
    return forms[first], first
