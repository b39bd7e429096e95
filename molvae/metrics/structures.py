"""What the set metrics of MOSES compare: fragments, scaffolds and fingerprints of the molecules of a set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem

from molvae.chem.fingerprints import morgan_bits
from molvae.chem.scaffolds import murcko_scaffold
from molvae.chem.smiles import parse, silence_rdkit
from molvae.data.parallel import chunked, map_chunks

BITS = 1024
"""MOSES's fingerprints are half as wide as `molvae.chem.fingerprints`."""


@dataclass(frozen=True)
class Structures:
    """Of N valid molecules, repeats included: BRICS `fragments` and Bemis-Murcko `scaffolds` (of two rings or more,
    stereo kept) with how often each occurs, and Morgan fingerprints of radius 2, packed (N, 128)."""

    fragments: Counter[str]
    scaffolds: Counter[str]
    fingerprints: NDArray[np.uint8]


def structures(smiles: Iterable[str], workers: int | None = None) -> Structures:
    """The structures of valid molecules, in their order. Raises `MoleculeError` for one that is not valid."""
    return merged(map_chunks(_of_chunk, chunked(smiles), workers))


def structures_of(mols: Sequence[Chem.Mol]) -> Structures:
    """The structures of these molecules, in their order."""
    with silence_rdkit():
        fragments = Counter(fragment for mol in mols for fragment in _fragments(mol))
        scaffolds = Counter(scaffold for mol in mols if (scaffold := large_scaffold(mol)))
    return Structures(fragments, scaffolds, morgan_bits(mols, BITS))


def merged(parts: Iterable[Structures]) -> Structures:
    """The structures of several sets together, one set after the other."""
    fragments, scaffolds = Counter[str](), Counter[str]()
    bits = [np.empty((0, BITS // 8), np.uint8)]
    for part in parts:
        fragments.update(part.fragments)
        scaffolds.update(part.scaffolds)
        bits.append(part.fingerprints)
    return Structures(fragments, scaffolds, np.concatenate(bits))


def _of_chunk(smiles: list[str]) -> Structures:
    with silence_rdkit():
        return structures_of([parse(text) for text in smiles])


def _fragments(mol: Chem.Mol) -> list[str]:
    return str(Chem.MolToSmiles(Chem.FragmentOnBRICSBonds(mol))).split(".")


def large_scaffold(mol: Chem.Mol) -> str:
    """The Bemis-Murcko scaffold, or nothing where it has fewer than two rings. Keep a `silence_rdkit` block around it."""
    if mol.GetRingInfo().NumRings() < 2:
        return ""
    scaffold = murcko_scaffold(mol)
    return str(Chem.MolToSmiles(scaffold)) if scaffold.GetRingInfo().NumRings() >= 2 else ""
