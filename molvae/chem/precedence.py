"""Precedence: in how many real molecules a ring system or an atom environment occurs.

A generated molecule with a ring system or an atom environment that no real molecule has is rarely worth making. The
table that ships with the package counts both in the training molecules of the model `druglike`, all of which are real.
"""

from __future__ import annotations

import hashlib
import re
import zipfile
import zlib
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem
from rdkit.Chem import rdFingerprintGenerator

from molvae.chem.rdkit_guard import rdkit_guard, silence_rdkit
from molvae.chem.smiles import parse_or_none
from molvae.chem.standardization import prepare
from molvae.errors import InputError, MoleculeError

FORMAT = 1
"""Format of the saved table."""

RADII = (1, 2)
"""Radii of the atom environments, in bonds."""

MAX_RING_SIZE = 9
"""Atoms of the largest ring that is not a macrocycle."""

SHIPPED_FILE = Path(__file__).with_name("precedence.npz")
"""The table that ships with the package."""

_FILE_ERRORS = (
    OSError, ValueError, TypeError, KeyError, EOFError, SyntaxError, zipfile.BadZipFile, zlib.error
)  # fmt: skip
_REFERENCE = "CC(=O)Nc1ccc(O)cc1"  # its environments detect a version of RDKit that numbers them differently
_ACYCLIC_BONDS = "[R]-!@*"
_BRACKET_ATOMS = re.compile(r"\[[^\]]*\]")


class Rarity(NamedTuple):
    """A fragment of a molecule and its precedence.

    Attributes
    ----------
    kind : str
        "ring system", "environment of radius 1" or "environment of radius 2".
    smiles : str
        The fragment; the central atom of an environment comes first.
    n_molecules : int
        Number of real molecules that contain it.
    atoms : tuple of int
        Its atoms in the molecule; of an environment that occurs several times, those of one of them.
    """

    kind: str
    smiles: str
    n_molecules: int
    atoms: tuple[int, ...]


# --- fragments --------------------------------------------------------------------------------------------------------


def ring_systems(mol: Chem.Mol) -> frozenset[str]:
    """Canonical SMILES of the ring systems of a molecule, without stereo.

    Rings that share an atom belong to one system. Exocyclic double bonds, such as the C=O of a lactam, are part of it;
    other substituents are replaced by hydrogen. A macrocycle, a ring of more than `MAX_RING_SIZE` atoms, counts as a
    linker of the smaller rings in it: almost every macrocycle is the only one of its kind. Call it in a
    `silence_rdkit` block.

    >>> sorted(ring_systems(Chem.MolFromSmiles("O=C1CCCN1Cc1ccccc1")))
    ['O=C1CCCN1', 'c1ccccc1']
    """
    if not mol.GetRingInfo().NumRings():
        return frozenset()
    # Not canonical, which is quick; the few spellings of each ring system are made canonical once.
    fragments = Chem.MolToSmiles(_cut_substituents(mol), isomericSmiles=False, canonical=False).split(".")
    return frozenset(ring for fragment in fragments if (ring := _canonical_ring(fragment)))


def _cut_substituents(mol: Chem.Mol) -> Chem.Mol:
    pairs = mol.GetSubstructMatches(_substituent_bonds(), maxMatches=10_000)
    bonds = {mol.GetBondBetweenAtoms(*pair).GetIdx() for pair in pairs} | _macrocycle_bonds(mol)
    return Chem.FragmentOnBonds(mol, sorted(bonds), addDummies=False) if bonds else mol


def _macrocycle_bonds(mol: Chem.Mol) -> set[int]:
    """Bonds of the rings of more than `MAX_RING_SIZE` atoms that are in no smaller ring."""
    rings = mol.GetRingInfo().BondRings()
    large = [ring for ring in rings if len(ring) > MAX_RING_SIZE]
    if not large:
        return set()
    return {bond for ring in large for bond in ring}.difference(*(ring for ring in rings if len(ring) <= MAX_RING_SIZE))


@cache
def _substituent_bonds() -> Chem.Mol:
    return Chem.MolFromSmarts(_ACYCLIC_BONDS)


@lru_cache(maxsize=65_536)
def _canonical_ring(fragment: str) -> str:
    """The canonical SMILES of a fragment; "" if it is acyclic, and the fragment itself if it cannot be parsed."""
    if not any(character.isdigit() for character in _BRACKET_ATOMS.sub("", fragment)):
        return ""
    mol = parse_or_none(fragment)
    return fragment if mol is None else str(Chem.MolToSmiles(mol, isomericSmiles=False))


