"""Parsing and writing SMILES: reasons of invalid SMILES, round trips and standardization."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from molecules import DRUGS
from rdkit import Chem, RDLogger
from rdkit.Chem.MolStandardize import rdMolStandardize

from molvae.chem.smiles import (
    MAX_SMILES_LENGTH,
    WHITE_SPACE,
    canonical,
    canonical_or_none,
    largest_fragment,
    parse,
    parse_or_none,
    silence_rdkit,
    standardize,
    write,
)
from molvae.errors import MoleculeError


@pytest.mark.parametrize(
    ("smiles", "reason"),
    [
        ("C1CC", "ring 1 opened but not closed"),
        ("C%12CC", "ring 12 opened but not closed"),
        ("C1CC2CC1", "ring 2 opened but not closed"),
        ("C(C", "1 '(' without ')'"),
        ("CC)", "a ')' without its '('"),
        ("C[NH", "the '[' at position 2 has no ']'"),
        ("CN]", "unexpected ']' at position 3"),
        ("CHC", "unexpected 'H' at position 2"),
        ("CC(=O)O c1ccccc1", "unexpected ' ' at position 8"),
        ("CCO\tethanol", "unexpected '\\t' at position 4"),
        ("C\x00C", "unexpected U+0000 (control character) at position 2"),
        ("C\udcffC", "unexpected U+DCFF (a byte that is not UTF-8) at position 2"),
        ("C٣CC٣", "unexpected U+0663 ARABIC-INDIC DIGIT THREE at position 2"),
        ("CC(=O)\N{CYRILLIC CAPITAL LETTER O}", "unexpected U+041E CYRILLIC CAPITAL LETTER O at position 7"),
        ("C\N{NO-BREAK SPACE}CO", "unexpected U+00A0 NO-BREAK SPACE at position 2"),
        ("CO\N{NO-BREAK SPACE}", "unexpected U+00A0 NO-BREAK SPACE at position 3"),
        ("\N{ZERO WIDTH NO-BREAK SPACE}CO", "unexpected U+FEFF ZERO WIDTH NO-BREAK SPACE at position 1"),
        ("C[N\N{ZERO WIDTH SPACE}H]C", "unexpected U+200B ZERO WIDTH SPACE at position 4"),
        ("CO\x00", "unexpected U+0000 (control character) at position 3"),
        ("\x1fCO", "unexpected U+001F (control character) at position 1"),
        ("CC>>CO", "the '>' at position 3 belongs to a reaction"),
        ("CCO |r| ethanol", "unexpected ' ' at position 4"),
        ("CCO |$", "the extension '|$' is not valid"),
        ("C[13n@H99999+99]C", "not an atom"),
        ("C[Xx]C", "[Xx] is not an atom"),
        ("C(C)(C)(C)(C)C", "Explicit valence for atom # 0 C, 5, is greater than permitted"),
        ("c1cccc1", "Can't kekulize mol"),
        ("C=#C", "not valid SMILES syntax"),
        ("", "it is empty"),
        ("  ", "it is empty"),
        ("C" * (MAX_SMILES_LENGTH + 1), "5,001 characters, more than 5,000"),
    ],
)
def test_reason_of_an_invalid_smiles(smiles, reason, capfd):
    with pytest.raises(MoleculeError) as caught:
        parse(smiles)
    assert str(caught.value).startswith("cannot read SMILES ")
    assert reason in str(caught.value)
    assert len(str(caught.value)) < 200
    assert canonical_or_none(smiles) is None
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    "smiles", [" \t\r\nCCO\v\f", "CCO |r|", "CCO |$\N{LATIN SMALL LETTER E WITH ACUTE};;$|", "C->[Fe]<-N"]
)
def test_white_space_and_extensions_are_read(smiles):
    core = smiles.strip().partition(" ")[0]
    assert write(parse(smiles)) == write(Chem.MolFromSmiles(core)) == write(parse(smiles, conjugation=False))


def test_every_character_at_the_ends_is_read_or_rejected():
    """RDKit ignores control characters and characters that are not ASCII at both ends."""
    for char in map(chr, [*range(0x250), *range(0x2000, 0x2070), 0x3000, 0xFEFF, 0xDC80, 0xDCFF, 0x1F600]):
        for text in (f"{char}CN", f"CN{char}"):
            mol = parse_or_none(text)
            if mol is None:
                if char not in WHITE_SPACE:
                    with pytest.raises(MoleculeError, match="cannot read SMILES"):
                        parse(text)
            else:
                assert " " < char <= "~"
                assert mol.GetNumAtoms() + mol.GetNumBonds() > 3  # the character is an atom, a bond, or a part of one


def graph_smiles(edges, n_atoms, atom="*"):
    """A SMILES of any graph: the atoms as fragments that are connected by ring closures."""
    labels = {a: [] for a in range(n_atoms)}
    for number, (a, b) in enumerate(edges, start=1):
        for end in (a, b):
            labels[end].append(f"%({number})")
    return ".".join(atom + "".join(labels[a]) for a in range(n_atoms))


@pytest.mark.parametrize(
    ("smiles", "reason"),
    [
        (graph_smiles([(i, j) for i in range(12) for j in range(i)], 12), "55 rings of 12 atoms, more than"),
        (graph_smiles([(h, 2 + i) for i in range(150) for h in (0, 1)], 152), "an atom with 150 bonds"),
        ("C1" + "C" * 2100 + "1", "a ring of 2,101 atoms, more than 2,000"),
        (
            graph_smiles([(i, (i + 1) % 220) for i in range(220)] + [(i, i + 110) for i in range(110)], 220, "C"),
            "atoms in total, more than 20,000",
        ),
        (
            graph_smiles(sorted({tuple(sorted((i, (i + k) % 180))) for i in range(180) for k in (1, 8)}), 180, "C"),
            "181 rings of 180 atoms: more than 150",
        ),
        ("N1CCC23CCCC" + "C2C3CCCC" * 39 + "C2C3CCCCC2C1CC3", "atoms with one bond, more than 20,000"),
        (
            "CN1CC(=O)N2[C@H](c3ccc4c(c3)OCO4)c3[nH]c4ccccc4c3" + "C4c3" * 40 + "C[C@@H]2C1=O",
            "rings of 66 atoms with one bond, more than 20,000",
        ),
        (
            graph_smiles(
                [(6 * i + j, 6 * i + j + 1) for i in range(6) for j in range(5)] + [(i, i + 6) for i in range(30)],
                36,
                "*",
            )
            + " |r|",
            "25 rings, * atoms and a CX extension: more than 24",
        ),
    ],
    ids=["dense", "paths", "ring", "rings", "lattice", "ring of rings", "short ring of rings", "query atoms"],
)
def test_molecules_that_take_rdkit_too_long_are_rejected(smiles, reason):
    start = time.process_time()
    for conjugation in (True, False):
        with pytest.raises(MoleculeError, match="cannot read SMILES") as caught:
            parse(smiles, conjugation=conjugation)
        assert reason in str(caught.value)
    assert parse_or_none(smiles) is None
    assert time.process_time() - start < 6


@pytest.mark.parametrize(
    "smiles",
    [
        "c12c3c4c5c1c1c6c7c2c2c8c3c3c9c4c4c%10c5c5c1c1c6c6c%11c7c2c2c7c8c3c3c8c9c4c4c9c%10c5c5c1c1c6c6c%11c2c2c7c3c3c8"
        "c4c4c9c5c1c1c6c2c3c41",
        "C12C3C4C1C5C2C3C45",
        "[Fe]12345[CH]6[CH]1[CH]2[CH]3[CH]6.[CH]67[CH]4[CH]5[CH]6.[CH2]7",
        "C" * 5000,
        "C" + "C(=O)NC" * 600,
        ".".join(f"C%({i})%({i + 1})" for i in range(1, 300)) + ".C%(1).C%(300)",
    ],
    ids=["C60", "cubane", "metal", "alkane", "polyamide", "chain of fragments"],
)
def test_real_large_molecules_are_accepted_or_judged_by_rdkit(smiles):
    expected = Chem.MolFromSmiles(smiles)
    mol = parse_or_none(smiles)
    assert (mol is None) == (expected is None)
    assert mol is None or write(mol) == Chem.MolToSmiles(expected)


@pytest.mark.parametrize("smiles", ["C1:C:C:C:C:C:1", "c1:c:c:c:c:c1", "[cH:1]1ccccc1"])
def test_aromatic_bond_in_a_ring_is_read(smiles):
    assert all(bond.GetIsAromatic() for bond in parse(smiles).GetBonds())


@pytest.mark.parametrize(
    "smiles", [".".join(["O"] * 491), ".".join(["c1ccccc1"] * 30 + ["[Na+]"] * 30 + ["Cc1ccccc1", "CCCCCCC", "[U]"])]
)
def test_largest_of_many_fragments_is_that_of_rdkit(smiles):
    options = rdMolStandardize.CleanupParameters()
    options.preferOrganic = options.largestFragmentChooserCountHeavyAtomsOnly = True
    mol = parse(smiles)
    expected = rdMolStandardize.LargestFragmentChooser(options).choose(mol)
    assert write(largest_fragment(mol)) == write(expected)


def test_standardization_that_fails_is_a_molecule_error(capfd):
    with pytest.raises(MoleculeError, match="cannot standardize the molecule: "):
        standardize(parse("C1=CC=[NH+][Al+]N1"))
    assert capfd.readouterr().err == ""


UNUSUAL = (
    "[0HH0+8]c1[nH]cnc1CN1CCc2ccccc2C1=O",
    "[H]C([H])([H])C",
    "[CH3]",
    "C[CH2]",
    "[2H]C",
    "[H+]",
    "[H][H]",
    "CN(C)(C)=O",
    "CN(=O)=O",
    "c1ccc2c(c1)[nH]c1ccccc12",
)
INVALID = (
    "C1CC",
    "C(C",
    "c1cccc1",
    "C[Xx]C",
    "C(C)(C)(C)(C)C",
    "C\udcffC",
    "C\u0663CC\u0663",
    "C=#C",
    "",
    " ",
    "C" * 5001,
)


@pytest.mark.parametrize("smiles", [*DRUGS.values(), *UNUSUAL])
def test_smiles_without_conjugation_is_the_same(smiles):
    assert write(parse(smiles, conjugation=False)) == write(parse(smiles))


@pytest.mark.parametrize("smiles", INVALID)
def test_reason_without_conjugation_is_the_same(smiles):
    messages = []
    for conjugation in (True, False):
        with silence_rdkit(), pytest.raises(MoleculeError) as caught:
            parse(smiles, conjugation=conjugation)
        messages.append(str(caught.value))
    assert messages[0] == messages[1]


@pytest.mark.parametrize("missing", [None, float("nan"), 7])
def test_missing_values_are_rejected(missing):
    """pandas represents an empty cell by NaN, which must not raise a TypeError."""
    with pytest.raises(MoleculeError, match="it is empty"):
        parse(missing)


@given(st.text(st.sampled_from("CNOcn()[]=#123%@+-/\\.HBrl* \t"), max_size=25) | st.text(max_size=10))
@settings(max_examples=300, deadline=None)
def test_any_text_is_parsed_or_raises_molecule_error(text):
    try:
        smiles = canonical(text)
    except MoleculeError:
        assert canonical_or_none(text.strip()) is None
    else:
        assert canonical_or_none(text.strip()) == smiles


def test_log_state_is_restored(capfd):
    def logs_errors():
        capfd.readouterr()
        Chem.MolFromSmiles("C1CC")
        return "unclosed ring" in capfd.readouterr().err

    assert logs_errors()
    with pytest.raises(MoleculeError):
        parse("C1CC")
    assert logs_errors()
    with silence_rdkit():
        with silence_rdkit():
            assert not logs_errors()
        assert not logs_errors()  # the end of the inner block must not enable the log
    RDLogger.DisableLog("rdApp.error")
    try:
        parse("CC")
        assert not logs_errors()
    finally:
        RDLogger.EnableLog("rdApp.error")
    assert logs_errors()


def test_log_is_restored_after_an_error(capfd):
    with pytest.raises(ZeroDivisionError), silence_rdkit():
        _ = 1 / 0
    Chem.MolFromSmiles("C1CC")
    assert "unclosed ring" in capfd.readouterr().err


@pytest.mark.parametrize("drug", DRUGS)
def test_canonical_is_idempotent(drug):
    mol = parse(DRUGS[drug])
    smiles = write(mol)
    again = parse(smiles)
    assert canonical(smiles) == smiles
    assert canonical_or_none(DRUGS[drug]) == smiles
    centers = Chem.FindMolChiralCenters(again, useLegacyImplementation=False)
    assert len(centers) == len(re.findall(r"\[[CSP]@", DRUGS[drug]))
    assert ("/" in smiles) == ("/" in DRUGS[drug])
    assert _charges(again) == _charges(mol)


def _charges(mol):
    return sorted(atom.GetFormalCharge() for atom in mol.GetAtoms())


@pytest.mark.parametrize("drug", [drug for drug in DRUGS if drug != "esomeprazole"])
def test_standardize_keeps_clean_drugs(drug):
    assert write(standardize(parse(DRUGS[drug]))) == canonical(DRUGS[drug])


def test_standardize_unifies_sulfoxides():
    one = write(standardize(parse(DRUGS["esomeprazole"])))
    assert one == "COc1ccc2[nH]c([S@+]([O-])Cc3ncc(C)c(OC)c3C)nc2c1"
    assert write(standardize(parse(one))) == one


def test_stereoisomers_have_different_smiles():
    assert canonical(DRUGS["tamoxifen"]) != canonical(DRUGS["(E)-tamoxifen"])
    naproxen = DRUGS["(S)-naproxen"]
    assert canonical(naproxen) != canonical(naproxen.replace("@", "@@"))
    assert [label for _, label in Chem.FindMolChiralCenters(parse(naproxen))] == ["S"]
    tamoxifen = parse(DRUGS["tamoxifen"])
    assert [str(bond.GetStereo()) for bond in tamoxifen.GetBonds() if bond.GetStereo()] == ["STEREOZ"]


@pytest.mark.parametrize(
    ("salt", "kept", "neutral"),
    [
        ("CC(=O)[O-].[Na+]", "CC(=O)[O-]", "CC(=O)O"),
        (
            "C[NH2+]CCC(Oc1ccc(C(F)(F)F)cc1)c1ccccc1.[Cl-]",
            "C[NH2+]CCC(Oc1ccc(C(F)(F)F)cc1)c1ccccc1",
            "fluoxetine",
        ),
        ("CC(=O)OCC[N+](C)(C)C.[Br-]", "acetylcholine", "acetylcholine"),
        ("[NH3+]CC(=O)[O-]", "[NH3+]CC(=O)[O-]", "NCC(=O)O"),
    ],
)
def test_standardize_salts_and_charges(salt, kept, neutral):
    assert write(standardize(parse(salt))) == canonical(DRUGS.get(kept, kept))
    assert write(standardize(parse(salt), neutralize=True)) == canonical(DRUGS.get(neutral, neutral))
    assert write(standardize(parse(salt), strip_salts=False)).count(".") == salt.count(".")


def test_largest_fragment_has_the_most_heavy_atoms():
    """By default RDKit counts hydrogens and keeps butane (14 atoms) rather than fluorobenzene (12)."""
    assert write(standardize(parse("CCCC.Fc1ccccc1"))) == "Fc1ccccc1"


def test_standardize_does_not_change_its_input():
    mol = parse("CC(=O)[O-].[Na+]")
    standardize(mol, neutralize=True)
    assert write(mol) == "CC(=O)[O-].[Na+]"
