"""Published reports about other tools, tried with this one: their molecules and files, and what becomes of them.

Each report is an issue of a public repository. `docs/dev/peer_reports.md` lists them with the results.
"""

from __future__ import annotations

import json
import shutil
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from xml.etree import ElementTree

import pandas as pd
import pytest
from rdkit import Chem

import molvae
from molvae.chem.standardization import prepare
from molvae.data.readers import read_records
from molvae.errors import CheckpointError, InputError, MoleculeError
from molvae.io.writers import write_table

# ruff: noqa: E501 - the molecules of the reports are long

ANSALACTAM = r"C[C@@H]\1/C=C(\C=C(\C(=O)C2=C(C(=CC3=C2C(=O)C[C@@]4(C3=O)[C@@H]([C@H](C(=O)/C(=C1)/C)C)[C@H](C(=O)N4)CC(C)C)C)O)/C)/C"
ACCEPTED = {
    "REINVENT4#7 sulfoxide written with charges": "COc1ccc2[nH]c([S@+]([O-])Cc3ncc(C)c(OC)c3C)nc2c1",
    "REINVENT4#278 double bond stereo": r"CN(C)C/C=C/C(=O)Nc1cc2c(Nc3ccc(F)c(Cl)c3)ncnc2cc1O[C@H]1CCOC1",
    "REINVENT4#145 deuterium": "[2H]C([2H])([2H])NC(=O)c1nnc(NC(=O)C2CC2)cc1Nc1cccc(-c2ncn(C)n2)c1OC",
    "rdkit#5852 canonical SMILES changes three times": ANSALACTAM,
    "rdkit#1965 bridgehead nitrogen stereo": "c1c2c(ncc1Br)O[C@]3(C2)[C@H]4CC[N@@](C3)CC4",
    "rdkit#8721 canonical SMILES alternate": "O=C=NC1=CC2C3=C(C=C1)C2=C(N=C=O)C=C3",
    "rdkit#4710 canonical SMILES alternate": "COC(=O)CC[C@@H](C)[C@H]1CC[C@H]2[C@H]3[C@H](CC[C@@]21C)[C@@]1(C)CC[C@]2(C[C@H]1C[C@H]3OC(C)=O)OOC1(CC[C@@H](C)CC1)OO2",
    "rdkit#7759 canonical SMILES changes three times": r"[H]/N=C(C=C)\C(/N=C\[O-])=N\[H]",
    "rdkit#5124 canonical SMILES alternate": "CC(C)(C)c1ccc2c(c1)c1cc3ccc1n2-c1ccc(C#N)cc1-c1ccncc1-n1c2ccc(cc2c2cc(C(C)(C)C)ccc21)-c1ccccc1-c1ccccc1-3",
    "rdkit#8775 trienes": r"C/C=C\C=C(/C=C\C)C(/C=C\C)=C/C",
    "rdkit#5965 standardization of risperidone": "Cc1nc2n(c(=O)c1CCN1CCC(c3noc4cc(F)ccc34)CC1)CCCC2",
    "rdkit#4300 barbiturate dianion": "O=c1[cH-]c(=O)[n-]c(=O)[nH]1",
    "MolVS#4 standardization does not end": "CCOC(=O)C(=O)[CH-]C#N",
    "MolVS#14 standardization does not end overnight": "CN(C)c1cc[n+](cc1)[C-](C=C(C#N)C#N)C(=O)N2c3ccccc3Sc4c2cccc4",
    "MolVS#21 standardization does not end": "[Na].C(C=C)C1(C(NC(NC1=O)=S)=O)CC1=CC=CC=C1",
    "selfies#9 reused ring numbers": "Cc1nnc(C2CC22CCN(c3ncccc3Br)CC2)o1",
    "selfies#53 nitro group with five bonds": "CC(=O)Nc1ccc(N(=O)=O)cc1",
    "molgpt#21 ring number of two digits": "CC%10CCC%11(CC%10)OCCO%11",
    "deepchem#2363 a single atom": "C",
    "chemprop#367 atom maps": "[CH3:1][C:2](=[O:3])[NH:4][c:5]1[cH:6][cH:7][cH:8][cH:9][cH:10]1",
    "rdkit#9028 explicit hydrogens": "[H]c1c([H])c([H])c([H])c([H])c1[H]",
    "rdkit#9262 cubane stereo": "NC(=O)[C@@]12[C@@H]3[C@@H]4[C@@H]1[C@H]1[C@@H]2[C@H]3[C@@]14F",
    "rdkit#5357 stereo of the CIP validation suite": "Cl[C@H]1C[C@]2(C1)C[C@H](C2)Cl",
    "rdkit#6418 sulfinamide": "CC(C)(C)[S@](N)=O",
    "rdkit#7400 bridged ring drawn over itself": "Cc1cc(C(=O)O)cc2sc(N3C4CCC3CC(OCc3c(-c5ccccc5OC(F)(F)F)noc3C3CC3)C4)nc12",
    "rdkit#7429 cage of alternating SMILES": "COC(=O)[C@@]12[C@@H]3N([C@H]4[C@@]5([C@@H](N([C@H]1[C@]3(C5c1ccc(OC)cc1)C(=O)OC)C(=O)OCc1ccccc1)[C@]4([C@H]2c1ccc(OC)cc1)C(=O)OC)C(=O)OC)C(=O)OCc1ccccc1",
    "rdkit#5169 oxonium": r"[H]/[O+]=c\1/c(c(c1=O)[NH+]2CCCCC2)NCC3CCC(CC3)C(=O)NCCc4ccc(cc4)Cl",
    "PS-VAE#1 a bare silicon atom": "[Si]",
    "selfies#44 hypervalent iodine": "CI(C)I(C)I(C)C",
}
INVALID = {
    "chemprop#1162 a": "N=N[Br]c2ccccc2)c(C)nc2ccccn12",
    "chemprop#1162 b": "C(=O)(c1ccccc1)N1CCC(CC1)C(=O)NC(C)C(=O)[Cl]c1ccc(c(N)c1)OC",
    "chemprop#1162 c": "CCN1(=C(C=CC=C1)C=Cc1ccc(N(C)C)cc1)I",
    "chemprop#1122 N-oxide with a wrong charge": "CC1=CC=C[NH+2]([O-])C1",
    "rdkit#4534 pyrrole without hydrogen": "c1cccn1",
    "rdkit#619 imidazole without hydrogen": "n1cc(nc1)C",
    "auto_martini#11 pyridazinone": "NC(CC1=CC(NN=C1C=1OC=CC1)=O)CC)",
    "SMILES-enumeration#7": "COc1cnc(nC1N(C)C)c2ccccc2",
    "Global-Chem#335 a": r"C/C=N/\\/NC(OC(C)(C)C)=O",
    "Global-Chem#335 b": "C1=CC=C2C(=C1)C(=O)NS2(=O)=O.[Na+",
    "Global-Chem#335 c": "CSi(C(C)(C)C)C",
    "selfies#30 group label": "[(CH2)n]C",
}
UNKNOWN_TOKENS = {
    "selfies#120 aromatic carbon with a missing hydrogen": "Cc1ccc(NC(=O)c2ccc(-c3[c]n(Br)ccs[nH]3)c(C(F)(F)F)c2)cc1Nc1nccc(-c2cccnc2)n1",
    "crem#16 aromatic bonds outside of a ring": "C[C@H](C(:[O]):[O-])[C@H](c1ccc2c(c1)O[C@@H](C1CCN([C@@H](C)c3cc(F)ccc3OC(F)(F)F)CC1)CC2)C1CC1",
    "rdkit#1740 cannot be kekulized after a round trip": r"CN\N=C1/C(=N)C2=C3C4=C1C1=CC=CC5=C1C1=C6C7=C8C(=CC=C57)C=C(C)C=C8C5=CC(C)=C7C8=C(C)C=C9C%10=CC(C)=CC%11=C%10C%10=C(C=C%11)C%11=CC=CC2=C%11C2=C3C(=C8C9=C%102)C(C7=C65)=C41",
    "DeepDL#2 xenon and rhenium": "CC(C)N(C)C(C)C[Xe][Re]",
}