def environments(mol: Chem.Mol, radius: int) -> frozenset[int]:
    """Identifiers of the Morgan environments of all atoms of a molecule, of radii 0 to `radius`, without stereo."""
    return frozenset(_generator(radius).GetSparseFingerprint(mol).GetOnBits())


@cache
def _generator(radius: int) -> rdFingerprintGenerator.FingerprintGenerator64:
    # Redundant environments are included: which of two equal atom sets is omitted depends on the rest of the molecule.
    return rdFingerprintGenerator.GetMorganGenerator(radius=radius, includeRedundantEnvironments=True)


@dataclass
class FragmentCounts:
    """Numbers of molecules by ring system and by environment, counted part by part.

    Attributes
    ----------
    ring_systems : Counter of int
        By hash of the SMILES.
    environments : dict of int to Counter of int
        By radius and identifier.
    n_molecules, n_invalid : int
        Counted molecules, and SMILES that cannot be parsed.
    """

    ring_systems: Counter[int] = field(default_factory=Counter)
    environments: dict[int, Counter[int]] = field(default_factory=lambda: {radius: Counter() for radius in RADII})
    n_molecules: int = 0
    n_invalid: int = 0

    def add(self, mol: Chem.Mol) -> None:
        """Count the fragments of a molecule. Call it in a `silence_rdkit` block."""
        rings = ring_systems(mol)
        by_radius = {radius: environments(mol, radius) for radius in self.environments}
        # what RDKit may fail on is done: a molecule is counted as a whole or not at all
        self.n_molecules += 1
        self.ring_systems.update(map(_ring_key, rings))
        for radius, found in by_radius.items():
            self.environments[radius].update(found)

    def update(self, other: FragmentCounts) -> None:
        """Add the counts of other molecules."""
        self.ring_systems.update(other.ring_systems)
        for radius, counter in self.environments.items():
            counter.update(other.environments[radius])
        self.n_molecules += other.n_molecules
        self.n_invalid += other.n_invalid


def count_fragments(smiles: Iterable[str]) -> FragmentCounts:
    """Count the ring systems and environments of molecules in the form that `prepare` gives them.

    Invalid SMILES are counted as such.
    """
    counts = FragmentCounts()
    with silence_rdkit():
        for text in smiles:
            try:
                mol = prepare(text).mol
                with rdkit_guard("cannot be counted"):
                    counts.add(mol)
            except MoleculeError:
                counts.n_invalid += 1
    return counts


# --- table ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Counts:
    """Counts by 64-bit key, in two sorted arrays of shape (N,)."""

    keys: NDArray[np.int64]
    values: NDArray[np.uint16]
    _sets: dict[int, frozenset[int]] = field(default_factory=dict, repr=False)

    @classmethod
    def from_counter(cls, counter: Counter[int]) -> Counts:
        keys = np.fromiter(counter, np.int64, len(counter))
        order = np.argsort(keys)
        values = np.fromiter(counter.values(), np.int64, len(counter)).clip(max=np.iinfo(np.uint16).max)
        return cls(keys[order], values[order].astype(np.uint16))

    def added(self, other: Counts) -> Counts:
        """The sums of the counts of two sets of molecules."""
        keys = np.union1d(self.keys, other.keys)
        values = self.get(keys).astype(np.int64) + other.get(keys)
        return Counts(keys, values.clip(max=np.iinfo(np.uint16).max).astype(np.uint16))

    def unknown(self, keys: Iterable[int], min_count: int = 1) -> frozenset[int]:
        """The keys whose count is below `min_count`."""
        return frozenset(keys).difference(self._common(min_count))

    def _common(self, min_count: int) -> frozenset[int]:
        """The keys whose count is at least `min_count`; a lookup in a set is ten times as fast as `get`."""
        if min_count not in self._sets:
            self._sets[min_count] = frozenset(self.keys[self.values >= min_count].tolist())
        return self._sets[min_count]

    def get(self, keys: Collection[int] | NDArray[np.int64]) -> NDArray[np.uint16]:
        """The count of each key, 0 if it is unknown, in the order of iteration."""
        wanted = np.fromiter(keys, np.int64, len(keys))
        positions = np.searchsorted(self.keys, wanted).clip(max=max(len(self.keys) - 1, 0))
        if not len(self.keys):
            return np.zeros(len(wanted), np.uint16)
        return np.where(self.keys[positions] == wanted, self.values[positions], 0).astype(np.uint16)


