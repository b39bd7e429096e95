"""Convert a molecule to graph arrays by parsing the tokens of its canonical SMILES.

The canonical SMILES lists atoms and bonds in RDKit's canonical order, so one pass over its tokens gives the graph in
that order. The arrays do not depend on how the input was written, and the row of an atom is its position in the SMILES
that a decoder has to generate. It is also fast, because featurizers spend most of their time in Python calls to RDKit
for each atom, which are not needed here. Only rings and CIP labels, which a SMILES does not contain, come from RDKit.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem
from rdkit.Chem import rdCIPLabeler

from molvae.chem.rdkit_guard import RDKIT_ERRORS, molecule_error, silence_rdkit
from molvae.chem.smiles import parse, shortened, write
from molvae.chem.tokenizer import tokenize
from molvae.errors import MoleculeError


class Feature(NamedTuple):
    """A column of the feature tables: its name, its number of values (0 to size - 1), and their meaning."""

    name: str
    size: int
    meaning: str


CHARGE_ZERO = 8
STEREO_LABELS = ("", "R", "S", "r", "s", "@", "@@")
PARITIES = ("", "@", "@@")
BOND_TYPES = ("-", "=", "#", ":", "$")
BOND_STEREO = ("", "E", "Z", "e", "z")
DIRECTIONS = ("", "/", "\\")
LARGEST_RING = 9
MAX_ATOMS = 999
MAX_CIP_STEPS = 50_000
"""Limit of iterations of the CIP labeler. Without it, one in 250 stereo molecules takes longer than 100 others."""

ATOM_FEATURES = (
    Feature("element", 119, "atomic number; 0 is the wildcard *"),
    Feature("charge", 17, f"formal charge + {CHARGE_ZERO}, -8 to 8"),
    Feature("hydrogens", 9, "attached hydrogens that are not atoms of the graph themselves"),
    Feature("aromatic", 2, "1 in an aromatic ring"),
    Feature("stereo", len(STEREO_LABELS), "CIP label; @ or @@ in canonical order where CIP gives none"),
    Feature("ring", LARGEST_RING + 1, f"size of the smallest ring; 0 for none, {LARGEST_RING} for that size or larger"),
    Feature("parity", len(PARITIES), "@ or @@ as in the canonical SMILES, which a decoder has to generate"),
)
BOND_FEATURES = (
    Feature("order", len(BOND_TYPES), " ".join(BOND_TYPES)),
    Feature("stereo", len(BOND_STEREO), "E or Z; lower case where the substituents differ only in stereo"),
    Feature("ring", LARGEST_RING + 1, f"size of the smallest ring; 0 for none, {LARGEST_RING} for that size or larger"),
    Feature("direction", len(DIRECTIONS), "/ or \\ as in the canonical SMILES, next to a double bond"),
)


@dataclass(frozen=True)
class MolGraph:
    """A molecular graph in canonical atom order, and its canonical SMILES.

    `note` tells how the molecule differs from the input (see `chem.standardization`).

    `atoms` (A, 7) uint8, a row per heavy atom, columns as in `ATOM_FEATURES`; `bonds` (B, 4) uint8, columns
    as in `BOND_FEATURES`; `bond_index` (B, 2) uint16, the atoms of each bond, the lower index first.
    """

    smiles: str
    atoms: NDArray[np.uint8]
    bonds: NDArray[np.uint8]
    bond_index: NDArray[np.uint16]
    note: str = ""


class RawGraph(NamedTuple):
    """A `MolGraph` as bytes, with the tokens of its SMILES: the fastest form to create and to concatenate."""

    smiles: str
    tokens: list[str]
    atoms: bytearray
    bonds: bytearray
    bond_index: array[int]


def mol_to_graph(mol: Chem.Mol, note: str = "") -> MolGraph:
    """The graph of a sanitized molecule; `note` is stored in it.

    Raises `MoleculeError` for molecules that the feature tables cannot represent: isotopes, atom maps, dative bonds,
    charges beyond 8, more than 999 atoms.
    """
    mol = Chem.Mol(mol)  # the CIP labels of the caller's molecule stay unchanged
    with silence_rdkit():
        raw = mol_to_raw_graph(mol, write(mol))
    return MolGraph(
        raw.smiles,
        np.frombuffer(raw.atoms, np.uint8).reshape(-1, _COLUMNS),
        np.frombuffer(raw.bonds, np.uint8).reshape(-1, _BOND_COLUMNS),
        np.frombuffer(raw.bond_index, np.uint16).reshape(-1, 2),
        note,
    )


def mol_to_raw_graph(mol: Chem.Mol, smiles: str) -> RawGraph:
    """The graph of a molecule as bytes, for callers that concatenate many graphs.

    `smiles` must be the result of the last `write(mol)`. Sets new CIP labels on `mol`. Call it inside a `silence_rdkit`
    block. Raises `MoleculeError` as `mol_to_graph` does.
    """
    try:
        return _raw_graph(mol, smiles)
    except MoleculeError:
        raise
    except RDKIT_ERRORS as error:
        raise molecule_error(error, f"cannot represent SMILES {shortened(smiles)!r} as a graph") from error


def _raw_graph(mol: Chem.Mol, smiles: str) -> RawGraph:
    if "~" in smiles or "->" in smiles or "<-" in smiles:
        raise MoleculeError(
            f"SMILES {shortened(smiles)!r} has a dative or unspecified bond, which a graph cannot represent"
        )
    tokens = tokenize(smiles)
    atoms, bonds, directions = _parse_tokens(tokens, _aromatic_wildcards(mol) if "*" in smiles else frozenset())
    if len(atoms) > MAX_ATOMS:
        raise MoleculeError(f"SMILES {shortened(smiles)!r} has {len(atoms)} atoms, more than {MAX_ATOMS}")
    atom_bytes, bond_bytes = _feature_rows(atoms, bonds, directions)
    has_stereo = "@" in smiles or "/" in smiles or "\\" in smiles
    if has_stereo or "1" in smiles:  # the first ring closure of a canonical SMILES is always 1
        position = _canonical_positions(mol)
        _add_rings(mol, position, atom_bytes, bond_bytes, bonds)
        if has_stereo:
            _add_stereo(mol, position, atom_bytes, bond_bytes, bonds)
    return RawGraph(smiles, tokens, atom_bytes, bond_bytes, array("H", chain.from_iterable(bonds)))


def smiles_to_graph(smiles: str) -> MolGraph:
    """The graph of a SMILES. Raises `MoleculeError` if it is invalid or cannot be represented."""
    return mol_to_graph(parse(smiles))


# --- atoms and bonds, from the tokens ---

_BRACKET = re.compile(r"\[(\d+)?([A-Z][a-z]?|[a-z][a-z]?|\*)(@{0,2})(?:H(\d*))?(?:([+-])(\d*))?(:\d+)?\]")
_DOUBLE, _AROMATIC = BOND_TYPES.index("="), BOND_TYPES.index(":")
_ELECTRONS = (1, 2, 3, 1, 4)  # of an atom's valence, by bond type
_VALENCES = {
    "*": (0,), "B": (3,), "C": (4,), "N": (3, 5), "O": (2,), "P": (3, 5), "S": (2, 4, 6),
    "F": (1,), "Cl": (1,), "Br": (1,), "I": (1,),
}  # fmt: skip
_UNSPECIFIED = -1
# directions are numbers below -1, because they do not state the order: the bond may be single or aromatic
_ORDER = {token: order for order, token in enumerate(BOND_TYPES)}
_ORDER |= {token: _UNSPECIFIED - number for number, token in enumerate(DIRECTIONS) if number}
_NOT_ATOMS = frozenset("()=#$:/\\.-%0123456789")
_COLUMNS, _BOND_COLUMNS = len(ATOM_FEATURES), len(BOND_FEATURES)

Bonds = dict[tuple[int, int], int]
"""A value for each bond, by its two atoms, the lower position first: the order in which a SMILES lists them."""


class _AtomToken(dict[int, bytes]):
    """The feature rows of an atom token, by the valence that its bonds use.

    Rows are created on first use. Featurizing an atom is then one look-up of bytes.
    """

    def __init__(self, token: str, aromatic: bool = False) -> None:
        number, charge, hydrogens, lowercase, parity = _bracket(token) if token[0] == "[" else _organic(token)
        self.fixed = (number, charge, int(aromatic or lowercase), parity)
        self.hydrogens = hydrogens
        self.valences = _VALENCES.get(token.capitalize(), (0,))
        # the order of an implicit bond is the bitwise "and" of the values of its two atoms
        self.implied = _AROMATIC if aromatic or lowercase else 0

    def __missing__(self, used: int) -> bytes:
        number, charge, aromatic, parity = self.fixed
        hydrogens = self._implicit_hydrogens(used) if self.hydrogens is None else self.hydrogens
        label = STEREO_LABELS.index(PARITIES[parity])
        self[used] = row = bytes((number, charge, hydrogens, aromatic, label, 0, parity))
        return row

    def _implicit_hydrogens(self, used: int) -> int:
        """OpenSMILES 3.1.5: up to the next normal valence, minus one electron for the aromatic system."""
        if self.implied:
            return max(0, self.valences[0] - used - 1)
        return next((valence - used for valence in self.valences if valence >= used), 0)


class _AtomTokens(dict[str, _AtomToken | None]):
    """Atom tokens by text, None for other tokens; created on first use."""

    def __missing__(self, token: str) -> _AtomToken | None:
        self[token] = atom = None if token[0] in _NOT_ATOMS else _AtomToken(token)
        return atom


_ATOM_TOKENS = _AtomTokens()


def _organic(token: str) -> tuple[int, int, int | None, bool, int]:
    """Atomic number, charge, hydrogens (None: implicit), whether aromatic, and parity of an atom without brackets."""
    number = 0 if token == "*" else Chem.GetPeriodicTable().GetAtomicNumber(token.capitalize())
    return number, CHARGE_ZERO, None, token.islower(), 0


def _bracket(token: str) -> tuple[int, int, int | None, bool, int]:
    """Atomic number, charge, hydrogens, whether aromatic, and parity of a bracket atom."""
    match = _BRACKET.fullmatch(token)
    if match is None:
        raise MoleculeError(f"cannot represent the atom {token}")
    isotope, symbol, parity, hydrogens, sign, charge, atom_map = match.groups()
    if isotope or atom_map:
        label = "an isotope label" if isotope else "an atom map"
        raise MoleculeError(f"the atom {token} has {label}, which a graph cannot represent; remove it first")
    number = 0 if symbol == "*" else Chem.GetPeriodicTable().GetAtomicNumber(symbol.capitalize())
    formal = (1 if sign == "+" else -1) * int(charge or 1) if sign else 0
    count = 0 if hydrogens is None else int(hydrogens or 1)
    if abs(formal) > CHARGE_ZERO or count >= ATOM_FEATURES[2].size:
        raise MoleculeError(f"cannot represent the atom {token}: its charge or hydrogens are out of range")
    return number, CHARGE_ZERO + formal, count, symbol.islower(), PARITIES.index(parity)


def _parse_tokens(tokens: list[str], aromatic: frozenset[int]) -> tuple[list[_AtomToken], Bonds, Bonds]:
    """The atoms of a SMILES, the orders of its bonds, and the directions of those that have one.

    `aromatic` are the positions from `_aromatic_wildcards`.
    """
    atoms: list[_AtomToken] = []
    bonds: Bonds = {}
    directions: Bonds = {}
    branch: list[int] = []
    rings: dict[str, tuple[int, int]] = {}
    previous, order = -1, _UNSPECIFIED
    for token in tokens:
        atom = _ATOM_TOKENS[token]
        if atom is not None:
            current = len(atoms)
            atoms.append(_AtomToken(token, aromatic=True) if current in aromatic else atom)
            if previous >= 0:
                implied = atoms[current].implied & atoms[previous].implied
                bonds[previous, current] = implied if order < 0 else order
                if order < _UNSPECIFIED:
                    directions[previous, current] = _UNSPECIFIED - order
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
            implied = atoms[other].implied & atoms[previous].implied
            written = order if opened == _UNSPECIFIED else opened
            bonds[other, previous] = implied if written < 0 else written
            if written < _UNSPECIFIED:
                directions[other, previous] = _UNSPECIFIED - written
            order = _UNSPECIFIED
        else:
            rings[token] = (previous, order)
            order = _UNSPECIFIED
    return atoms, bonds, directions


def _feature_rows(atoms: list[_AtomToken], bonds: Bonds, directions: Bonds) -> tuple[bytearray, bytearray]:
    """The concatenated rows of the atoms and of the bonds, without rings and CIP labels."""
    used = [0] * len(atoms)
    for (a, b), order in bonds.items():
        electrons = _ELECTRONS[order]
        used[a] += electrons
        used[b] += electrons
    bond_rows = bytearray(_BOND_COLUMNS * len(bonds))
    bond_rows[0::_BOND_COLUMNS] = bytes(bonds.values())
    if directions:
        bond_rows[3::_BOND_COLUMNS] = bytes([directions.get(bond, 0) for bond in bonds])
    return bytearray(b"".join([atom[n] for atom, n in zip(atoms, used, strict=True)])), bond_rows


# --- from RDKit: aromatic wildcards, rings, stereo ---


def _aromatic_wildcards(mol: Chem.Mol) -> frozenset[int]:
    """Positions of the aromatic wildcards. The SMILES does not show them, because * has no lower-case form."""
    position = _canonical_positions(mol)
    wildcards = (atom for atom in mol.GetAtoms() if atom.GetAtomicNum() == 0 and atom.GetIsAromatic())
    return frozenset(position[atom.GetIdx()] for atom in wildcards)


@lru_cache(maxsize=MAX_ATOMS)
def _identity_order(n_atoms: int) -> str:
    """The value of `_smilesAtomOutputOrder` for a molecule whose atoms are already in canonical order."""
    return f"[{','.join(map(str, range(n_atoms)))}]"


def _canonical_positions(mol: Chem.Mol) -> Sequence[int]:
    """For each RDKit atom index, the position in the canonical SMILES that was last written for `mol`."""
    text = mol.GetProp("_smilesAtomOutputOrder")
    if text == _identity_order(mol.GetNumAtoms()):  # the input was canonical already
        return range(mol.GetNumAtoms())
    order = list(map(int, text[1:-1].rstrip(",").split(",")))
    positions = order[:]
    for position, index in enumerate(order):
        positions[index] = position
    return positions


def _add_rings(
    mol: Chem.Mol, position: Sequence[int], atom_rows: bytearray, bond_rows: bytearray, bonds: Bonds
) -> None:
    """Write the size of the smallest ring of each atom and bond into their rows."""
    atom_rings, bond_rings = [0] * len(position), dict.fromkeys(bonds, 0)
    # from large to small, so that the smallest ring is kept
    for ring in sorted(mol.GetRingInfo().AtomRings(), key=len, reverse=True):
        size = min(len(ring), LARGEST_RING)
        a = position[ring[-1]]
        for index in ring:
            b = position[index]
            atom_rings[b] = size
            bond_rings[(a, b) if a < b else (b, a)] = size
            a = b
    atom_rows[5::_COLUMNS] = bytes(atom_rings)
    bond_rows[2::_BOND_COLUMNS] = bytes(bond_rings.values())


def _add_stereo(
    mol: Chem.Mol, position: Sequence[int], atom_rows: bytearray, bond_rows: bytearray, bonds: Bonds
) -> None:
    """Write the CIP labels of stereocenters and double bonds into their rows."""
    centers = {index: _COLUMNS * row + 4 for index, row in enumerate(position) if atom_rows[_COLUMNS * row + 4]}
    _assign_cip_labels(mol, list(centers))
    for index, offset in centers.items():
        atom = mol.GetAtomWithIdx(index)
        if atom.HasProp("_CIPCode"):
            atom_rows[offset] = STEREO_LABELS.index(atom.GetProp("_CIPCode"))
    index_at = {row: index for index, row in enumerate(position)}
    for number, ((a, b), order) in enumerate(bonds.items()):
        if order == _DOUBLE:
            label = _double_bond_label(mol.GetBondBetweenAtoms(index_at[a], index_at[b]))
            bond_rows[_BOND_COLUMNS * number + 1] = BOND_STEREO.index(label)


def _assign_cip_labels(mol: Chem.Mol, centers: Sequence[int]) -> None:
    """Assign CIP labels with RDKit's new labeler, or none if it exceeds `MAX_CIP_STEPS`."""
    _clear_labels(mol, centers)  # the parser's labels are from the legacy algorithm, which ignores rings
    try:
        rdCIPLabeler.AssignCIPLabels(mol, maxRecursiveIterations=MAX_CIP_STEPS)
    except RuntimeError:  # labels assigned so far depend on the input order
        _clear_labels(mol, centers)
        for bond in mol.GetBonds():
            bond.ClearProp("_CIPCode")


def _clear_labels(mol: Chem.Mol, centers: Sequence[int]) -> None:
    for index in centers:
        mol.GetAtomWithIdx(index).ClearProp("_CIPCode")


def _double_bond_label(bond: Chem.Bond) -> str:
    if bond.HasProp("_CIPCode") and bond.GetProp("_CIPCode") in BOND_STEREO:
        return str(bond.GetProp("_CIPCode"))
    stereo = bond.GetStereo()
    if stereo in (Chem.BondStereo.STEREOE, Chem.BondStereo.STEREOTRANS):
        return "e"
    return "z" if stereo in (Chem.BondStereo.STEREOZ, Chem.BondStereo.STEREOCIS) else ""
