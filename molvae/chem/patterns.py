"""Many SMARTS searched for in one molecule, most of them ruled out by a fingerprint before any is tried."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem, DataStructs

from molvae.chem.smiles import quiet
from molvae.errors import InputError

_BITS = 2048


class Patterns:
    """Named SMARTS. `hydrogens`: [H] and [#1] in a pattern are hydrogens of the atom beside them, whether or not the
    molecule has them as atoms; no other atom of a pattern, be it `*`, is a hydrogen.

    A pattern that occurs in a molecule has no bit that the molecule lacks (RDKit's pattern fingerprint is made for
    that); the few patterns that pass this test are searched for. Hydrogens are counted, not added as atoms: that would
    triple what the fingerprint costs. Raises `InputError` for what is not SMARTS, or for hydrogens that cannot be
    counted, as one that may as well be another atom.
    """

    def __init__(self, smarts: Mapping[str, str], *, hydrogens: bool = False) -> None:
        self.names = list(smarts)
        self._queries = [_query(text, hydrogens) for text in smarts.values()]
        self._bits = np.stack([_pattern_bits(query) for query in self._queries], axis=1)  # words x patterns

    def found(self, mol: Chem.Mol) -> list[str]:
        """The names of the patterns that occur in `mol`, in the order given."""
        return list(self._search(mol))

    def any_in(self, mol: Chem.Mol) -> bool:
        """Whether one of them occurs in `mol`; stops at the first."""
        return next(self._search(mol), None) is not None

    def _search(self, mol: Chem.Mol) -> Iterator[str]:
        lacking = ~_pattern_bits(mol)[:, None]
        for index in np.flatnonzero(np.bitwise_or.reduce(self._bits & lacking) == 0):
            if mol.HasSubstructMatch(self._queries[index]):
                yield self.names[index]


def _pattern_bits(mol: Chem.Mol) -> NDArray[np.uint64]:
    return np.frombuffer(DataStructs.BitVectToBinaryText(Chem.PatternFingerprint(mol, _BITS)), dtype=np.uint64)


def _query(smarts: str, hydrogens: bool) -> Chem.Mol:
    with quiet():
        query = Chem.MolFromSmarts(smarts)
        if query is None:
            raise InputError(f"cannot read SMARTS {smarts!r}")
        if not hydrogens:
            return query
        merged = Chem.MergeQueryHs(query)
    if any(Chem.HasQueryHs(merged)):
        raise InputError(f"the hydrogens in SMARTS {smarts!r} cannot be counted: each has to be beside another atom")
    return merged