@dataclass(frozen=True, eq=False)
class PrecedenceTable:
    """Numbers of real molecules by ring system and by atom environment.

    Attributes
    ----------
    ring_systems : Counts
        Keys are hashes of the SMILES of `ring_systems`.
    environments : dict of int to Counts
        By radius, 1 and 2; keys are the identifiers of `environments`, all radii up to this one included.
    n_molecules : int
        Number of molecules that were counted.

    Examples
    --------
    >>> table = PrecedenceTable.from_molecules(["CCO", "c1ccccc1O", "Oc1ccccc1C"])
    >>> mol = Chem.MolFromSmiles("Cc1ccccn1")
    >>> table.ring_precedence(mol), table.ring_precedence(Chem.MolFromSmiles("CCc1ccccc1"))
    (0, 2)
    """

    ring_systems: Counts
    environments: dict[int, Counts]
    n_molecules: int

    @classmethod
    def from_molecules(cls, smiles: Iterable[str], min_count: int = 1) -> PrecedenceTable:
        """Count the ring systems and environments of real molecules; invalid SMILES are skipped, and salts stripped.

        Parameters
        ----------
        smiles : iterable of str
        min_count : int
            Environments of radius 2 in fewer molecules are omitted, which makes the table smaller.
        """
        return cls.from_counts(count_fragments(smiles), min_count)

    @classmethod
    def from_counts(cls, counts: FragmentCounts, min_count: int = 1) -> PrecedenceTable:
        """The table of counted molecules; see `from_molecules` for `min_count`."""
        by_radius = dict(counts.environments)
        wide = by_radius[max(RADII)]
        by_radius[max(RADII)] = Counter({key: count for key, count in wide.items() if count >= min_count})
        found = {radius: Counts.from_counter(counter) for radius, counter in by_radius.items()}
        return cls(Counts.from_counter(counts.ring_systems), found, counts.n_molecules)

    def summary(self) -> str:
        """The numbers of molecules, ring systems and environments in one line."""
        sizes = ", ".join(
            f"{len(counts.keys):,} environments up to radius {r}" for r, counts in self.environments.items()
        )
        return f"{self.n_molecules:,} molecules, {len(self.ring_systems.keys):,} ring systems, {sizes}"

    def added(self, other: PrecedenceTable) -> PrecedenceTable:
        """The table of the molecules of two tables, which should have no molecule in common.

        >>> first, second = (PrecedenceTable.from_molecules([smiles]) for smiles in ("Cc1ccccc1", "Oc1ccccc1"))
        >>> first.added(second).ring_precedence(Chem.MolFromSmiles("c1ccccc1"))
        2
        """
        by_radius = {radius: counts.added(other.environments[radius]) for radius, counts in self.environments.items()}
        rings = self.ring_systems.added(other.ring_systems)
        return PrecedenceTable(rings, by_radius, self.n_molecules + other.n_molecules)

    # --- queries ---

    def unprecedented_rings(self, mol: Chem.Mol, min_count: int = 1) -> frozenset[str]:
        """The ring systems of a molecule that fewer than `min_count` real molecules have."""
        systems = {_ring_key(system): system for system in ring_systems(mol)}
        return frozenset(systems[key] for key in self.ring_systems.unknown(systems, min_count))

    def unprecedented_environments(self, mol: Chem.Mol, radius: int = 1, min_count: int = 1) -> frozenset[int]:
        """The environments of a molecule that fewer than `min_count` real molecules have."""
        found = _generator(radius).GetSparseFingerprint(mol).GetOnBits()
        return self.environments[radius].unknown(found, min_count)

    def ring_precedence(self, mol: Chem.Mol) -> int:
        """Number of real molecules with the rarest ring system of a molecule; `n_molecules` for an acyclic one."""
        counts = self.ring_systems.get([_ring_key(system) for system in ring_systems(mol)])
        return int(counts.min()) if len(counts) else self.n_molecules

    def environment_precedence(self, mol: Chem.Mol, radius: int = 1) -> int:
        """Number of real molecules with the rarest environment of a molecule."""
        counts = self.environments[radius].get(environments(mol, radius))
        return int(counts.min()) if len(counts) else self.n_molecules

    def explain(self, mol: Chem.Mol, min_count: int = 1, except_for: Chem.Mol | None = None) -> list[Rarity]:
        """The ring systems and environments in fewer than `min_count` real molecules, the rarest first.

        An environment of radius 2 is left out if it contains one of radius 1 that is listed. What the molecule
        `except_for` has, such as a seed, is left out too.
        """
        found = [*self._rare_rings(mol, min_count, except_for), *self._rare_environments(mol, min_count, except_for)]
        return sorted(found, key=_rarest_first)

    def _rare_rings(self, mol: Chem.Mol, min_count: int, except_for: Chem.Mol | None) -> list[Rarity]:
        cut, found = _cut_substituents(mol), dict[str, Rarity]()
        allowed = ring_systems(except_for) if except_for is not None else frozenset[str]()
        for atoms in Chem.GetMolFrags(cut):
            # the same spelling as in `ring_systems`, of which a few cannot be parsed and made canonical
            system = _canonical_ring(Chem.MolFragmentToSmiles(cut, atoms, isomericSmiles=False, canonical=False))
            if system and system not in allowed:
                count = int(self.ring_systems.get([_ring_key(system)])[0])
                if count < min_count:
                    known = found[system].atoms if system in found else ()
                    found[system] = Rarity("ring system", system, count, (*known, *atoms))
        return list(found.values())

    def _rare_environments(self, mol: Chem.Mol, min_count: int, except_for: Chem.Mol | None) -> list[Rarity]:
        found, reported = [], set[int]()
        for radius in RADII:
            allowed = environments(except_for, radius) if except_for is not None else frozenset[int]()
            centers = set[int]()
            for key, places in _places(mol, radius).items():
                atom, size = places[0]
                count = int(self.environments[radius].get([key])[0])
                is_whole = size == radius or not mol.GetAtomWithIdx(atom).GetDegree()
                if is_whole and count < min_count and atom not in reported and key not in allowed:
                    smiles, atoms = _environment_smiles(mol, atom, radius)
                    found.append(Rarity(f"environment of radius {radius}", smiles, count, atoms))
                    centers.add(atom)
            # the environments of the next radius around these atoms and their neighbors contain what is reported
            reported |= centers.union(*(_neighbors(mol, atom) for atom in centers))
        return found

    def environment_smiles(self, mol: Chem.Mol, keys: Collection[int], radius: int = 1) -> list[str]:
        """SMILES of environments of a molecule, sorted; of those that contain each other the largest.

        Parameters
        ----------
        mol : rdkit.Chem.Mol
        keys : collection of int
            Some of the `environments` of this radius.
        radius : int
        """
        by_center = dict[int, tuple[int, int]]()
        for key, places in _places(mol, radius).items():
            for atom, size in places if key in keys else ():
                by_center[atom] = max((size, key), by_center.get(atom, (0, 0)))
        # one atom of each environment: writing the same one for every atom of a large molecule takes seconds
        examples = {key: (atom, size) for atom, (size, key) in by_center.items()}
        return sorted({_environment_smiles(mol, atom, size)[0] for atom, size in examples.values()})

    # --- file ---

    def save(self, path: str | Path) -> None:
        """Write an .npz file."""
        arrays: dict[str, Any] = {"ring_keys": self.ring_systems.keys, "ring_counts": self.ring_systems.values}
        for radius, counts in self.environments.items():
            arrays[f"environment_{radius}_keys"] = counts.keys.astype(np.int32)
            arrays[f"environment_{radius}_counts"] = counts.values
        header = np.array([FORMAT, self.n_molecules, _probe()], dtype=np.int64)
        with open(path, "wb") as file:  # np.savez adds .npz to a file name, but not to an open file
            np.savez_compressed(file, header=header, **arrays)

    @classmethod
    def load(cls, path: str | Path) -> PrecedenceTable:
        """Read a file written by `save`. No code in the file is executed.

        Raises
        ------
        InputError
            If the file is missing, damaged or of another format, or if this version of RDKit numbers environments in
            another way than the version that built the table.
        """
        try:
            with open(path, "rb") as file, np.load(file, allow_pickle=False) as arrays:
                version, n_molecules, probe = (int(number) for number in arrays["header"])
                ring_systems = _read_counts(arrays["ring_keys"], arrays["ring_counts"])
                by_radius = {
                    radius: _read_counts(arrays[f"environment_{radius}_keys"], arrays[f"environment_{radius}_counts"])
                    for radius in RADII
                }
        except FileNotFoundError:
            raise InputError(f"{path}: the precedence table does not exist") from None
        except _FILE_ERRORS as error:
            raise InputError(f"{path}: damaged, or not a precedence table ({error})") from error
        if version != FORMAT:
            raise InputError(f"{path}: precedence table of format {version}; this version reads {FORMAT}")
        if probe != _probe():
            raise InputError(
                f"{path}: built with a version of RDKit that numbers atom environments differently; rebuild it"
            )
        return cls(ring_systems, by_radius, n_molecules)


