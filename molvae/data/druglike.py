"""The druglike set: the rule that cleans one molecule, and the assembly out of public files."""

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
MIN_HEAVY, MAX_HEAVY, MAX_LENGTH = 6, 64, 160
VALID, TEST = 5_000, 10_000
"""Molecules held out of the assembled set; the rest is for training."""


def clean_druglike(smiles: str) -> str:
    """The canonical isomeric SMILES of the largest fragment, charges and stereo kept, isotopes removed.

    Raises `MoleculeError` for a string that cannot be read, and for a molecule outside the set: 6 to 64
    heavy atoms, 13 elements with at least one carbon, no radicals, at most 160 characters.
    """
    mol = parse(smiles)
    with silence_rdkit():
        for atom in mol.GetAtoms():
            atom.SetIsotope(0)
        fragments = [(f.GetNumHeavyAtoms(), write(f)) for f in Chem.GetMolFrags(mol, asMols=True)]
    # Read again: deuterium has become a plain hydrogen, and a center that only isotopes made chiral is none
    # now.
    clean = canonical(max(fragments)[1])
    reason = _outside(parse(clean), clean)
    if reason is not None:
        raise MoleculeError(f"SMILES {shortened(smiles)!r} is not in the druglike set: {reason}")
    return clean


def build_druglike(
    parts: Sequence[tuple[Path, str, str | None]],
    folder: Path,
    seed: int = 0,
    progress: Callable[[str], None] | None = None,
) -> list[Path]:
    """Clean, de-duplicate, shuffle and split `parts`; write druglike_{train,valid,test}.smi.gz into `folder`.

    A part is a file, the origin that its molecules are credited to, and its SMILES column (None: the usual
    names). Of duplicates the first part wins. Lines are SMILES, tab, origin.
    """
    origins: dict[str, str] = {}
    for path, origin, column in parts:
        counts = _add(_rows(path, column), origin, origins)
        if progress is not None:
            progress(f"{path.name}: {counts.summary()}")
    lines = [f"{smiles}\t{origin}\n" for smiles, origin in origins.items()]
    random.Random(seed).shuffle(lines)
    splits = {"valid": lines[:VALID], "test": lines[VALID : VALID + TEST], "train": lines[VALID + TEST :]}
    return [_write(folder / f"druglike_{split}.smi.gz", splits[split]) for split in ("train", "valid", "test")]


def _outside(mol: Chem.Mol, smiles: str) -> str | None:
    """Why a molecule is not in the set, or None."""
    atoms = list(mol.GetAtoms())
    symbols = {atom.GetSymbol() for atom in atoms}
    heavy = mol.GetNumHeavyAtoms()
    if not MIN_HEAVY <= heavy <= MAX_HEAVY:
        return f"{heavy} heavy atoms, outside {MIN_HEAVY} to {MAX_HEAVY}"
    if symbols - ELEMENTS:
        return f"element {sorted(symbols - ELEMENTS)[0]}"
    if "C" not in symbols:
        return "no carbon"
    if any(atom.GetNumRadicalElectrons() for atom in atoms):
        return "a radical"
    return f"{len(smiles)} characters, more than {MAX_LENGTH}" if len(smiles) > MAX_LENGTH else None


def _add(rows: Iterable[Record | InvalidRow], origin: str, origins: dict[str, str]) -> RowCounts:
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


def _rows(path: Path, column: str | None) -> Iterator[Record | InvalidRow]:
    """The rows of a file, or of every file in a .zip, which holds one SMILES a line."""
    if path.suffix != ".zip":
        yield from read_records(path, column=column)
        return
    with zipfile.ZipFile(path) as archive:
        members = [member for member in archive.infolist() if member.file_size and not member.is_dir()]
        if not members:
            raise InputError(f"{path} has nothing in it: delete it and fetch again")
        for member in members:
            with archive.open(member) as stream:
                yield from read_records(stream)


def _write(path: Path, lines: Iterable[str]) -> Path:
    with (
        atomic_write(path) as draft,
        draft.open("wb") as raw,
        gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as file,
    ):
        file.writelines(line.encode() for line in lines)
    return path
