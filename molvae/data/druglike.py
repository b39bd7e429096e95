"""The druglike dataset: cleaning of one molecule, and assembly of the splits from public files."""

from __future__ import annotations

import gzip
import random
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from rdkit import Chem

from molvae.chem.smiles import canonical, parse, shortened, silence_rdkit, write
from molvae.data.files import atomic_write
from molvae.data.readers import read_records
from molvae.data.rows import InvalidRow, Record, RowCounts
from molvae.errors import InputError, MoleculeError

ELEMENTS = frozenset({"C", "N", "O", "S", "F", "Cl", "Br", "I", "P", "B", "Si", "Se", "H"})
MIN_HEAVY_ATOMS, MAX_HEAVY_ATOMS = 6, 64
MAX_LENGTH = 160
"""Maximum length of a SMILES in characters."""

VALID_SIZE, TEST_SIZE = 5_000, 10_000
"""Number of molecules for validation and test; all others are for training."""


def clean_druglike(smiles: str) -> str:
    """Return the canonical isomeric SMILES of the largest fragment, with charges and stereochemistry, without isotopes.

    Raises
    ------
    MoleculeError
        For an invalid SMILES and for a molecule outside the dataset, which has 6 to 64 heavy atoms, 13 elements with at
        least one carbon, no radicals, and at most 160 characters.
    """
    mol = parse(smiles)
    with silence_rdkit():
        for atom in mol.GetAtoms():
            atom.SetIsotope(0)
        fragments = [(f.GetNumHeavyAtoms(), write(f)) for f in Chem.GetMolFrags(mol, asMols=True)]
    # parse again: deuterium is now ordinary hydrogen, and atoms that were chiral only by isotopes are no longer chiral
    clean = canonical(max(fragments)[1])
    reason = _exclusion_reason(parse(clean), clean)
    if reason is not None:
        raise MoleculeError(f"SMILES {shortened(smiles)!r} is not in the druglike dataset: {reason}")
    return clean


def build_druglike(
    parts: Sequence[tuple[Path, str, str | None]],
    folder: Path,
    random_state: int = 0,
    progress: Callable[[str], None] | None = None,
) -> list[Path]:
    """Clean, deduplicate, shuffle and split molecules; write druglike_{train,valid,test}.smi.gz.

    Parameters
    ----------
    parts : sequence of (path, origin, column)
        A file, the label of its molecules, and its SMILES column (None for the default names). A molecule that occurs
        in several parts has the label of the first.
    folder : Path
        Output folder. Lines are SMILES, tab, origin.
    random_state : int
        Random number seed for shuffling.
    progress : callable, optional
        Called with the counts of each part.

    Returns
    -------
    list of Path
        The files of train, valid and test.
    """
    origins: dict[str, str] = {}
    for path, origin, column in parts:
        counts = _add_rows(_read_rows(path, column), origin, origins)
        if progress is not None:
            progress(f"{path.name}: {counts.summary()}")
    lines = [f"{smiles}\t{origin}\n" for smiles, origin in origins.items()]
    random.Random(random_state).shuffle(lines)
    splits = {
        "valid": lines[:VALID_SIZE],
        "test": lines[VALID_SIZE : VALID_SIZE + TEST_SIZE],
        "train": lines[VALID_SIZE + TEST_SIZE :],
    }
    return [_write(folder / f"druglike_{split}.smi.gz", splits[split]) for split in ("train", "valid", "test")]


def _exclusion_reason(mol: Chem.Mol, smiles: str) -> str | None:
    """Return why a molecule is excluded from the dataset, or None."""
    atoms = list(mol.GetAtoms())
    elements = {atom.GetSymbol() for atom in atoms}
    heavy = mol.GetNumHeavyAtoms()
    if not MIN_HEAVY_ATOMS <= heavy <= MAX_HEAVY_ATOMS:
        return f"{heavy} heavy atoms, outside {MIN_HEAVY_ATOMS} to {MAX_HEAVY_ATOMS}"
    if elements - ELEMENTS:
        return f"element {sorted(elements - ELEMENTS)[0]}"
    if "C" not in elements:
        return "no carbon"
    if any(atom.GetNumRadicalElectrons() for atom in atoms):
        return "a radical"
    return f"{len(smiles)} characters, more than {MAX_LENGTH}" if len(smiles) > MAX_LENGTH else None


def _add_rows(rows: Iterable[Record | InvalidRow], origin: str, origins: dict[str, str]) -> RowCounts:
    """Add the origin of each new molecule to `origins`, by clean SMILES."""
    counts = RowCounts()
    for row in rows:
        try:
            smiles = clean_druglike(row.smiles) if isinstance(row, Record) else ""
        except MoleculeError:
            smiles = ""
        if not smiles:
            counts.invalid += 1
        elif smiles in origins:
            counts.duplicate += 1
        else:
            origins[smiles] = origin
            counts.accepted += 1
    return counts


def _read_rows(path: Path, column: str | None) -> Iterator[Record | InvalidRow]:
    """Read a file, or all files in a .zip with one SMILES per line."""
    if path.suffix != ".zip":
        yield from read_records(path, column=column)
        return
    with zipfile.ZipFile(path) as archive:
        members = [member for member in archive.infolist() if member.file_size and not member.is_dir()]
        if not members:
            raise InputError(f"{path} is empty: delete it and download it again")
        for member in members:
            with archive.open(member) as stream:
                yield from read_records(stream)


def _write(path: Path, lines: Iterable[str]) -> Path:
    with (
        atomic_write(path) as temporary,
        temporary.open("wb") as raw,
        gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as file,
    ):
        file.writelines(line.encode() for line in lines)
    return path
