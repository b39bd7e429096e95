"""Readers: each row is a record or an invalid row, also in damaged files."""

from __future__ import annotations

import csv
import gzip
import io
import sys
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem

from molvae.chem.smiles import canonical
from molvae.data.readers import InvalidRow, Record, RowCounts, looks_like_file, read_records
from molvae.errors import InputError, MolvaeWarning

ASPIRIN = "CC(=O)Oc1ccccc1C(=O)O"
CAFFEINE = "Cn1c(=O)c2c(ncn2C)n(C)c1=O"
L_ALANINE = "C[C@H](N)C(=O)O"
DRUGS = [
    (ASPIRIN, "aspirin"),
    (CAFFEINE, "caffeine"),
    (L_ALANINE, "L-alanine"),
    ("[Na+].[Cl-]", "table salt"),
]


def write_file(path: Path, content: str | bytes) -> Path:
    data = content.encode() if isinstance(content, str) else content
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def write_rows(suffix: str, folder: Path, rows: list[tuple[str, str]]) -> Path:
    """Write SMILES and names in the format of a suffix."""
    path = folder / f"library{suffix}"
    if suffix == ".parquet":
        pq.write_table(pa.table({"smiles": [s for s, _ in rows], "name": [n for _, n in rows]}, _SCHEMA), path)
        return path
    if suffix.startswith(".smi"):
        return write_file(path, "".join(f"{smiles}\t{name}\n" for smiles, name in rows) or "# nothing\n")
    buffer = io.StringIO()
    writer = csv.writer(buffer, delimiter="\t" if suffix.startswith(".tsv") else ",")
    writer.writerows([("name", "SMILES"), *((name, smiles) for smiles, name in rows)])
    return write_file(path, buffer.getvalue())


_SCHEMA = pa.schema([("smiles", pa.string()), ("name", pa.string())])
SUFFIXES = [".smi", ".smi.gz", ".csv", ".csv.gz", ".tsv", ".parquet"]


def smiles_and_names(path: Path) -> list[tuple[str, str]]:
    rows = list(read_records(path))
    assert all(isinstance(row, Record) for row in rows), rows
    return [(row.smiles, row.name) for row in rows if isinstance(row, Record)]


def row_validity(rows: list[Record | InvalidRow]) -> list[tuple[int, bool]]:
    """Return the number of each row, and whether it is a record."""
    return [(row.row, isinstance(row, Record)) for row in rows]


@pytest.mark.parametrize("size", [0, 1, 4])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_formats_give_the_same_rows(tmp_path: Path, suffix: str, size: int) -> None:
    assert smiles_and_names(write_rows(suffix, tmp_path, DRUGS[:size])) == DRUGS[:size]


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from([s for s, _ in DRUGS]), st.from_regex(r"[A-Za-z0-9,;\"' -]{0,12}", fullmatch=True))
    )
)
def test_formats_agree_on_names(rows: list[tuple[str, str]]) -> None:
    expected = [(smiles, name.strip()) for smiles, name in rows]
    with tempfile.TemporaryDirectory() as folder:
        for suffix in SUFFIXES:
            assert smiles_and_names(write_rows(suffix, Path(folder), rows)) == expected


