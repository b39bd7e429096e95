"""Tokenization is lossless for all tokens of OpenSMILES."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from molecules import DRUGS

from molvae.chem.smiles import canonical
from molvae.chem.tokenizer import END, END_ID, PAD, PAD_ID, SPECIAL, START, START_ID, Vocabulary, tokenize
from molvae.errors import InputError, MoleculeError

TOKENS = r"""
C N O S P F I B Br Cl b c n o p s * ( ) = # $ : / \ . ~ - 0 1 9 %10 %12 %99 %(7) %(123)
[13CH3] [nH] [C@@H] [C@H] [Zn+2] [O-] [N+] [se] [H] [2H] [*:1] [C@TH1] [Fe+++] [CH3:12]
"""
VOCABULARY = Vocabulary.from_tokens(token for smiles in DRUGS.values() for token in tokenize(canonical(smiles)))


@given(st.lists(st.sampled_from(TOKENS.split())))
def test_joined_tokens_are_split_again(tokens):
    text = "".join(tokens)
    assert tokenize(text) == tokens
    assert "".join(tokenize(text)) == text


@pytest.mark.parametrize(
    ("smiles", "tokens"),
    [
        ("", []),
        ("ClCBr", ["Cl", "C", "Br"]),
        ("C%12CC%(123)", ["C", "%12", "C", "C", "%(123)"]),
        ("F/C=C\\F", ["F", "/", "C", "=", "C", "\\", "F"]),
        ("[13CH3][Zn+2]", ["[13CH3]", "[Zn+2]"]),
        ("C12", ["C", "1", "2"]),
    ],
)
def test_tokenize(smiles, tokens):
    assert tokenize(smiles) == tokens


@pytest.mark.parametrize("drug", DRUGS)
def test_round_trip_of_drugs(drug):
    smiles = canonical(DRUGS[drug])
    assert "".join(tokenize(smiles)) == smiles
    ids = VOCABULARY.encode(smiles)
    assert ids.dtype == np.uint16
    assert ids.shape == (len(tokenize(smiles)) + 1,)
    assert ids[-1] == END_ID
    assert VOCABULARY.decode(ids) == smiles


@pytest.mark.parametrize(
    ("smiles", "message"),
    [
        ("CHC", "unexpected 'H' at position 2"),
        ("C[NH", r"unexpected '\[' at position 2"),
        ("C[]C", r"unexpected '\[' at position 2"),
        ("CC C", "unexpected ' ' at position 3"),
        ("C%1C", "unexpected '%' at position 2"),
        ("C٣", "unexpected '٣' at position 2"),
        ("X", "unexpected 'X' at position 1"),
    ],
)
def test_invalid_characters_are_quoted(smiles, message):
    with pytest.raises(MoleculeError, match=message):
        tokenize(smiles)


def test_unknown_token_is_quoted():
    vocabulary = Vocabulary.from_tokens(["C", "O"])
    with pytest.raises(MoleculeError, match=r"'CC\[Si\]O': the token '\[Si\]' is not in"):
        vocabulary.encode("CC[Si]O")


def test_ids_do_not_depend_on_the_order_of_the_data():
    assert Vocabulary.from_tokens(["O", "C", "O", PAD]) == Vocabulary.from_tokens(["C", "O"])
    assert Vocabulary.from_tokens(["O", "C"]).tokens == (*SPECIAL, "C", "O")


def test_special_tokens_have_the_first_ids():
    assert VOCABULARY.tokens[:3] == (PAD, START, END)
    assert (PAD_ID, START_ID, END_ID) == (0, 1, 2)


def test_decode_stops_at_the_end_and_skips_padding():
    vocabulary = Vocabulary.from_tokens(["C", "O"])
    assert vocabulary.decode([START_ID, 3, PAD_ID, 4, END_ID, 3]) == "CO"
    assert vocabulary.decode(np.array([3, 3])) == "CC"
    assert vocabulary.decode([]) == ""


def test_json_round_trip():
    assert Vocabulary.from_json(VOCABULARY.to_json()) == VOCABULARY
    assert len(VOCABULARY) == len(VOCABULARY.tokens)


@pytest.mark.parametrize("tokens", [(), ("C",), (START, PAD, END), (*SPECIAL, "C", "C")])
def test_malformed_vocabulary_is_rejected(tokens):
    with pytest.raises(InputError, match="a vocabulary"):
        Vocabulary(tokens)