def _rarest_first(rarity: Rarity) -> tuple[int, str, str]:
    return rarity.n_molecules, rarity.kind, rarity.smiles


@lru_cache(maxsize=65_536)
def _ring_key(smiles: str) -> int:
    return int.from_bytes(hashlib.blake2b(smiles.encode(), digest_size=8).digest(), "little", signed=True)


def _environment_smiles(mol: Chem.Mol, atom: int, radius: int) -> tuple[str, tuple[int, ...]]:
    """The SMILES of an environment, which begins with its central atom, and its atoms."""
    # RDKit can begin at a given atom only in molecules of one fragment.
    own = next(atoms for atoms in Chem.GetMolFrags(mol) if atom in atoms)
    if len(own) < mol.GetNumAtoms():
        mappings = list[tuple[int, ...]]()
        fragments = Chem.GetMolFrags(mol, asMols=True, sanitizeFrags=False, fragsMolAtomMapping=mappings)
        fragment = fragments[mappings.index(own)]
        smiles, atoms = _environment_smiles(fragment, own.index(atom), radius)
        return smiles, tuple(own[index] for index in atoms)
    bonds = list(Chem.FindAtomEnvironmentOfRadiusN(mol, radius, atom))
    ends = {end for bond in bonds for end in (_begin(mol, bond), _end(mol, bond))}
    atoms = tuple(sorted(ends | {atom}))
    smiles = Chem.MolFragmentToSmiles(mol, list(atoms), bonds, rootedAtAtom=atom, isomericSmiles=False)
    return str(smiles), atoms