@settings(max_examples=60, deadline=None)
@given(st.binary(min_size=1, max_size=300))
def test_random_bytes_give_rows_or_an_input_error(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for suffix in (".smi", ".csv", ".sdf"):
            path = Path(folder) / f"random{suffix}"
            path.write_bytes(data)
            numbers, message = [], path.name
            try:
                numbers = [row.row for row in read_records(path)]
            except InputError as error:
                message = str(error)
            assert path.name in message
            assert numbers == sorted(set(numbers))


@given(st.integers(0, 9), st.integers(0, 9), st.integers(0, 9))
def test_counts_add_up(accepted: int, duplicate: int, invalid: int) -> None:
    assert RowCounts(accepted, duplicate, invalid).read == accepted + duplicate + invalid


def test_counts_summary() -> None:
    assert RowCounts(980, 15, 5).summary() == "1,000 read: 980 accepted, 15 duplicate, 5 invalid"


def test_smi_skips_header_comments_and_blank_lines(tmp_path: Path) -> None:
    path = write_file(
        tmp_path / "a.smi",
        f"\ufeffSMILES name\r\n# drugs\r\n\r\n{ASPIRIN} acetylsalicylic acid\r\n{CAFFEINE}",
    )
    assert list(read_records(path)) == [
        Record(ASPIRIN, "acetylsalicylic acid", str(path), 4),
        Record(CAFFEINE, "", str(path), 5),
    ]


def test_location(tmp_path: Path) -> None:
    path = write_rows(".smi", tmp_path, DRUGS)
    assert [row.location for row in read_records(path) if isinstance(row, Record)][1] == f"{path}, line 2"
    assert str(InvalidRow("library.smi", 48, "C1CC", "ring 1 opened")) == "library.smi, line 48: ring 1 opened"
    assert InvalidRow("a.sdf.gz", 2, "", "x").__str__() == "a.sdf.gz, record 2: x"
    assert InvalidRow("a", 1, "C" * 500, "x").value == "C" * 80 + "..."


def test_undecodable_row_is_invalid(tmp_path: Path) -> None:
    path = write_file(tmp_path / "a.smi", b"CCO ethanol\nCC\xe9C propane\nCCN\n")
    assert row_validity(list(read_records(path))) == [(1, True), (2, False), (3, True)]
    path = write_file(tmp_path / "b.csv", b'smiles,name\nCCO,ethanol\n"C\nC\xe9",a\nCCN,ethylamine\n')
    assert row_validity(list(read_records(path))) == [(2, True), (3, False), (5, True)]
    path = write_file(tmp_path / "a.csv", b"smiles\nCCO\n\xff\xfe\nCCN\n")
    assert row_validity(list(read_records(path))) == [(2, True), (3, False), (4, True)]


def test_undecodable_bytes_outside_the_smiles(tmp_path: Path) -> None:
    """Latin-1 text in a name, in another column, or in a property of an .sdf does not affect the SMILES."""
    rows = list(read_records(write_file(tmp_path / "a.smi", b"CCO ethanol\nCCC caf\xe9\n")))
    assert [(row.smiles, row.name) for row in rows if isinstance(row, Record)] == [
        ("CCO", "ethanol"),
        ("CCC", "café"),
    ]
    table = b'note,smiles,name\n1.5 \xb5M,CCO,a\n"two\n\xb5 lines",CCN,b\n'
    rows = list(read_records(write_file(tmp_path / "a.csv", table)))
    assert [(row.smiles, row.name) for row in rows if isinstance(row, Record)] == [("CCO", "a"), ("CCN", "b")]
    block = Chem.MolToMolBlock(Chem.MolFromSmiles("CCO")).encode()
    title, end = block.index(b"\n"), b">  <IC50>\n1.5 \xb5M\n\n$$$$\n"
    whole = b"caf\xe9" + block[title:] + end + block.replace(b" C ", b" \xe9 ", 1) + end + block + b"$$$$\n"
    rows = list(read_records(write_file(tmp_path / "a.sdf", whole)))
    assert row_validity(rows) == [(1, True), (2, False), (3, True)]
    assert rows[0] == Record("CCO", "café", str(tmp_path / "a.sdf"), 1)
    assert isinstance(rows[1], InvalidRow)
    assert "is not UTF-8" in rows[1].reason


def test_order_of_preference_of_smiles_columns(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("mol,ID,name,SMILES\nm1,7,ethanol,CCO\n")
    assert list(read_records(tmp_path / "a.csv")) == [Record("CCO", "ethanol", str(tmp_path / "a.csv"), 2)]


@pytest.mark.parametrize("suffix", [".smi", ".smi.gz", ".csv", ".csv.gz", ".tsv"])
def test_overlong_row_is_invalid(tmp_path: Path, suffix: str) -> None:
    limit = csv.field_size_limit()
    header = "" if "smi" in suffix else "smiles\n"
    rows = list(read_records(write_file(tmp_path / f"a{suffix}", f"{header}CCO\n{'C' * 2_000_000}\nCCN\n")))
    assert [isinstance(row, Record) for row in rows] == [True, False, True]
    assert isinstance(rows[1], InvalidRow)
    assert "characters, more than" in rows[1].reason
    assert "2,000,00" in rows[1].reason
    assert csv.field_size_limit() == limit, "the global limit of the csv module must not change"


def test_overlong_smiles_in_parquet_is_invalid(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"smiles": ["CCO", "C" * 6000, None, ""]}), path)
    assert row_validity(list(read_records(path))) == [(1, True), (2, False), (3, False), (4, False)]


