"""The grammar mask allows all molecules, and only SMILES that RDKit can parse."""

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
VOCABULARY = Vocabulary.from_tokens(token for smiles in MOLECULES for token in tokenize(smiles))


@pytest.fixture(scope="module")
def tables():
    return GrammarTensors(GrammarTables(Grammar.from_vocabulary(VOCABULARY)), "cpu")


def _first_forbidden(tables, smiles, vocabulary=VOCABULARY):
    """The position of the first forbidden token of each SMILES, or None."""
    rows = [vocabulary.encode(text).astype(np.int64) for text in smiles]
    tokens = torch.full((len(rows), max(map(len, rows))), PAD_ID)
    for i, row in enumerate(rows):
        tokens[i, : len(row)] = torch.from_numpy(row)
    mask, passed = GrammarMask(tables, len(rows)), []
    for column in tokens.T:
        passed.append(mask.allowed().gather(1, column[:, None])[:, 0])
        mask.advance(column)
    stopped = ~torch.stack(passed, 1) & (tokens != PAD_ID)
    return [int(row.int().argmax()) if row.any() else None for row in stopped]


def test_all_molecules_are_allowed(tables):
    forbidden = {
        text: position
        for text, position in zip(MOLECULES, _first_forbidden(tables, MOLECULES), strict=True)
        if position is not None
    }
    assert forbidden == {}


@pytest.mark.skipif(not DRUGLIKE.is_file(), reason="the druglike data set has not been downloaded")
def test_no_druglike_molecule_is_forbidden():
    with gzip.open(DRUGLIKE, "rt") as lines:
        smiles = [line.split()[0] for line, _ in zip(lines, range(2000), strict=False)]
    vocabulary = Vocabulary.from_tokens(token for text in smiles for token in tokenize(text))
    positions = _first_forbidden(
        GrammarTensors(GrammarTables(Grammar.from_vocabulary(vocabulary)), "cpu"), smiles, vocabulary
    )
    assert [text for text, position in zip(smiles, positions, strict=True) if position is not None] == []


@pytest.mark.parametrize(
    ("smiles", "position"),
    [
        ("C(C", 3), ("CC)C", 2), ("C()C", 2), ("(C)C", 0), ("C((C)C)C", 2), ("C(C)1CC1", 4),  # parentheses
        ("C1CC", 4), ("C11", 2), ("C1C1", 3), ("C12CCC12", 7), ("C1CC(=1)C", 6), ("C=1CC=1", 2), ("1CC1", 0),  # rings
        ("C==C", 2), ("C=", 2), ("=C", 0), ("C(=)C", 3), ("C=(C)C", 2), ("", 0),  # bonds
        ("FC(F)(F)(F)F", 11), ("FCF(C)C", 3), ("C=C=C=C(C)(C)C", 13), ("CN(C)(C)C", 8), ("C#O", 2), ("O=F", 2),
        ("OC1CCC=1", 7), ("N#c1ccccc1", 2), ("C[nH]C", 1), ("cc1ccccc1", 1), ("CO1CC1", 2),  # valence
        ("C1CF", 3), ("C1CC(F)(F)F", 10), ("C1(C)C.C1", 6),  # a ring that can no longer be closed
    ],
)  # fmt: skip
def test_position_of_forbidden_tokens(tables, smiles, position):
    assert _first_forbidden(tables, [smiles]) == [position]


def _random_smiles(tables, count, steps, seed):
    """SMILES of random allowed tokens, some of them more frequent; "" if incomplete."""
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


def test_complete_smiles_can_be_parsed(tables):
    """By RDKit without sanitization, and no atom that is not aromatic exceeds its valence."""
    samples = [text for seed in range(3) for text in _random_smiles(tables, 400, 120, seed) if text]
    assert len(samples) > 300
    assert sum("1" in text and ")" in text for text in samples) > 100
    with silence_rdkit():
        for text in samples:
            molecule = Chem.MolFromSmiles(text, sanitize=False)
            assert molecule is not None, text
            for problem in Chem.DetectChemistryProblems(molecule):
                if problem.GetType() == "AtomValenceException":
                    assert molecule.GetAtomWithIdx(problem.GetAtomIdx()).GetIsAromatic(), (text, problem.Message())


