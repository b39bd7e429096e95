"""The layout of text files is recognized: delimiter, header, and the columns with SMILES and names."""

from __future__ import annotations

import bz2
import lzma

import pytest

from molvae.data.readers import InvalidRow, read_records
from molvae.errors import InputError

LEVODOPA = "N[C@@H](Cc1ccc(O)c(O)c1)C(=O)O"
CARNITINE = "CC(=O)OC(CC(=O)[O-])C[N+](C)(C)C"
INCHI = "InChI=1S/C2H6O/c1-2-3/h3H,2H2,1H3"


def read(path, content, **options):
    """SMILES and names of the rows of a file, and the messages about its layout."""
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    messages: list[str] = []
    rows = list(read_records(path, notify=messages.append, **options))
    return [("", row.reason) if isinstance(row, InvalidRow) else (row.smiles, row.name) for row in rows], messages


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("chembl.txt", f"chembl_id\tcanonical_smiles\tstandard_inchi\nCHEMBL1009\t{LEVODOPA}\tInChI=1S/x\n"),
        ("chembl.tab", f"CHEMBL1009\t{LEVODOPA}\tInChI=1S/x\nCHEMBL1009\t{LEVODOPA}\tInChI=1S/x\n"),
        ("a.smi", f"CHEMBL1009 {LEVODOPA}\n"),
        ("a.smi", f"{LEVODOPA},CHEMBL1009\n"),
        ("a.smi", f"#SMILES\tname\n{LEVODOPA}\tCHEMBL1009\n"),
        ("a.ism", f"# drugs\nsmiles id\n{LEVODOPA} CHEMBL1009\n"),
        ("a.csv", f"CHEMBL1009;{LEVODOPA}\n"),
        ("a.csv", f"ChEMBL ID|SMILES String\nCHEMBL1009|{LEVODOPA}\n"),
        ("a.csv", f"sep=;\nCatalog_ID;Canonical SMILES\nCHEMBL1009;{LEVODOPA}\n"),
        ("a.csv", f"Molecule ID,mw,Smiles (neutral)\nCHEMBL1009,197,{LEVODOPA}\n"),
        ("a.txt", f"id SMILES\nCHEMBL1009 {LEVODOPA}\n"),
    ],
)
def test_layouts(tmp_path, name, content):
    rows, _ = read(tmp_path / name, content)
    assert rows[0] == (LEVODOPA, "CHEMBL1009")


def test_numbers_are_names_without_a_header(tmp_path):
    rows, messages = read(tmp_path / "a.txt", f"1\t{CARNITINE}\n2\tCCO\n")
    assert rows == [(CARNITINE, "1"), ("CCO", "2")]
    assert "tab-separated text without a header; SMILES in column 2; names in column 1" in messages[0]


def test_ids_that_are_molecules_are_not_the_smiles(tmp_path):
    assert read(tmp_path / "a.csv", "CN,CC(=O)Oc1ccccc1C(=O)O\n")[0] == [("CC(=O)Oc1ccccc1C(=O)O", "CN")]
    assert read(tmp_path / "b.csv", f"C,{LEVODOPA}\nX2,CCO\n")[0] == [(LEVODOPA, "C"), ("CCO", "X2")]
    assert read(tmp_path / "a.smi", "CN\tCCO\n")[0] == [("CN", "CCO")]  # a .smi begins with the SMILES
    with pytest.raises(InputError, match=r"'reactant'\) and 2 \('product'\) hold SMILES"):
        read(tmp_path / "c.csv", "reactant,product\nCCCO,CCC=O\n")


@pytest.mark.parametrize("name", ["a.smi", "a.csv"])
def test_first_row_that_is_invalid_is_not_a_header(tmp_path, name):
    mark = "," if name == "a.csv" else "\t"
    assert read(tmp_path / name, f"C1CC{mark}a\nCCO{mark}b\n")[0] == [("C1CC", "a"), ("CCO", "b")]