@pytest.fixture(scope="module")
def generator():
    return molvae.load("druglike", device="cpu")


@pytest.fixture(scope="module")
def encoded(generator):
    """All molecules of the reports in one table, with a valid molecule after each: no row affects another."""
    rows = [*ACCEPTED.values(), *UNKNOWN_TOKENS.values(), *INVALID.values()]
    mixed = [smiles for row in rows for smiles in (row, "CCO")]
    table = generator.encode(mixed)
    assert table["smiles"].tolist() == mixed
    assert (table["error"][1::2] == "").all()
    return dict(zip(rows, table["error"][::2], strict=True))


@pytest.mark.parametrize("report", ACCEPTED)
def test_accepted_by_the_model(encoded, report):
    assert encoded[ACCEPTED[report]] == ""


@pytest.mark.parametrize("report", UNKNOWN_TOKENS)
def test_valid_but_unknown_to_the_model(encoded, report):
    assert "vocabulary" in encoded[UNKNOWN_TOKENS[report]] or "graph" in encoded[UNKNOWN_TOKENS[report]]
    assert prepare(UNKNOWN_TOKENS[report]).smiles


@pytest.mark.parametrize("report", INVALID)
def test_invalid_with_a_reason(encoded, report):
    error = encoded[INVALID[report]]
    assert error.startswith("cannot read SMILES")
    assert "\n" not in error
    with pytest.raises(MoleculeError):
        prepare(INVALID[report])


