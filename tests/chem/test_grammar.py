"""Symbols as the grammar sees them."""

from __future__ import annotations

import pytest
from rdkit import Chem

from molvae.chem.grammar import AtomKind, Grammar, TokenClass
from molvae.chem.smiles import silence_rdkit
from molvae.chem.tokenizer import Vocabulary

SYMBOLS = """
# %10 ( ) - . / 1 = $ B Br C Cl F N O P S [B-] [C@@H] [C@] [H-] [H] [N+] [NH3+] [O-] [S@] [Se] [c-] [n+] [nH+] [nH]
[o+] [se] [13cH] \\ c n o p s
"""
VOCABULARY = Vocabulary.from_tokens(SYMBOLS.split())


def _row(symbol):
    tables, place = Grammar.from_vocabulary(VOCABULARY), VOCABULARY.tokens.index(symbol)
    return tables.classes[place], tables.order[place], tables.room[place], tables.kind[place]


@pytest.mark.parametrize(
    ("symbols", "kind"),
    [
        ("C Br [C@@H] c [nH] [H]", TokenClass.ATOM), ("# - / = \\", TokenClass.BOND), ("%10 1", TokenClass.RING), ("(", TokenClass.OPEN),
        (")", TokenClass.CLOSE), (".", TokenClass.DOT), ("<end>", TokenClass.END), ("<pad> <start> $", TokenClass.NEVER),
    ],
)  # fmt: skip
def test_what_a_symbol_is(symbols, kind):
    for symbol in symbols.split(" "):
        assert _row(symbol)[0] == kind, symbol


def test_bonds_have_an_order():
    assert [_row(symbol)[1] for symbol in ("-", "/", "\\", "=", "#", "C", "(")] == [1, 1, 1, 2, 3, 0, 0]


def test_room_is_what_rdkit_accepts():
    """With so many neighbors it reads an atom, with one more it does not."""
    room = {"C": 4, "N": 3, "O": 2, "F": 1, "B": 3, "S": 6, "[N+]": 4, "[O-]": 1, "[NH3+]": 1, "[C@@H]": 3, "[H]": 1}
    assert {symbol: _row(symbol)[2] for symbol in room} == room
    with silence_rdkit():
        for symbol, most in room.items():
            assert Chem.MolFromSmiles(symbol + "(F)" * most) is not None
            assert Chem.MolFromSmiles(symbol + "(F)" * (most + 1)) is None


def test_aromatic_atoms():
    rooms = {"c": 3, "[13cH]": 2, "n": 3, "[nH]": 2, "[n+]": 3, "[nH+]": 2, "o": 2, "[o+]": 3, "s": 2, "[se]": 2}
    assert {symbol: _row(symbol)[2] for symbol in rooms} == rooms
    kinds = {"c": AtomKind.AROMATIC, "n": AtomKind.AROMATIC_SINGLE, "C": AtomKind.PLAIN, "S": AtomKind.HYPERVALENT}
    assert {symbol: _row(symbol)[3] for symbol in kinds} == kinds