def test_any_prefix_can_be_completed(tables):
    """By closing rings and branches where that is allowed, or else adding a carbon."""
    generator = torch.Generator().manual_seed(5)
    mask = GrammarMask(tables, 300)
    for _ in range(40):
        mask.advance(torch.multinomial(mask.allowed().float(), 1, generator=generator)[:, 0])
    carbon, close = VOCABULARY.tokens.index("C"), VOCABULARY.tokens.index(")")
    # an aromatic atom outside of a ring has to open one: ring digits are the last resort
    priority = torch.zeros(len(VOCABULARY))
    priority[tables.digits], priority[carbon], priority[close], priority[END_ID] = 1.0, 2.0, 3.0, 5.0
    ended = torch.zeros(300, dtype=torch.bool)
    for _ in range(80):
        scores = priority.repeat(300, 1)
        scores[:, tables.digits] += 3.0 * mask.open[:, :-1]
        token = (scores * mask.allowed()).argmax(1)
        assert mask.allowed().gather(1, token[:, None]).all()
        ended |= token == END_ID
        mask.advance(token)
    assert ended.all()


def test_slots_are_independent_and_can_restart(tables):
    """Allowed tokens depend neither on other slots nor on the previous SMILES of the slot."""
    long = [text for text in MOLECULES if len(tokenize(text)) > 12]
    together = GrammarMask(tables, len(long))
    for tokens in zip(*(VOCABULARY.encode(text)[:12].tolist() for text in long), strict=True):
        together.advance(torch.tensor(tokens))
    before = together.allowed()
    for text, row in zip(long, before, strict=True):
        alone = GrammarMask(tables, 1)
        for token in VOCABULARY.encode(text)[:12].tolist():
            alone.advance(torch.tensor([token]))
        assert torch.equal(alone.allowed()[0], row)
    together.restart(torch.tensor([3, 0, 9]), torch.tensor([True, False, True]))
    after, fresh = together.allowed(), GrammarMask(tables, 1).allowed()[0]
    for i in range(len(long)):
        assert torch.equal(after[i], fresh if i in (3, 9) else before[i])


def test_restarted_slot_allows_molecules(tables):
    """Rings, valences and depth of the previous SMILES are reset."""
    mask = GrammarMask(tables, 1)
    for text in ("C12CC(C(C", *MOLECULES):
        for token in VOCABULARY.encode(text).tolist()[:-1]:
            assert mask.allowed()[0, token], text
            mask.advance(torch.tensor([token]))
        mask.restart(torch.tensor([0]), torch.tensor([True]))


def test_steps_do_not_read_tensor_values():
    """Needed for CUDA graphs; on the meta device, which holds no data, an operation that reads values fails."""
    mask = GrammarMask(GrammarTensors(GrammarTables(Grammar.from_vocabulary(VOCABULARY)), "meta"), 7)
    tokens, slots = torch.zeros(7, dtype=torch.long, device="meta"), torch.zeros(3, dtype=torch.long, device="meta")
    assert mask.allowed().shape == (7, len(VOCABULARY))
    mask.advance(tokens)
    mask.restart(slots, slots > 0)


def test_maximum_branch_depth(tables):
    text = "C(" * MAX_DEPTH
    assert _first_forbidden(tables, [text]) == [2 * (MAX_DEPTH - 1) + 1]


def test_forbidden_prefix_is_tolerated(tables):
    """Forced tokens may violate the grammar: some token is still allowed."""
    mask = GrammarMask(tables, 2)
    for token in [*VOCABULARY.encode("C))1=)(=1((((C")[:-1].tolist(), PAD_ID, START_ID, END_ID]:
        mask.advance(torch.tensor([token, token]))
        assert mask.allowed().any(1).all()
