"""What becomes of a decoder's strings: which are molecules, which ones, and with what figures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from molvae.chem.fingerprints import morgan_bits
from molvae.chem.properties import compute
from molvae.chem.smiles import molecule_or_none, parse, quiet, written_or_none


class Reading(NamedTuple):
    """A string that is a molecule."""

    smiles: str  # canonical, isomeric
    fingerprint: bytes  # Morgan, packed as by `morgan_bits`


def read(strings: Sequence[str]) -> list[Reading | None]:
    """Each string's molecule, None where it is none."""
    with quiet():
        return [_read(string) for string in strings]


def _read(string: str) -> Reading | None:
    mol = molecule_or_none(string)
    if mol is None or (smiles := written_or_none(mol, string)) is None:
        return None
    return Reading(smiles, morgan_bits([mol]).tobytes())


def figures(smiles: Sequence[str], names: Sequence[str]) -> list[tuple[float, ...]]:
    """The named properties of each molecule, one tuple each."""
    if not names:
        return [()] * len(smiles)
    columns = compute([parse(text) for text in smiles], names)
    return list(zip(*(columns[name].tolist() for name in names), strict=True))
