"""Cores: the part of a molecule that analogs must keep, with open attachment points."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from rdkit import Chem
from rdkit.Chem import rdqueries

from molvae.chem.smiles import silence_rdkit
from molvae.errors import InputError

MAX_FRAGMENTS, MAX_MATCHES = 6, 10_000
"""Limits of the fragments of a core and of the matches of each, because all combinations of matches may be tried."""


def has_core(mol: Chem.Mol, core: str) -> bool:
    """Whether a molecule contains a core, with a group at each attachment point and no other substituents.

    Parameters
    ----------
    mol : rdkit.Chem.Mol
    core : str
        A SMILES in which `*` (or `[*:1]`, `[1*]`) stands for the first atom of each group, such as
        "*c1ccc(C(N)=O)cc1". Its atoms must have the same number of neighbors and the same charge in the molecule, and
        the stereo that the core states. A core may have up to six fragments, as in "*c1ccccc1.*N1CCOCC1"; all of them
        must occur, without sharing atoms.

    Returns
    -------
    bool

    Raises
    ------
    InputError
        For an invalid SMILES, a fragment without an attachment point, or too many fragments.

    Examples
    --------
    >>> has_core(Chem.MolFromSmiles("Cc1ccccc1"), "*c1ccccc1")
    True
    >>> has_core(Chem.MolFromSmiles("Cc1ccc(C)cc1"), "*c1ccccc1")
    False
    """
    return _core_atoms(mol, core_queries(core)) is not None


def atoms_outside_core(mol: Chem.Mol, core: str) -> set[int]:
    """Indices of the atoms that are not part of the core; empty if the molecule does not have the core."""
    atoms = _core_atoms(mol, core_queries(core))
    return set() if atoms is None else set(range(mol.GetNumAtoms())) - atoms


def _core_atoms(
    mol: Chem.Mol, fragments: Sequence[Chem.Mol], taken: frozenset[int] = frozenset()
) -> frozenset[int] | None:
    """Atoms of the molecule that match all fragments without overlap; None if there is no such match."""
    if not fragments:
        return taken
    fragment, *others = fragments
    core_atoms = [atom.GetIdx() for atom in fragment.GetAtoms() if atom.GetAtomicNum()]
    # uniquify=False, because matches that cover the same atoms may differ in their attachment points
    matches = mol.GetSubstructMatches(fragment, useChirality=True, uniquify=False, maxMatches=MAX_MATCHES)
    for atoms in dict.fromkeys(frozenset(match[atom] for atom in core_atoms) for match in matches):
        if not atoms & taken and (found := _core_atoms(mol, others, taken | atoms)) is not None:
            return found
    return None


@lru_cache(maxsize=256)
def core_queries(core: str) -> list[Chem.Mol]:
    """The fragments of a core as query molecules, the largest first. Raises `InputError` as `has_core` does."""
    with silence_rdkit():
        mol = Chem.MolFromSmiles(core)
    if mol is None or not mol.GetNumAtoms():
        raise InputError(f"cannot read the core {core!r}: write a SMILES with * at each attachment point")
    if core.count(".") >= MAX_FRAGMENTS:
        raise InputError(f"a core has at most {MAX_FRAGMENTS} fragments, got {core.count('.') + 1}: {core!r}")
    fragments = sorted(Chem.GetMolFrags(mol, asMols=True), key=lambda fragment: -fragment.GetNumAtoms())
    return [_query(fragment, core) for fragment in fragments]


def _query(fragment: Chem.Mol, core: str) -> Chem.Mol:
    """A fragment as a query that fixes degrees and charges; each attachment point matches any atom."""
    attachment_points = [atom for atom in fragment.GetAtoms() if atom.GetAtomicNum() == 0]
    if not attachment_points:
        raise InputError(
            f"the core {core!r} has a fragment without an attachment point: mark one with *, as in *c1ccccc1"
        )
    for atom in attachment_points:
        atom.SetIsotope(0)  # the 1 in [1*] is only a label
    parameters: Any = Chem.AdjustQueryParameters.NoAdjustments()
    parameters.makeDummiesQueries = parameters.adjustDegree = True
    parameters.adjustDegreeFlags = Chem.ADJUST_IGNOREDUMMIES
    query = Chem.AdjustQueryProperties(fragment, parameters)
    for atom in query.GetAtoms():
        if atom.GetAtomicNum():
            atom.ExpandQuery(rdqueries.FormalChargeEqualsQueryAtom(atom.GetFormalCharge()))
    return query
