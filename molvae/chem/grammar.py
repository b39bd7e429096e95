"""The grammar of SMILES tokens: the class of each token, and the valence of each atom token.

The valence of an atom token is the largest number of single bonds with which RDKit accepts the atom. Aromatic atoms are
an exception, because RDKit accepts them only in rings: their valences are listed in a table, where each bond counts 1.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntEnum
from typing import Self

import numpy as np
from numpy.typing import NDArray

from molvae.chem.smiles import parse_or_none, silence_rdkit
from molvae.chem.tokenizer import END, SPECIAL, Vocabulary


class TokenClass(IntEnum):
    """The syntactic class of a token."""

    ATOM = 0
    BOND = 1
    RING = 2  # opens or closes a ring
    OPEN = 3
    CLOSE = 4
    DOT = 5
    END = 6
    NEVER = 7  # never valid: padding, start and unsupported tokens


class AtomKind(IntEnum):
    """How the bonds of an atom count toward its valence."""

    PLAIN = 0  # by bond order
    HYPERVALENT = 1  # by bond order, with a valence above four: S, P
    AROMATIC = 2  # 1 for each bond, no triple bonds
    AROMATIC_SINGLE = 3  # 1 for each bond, only single and aromatic bonds


MAX_VALENCE = 7
BOND_ORDERS = {"-": 1, "/": 1, "\\": 1, ":": 1, "~": 1, "=": 2, "#": 3}
_CLASSES = {"(": TokenClass.OPEN, ")": TokenClass.CLOSE, ".": TokenClass.DOT, END: TokenClass.END}
_AROMATIC = re.compile(r"\[?\d*(?P<element>[bcnops]|se|as|te|si)(?P<hydrogens>H\d?)?(?P<charge>[+-]\d?)?(:\d+)?\]?")
_AROMATIC_VALENCE = {"b": 3, "c": 3, "n": 3, "o": 2, "p": 3, "s": 2, "se": 2, "te": 2, "as": 3, "si": 3}
"""Valences of neutral aromatic atoms, hydrogens included. A positive charge on O, S, Se or Te adds one."""
_EXOCYCLIC_DOUBLE_BOND = frozenset({"c", "p", "si", "as", "[n+]", "[c-]", "[c+]"})
"""Aromatic atoms that can have a double bond: exocyclic as in pyridone, or explicit as in a quinoid ring."""


@dataclass(frozen=True)
class Grammar:
    """Tables with one entry for each of the V tokens of a vocabulary, int64.

    token_class: values of `TokenClass`. bond_order: 1 to 3 for bonds, else 0. valence: single bonds that an atom can
    form, 0 to 7. atom_kind: values of `AtomKind`.
    """

    token_class: NDArray[np.int64]
    bond_order: NDArray[np.int64]
    valence: NDArray[np.int64]
    atom_kind: NDArray[np.int64]

    @classmethod
    def from_vocabulary(cls, vocabulary: Vocabulary) -> Self:
        """Compute the tables for a vocabulary."""
        with silence_rdkit():
            rows = [(token_class(token), BOND_ORDERS.get(token, 0), *_valence(token)) for token in vocabulary.tokens]
        return cls(*np.array(rows, dtype=np.int64).T)


def token_class(token: str) -> TokenClass:
    """The class of a token as made by `tokenize`."""
    if token in _CLASSES:
        return _CLASSES[token]
    if token in BOND_ORDERS:
        return TokenClass.BOND
    if token in SPECIAL or token == "$":  # quadruple bonds are not supported
        return TokenClass.NEVER
    return TokenClass.RING if token[0].isdigit() or token[0] == "%" else TokenClass.ATOM


def _valence(token: str) -> tuple[int, AtomKind]:
    """The valence and kind of an atom token; 0 and PLAIN for other tokens."""
    if token_class(token) != TokenClass.ATOM:
        return 0, AtomKind.PLAIN
    aromatic = _AROMATIC.fullmatch(token)
    if aromatic is None:
        valence = _valence_in_rdkit(token)
        return valence, AtomKind.HYPERVALENT if valence > 4 else AtomKind.PLAIN
    element, hydrogens, charge = aromatic["element"], aromatic["hydrogens"], aromatic["charge"] or ""
    valence = _AROMATIC_VALENCE[element] - (int(hydrogens[1:] or 1) if hydrogens else 0)
    valence += element in ("o", "s", "se", "te") and charge.startswith("+")
    return valence, AtomKind.AROMATIC if token in _EXOCYCLIC_DOUBLE_BOND else AtomKind.AROMATIC_SINGLE


def _valence_in_rdkit(token: str) -> int:
    """The largest number of methyl groups with which RDKit accepts the atom."""
    valid = (n for n in range(MAX_VALENCE, 0, -1) if parse_or_none(token + "(C)" * n) is not None)
    return next(valid, 0)
