"""The mask forbids no molecule there is, and lets no string pass that RDKit cannot spell out."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
import torch
from molecules import DRUGS
from rdkit import Chem

from molvae.chem.grammar import Grammar
from molvae.chem.smiles import canonical, silence_rdkit
from molvae.chem.tokenizer import END_ID, PAD_ID, START_ID, Vocabulary, tokenize
from molvae.generation.grammar_mask import MAX_DEPTH, GrammarMask, GrammarTables, GrammarTensors

DRUGLIKE = Path(__file__).parents[3] / "shared" / "data" / "druglike_test.smi.gz"
UNUSUAL = """
[H-] C [O-]Cl N#N C1CC1 C12CCC1C2 C1CC12CC2 CC1CC11CC1 C[Si](C)(C)C CS(C)(=O)=O OS(O)(=O)=O I(=O)(=O)C C/C=C\\C
C1=CC=CC=CC=C1 CS1(C)=NC(=O)C2=C(N=1)CC2 C[n+]1ccccc1 [O-][n+]1ccccc1 c1cc[o+]cc1 c1cc[se]c1 O=C1C=CC(=O)C=C1
c1ccc2[nH]ccc2c1 O=c1cc[nH]cc1 c1ccc(-c2ccccc2)cc1 c1ccc2c(c1)-c1ccccc1-2 c1ccc2c(c1)ccc1ccccc12 OB(O)c1ccccc1
C1CC2CC1C2 C12C3C4C1C5C2C3C45 [2H]C([2H])[2H] CC(C)(C)C#CC(=O)N=[N+]=[N-] [NH3+]CC([O-])=O.[Na+].[Cl-]
CN(C)c1cccc(C(=O)Nc2cccc(CNc3ncnc4c3=CCCC=4C(N)=O)c2)c1 Cc1ccc2c(c1)=NC(=O)/C(=C1/N=C(C3CCCCC3)ON1)C=2
"""
MOLECULES = sorted({canonical(smiles) for smiles in (*DRUGS.values(), *UNUSUAL.split())})
VOCABULARY = Vocabulary.from_tokens(symbol for smiles in MOLECULES for symbol in tokenize(smiles))


@pytest.fixture(scope="module")
def tables():
    return GrammarTensors(GrammarTables(Grammar.from_vocabulary(VOCABULARY)), "cpu")


def _walked(tables, smiles, vocabulary=VOCABULARY):
    """For each string, the place of its first symbol that is forbidden, or None; all walk side by side."""
    rows = [vocabulary.encode(text).astype(np.int64) for text in smiles]
    symbols = torch.full((len(rows), max(map(len, rows))), PAD_ID)
    for place, row in enumerate(rows):
        symbols[place, : len(row)] = torch.from_numpy(row)
    mask, passed = GrammarMask(tables, len(rows)), []
    for column in symbols.T:
        passed.append(mask.allowed().gather(1, column[:, None])[:, 0])
        mask.advance(column)
    stopped = ~torch.stack(passed, 1) & (symbols != PAD_ID)
    return [int(row.int().argmax()) if row.any() else None for row in stopped]


def test_no_molecule_is_forbidden(tables):
    wrong = {text: at for text, at in zip(MOLECULES, _walked(tables, MOLECULES), strict=True) if at is not None}
    assert wrong == {}


@pytest.mark.skipif(not DRUGLIKE.is_file(), reason="the druglike set is not here")
def test_no_druglike_molecule_is_forbidden():
    with gzip.open(DRUGLIKE, "rt") as lines:
        smiles = [line.split()[0] for line, _ in zip(lines, range(2000), strict=False)]
    vocabulary = Vocabulary.from_tokens(symbol for text in smiles for symbol in tokenize(text))
    walked = _walked(GrammarTensors(GrammarTables(Grammar.from_vocabulary(vocabulary)), "cpu"), smiles, vocabulary)
    assert [text for text, at in zip(smiles, walked, strict=True) if at is not None] == []


@pytest.mark.parametrize(
    ("smiles", "place"),
    [
        ("C(C", 3), ("CC)C", 2), ("C()C", 2), ("(C)C", 0), ("C((C)C)C", 2), ("C(C)1CC1", 4),  # parentheses
        ("C1CC", 4), ("C11", 2), ("C1C1", 3), ("C12CCC12", 7), ("C1CC(=1)C", 6), ("C=1CC=1", 2), ("1CC1", 0),  # rings
        ("C==C", 2), ("C=", 2), ("=C", 0), ("C(=)C", 3), ("C=(C)C", 2), ("", 0),  # bonds
        ("FC(F)(F)(F)F", 11), ("FCF(C)C", 3), ("C=C=C=C(C)(C)C", 13), ("CN(C)(C)C", 8), ("C#O", 2), ("O=F", 2),  # room
        ("OC1CCC=1", 7), ("N#c1ccccc1", 2), ("C[nH]C", 1), ("cc1ccccc1", 1), ("CO1CC1", 2),
        ("C1CF", 3), ("C1CC(F)(F)F", 10), ("C1(C)C.C1", 6),  # a ring that could not close any more
    ],
)  # fmt: skip
def test_what_is_forbidden_and_from_where_on(tables, smiles, place):
    assert _walked(tables, [smiles]) == [place]


def _written(tables, count, steps, seed):
    """Strings drawn evenly from the allowed symbols, but for some that are commoner; "" where one has no end."""
    generator = torch.Generator().manual_seed(seed)
    common = torch.tensor([20.0 if token in "()123=cCnNO" else 1.0 for token in VOCABULARY.tokens])
    mask, columns = GrammarMask(tables, count), []
    for _ in range(steps):
        allowed = mask.allowed()
        assert allowed.any(1).all()
        assert not allowed[:, [PAD_ID, START_ID]].any()
        columns.append(torch.multinomial(allowed * common, 1, generator=generator)[:, 0])
        mask.advance(columns[-1])
    rows = torch.stack(columns, 1)
    return [VOCABULARY.decode(row) if END_ID in row else "" for row in rows.tolist()]


def test_what_ends_can_be_read(tables):
    """By RDKit without a look at chemistry; and of atoms that are not aromatic none has too many bonds."""
    strings = [text for seed in range(3) for text in _written(tables, 400, 120, seed) if text]
    assert len(strings) > 300
    assert sum("1" in text and ")" in text for text in strings) > 100
    with silence_rdkit():
        for text in strings:
            molecule = Chem.MolFromSmiles(text, sanitize=False)
            assert molecule is not None, text
            for problem in Chem.DetectChemistryProblems(molecule):
                if problem.GetType() == "AtomValenceException":
                    assert molecule.GetAtomWithIdx(problem.GetAtomIdx()).GetIsAromatic(), (text, problem.Message())


def test_a_string_can_always_end(tables):
    """Whatever was drawn before: closing rings and parentheses where that is allowed, or else a C more, leads out."""
    generator = torch.Generator().manual_seed(5)
    mask = GrammarMask(tables, 300)
    for _ in range(40):
        mask.advance(torch.multinomial(mask.allowed().float(), 1, generator=generator)[:, 0])
    carbon, close = VOCABULARY.tokens.index("C"), VOCABULARY.tokens.index(")")
    # an aromatic atom outside of any ring has to open one: the digits are the last resort
    wishes = torch.zeros(len(VOCABULARY))
    wishes[tables.digits], wishes[carbon], wishes[close], wishes[END_ID] = 1.0, 2.0, 3.0, 5.0
    ended = torch.zeros(300, dtype=torch.bool)
    for _ in range(80):
        liked = wishes.repeat(300, 1)
        liked[:, tables.digits] += 3.0 * mask.open[:, :-1]
        symbol = (liked * mask.allowed()).argmax(1)
        assert mask.allowed().gather(1, symbol[:, None]).all()
        ended |= symbol == END_ID
        mask.advance(symbol)
    assert ended.all()


def test_slots_are_apart_and_can_begin_anew(tables):
    """What one slot may write does not depend on what stands beside it, nor on what stood there before."""
    long = [text for text in MOLECULES if len(tokenize(text)) > 12]
    together = GrammarMask(tables, len(long))
    for symbols in zip(*(VOCABULARY.encode(text)[:12].tolist() for text in long), strict=True):
        together.advance(torch.tensor(symbols))
    before = together.allowed()
    for text, row in zip(long, before, strict=True):
        alone = GrammarMask(tables, 1)
        for symbol in VOCABULARY.encode(text)[:12].tolist():
            alone.advance(torch.tensor([symbol]))
        assert torch.equal(alone.allowed()[0], row)
    together.restart(torch.tensor([3, 0, 9]), torch.tensor([True, False, True]))
    after, fresh = together.allowed(), GrammarMask(tables, 1).allowed()[0]
    for place in range(len(long)):
        assert torch.equal(after[place], fresh if place in (3, 9) else before[place])


def test_a_slot_that_begins_anew_writes_whole_molecules(tables):
    """Rings, room and depth of the string before are gone."""
    mask = GrammarMask(tables, 1)
    for text in ("C12CC(C(C", *MOLECULES):
        for symbol in VOCABULARY.encode(text).tolist()[:-1]:
            assert mask.allowed()[0, symbol], text
            mask.advance(torch.tensor([symbol]))
        mask.restart(torch.tensor([0]), torch.tensor([True]))


def test_no_step_looks_at_what_is_in_the_tensors():
    """On a device that holds no data an operation that needed some would fail; so the step can be a CUDA graph."""
    mask = GrammarMask(GrammarTensors(GrammarTables(Grammar.from_vocabulary(VOCABULARY)), "meta"), 7)
    symbols, slots = torch.zeros(7, dtype=torch.long, device="meta"), torch.zeros(3, dtype=torch.long, device="meta")
    assert mask.allowed().shape == (7, len(VOCABULARY))
    mask.advance(symbols)
    mask.restart(slots, slots > 0)


def test_parentheses_deeper_than_it_can_count_are_forbidden(tables):
    text = "C(" * MAX_DEPTH
    assert _walked(tables, [text]) == [2 * (MAX_DEPTH - 1) + 1]


def test_what_is_forced_on_it_does_no_harm(tables):
    """A beginning that breaks the rules: no error, and still something to go on with."""
    mask = GrammarMask(tables, 2)
    for symbol in [*VOCABULARY.encode("C))1=)(=1((((C")[:-1].tolist(), PAD_ID, START_ID, END_ID]:
        mask.advance(torch.tensor([symbol, symbol]))
        assert mask.allowed().any(1).all()
