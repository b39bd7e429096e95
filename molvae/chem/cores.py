"""Cores: what of a molecule stays as it is, and the places where it goes on."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from rdkit import Chem
from rdkit.Chem import rdqueries

from molvae.chem.smiles import silence_rdkit
from molvae.errors import InputError

MOST_PIECES, MOST_MATCHES = 6, 10_000
"""How often small pieces are in a large molecule multiplies."""


def has_core(mol: Chem.Mol, core: str) -> bool:
    """Whether a molecule is the core with a group at each place that is open, and nothing else added anywhere.

    core: a SMILES with `*` (or `[*:1]`, `[1*]`) for the first atom of each group, such as `*c1ccc(C(N)=O)cc1`. Its
    atoms have to have as many neighbors and the same charges in the molecule, and the stereo that it states. Of
    several pieces, as in `*c1ccccc1.*N1CCOCC1`, each has to be there, whatever lies between. Raises `InputError` for a
    core that is no SMILES, has no open place, or more than six pieces.
    """
    return _fixed(mol, core_queries(core)) is not None


def atoms_outside_core(mol: Chem.Mol, core: str) -> set[int]:
    """The atoms of a molecule's groups, which the core leaves open; none where it lacks the core."""
    fixed = _fixed(mol, core_queries(core))
    return set() if fixed is None else set(range(mol.GetNumAtoms())) - fixed


def _fixed(mol: Chem.Mol, pieces: Sequence[Chem.Mol], taken: frozenset[int] = frozenset()) -> frozenset[int] | None:
    """The atoms of a molecule that are those of the pieces, none of them twice; None where there are none."""
    if not pieces:
        return taken
    piece, *others = pieces
    fixed = [atom.GetIdx() for atom in piece.GetAtoms() if atom.GetAtomicNum()]
    # not uniquify: of matches that cover the same atoms the places may lie differently
    matches = mol.GetSubstructMatches(piece, useChirality=True, uniquify=False, maxMatches=MOST_MATCHES)
    for atoms in dict.fromkeys(frozenset(match[atom] for atom in fixed) for match in matches):
        if not atoms & taken and (found := _fixed(mol, others, taken | atoms)) is not None:
            return found
    return None


@lru_cache(maxsize=256)
def core_queries(core: str) -> list[Chem.Mol]:
    """The pieces of a core as queries, the largest first. Raises `InputError` as `has_core` does."""
    with silence_rdkit():
        mol = Chem.MolFromSmiles(core)
    if mol is None or not mol.GetNumAtoms():
        raise InputError(f"cannot read the core {core!r}: it is a SMILES with * at each place where it goes on")
    if core.count(".") >= MOST_PIECES:
        raise InputError(f"a core has {MOST_PIECES} pieces at most, got {core.count('.') + 1}: {core!r}")
    pieces = sorted(Chem.GetMolFrags(mol, asMols=True), key=lambda piece: -piece.GetNumAtoms())
    return [_query(piece, core) for piece in pieces]


def _query(piece: Chem.Mol, core: str) -> Chem.Mol:
    places = [atom for atom in piece.GetAtoms() if atom.GetAtomicNum() == 0]
    if not places:
        raise InputError(f"the core {core!r} has no place to go on at: mark one in each piece with *, as in *c1ccccc1")
    for atom in places:
        atom.SetIsotope(0)  # a number there is the place's name
    how: Any = Chem.AdjustQueryParameters.NoAdjustments()
    how.makeDummiesQueries = how.adjustDegree = True
    how.adjustDegreeFlags = Chem.ADJUST_IGNOREDUMMIES
    query = Chem.AdjustQueryProperties(piece, how)
    for atom in query.GetAtoms():
        if atom.GetAtomicNum():
            atom.ExpandQuery(rdqueries.FormalChargeEqualsQueryAtom(atom.GetFormalCharge()))
    return query
