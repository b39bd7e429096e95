"""Molecule to graph arrays, read off the tokens of its canonical SMILES.

The canonical SMILES already lists atoms and bonds in RDKit's canonical order, so one pass over its tokens gives the
graph in that order: the arrays do not depend on how the input was written, an atom's row number is its position in the
string that a decoder has to write, and no Python call per atom goes into RDKit (those calls, not the parsing, are what
makes featurisers slow). RDKit stays the authority for what a SMILES does not spell out: rings and CIP labels.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem
from rdkit.Chem import rdCIPLabeler

from molvae.chem.smiles import parse, write
from molvae.chem.tokens import tokenize
from molvae.errors import MoleculeError


class Feature(NamedTuple):
    """One column of the feature tables: its name, how many values it takes (0 to size - 1), and what they mean."""

    name: str
    size: int
    meaning: str


CHARGE_ZERO = 8
STEREO_LABELS = ("", "R", "S", "r", "s", "@", "@@")
BOND_TYPES = ("-", "=", "#", ":", "$")
BOND_STEREO = ("", "E", "Z", "e", "z")
LARGEST_RING = 9
MAX_ATOMS = 999

ATOM_FEATURES = (
    Feature("element", 119, "atomic number; 0 is the wildcard *"),
    Feature("charge", 17, f"formal charge + {CHARGE_ZERO}, -8 to 8"),
    Feature("hydrogens", 9, "attached hydrogens that are not atoms of the graph"),
    Feature("aromatic", 2, "1 in an aromatic ring"),
    Feature("stereo", len(STEREO_LABELS), "CIP label; @ or @@ in canonical order where CIP gives none"),
    Feature("ring", LARGEST_RING + 1, f"size of the smallest ring; 0 none, {LARGEST_RING} that or more"),
)
BOND_FEATURES = (
    Feature("order", len(BOND_TYPES), " ".join(BOND_TYPES)),
    Feature("stereo", len(BOND_STEREO), "E or Z; lower case where only other stereo tells the sides apart"),
    Feature("ring", LARGEST_RING + 1, f"size of the smallest ring; 0 none, {LARGEST_RING} that or more"),
)


@dataclass(frozen=True)
class MolGraph:
    """One molecule in canonical atom order, and the string that it is the graph of.

    `atoms` (A, 6) uint8, a row per heavy atom, columns as in `ATOM_FEATURES`; `bonds` (B, 3) uint8, columns as in
    `BOND_FEATURES`; `ends` (B, 2) uint16, the atoms each bond joins.
    """

    smiles: str
    atoms: NDArray[np.uint8]
    bonds: NDArray[np.uint8]
    ends: NDArray[np.uint16]


def graph_of(mol: Chem.Mol) -> MolGraph:
    """The graph of a sanitised molecule.

    Raises `MoleculeError` for what the tables above cannot hold: isotopes, atom maps, dative bonds, charges beyond 8,
    more than 999 atoms.
    """
    smiles = write(mol)
    if "~" in smiles or "->" in smiles or "<-" in smiles:
        raise MoleculeError(f"SMILES {smiles[:40]!r} has a dative or unspecified bond, which graphs do not carry")
    atoms, bonds = _read(smiles, _aromatic_wildcards(mol) if "*" in smiles else frozenset())
    if len(atoms) > MAX_ATOMS:
        raise MoleculeError(f"SMILES {smiles[:40]}... has {len(atoms)} atoms, more than {MAX_ATOMS}")
    needs_rdkit = "1" in smiles or "@" in smiles or "/" in smiles or "\\" in smiles
    if needs_rdkit:
        position = _canonical_positions(mol)
        _add_rings(mol, position, atoms, bonds)
        if "@" in smiles or "/" in smiles or "\\" in smiles:
            _add_stereo(mol, position, atoms, bonds)
    return MolGraph(
        smiles,
        np.array(atoms, dtype=np.uint8).reshape(-1, len(ATOM_FEATURES)),
        np.array(list(bonds.values()), dtype=np.uint8).reshape(-1, len(BOND_FEATURES)),
        np.array(list(bonds), dtype=np.uint16).reshape(-1, 2),
    )


def graph_of_smiles(smiles: str) -> MolGraph:
    """`graph_of` for a string. Raises `MoleculeError` when it cannot be read or represented."""
    return graph_of(parse(smiles))


# --- atoms and bonds, from the tokens -----------------------------------------------------------------------------

_BRACKET = re.compile(r"\[(\d+)?([A-Z][a-z]?|[a-z][a-z]?|\*)(@{0,2})(?:H(\d*))?(?:([+-])(\d*))?(:\d+)?\]")
_DOUBLE, _AROMATIC = BOND_TYPES.index("="), BOND_TYPES.index(":")
_ELECTRONS = (1, 2, 3, 1, 4)  # what a bond of each type takes of an atom's valence
_VALENCES = {0: (0,), 5: (3,), 6: (4,), 7: (3, 5), 8: (2,), 15: (3, 5), 16: (2, 4, 6), 9: (1,), 17: (1,), 35: (1,), 53: (1,)}
_UNSPECIFIED = -1
# "/" and "\\" say nothing of the order: between aromatic atoms they stand on an aromatic bond
_ORDER = {symbol: order for order, symbol in enumerate(BOND_TYPES)} | {"/": _UNSPECIFIED, "\\": _UNSPECIFIED}
_NOT_ATOMS = frozenset("()=#$:/\\.-~%0123456789")

Bonds = dict[tuple[int, int], list[int]]


def _read(smiles: str, aromatic: frozenset[int] = frozenset()) -> tuple[list[list[int]], Bonds]:
    """Atom rows and bond rows of a SMILES, rings and CIP labels still missing; `aromatic` as `_aromatic_wildcards`."""
    atoms: list[list[int]] = []
    bonds: Bonds = {}
    used: list[int] = []  # valence electrons of each atom that its bonds take; negative: a bracket says its hydrogens
    branch: list[int] = []
    rings: dict[str, tuple[int, int]] = {}
    previous, order = -1, _UNSPECIFIED
    for token in tokenize(smiles):
        if token[0] not in _NOT_ATOMS:
            current = len(atoms)
            atoms.append([*_atom(token)])
            if current in aromatic:
                atoms[current][3] = 1
            used.append(-99 if token[0] == "[" else 0)
            if previous >= 0:
                _join(atoms, bonds, used, previous, current, order)
            previous, order = current, _UNSPECIFIED
        elif token == "(":
            branch.append(previous)
        elif token == ")":
            previous = branch.pop()
        elif token in _ORDER:
            order = _ORDER[token]
        elif token == ".":
            previous = -1
        elif token in rings:
            other, opened = rings.pop(token)
            _join(atoms, bonds, used, other, previous, max(opened, order))
            order = _UNSPECIFIED
        else:
            rings[token] = (previous, order)
            order = _UNSPECIFIED
    for row, electrons in zip(atoms, used, strict=True):
        if electrons >= 0:
            row[2] = _implicit_hydrogens(row[0], row[3], electrons)
    return atoms, bonds


def _join(atoms: list[list[int]], bonds: Bonds, used: list[int], a: int, b: int, order: int) -> None:
    if order == _UNSPECIFIED:
        order = _AROMATIC if atoms[a][3] and atoms[b][3] else 0
    bonds[a, b] = [order, 0, 0]
    used[a] += _ELECTRONS[order]
    used[b] += _ELECTRONS[order]


@lru_cache(maxsize=4096)
def _atom(token: str) -> tuple[int, ...]:
    """The feature row of an atom symbol; the hydrogens of one without brackets are left to the valence rule."""
    table = Chem.GetPeriodicTable()
    if token[0] != "[":
        number = 0 if token == "*" else table.GetAtomicNumber(token.capitalize())
        return number, CHARGE_ZERO, 0, int(token.islower()), 0, 0
    match = _BRACKET.fullmatch(token)
    if match is None:
        raise MoleculeError(f"cannot represent the atom {token}")
    isotope, symbol, parity, hydrogens, sign, charge, atom_map = match.groups()
    if isotope or atom_map:
        what = "an isotope label" if isotope else "an atom map"
        raise MoleculeError(f"the atom {token} has {what}, which graphs do not carry; remove it first")
    number = 0 if symbol == "*" else table.GetAtomicNumber(symbol.capitalize())
    formal = (1 if sign == "+" else -1) * int(charge or 1) if sign else 0
    count = 0 if hydrogens is None else int(hydrogens or 1)
    if abs(formal) > CHARGE_ZERO or count >= ATOM_FEATURES[2].size:
        raise MoleculeError(f"cannot represent the atom {token}: its charge or hydrogens are out of range")
    return number, CHARGE_ZERO + formal, count, int(symbol[0].islower()), STEREO_LABELS.index(parity), 0


@lru_cache(maxsize=256)
def _implicit_hydrogens(number: int, aromatic: int, used: int) -> int:
    """OpenSMILES 3.1.5: fill up to the next normal valence; an aromatic atom gives one electron to the ring first."""
    if aromatic:
        return max(0, _VALENCES[number][0] - used - 1)
    return next((valence - used for valence in _VALENCES[number] if valence >= used), 0)


# --- what only RDKit knows: aromatic wildcards, rings, stereo --------------------------------------------------------


def _aromatic_wildcards(mol: Chem.Mol) -> frozenset[int]:
    """Positions of aromatic wildcards: * is the one symbol that has no lower case to show it."""
    position = _canonical_positions(mol)
    wild = (atom for atom in mol.GetAtoms() if atom.GetAtomicNum() == 0 and atom.GetIsAromatic())
    return frozenset(position[atom.GetIdx()] for atom in wild)


def _canonical_positions(mol: Chem.Mol) -> dict[int, int]:
    """RDKit atom index to position in the canonical SMILES that was last written of `mol`."""
    order = mol.GetProp("_smilesAtomOutputOrder")[1:-1].rstrip(",").split(",")
    return {int(index): position for position, index in enumerate(order)}


def _add_rings(mol: Chem.Mol, position: dict[int, int], atoms: list[list[int]], bonds: Bonds) -> None:
    for ring in sorted(mol.GetRingInfo().AtomRings(), key=len, reverse=True):
        size = min(len(ring), LARGEST_RING)
        a = position[ring[-1]]
        for index in ring:
            b = position[index]
            atoms[b][5] = size
            bonds[(a, b) if (a, b) in bonds else (b, a)][2] = size
            a = b


def _add_stereo(mol: Chem.Mol, position: dict[int, int], atoms: list[list[int]], bonds: Bonds) -> None:
    centres = {index: at for index, at in position.items() if atoms[at][4]}
    labelled = _with_labels(mol, centres)
    for index, at in centres.items():
        atom = labelled.GetAtomWithIdx(index)
        if atom.HasProp("_CIPCode"):
            atoms[at][4] = STEREO_LABELS.index(atom.GetProp("_CIPCode"))
    index_at = {at: index for index, at in position.items()}
    for (a, b), row in bonds.items():
        if row[0] == _DOUBLE:
            label = _double_bond_label(labelled.GetBondBetweenAtoms(index_at[a], index_at[b]))
            row[1] = BOND_STEREO.index(label)


def _with_labels(mol: Chem.Mol, centres: Iterable[int]) -> Chem.Mol:
    """A copy with CIP labels, or with none where the molecule is too symmetric to rank in reasonable time."""
    bare = Chem.Mol(mol)
    for index in centres:
        bare.GetAtomWithIdx(index).ClearProp("_CIPCode")  # the parser's labels follow older rules, miss rings
    labelled = Chem.Mol(bare)
    try:
        rdCIPLabeler.AssignCIPLabels(labelled, maxRecursiveIterations=1_000_000)
    except RuntimeError:  # those it had found by then depend on the order of the input: none of them counts
        return bare
    return labelled


def _double_bond_label(bond: Chem.Bond) -> str:
    if bond.HasProp("_CIPCode") and bond.GetProp("_CIPCode") in BOND_STEREO:
        return str(bond.GetProp("_CIPCode"))
    stereo = bond.GetStereo()
    if stereo in (Chem.BondStereo.STEREOE, Chem.BondStereo.STEREOTRANS):
        return "e"
    return "z" if stereo in (Chem.BondStereo.STEREOZ, Chem.BondStereo.STEREOCIS) else ""
