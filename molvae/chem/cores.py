"""Cores: the part of a molecule that analogs must keep, with open attachment points."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

from rdkit import Chem
from rdkit.Chem import rdqueries

from molvae.chem.disjoint_matches import place_disjoint
from molvae.chem.rdkit_guard import RDKIT_ERRORS, silence_rdkit
from molvae.chem.smiles import parse
from molvae.errors import InputError

MAX_FRAGMENTS, MAX_MATCHES = 6, 10_000
"""Limits of the fragments of a core and of the matches of each."""

Group = Counter[tuple[int, int, bool, int]]
"""Number of atoms of a substituent by distance from the core, element, aromaticity and number of neighbors."""


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
        False also if no placement of the fragments is found within `molvae.chem.disjoint_matches.MAX_STEPS` steps.

    Raises
    ------
    InputError
        For an invalid SMILES, a fragment without an attachment point, or too many fragments.

    Notes
    -----
    The stereo of a center whose attachment points are interchangeable, as in "*C[C@H](O)C*", has no meaning for the
    core alone: read from the other end, the core is its own mirror image. A molecule must then have stereo at the
    center, of either kind. `keeps_core_stereo` compares it with a seed.

    Examples
    --------
    >>> has_core(Chem.MolFromSmiles("Cc1ccccc1"), "*c1ccccc1")
    True
    >>> has_core(Chem.MolFromSmiles("Cc1ccc(C)cc1"), "*c1ccccc1")
    False
    """
    return _core_atoms(mol, core_queries(core)) is not None


def keeps_core_stereo(mol: Chem.Mol, core: str, seed: str) -> bool:
    """Whether a molecule has the stereo of the seed where the attachment points of a core are interchangeable.

    A core such as "*C[C@H](O)C*" matches both enantiomers, with its ends exchanged. The seed tells the ends apart: of
    the two ways to lay the core on the molecule, the one with the stereo of the core must be the one in which the
    groups at the attachment points are more like those of the seed.

    Parameters
    ----------
    mol : rdkit.Chem.Mol
        A molecule that has the core.
    core : str
        As in `has_core`.
    seed : str
        SMILES of a molecule that has the core.

    Returns
    -------
    bool
        True for a core without such centers.

    Examples
    --------
    >>> keeps_core_stereo(Chem.MolFromSmiles("BrC[C@H](O)CCl"), "*C[C@H](O)C*", "FC[C@H](O)CCl")
    True
    >>> keeps_core_stereo(Chem.MolFromSmiles("BrC[C@@H](O)CCl"), "*C[C@H](O)C*", "FC[C@H](O)CCl")
    False
    """
    for number in _interchangeable(core):
        query, references = core_queries(core)[number], _seed_groups(core, number, seed)
        same = _likeness(mol, query, references, chiral=True)
        if same < _likeness(mol, query, references, chiral=False):
            return False
    return True


def atoms_outside_core(mol: Chem.Mol, core: str) -> set[int]:
    """Indices of the atoms that are not part of the core; empty if the molecule does not have the core."""
    atoms = _core_atoms(mol, core_queries(core))
    return set() if atoms is None else set(range(mol.GetNumAtoms())) - atoms


def _core_atoms(mol: Chem.Mol, fragments: Sequence[Chem.Mol]) -> frozenset[int] | None:
    """Atoms of the molecule that match all fragments without overlap; None if there is no such match."""
    candidates = []
    for fragment in fragments:
        core_atoms = [atom.GetIdx() for atom in fragment.GetAtoms() if atom.GetAtomicNum()]
        found = dict.fromkeys(frozenset(match[atom] for atom in core_atoms) for match in _matches(mol, fragment))
        if not found:
            return None
        candidates.append(found)
    return place_disjoint(candidates)


def _matches(mol: Chem.Mol, fragment: Chem.Mol, *, chiral: bool = True) -> Sequence[Sequence[int]]:
    # uniquify=False, because matches that cover the same atoms may differ in their attachment points
    found: Sequence[Sequence[int]] = mol.GetSubstructMatches(
        fragment, useChirality=chiral, uniquify=False, maxMatches=MAX_MATCHES
    )
    return found


# --- the query molecules of a core ---


@lru_cache(maxsize=256)
def core_queries(core: str) -> list[Chem.Mol]:
    """The fragments of a core as query molecules, the largest first. Raises `InputError` as `has_core` does."""
    with silence_rdkit():
        mol = _parse_core(core)
    if mol is None or not mol.GetNumAtoms():
        raise InputError(f"cannot read the core {core!r}: write a SMILES with * at each attachment point")
    if core.count(".") >= MAX_FRAGMENTS:
        raise InputError(f"a core has at most {MAX_FRAGMENTS} fragments, got {core.count('.') + 1}: {core!r}")
    fragments = sorted(Chem.GetMolFrags(mol, asMols=True), key=lambda fragment: -fragment.GetNumAtoms())
    return [_query(fragment, core) for fragment in fragments]


