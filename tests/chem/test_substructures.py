"""Pattern sets find the same matches as a search for every pattern."""

from __future__ import annotations

import csv
from functools import cache
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from molecules import DRUGS
from rdkit import Chem, RDConfig
from rdkit.Chem import QED

from molvae.chem.smiles import parse
from molvae.chem.substructures import PatternSet
from molvae.errors import InputError

UNUSUAL = [
    "C", "*", "C*", "[H][H]", "[Na+]", "[CH3]", "[13CH4]", "[2H]C([2H])([2H])O", "CC(=O)[O-].[Na+]", "BrC(Br)(Br)Br",
    "O=C1C=CC(=O)c2ccccc12", "O=C1C=CC(=O)C=C1", "CC=O", "C1CO1", "CN=C=O", "CSSC", "CN=[N+]=[N-]", "C#CC#C", "OO",
    "CCCCCCCCCCCCCC", "[Cu+2]", "c1ccc2c(c1)ccc1ccccc12", "CC(=O)Nc1nnc(s1)S(N)(=O)=O", "CNCc1ccc(N(C)C)cc1", "[H]C",
]  # fmt: skip
SMILES = [*DRUGS.values(), *UNUSUAL]
WEHI = Path(RDConfig.RDDataDir) / "Pains" / "wehi_pains.csv"


@cache
def smarts(source):
    if source == "QED":
        return {f"alert {number}": text for number, text in enumerate(QED.StructuralAlertSmarts)}
    with WEHI.open(encoding="utf-8", newline="") as file:
        return {name: text for text, name in csv.reader(file)}


@cache
def query(text):
    return Chem.MolFromSmarts(text)


def by_loop(patterns, mol, hydrogens=False):
    mol = Chem.AddHs(mol) if hydrogens else mol
    return [name for name, text in patterns.items() if mol.HasSubstructMatch(query(text))]


@pytest.mark.parametrize(
    ("source", "size", "min_matches", "hydrogens"),
    [("QED", 94, 50, False), ("PAINS", 480, 3, False), ("PAINS", 480, 3, True)],
)
def test_matches_equal_a_loop(source, size, min_matches, hydrogens):
    """With `hydrogens`, equal to a search in the molecule with explicit hydrogens."""
    named = smarts(source)
    assert len(named) >= size
    patterns = PatternSet(named, hydrogens=hydrogens)
    assert patterns.names == list(named)
    expected = [by_loop(named, parse(text), hydrogens) for text in SMILES]
    assert sum(map(len, expected)) >= min_matches
    assert [patterns.matches(parse(text)) for text in SMILES] == expected
    assert [patterns.has_match(parse(text)) for text in SMILES] == [bool(names) for names in expected]


def test_matches_are_in_order_of_the_patterns():
    aspirin = parse(DRUGS["aspirin"])
    named = {"ring": "c1ccccc1", "amine": "[NX3]", "acid": "C(=O)[OX2H1]", "carbon": "[#6]"}
    assert PatternSet(named).matches(aspirin) == ["ring", "acid", "carbon"]
    assert PatternSet(dict(reversed(named.items()))).matches(aspirin) == ["carbon", "acid", "ring"]


def test_hydrogens_are_matched_only_on_request():
    named = {"aldehyde": "[H]C=O", "hydroxyl": "[#8]-[#1]", "oxygen": "[#8]"}
    ethanal = parse("CC=O")
    assert PatternSet(named, hydrogens=True).matches(ethanal) == ["aldehyde", "oxygen"]
    assert PatternSet(named, hydrogens=True).matches(parse("CCO")) == ["hydroxyl", "oxygen"]
    assert PatternSet(named).matches(ethanal) == ["oxygen"]


PATTERNS = [
    "*", "[!#6]", "[#6,#7]", "[R]", "[!R]", "*~*", "*!-*", "[$([#6]=O)]", "[+]", "[2H]", "[C@@H](C)N", "C/C=C/C",
    "[#7]-[c;R2]", "[C;R2]1CC1", "[N;H2]c", "[O;H1]", "[#6][F,Cl]", "C=N-N", "[n;+]", "C=&!@C", "[c;R2]:[c;R2]",
    "[D3]", "[#6].[#8]", "[#1]", "[AH0]", "a1aaaaa1", "[r5]", "[#6]~1~[#6]~[#6]~[#6]~[#6]~[#6]~1", "[!$(c)]=[O,S]",
]  # fmt: skip