@pytest.mark.parametrize("report", [*ACCEPTED, *UNKNOWN_TOKENS])
def test_identity_is_a_fixed_point(report):
    smiles = {**ACCEPTED, **UNKNOWN_TOKENS}[report]
    identity = prepare(smiles).smiles
    assert prepare(identity).smiles == identity
    mol = prepare(smiles).mol
    for seed in range(5):
        shuffled = Chem.MolToRandomSmilesVect(mol, 1, randomSeed=seed)[0]
        assert prepare(shuffled).smiles == identity


def test_rows_of_a_score_table_add_up():
    """molscore, moses#49, CLM#256: one molecule without scaffold or properties ends the evaluation."""
    rows = [*ACCEPTED.values(), *UNKNOWN_TOKENS.values(), *INVALID.values(), "", "O", "[Na+]"]
    table = molvae.score(rows, workers=0).molecules
    assert len(table) == len(rows)
    assert (table["canonical"] == "").sum() == len(INVALID) + 1


# --- files -----------------------------------------------------------------------------------------------------------


def rows_of(path, text, **options):
    path.write_text(text, encoding="utf-8", newline="")
    return list(read_records(path, **options))


FILES = {
    "chemprop#507 semicolons": ("a.csv", "smiles;y\nCCO;1\nCCN;2\n"),
    "crem#11 comma in a .smi with a header": ("a.smi", "SMILES,ID\nCCO,a\nCCN,b\n"),
    "crem#26 CX block with commas in a CSV": ("a.csv", 'smiles,name\n"CCO |c:1,2|",a\nCCN,b\n'),
    "mmpdb#49 quoted CXSMILES": ("a.csv", 'smiles,name\nCCO,a\n"CCN |$;;a,b$|",b\n'),
    "SCORCH#10 spaces and no names": ("a.smi", "CCO   a\nCCN\n"),
    "moltiverse#2 blank lines at the end": ("a.smi", "CCO a \n\nCCN b\n\n\n"),
    "chemminetools#179 number, tab, SMILES": ("a.txt", "702\tCCO\n6341\tCCN\n"),
    "MetFrag#23 names with commas": ("a.csv", 'name,smiles\n"1,2-x",CCO\nb,CCN\n'),
    "FASMIFRA#20 tabs and integer names": ("a.smi", "CCO\t1\nCCN\t2\n"),
    "rdkit-mmpa#1502 no second column": ("a.txt", "CCO\nCCN\n"),
}


@pytest.mark.parametrize("report", FILES)
def test_files(tmp_path, report):
    name, text = FILES[report]
    records = rows_of(tmp_path / name, text)
    assert [prepare(record.smiles).smiles for record in records] == ["CCO", "CCN"]


def test_cx_block_that_is_not_closed(tmp_path):
    """SAMPL7#56: an exporter cut the block."""
    rows = rows_of(tmp_path / "a.csv", "id,smiles\nF620,C[C@@H]1CC[C@@H](O1)C(=O)N2CCC=C(F)C2 |&1:1,4,r\nF621,CCO\n")
    assert len(rows) == 2
    assert prepare(rows[1].smiles).smiles == "CCO"