def _parse_core(core: str) -> Chem.Mol | None:
    """The molecule of a core, None if it is invalid.

    The attachment points are numbered before stereo is perceived. RDKit would remove the stereo of a center whose
    groups differ in nothing but what is attached to them, as in "*C[C@H](O)C*".
    """
    parameters: Any = Chem.SmilesParserParams()
    parameters.sanitize = parameters.removeHs = False
    mol = Chem.MolFromSmiles(core, parameters)
    if mol is None:
        return None
    for number, atom in enumerate(_attachment_points(mol), start=1):
        atom.SetIsotope(0)  # the 1 in [1*] is only a label
        atom.SetAtomMapNum(number)
    mol.ClearComputedProps()
    try:
        Chem.SanitizeMol(mol)
        Chem.AssignStereochemistry(mol, cleanIt=True, force=True)
        return Chem.RemoveHs(mol)
    except RDKIT_ERRORS:
        return None


def _attachment_points(mol: Chem.Mol) -> list[Chem.Atom]:
    return [atom for atom in mol.GetAtoms() if atom.GetAtomicNum() == 0]


def _query(fragment: Chem.Mol, core: str) -> Chem.Mol:
    """A fragment as a query that fixes degrees and charges; each attachment point matches any atom."""
    attachment_points = _attachment_points(fragment)
    if not attachment_points:
        raise InputError(
            f"the core {core!r} has a fragment without an attachment point: mark one with *, as in *c1ccccc1"
        )
    for atom in attachment_points:
        atom.SetAtomMapNum(0)
    parameters: Any = Chem.AdjustQueryParameters.NoAdjustments()
    parameters.makeDummiesQueries = parameters.adjustDegree = True
    parameters.adjustDegreeFlags = Chem.ADJUST_IGNOREDUMMIES
    query = Chem.AdjustQueryProperties(fragment, parameters)
    for atom in query.GetAtoms():
        if atom.GetAtomicNum():
            atom.ExpandQuery(rdqueries.FormalChargeEqualsQueryAtom(atom.GetFormalCharge()))
    return query


# --- stereo at interchangeable attachment points ---


@lru_cache(maxsize=256)
def _interchangeable(core: str) -> list[int]:
    """Numbers of the fragments that match themselves with their stereo inverted."""
    numbers = []
    for number, query in enumerate(core_queries(core)):
        itself = Chem.Mol(query)
        if len(_matches(itself, query)) < len(_matches(itself, query, chiral=False)):
            numbers.append(number)
    return numbers


@lru_cache(maxsize=64)
def _seed_groups(core: str, number: int, seed: str) -> list[list[Group]]:
    """The groups at the attachment points of a fragment, for each of its matches in the seed."""
    return list(_groups(parse(seed), core_queries(core)[number], chiral=True))


def _groups(mol: Chem.Mol, query: Chem.Mol, *, chiral: bool) -> Iterator[list[Group]]:
    """The groups at the attachment points, for each match of a fragment."""
    points = [atom.GetIdx() for atom in _attachment_points(query)]
    for match in _matches(mol, query, chiral=chiral):
        core_atoms = {atom for position, atom in enumerate(match) if position not in points}
        yield [_group(mol, match[point], core_atoms) for point in points]


def _group(mol: Chem.Mol, first: int, core_atoms: set[int]) -> Group:
    """The substituent that begins with an atom."""
    counts, seen, shell, distance = Group(), {first, *core_atoms}, [first], 0
    while shell:
        atoms = [mol.GetAtomWithIdx(index) for index in shell]
        counts.update((distance, atom.GetAtomicNum(), atom.GetIsAromatic(), atom.GetDegree()) for atom in atoms)
        shell = list({near.GetIdx() for atom in atoms for near in atom.GetNeighbors()} - seen)
        seen.update(shell)
        distance += 1
    return counts


def _likeness(mol: Chem.Mol, query: Chem.Mol, references: list[list[Group]], *, chiral: bool) -> float:
    """The highest sum of the similarities of the groups of a match to those of a match in the seed."""
    return max(
        (
            sum(_similarity(group, other) for group, other in zip(groups, reference, strict=True))
            for groups in _groups(mol, query, chiral=chiral)
            for reference in references
        ),
        default=0.0,
    )


def _similarity(one: Group, other: Group) -> float:
    """Tanimoto similarity of counts."""
    return (one & other).total() / (one | other).total()