def test_columns_by_name_and_number(tmp_path):
    text = "a\tfirst smiles\tsecond\nx\tCCO\tCCN\n"
    assert read(tmp_path / "a.txt", text, column="second", name_column="a")[0] == [("CCN", "x")]
    assert read(tmp_path / "b.csv", "x,CCO,CCN\n", column="3")[0] == [("CCN", "x")]
    rows, messages = read(tmp_path / "c.smi", "CCO\tx\n", column="second")
    assert (rows, messages[0]) == ([("CCO", "x")], f"{tmp_path}/c.smi has no column 'second': the first field of each "
                                                   "line is the SMILES")  # fmt: skip


def test_only_spaces_and_tabs_separate_fields(tmp_path):
    assert read(tmp_path / "a.smi", "C\xa0CO x\n\u2003CCO y\n")[0] == [("C\xa0CO", "x"), ("\u2003CCO", "y")]
    assert read(tmp_path / "a.csv", "smiles,name\n\xa0CCO , z \n")[0] == [("\xa0CCO", "z")]


def test_row_of_a_smi_file_with_a_comma_has_a_hint(tmp_path):
    rows, _ = read(tmp_path / "a.smi", "CCO\tethanol\nCCN,amine\n")
    assert rows[0] == ("CCO", "ethanol")
    assert "name the file .csv" in rows[1][1]


@pytest.mark.parametrize("name", ["a.smi", "a.tsv"])
def test_cx_extensions(tmp_path, name):
    header = "smiles\n" if name == "a.tsv" else ""
    path = tmp_path / name
    path.write_text(f"{header}C[C@H](N)O |&1:1|\nCCO |r|\nCCO |(1,2,;3,4,;5,6,)|\n")
    assert [(row.smiles, row.note) for row in read_records(path)] == [
        ("C[C@H](N)O |&1:1|", ""), ("CCO", "CX extension |r| dropped"), ("CCO", ""),
    ]  # fmt: skip


def test_inchi(tmp_path):
    assert read(tmp_path / "a.smi", f"{INCHI}\tethanol\n")[0] == [("CCO", "ethanol")]
    assert read(tmp_path / "a.csv", f'id,Standard InChI\nx,"{INCHI}"\n')[0] == [("CCO", "x")]
    rows, _ = read(tmp_path / "b.smi", "CCO\nInChI=1S/C2H6O/nonsense\n")
    assert rows[1][1].startswith("cannot read the InChI")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"])
@pytest.mark.parametrize("line_break", ["\n", "\r\n", "\r"])
def test_encodings_and_line_breaks(tmp_path, encoding, line_break):
    text = line_break.join(["smiles,name", "CCO,caf\xe9", "CCN,b", ""])
    assert read(tmp_path / "a.csv", text.encode(encoding))[0] == [("CCO", "caf\xe9"), ("CCN", "b")]


def test_compressed_files(tmp_path):
    zstandard = pytest.importorskip("zstandard")
    for suffix, compress in ((".bz2", bz2.compress), (".xz", lzma.compress), (".zst", zstandard.compress)):
        data = b"CCO ethanol\n" * 3000
        path = tmp_path / f"a.smi{suffix}"
        assert read(path, compress(data))[0] == [("CCO", "ethanol")] * 3000
        assert "truncated" in read(path, compress(data)[:-6])[0][-1][1]


def test_mol_file(tmp_path):
    block = "ethanol\n     RDKit          2D\n\n  2  1  0  0  0  0  0  0  0  0999 V2000\n"
    atoms = "".join(
        f"    {x}.0000    0.0000    0.0000 {e}   0  0  0  0  0  0  0  0  0  0  0  0\n" for x, e in ((0, "C"), (1, "O"))
    )
    assert read(tmp_path / "a.mol", f"{block}{atoms}  1  2  1  0\nM  END\n")[0] == [("CO", "ethanol")]
