"""What becomes of a decoder's strings: which are molecules, which ones, and with what figures."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from rdkit import Chem

from molvae.chem.fingerprints import morgan_bits
from molvae.chem.properties import compute_properties
from molvae.chem.smiles import parse, parse_or_none, silence_rdkit, write_or_none

_BARE = re.compile(r"\[\d*[A-Z][^@\]]*\]")


class ParsedSample(NamedTuple):
    """A string that is a molecule."""

    smiles: str  # canonical, isomeric
    fingerprint: bytes  # Morgan, packed as by `morgan_bits`


def parse_samples(strings: Sequence[str]) -> list[ParsedSample | None]:
    """Each string's molecule, None where it is none, or a radical: RDKit reads those, and nobody can use them."""
    with silence_rdkit():
        return [_read(string) for string in strings]


def _read(string: str) -> ParsedSample | None:
    mol = parse_or_none(string)
    if mol is None or (smiles := write_or_none(mol, string)) is None or is_radical(smiles, mol):
        return None
    return ParsedSample(smiles, morgan_bits([mol]).tobytes())


def is_radical(smiles: str, mol: Chem.Mol | None = None) -> bool:
    """Whether a molecule, given by its canonical SMILES, has an unpaired electron.

    Looked for only where there is a bracket that is neither aromatic nor a center: most molecules have none.
    """
    if not _BARE.search(smiles):
        return False
    return any(atom.GetNumRadicalElectrons() for atom in (mol or parse(smiles)).GetAtoms())


def property_rows(smiles: Sequence[str], names: Sequence[str]) -> list[tuple[float, ...]]:
    """The named properties of each molecule, one tuple each."""
    if not names:
        return [()] * len(smiles)
    columns = compute_properties([parse(text) for text in smiles], names)
    return list(zip(*(columns[name].tolist() for name in names), strict=True))