def test_one_bad_line_does_not_end_the_file(tmp_path):
    """mmpdb#30, openbabel#2765, gpusimilarity#52: the rest is not read, or is skipped without a message."""
    good = r"C[C@]12CCC3c4c5cc(O)cc4[C@@]4(CC[C@@]1(C4)C3CC5)[C@@H]2O"
    path = tmp_path / "a.smi"
    path.write_text(f"{good} SCHEMBL9251776\nOc1ccccc1 phenol\nC1CC broken\nNc1ccccc1 aniline\n")
    table = molvae.load("druglike", device="cpu").encode([r.smiles for r in read_records(path)])
    assert (table["error"] == "").tolist() == [True, True, False, True]


def sdf_of(*mols):
    return "".join(Chem.MolToMolBlock(mol) + properties + "$$$$\n" for mol, properties in mols)


def test_sdf_titles_and_odd_properties(tmp_path):
    """datagrok#3831, Ringtail#50: titles are lost; rdkit#9068, rdkit#3431: names of properties end the record."""
    first, second = Chem.MolFromSmiles("C1CCCC1"), Chem.MolFromSmiles("CCO")
    first.SetProp("_Name", "ring")
    second.SetProp("_Name", "alcohol")
    text = sdf_of((first, ">  <>\n2\n\n>  <Mean\nMW>\n22.3\n\n"), (second, ">  <x>\n1\n\n"))
    records = rows_of(tmp_path / "a.sdf", text)
    assert [(r.smiles, r.name) for r in records] == [("C1CCCC1", "ring"), ("CCO", "alcohol")]


def test_v3000(tmp_path):
    """lotus-web#66, rdkit#88: records in the V3000 format."""
    mol = Chem.MolFromSmiles("CC(=O)Nc1ccc(O)cc1")
    records = rows_of(tmp_path / "a.sdf", Chem.MolToV3KMolBlock(mol) + ">  <id>\nx\n\n$$$$\n")
    assert [r.smiles for r in records] == ["CC(=O)Nc1ccc(O)cc1"]


def test_rdkit_molecules_are_accepted(generator):
    """FPSim2#101: molecules that are parsed already."""
    mols = [Chem.MolFromSmiles("CCO"), Chem.MolFromSmiles("c1ccccc1O")]
    assert (generator.encode(mols)["error"] == "").all()
    assert len(molvae.score(mols).molecules) == 2


# --- pictures --------------------------------------------------------------------------------------------------------


def test_names_in_pictures_are_escaped(tmp_path):
    """rdkit#1090: a legend with & gives SVG that is not XML."""
    table = pd.DataFrame({"smiles": ["CCO"], "name": ["R&D <b>1</b> ]]>"]})
    for suffix in (".svg", ".html"):
        path = write_table(table, tmp_path / f"a{suffix}")
        assert "<b>1</b>" not in path.read_text(encoding="utf-8")
    ElementTree.parse(tmp_path / "a.svg")


def test_one_invalid_molecule_in_a_grid(tmp_path):
    """datagrok#653, datagrok#1283: the cells after an invalid molecule are empty."""
    table = pd.DataFrame({"smiles": ["CCO", "C1CC", "c1ccccc1"], "error": ["", "ring", ""]})
    text = write_table(table, tmp_path / "a.html").read_text(encoding="utf-8")
    assert text.count("<svg") >= 2


def test_large_molecules_are_drawn_or_named(tmp_path):
    """rdkit#9115, rdkit#6737, rdkit#8812: peptides, oligonucleotides and large rings take minutes or crash."""
    peptide = "N" + "".join("[C@@H](Cc1ccccc1)C(=O)N" for _ in range(120)) + "CC(=O)O"
    ring = "CC(C)(C)C1=CC2=C(C=C1)OCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCOC3=C(C=C(C=C3)C(C)(C)C)C#CC#CC#CC#CC#CC#C2"
    path = write_table(pd.DataFrame({"smiles": [peptide, ring, "CCO"]}), tmp_path / "a.html")
    assert "<svg" in path.read_text(encoding="utf-8")


# --- values ----------------------------------------------------------------------------------------------------------


def test_scores_of_explicit_hydrogens():
    """rdkit#9028: the SA score of benzene with explicit hydrogens is 7.1 instead of 1.0."""
    table = molvae.score(["c1ccccc1", "[H]c1c([H])c([H])c([H])c([H])c1[H]"]).molecules
    assert table["sa"].nunique() == 1