@pytest.mark.parametrize("suffix", [".smi.gz", ".csv.gz"])
def test_truncated_gz(tmp_path: Path, suffix: str) -> None:
    rows = [(f"{'C' * (i % 50 + 1)}O", f"alcohol {i * 7919 % 10007}") for i in range(5000)]
    path = write_rows(suffix, tmp_path, rows)
    path.write_bytes(path.read_bytes()[:-5000])
    *records, last = read_records(path)
    assert len(records) > 100
    assert [(r.smiles, r.name) for r in records if isinstance(r, Record)] == rows[: len(records)]
    assert isinstance(last, InvalidRow)
    assert "truncated" in last.reason


def test_missing_smiles(tmp_path: Path) -> None:
    path = write_file(tmp_path / "a.smi", "CCO\tethanol\n\tno structure\nCCN\tethylamine\n")
    rows = list(read_records(path))
    assert row_validity(rows) == [(1, True), (2, False), (3, True)]
    assert str(rows[1]) == f"{path}, line 2: the SMILES field is empty"
    assert row_validity(list(read_records(write_file(tmp_path / "a.csv", "id,smiles\n1,CCO\n2,\n3\n4,CCN\n")))) == [
        (2, True), (3, False), (4, False), (5, True),
    ]  # fmt: skip


def test_csv_with_line_breaks_in_quotes(tmp_path: Path) -> None:
    path = write_file(tmp_path / "zinc.csv", f'smiles,logP\n"{ASPIRIN}\n",1.3\n"{CAFFEINE}\n",-1.0\n')
    rows = list(read_records(path))
    assert [(r.smiles, r.row) for r in rows if isinstance(r, Record)] == [(ASPIRIN, 2), (CAFFEINE, 4)]


def test_unclosed_quote(tmp_path: Path) -> None:
    path = write_file(tmp_path / "a.csv", 'smiles,name\nCCO,ethanol\nCCC,"propane\n' + "CCN,amine\n" * 300)
    rows = list(read_records(path))
    assert len(rows) == 302
    assert [row.row for row in rows if isinstance(row, InvalidRow)] == [3]


def test_csv_with_semicolons(tmp_path: Path) -> None:
    path = write_file(tmp_path / "a.csv", f'"ChEMBL ID";"Name";"Smiles"\n"CHEMBL25";"ASPIRIN";"{ASPIRIN}"\n')
    assert smiles_and_names(path) == [(ASPIRIN, "ASPIRIN")]


def test_columns_by_name(tmp_path: Path) -> None:
    path = write_file(tmp_path / "a.csv", f"drug,notation\naspirin,{ASPIRIN}\n")
    assert list(read_records(path, column="notation", name_column="drug")) == [Record(ASPIRIN, "aspirin", str(path), 2)]
    with pytest.warns(MolvaeWarning, match="SMILES in column 'notation'; names in column 'drug'"):
        assert list(read_records(path)) == [Record(ASPIRIN, "aspirin", str(path), 2)]
    with pytest.raises(InputError, match=r"did you mean 'notation'"):
        list(read_records(path, column="notatoin"))


