"""The least work that worker processes do per sample; in a module of its own, because they need no torch for it."""

from __future__ import annotations

from collections.abc import Sequence

from molvae.chem.smiles import parse_or_none, silence_rdkit, write


def parse_and_write(samples: Sequence[str]) -> list[str | None]:
    """Canonical SMILES of each sample; None if it is invalid."""
    with silence_rdkit():
        mols = map(parse_or_none, samples)
        return [None if mol is None else write(mol) for mol in mols]