def test_properties_of_atoms_and_ions():
    """rdkit#4650: ZeroDivisionError in the SA score; every row has its values or a reason."""
    table = molvae.score(["O", "[Na+]", "[H][H]", "[He]", "[H+]", "C"]).molecules
    assert len(table) == 6
    assert (table["sa"].notna() | (table["error"] != "")).all()


# --- generation ------------------------------------------------------------------------------------------------------


def test_same_random_state_same_molecules(generator):
    """crem#12, reinvent-scaffold-decorator#16, MOOD#1, InSilicoSeq#75: results differ between runs or with threads."""
    first, second = (
        generator.analogs(["CC(=O)Nc1ccc(O)cc1", "c1ccc2[nH]ccc2c1"], n=10, random_state=7, workers=workers)
        for workers in (0, 2)
    )
    pd.testing.assert_frame_equal(first, second)


def test_molecules_are_distinct(generator):
    """MindlessGen#64: the same molecule again and again."""
    table = generator.analogs("CC(=O)Nc1ccc(O)cc1", n=30)
    assert table["smiles"].is_unique


CORES = {
    "REINVENT4#135 bracket atoms in a warhead": ("Nc1c([F])ccc(C(=O)N2CCOCC2)c1", "Nc1c([F])ccc(*)c1"),
    "safe#67 attachment point of a fused ring": ("O=c1[nH]cnc2nc(NC3CCCC3)ccc12", "O=c1[nH]cnc2nc([*])ccc12"),
    "REINVENT4#239 attachment elsewhere": ("CCC1=CN=C(C=C1)C1=CC=CC=C1", "*C1=CN=C(*)C=C1"),
    "molecule-generation#70 hydrogens at attachment points": ("Cc1c[nH]c(CO)n1", "*c1c[nH]c(*)n1"),
}


@pytest.mark.parametrize("report", CORES)
def test_core_is_in_all_analogs(generator, report):
    """LibInvent and others: molecules without the scaffold, or with substituents elsewhere (REINVENT4#213)."""
    seed, core = CORES[report]
    table = generator.analogs(seed, n=10, core=core)
    assert len(table) > 0
    query = Chem.MolFromSmarts(Chem.MolToSmarts(Chem.MolFromSmiles(core.replace("[*]", "*"))).replace("[#0]", "[*]"))
    params = Chem.SubstructMatchParameters()
    for smiles in table["smiles"]:
        mol = Chem.AddHs(Chem.MolFromSmiles(smiles))  # a hydrogen may be at an open position
        assert mol.HasSubstructMatch(query, params)


@pytest.mark.parametrize("core", ["*C1CCC1|*CC", "Nc1ccc(*)cc1|*c1ccoc1"])
def test_fragments_separated_by_a_bar(generator, core):
    """REINVENT4#102, REINVENT4#160: LinkInvent separates fragments by |; an AssertionError is no explanation."""
    with pytest.raises(InputError, match=r"\|"):
        generator.analogs("CCO", n=2, core=core)


def test_inside_a_pool_of_processes(generator):
    """MolScribe#14: a library that starts processes is used in a worker process itself."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        smiles = pool.submit(analogs_in_a_worker, 5).result(timeout=120)
    assert smiles == generator.analogs("CC(=O)Nc1ccc(O)cc1", n=5, workers=0)["smiles"].tolist()


def analogs_in_a_worker(n):
    return molvae.analogs("CC(=O)Nc1ccc(O)cc1", n=n, device="cpu")["smiles"].tolist()


# --- models ----------------------------------------------------------------------------------------------------------


def test_vocabulary_of_another_model(tiny_model, tmp_path):
    """icml18-jtnn#56, NPVAE#2: weights and vocabulary of different models; a list of tensor shapes is the message."""
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    tokens = json.loads((folder / "vocabulary.json").read_text())
    (folder / "vocabulary.json").write_text(json.dumps([*tokens, "[Xe]"] if isinstance(tokens, list) else {}))
    with pytest.raises(CheckpointError, match="vocabulary"):
        molvae.load(folder, device="cpu")


def test_truncated_weights(tiny_model, tmp_path):
    """deep-photo-aesthetics#4: unexpected EOF."""
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    weights = folder / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="weights"):
        molvae.load(folder, device="cpu")