def test_sdf_with_invalid_records(tmp_path: Path) -> None:
    blocks = []
    for smiles, name in DRUGS[:3]:
        mol = Chem.MolFromSmiles(smiles)
        mol.SetProp("_Name", name)
        blocks.append(Chem.MolToMolBlock(mol) + "> <code>\nX" + name + "\n\n$$$$\n")
    five_bonds = Chem.MolToMolBlock(Chem.MolFromSmiles("CC(C)(C)(C)C", sanitize=False), kekulize=False) + "$$$$\n"
    path = write_file(tmp_path / "a.sdf.gz", blocks[0] + five_bonds + "nonsense\n$$$$\n" + blocks[1] + blocks[2])
    rows = list(read_records(path))
    assert row_validity(rows) == [(1, True), (2, False), (3, False), (4, True), (5, True)]
    assert [(r.smiles, r.name) for r in rows if isinstance(r, Record)] == [(canonical(s), n) for s, n in DRUGS[:3]]
    assert "valence" in str(rows[1])
    first = next(read_records(path, name_column="code"))
    assert isinstance(first, Record)
    assert first.name == "Xaspirin"


@pytest.mark.parametrize("label", ["0012", "1e3", "007"])
def test_sdf_property_stays_text(tmp_path: Path, label: str) -> None:
    path = write_file(tmp_path / "a.sdf", Chem.MolToMolBlock(Chem.MolFromSmiles("CCO")) + f"> <lot>\n{label}\n\n$$$$\n")
    (row,) = read_records(path, name_column="lot")
    assert isinstance(row, Record)
    assert row.name == label


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("missing.smi", None, "does not exist"),
        ("a.docx", b"x", "no known format"),
        ("a.xls", b"x", "save it as .xlsx or .csv"),
        ("a.xlsx", b"x", "cannot be read as an .xlsx workbook"),
        ("a.parquet.gz", b"x", "no known format"),
        ("a.smi", b"", "is empty"),
        ("a.csv", b"\xef\xbb\xbf\n", "column names"),
        ("a.smi.gz", b"CCO\n", "not gzip"),
        ("b.smi.gz", gzip.compress(b"", mtime=0), "is empty"),
        ("a.parquet", b"not parquet", "parquet"),
        ("a.smi.bz2", b"CCO\n", "not bzip2"),
        ("a.smi.zst", b"CCO\n", "not Zstandard"),
    ],
)
def test_invalid_files(tmp_path: Path, name: str, content: bytes | None, message: str) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        list(read_records(path))
    assert name in str(caught.value)


def test_directory(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is a directory"):
        read_records(tmp_path)


def test_streams_and_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(read_records(io.StringIO("CCO a b\n"))) == [Record("CCO", "a b", "stream", 1)]
    raw = io.TextIOWrapper(io.BytesIO(b"CCO\n\xff\nCCN"), encoding="utf-8")
    monkeypatch.setattr(sys, "stdin", raw)
    rows = list(read_records("-"))
    assert row_validity(rows) == [(1, True), (2, False), (3, True)]
    assert str(rows[1]).startswith("standard input, line 2: ")


def test_looks_like_file(tmp_path: Path) -> None:
    for argument in ("-", "a.smi", "b.csv.gz", "C:/d.SDF", str(tmp_path)):
        assert looks_like_file(argument)
    for argument in ("CCO", "[Na+].[Cl-]", "F/C=C/F", ASPIRIN, "C" * 10_000):
        assert not looks_like_file(argument)


def test_chemaxon_extension_is_not_a_name(tmp_path):
    (tmp_path / "a.smi").write_text("C[C@H](N)O |&1:1|\tmy alanine\nCCO |r| \nCC |odd name\nCN a |b|\n")
    rows = [(row.smiles, row.name) for row in read_records(tmp_path / "a.smi")]
    assert rows == [("C[C@H](N)O |&1:1|", "my alanine"), ("CCO", ""), ("CC", "|odd name"), ("CN", "a |b|")]


def test_csv_without_header(tmp_path):
    (tmp_path / "a.csv").write_text("CCN(CC)c1ccccc1,m0\nCCO,m1\n")
    with pytest.warns(MolvaeWarning, match="comma-separated text without a header; SMILES in column 1"):
        rows = list(read_records(tmp_path / "a.csv"))
    assert [(row.smiles, row.name) for row in rows] == [("CCN(CC)c1ccccc1", "m0"), ("CCO", "m1")]
    (tmp_path / "b.csv").write_text("mol_id,logP\nm1,1.5\n")
    with pytest.raises(InputError, match=r"no column called smiles .*: it has mol_id, logP"):
        list(read_records(tmp_path / "b.csv"))