def _neighbors(mol: Chem.Mol, atom: int) -> set[int]:
    return {neighbor.GetIdx() for neighbor in mol.GetAtomWithIdx(atom).GetNeighbors()}


def _places(mol: Chem.Mol, radius: int) -> dict[int, tuple[tuple[int, int], ...]]:
    """The central atom and the radius of each occurrence of each of the `environments`."""
    output = rdFingerprintGenerator.AdditionalOutput()
    output.AllocateBitInfoMap()
    _generator(radius).GetSparseFingerprint(mol, additionalOutput=output)
    # The keys of a fingerprint are signed 32-bit numbers, those of its bit info map are the same bits unsigned.
    return {key - 2**32 if key >= 2**31 else key: places for key, places in output.GetBitInfoMap().items()}


def _begin(mol: Chem.Mol, bond: int) -> int:
    return int(mol.GetBondWithIdx(bond).GetBeginAtomIdx())


def _end(mol: Chem.Mol, bond: int) -> int:
    return int(mol.GetBondWithIdx(bond).GetEndAtomIdx())


def _read_counts(keys: NDArray[Any], values: NDArray[Any]) -> Counts:
    """Validate arrays of a file. Raises `ValueError`."""
    if keys.dtype not in (np.int32, np.int64) or values.dtype != np.uint16 or keys.ndim != 1:
        raise ValueError("arrays of another type")
    if keys.shape != values.shape or (keys[1:] <= keys[:-1]).any():
        raise ValueError("keys that are not sorted, or not as many as counts")
    return Counts(keys.astype(np.int64), values)


def _probe() -> int:
    """A hash of the environments of a fixed molecule."""
    found = sorted(environments(Chem.MolFromSmiles(_REFERENCE), max(RADII)))
    return int.from_bytes(hashlib.blake2b(repr(found).encode(), digest_size=7).digest(), "little", signed=True)


@lru_cache(maxsize=4)
def cached_table(path: Path) -> PrecedenceTable:
    """The table of a file, loaded on first use. Raises `InputError` as `PrecedenceTable.load`."""
    return PrecedenceTable.load(path)


def shipped_table() -> PrecedenceTable:
    """The table that ships with the package, loaded on first use."""
    return cached_table(SHIPPED_FILE)
