"""Token classes, bond orders and valences."""

from __future__ import annotations

import pytest
from rdkit import Chem

from molvae.chem.grammar import AtomKind, Grammar, TokenClass
from molvae.chem.smiles import silence_rdkit
from molvae.chem.tokenizer import Vocabulary

TOKENS = """
# %10 ( ) - . / 1 = $ B Br C Cl F N O P S [B-] [C@@H] [C@] [H-] [H] [N+] [NH3+] [O-] [S@] [Se] [c-] [n+] [nH+] [nH]
[o+] [se] [13cH] \\ c n o p s
"""
VOCABULARY = Vocabulary.from_tokens(TOKENS.split())


def _row(token):
    grammar, index = Grammar.from_vocabulary(VOCABULARY), VOCABULARY.tokens.index(token)
    return grammar.token_class[index], grammar.bond_order[index], grammar.valence[index], grammar.atom_kind[index]


@pytest.mark.parametrize(
    ("tokens", "kind"),
    [
        ("C Br [C@@H] c [nH] [H]", TokenClass.ATOM), ("# - / = \\", TokenClass.BOND), ("%10 1", TokenClass.RING),
        ("(", TokenClass.OPEN),
        (")", TokenClass.CLOSE), (".", TokenClass.DOT), ("<end>", TokenClass.END),
        ("<pad> <start> $", TokenClass.NEVER),
    ],
)  # fmt: skip
def test_token_class(tokens, kind):
    for token in tokens.split(" "):
        assert _row(token)[0] == kind, token


def test_bond_order():
    assert [_row(token)[1] for token in ("-", "/", "\\", "=", "#", "C", "(")] == [1, 1, 1, 2, 3, 0, 0]


def test_valence_equals_rdkit():
    """RDKit accepts an atom with this number of neighbors, but not with one more."""
    valence = {"C": 4, "N": 3, "O": 2, "F": 1, "B": 3, "S": 6, "[N+]": 4, "[O-]": 1, "[NH3+]": 1, "[C@@H]": 3, "[H]": 1}
    assert {token: _row(token)[2] for token in valence} == valence
    with silence_rdkit():
        for token, n in valence.items():
            assert Chem.MolFromSmiles(token + "(F)" * n) is not None
            assert Chem.MolFromSmiles(token + "(F)" * (n + 1)) is None


def test_aromatic_atoms():
    valences = {"c": 3, "[13cH]": 2, "n": 3, "[nH]": 2, "[n+]": 3, "[nH+]": 2, "o": 2, "[o+]": 3, "s": 2, "[se]": 2}
    assert {token: _row(token)[2] for token in valences} == valences
    kinds = {"c": AtomKind.AROMATIC, "n": AtomKind.AROMATIC_SINGLE, "C": AtomKind.PLAIN, "S": AtomKind.HYPERVALENT}
    assert {token: _row(token)[3] for token in kinds} == kinds