@pytest.mark.parametrize("pattern", PATTERNS)
def test_matches_equal_rdkit(pattern):
    patterns = PatternSet({"pattern": pattern})
    for text in SMILES:
        assert patterns.matches(parse(text)) == by_loop({"pattern": pattern}, parse(text)), (pattern, text)


WITH_HYDROGENS = [
    "[#6][H]", "[H][#6][H]", "[#7]-[#1]", "[$([#6]-[#1])]=O", "[#6;!H0]-[#1]", "c1(-[#1])c(-[#1])cccc1",
    "[!#1]-[#8]-[#1]",
]  # fmt: skip


@pytest.mark.parametrize("pattern", WITH_HYDROGENS)
def test_hydrogens_match_as_if_explicit(pattern):
    patterns = PatternSet({"pattern": pattern}, hydrogens=True)
    expected = [by_loop({"pattern": pattern}, parse(text), hydrogens=True) for text in SMILES]
    assert 0 < sum(map(len, expected)) < len(SMILES)
    assert [patterns.matches(parse(text)) for text in SMILES] == expected
    explicit = [Chem.AddHs(parse(text)) for text in SMILES]
    assert [patterns.matches(mol) for mol in explicit] == expected  # explicit hydrogens match too


@pytest.mark.parametrize("pattern", ["[#1]", "[#1,#7]-[#6]", "[H][H]", "[#6].[#1]", "[2H]-[#6]"])
def test_hydrogens_that_cannot_be_counted_are_rejected(pattern):
    with pytest.raises(InputError, match="cannot be counted"):
        PatternSet({"pattern": pattern}, hydrogens=True)


@given(st.sampled_from(SMILES), st.sampled_from(SMILES), st.integers(0, 10**6), st.integers(1, 5), st.booleans())
@settings(max_examples=150, deadline=None)
def test_fragment_of_a_molecule_matches(text, other, atom, radius, hydrogens):
    mol = Chem.AddHs(parse(text)) if hydrogens else parse(text)
    start = atom % mol.GetNumAtoms()
    bonds = Chem.FindAtomEnvironmentOfRadiusN(mol, radius, start, useHs=True, enforceSize=False)
    ends = (mol.GetBondWithIdx(i) for i in bonds)
    atoms = {start, *(i for bond in ends for i in (bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()))}
    assume(any(mol.GetAtomWithIdx(i).GetAtomicNum() > 1 for i in atoms))
    fragment = Chem.MolFragmentToSmarts(mol, sorted(atoms))
    assume(not (hydrogens and "[2H]" in fragment))  # deuterium cannot be counted and is rejected
    patterns = PatternSet({"fragment": fragment}, hydrogens=hydrogens)
    assert patterns.has_match(parse(text))
    assert patterns.matches(parse(other)) == by_loop({"fragment": fragment}, parse(other), hydrogens)


def test_has_match_stops_at_the_first_match(monkeypatch):
    patterns = PatternSet({"carbon": "[#6]", "any": "*"})
    monkeypatch.setattr(patterns, "_queries", [patterns._queries[0], None])  # searching for None would raise
    assert patterns.has_match(parse("C"))


@pytest.mark.parametrize("bad", ["C(", "[Qq]", "c1cc", "nonsense"])
def test_invalid_smarts_is_quoted(bad, capfd):
    with pytest.raises(InputError, match="cannot read SMARTS") as caught:
        PatternSet({"good": "C", "bad": bad})
    assert repr(bad) in str(caught.value)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("hydrogens", [False, True])
def test_molecule_is_unchanged(hydrogens):
    patterns = PatternSet(smarts("QED"), hydrogens=hydrogens)
    for text in SMILES:
        mol = parse(text)
        before = mol.ToBinary(Chem.PropertyPickleOptions.AllProps)
        patterns.matches(mol)
        patterns.has_match(mol)
        assert mol.ToBinary(Chem.PropertyPickleOptions.AllProps) == before


@pytest.mark.parametrize("hydrogens", [False, True])
def test_log_is_silent_and_restored(hydrogens, capfd):
    patterns = PatternSet(smarts("QED"), hydrogens=hydrogens)
    for text in SMILES:
        patterns.matches(parse(text))
    assert capfd.readouterr().err == ""
    Chem.MolFromSmarts("C(")
    assert "SMARTS Parse Error" in capfd.readouterr().err
