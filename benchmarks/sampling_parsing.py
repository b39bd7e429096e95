"""What worker processes do at least to say which molecule a string is; alone here, as they need no torch for it."""

from __future__ import annotations

from collections.abc import Sequence

from molvae.chem.smiles import parse_or_none, silence_rdkit, write


def parse_and_write(strings: Sequence[str]) -> list[str | None]:
    """All that RDKit must do to say which molecule a string is."""
    with silence_rdkit():
        mols = map(parse_or_none, strings)
        return [None if mol is None else write(mol) for mol in mols]
