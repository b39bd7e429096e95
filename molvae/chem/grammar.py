"""What each symbol of a vocabulary is in the grammar of SMILES, and how many bonds an atom has room for.

How many single bonds an atom accepts is asked of RDKit, once for each symbol. Not so for aromatic atoms, which it
judges only in their ring: their room is a table, in which a bond counts 1, whatever its order.
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
    """What a symbol is."""

    ATOM = 0
    BOND = 1
    RING = 2  # opens and closes alike
    OPEN = 3
    CLOSE = 4
    DOT = 5
    END = 6
    NEVER = 7  # padding, start: in no string


class AtomKind(IntEnum):
    """How an atom counts its bonds."""

    PLAIN = 0  # by their order
    HYPERVALENT = 1  # by their order, of which it has room for more than four: S, P
    AROMATIC = 2  # as 1 each, no triple bond among them
    AROMATIC_SINGLE = 3  # as 1 each, single and aromatic ones only


MAX_VALENCE = 7
BOND_ORDERS = {"-": 1, "/": 1, "\\": 1, ":": 1, "~": 1, "=": 2, "#": 3}
_CLASSES = {"(": TokenClass.OPEN, ")": TokenClass.CLOSE, ".": TokenClass.DOT, END: TokenClass.END}
_AROMATIC = re.compile(r"\[?\d*(?P<element>[bcnops]|se|as|te|si)(?P<hydrogens>H\d?)?(?P<charge>[+-]\d?)?(:\d+)?\]?")
_AROMATIC_ROOM = {"b": 3, "c": 3, "n": 3, "o": 2, "p": 3, "s": 2, "se": 2, "te": 2, "as": 3, "si": 3}
"""Neutral, hydrogens counted. A positive charge at O, S, Se, Te makes room for one more."""
_BEAR_DOUBLE = frozenset({"c", "p", "si", "as", "[n+]", "[c-]", "[c+]"})
"""Aromatic atoms with a double bond out of the ring, as in pyridone, or written as such, as in a quinoid ring."""


@dataclass(frozen=True)
class Grammar:
    """Tables with an entry for each of V symbols, int64.

    `classes`: of `TokenClass`. `order`: 1 to 3, of a bond. `room`: single bonds that an atom accepts, 0 to 7. `kind`: of an
    atom, of `AtomKind`.
    """

    classes: NDArray[np.int64]
    order: NDArray[np.int64]
    room: NDArray[np.int64]
    kind: NDArray[np.int64]

    @classmethod
    def from_vocabulary(cls, vocabulary: Vocabulary) -> Self:
        with silence_rdkit():
            rows = [(token_class(symbol), BOND_ORDERS.get(symbol, 0), *_atom(symbol)) for symbol in vocabulary.tokens]
        return cls(*np.array(rows, dtype=np.int64).T)


def token_class(symbol: str) -> TokenClass:
    """What one symbol, as of `tokenize`, is."""
    if symbol in _CLASSES:
        return _CLASSES[symbol]
    if symbol in BOND_ORDERS:
        return TokenClass.BOND
    if symbol in SPECIAL or symbol == "$":  # no atom of ours has a quadruple bond
        return TokenClass.NEVER
    return TokenClass.RING if symbol[0].isdigit() or symbol[0] == "%" else TokenClass.ATOM


def _atom(symbol: str) -> tuple[int, AtomKind]:
    """Its room and kind; of what is no atom 0 and PLAIN."""
    if token_class(symbol) != TokenClass.ATOM:
        return 0, AtomKind.PLAIN
    aromatic = _AROMATIC.fullmatch(symbol)
    if aromatic is None:
        room = _asked_room(symbol)
        return room, AtomKind.HYPERVALENT if room > 4 else AtomKind.PLAIN
    element, hydrogens, charge = aromatic["element"], aromatic["hydrogens"], aromatic["charge"] or ""
    room = _AROMATIC_ROOM[element] - (int(hydrogens[1:] or 1) if hydrogens else 0)
    room += element in ("o", "s", "se", "te") and charge.startswith("+")
    return room, AtomKind.AROMATIC if symbol in _BEAR_DOUBLE else AtomKind.AROMATIC_SINGLE


def _asked_room(symbol: str) -> int:
    """With how many methyl groups RDKit still reads it."""
    readable = (n for n in range(MAX_VALENCE, 0, -1) if parse_or_none(symbol + "(C)" * n) is not None)
    return next(readable, 0)
