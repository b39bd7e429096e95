"""Many SMARTS searched for in one molecule, most of them ruled out by a fingerprint before any is tried."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem, DataStructs

from molvae.chem.smiles import quiet
from molvae.errors import InputError

_BITS = 1024
"""Of RDKit's pattern fingerprint; 2048 rule out a few patterns more and take half as long again to make."""


class Patterns:
    """Named SMARTS. `hydrogens`: they are searched for in the molecule with its hydrogens as atoms, [H] in a pattern
    being one of them.

    A pattern that occurs in a molecule has no bit that the molecule lacks (RDKit's pattern fingerprint is made for
    that); the few patterns that pass this test are searched for. Raises `InputError` for what is not SMARTS.
    """

    def __init__(self, smarts: Mapping[str, str], *, hydrogens: bool = False) -> None:
        self.names = list(smarts)
        self.hydrogens = hydrogens
        self._queries = [_query(text) for text in smarts.values()]
        self._bits = np.stack([_pattern_bits(query) for query in self._queries])  # patterns x words

    def found(self, mol: Chem.Mol) -> list[str]:
        """The names of the patterns that occur in `mol`, in the order given."""
        return list(self._search(mol))

    def any_in(self, mol: Chem.Mol) -> bool:
        """Whether one of them occurs in `mol`; stops at the first."""
        return next(self._search(mol), None) is not None

    def _search(self, mol: Chem.Mol) -> Iterator[str]:
        with quiet():
            whole = Chem.AddHs(mol) if self.hydrogens else mol
        possible = ~(self._bits & ~_pattern_bits(whole)).any(axis=1)
        for index in np.flatnonzero(possible):
            if whole.HasSubstructMatch(self._queries[index]):
                yield self.names[index]


def _query(smarts: str) -> Chem.Mol:
    with quiet():
        query = Chem.MolFromSmarts(smarts)
    if query is None:
        raise InputError(f"cannot read SMARTS {smarts!r}")
    return query


def _pattern_bits(mol: Chem.Mol) -> NDArray[np.uint64]:
    return np.frombuffer(DataStructs.BitVectToBinaryText(Chem.PatternFingerprint(mol, _BITS)), dtype=np.uint64)
