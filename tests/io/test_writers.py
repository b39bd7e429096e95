"""Table writers: files are read back unchanged, and a failure keeps the older file."""

from __future__ import annotations

import re
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from molvae.data.readers import Record, read_records
from molvae.errors import InputError
from molvae.io.writers import check_format, table_writer, write_table

ANALOGS = pd.DataFrame(
    {
        "seed": ["CCO", "CCO", "c1ccccc1"],
        "smiles": ["CCN", "C[C@H](N)O", "Cc1ccccc1"],
        "similarity": [0.5, 0.25, 1 / 3],
        "log_likelihood": [-1.5, -2.25, -130.123],
        "not_in_training": [True, False, True],
    }
)
RECONSTRUCTIONS = pd.DataFrame(
    {"smiles": ["OCC", "C1C"], "reconstruction": ["CCO", ""], "exact": [True, False], "error": ["", "ring <1> open"]}
)
TEXT = (".csv", ".tsv", ".smi", ".sdf", ".csv.gz", ".smi.gz", ".sdf.gz", ".xlsx", ".parquet")


def read_molecules(path):
    return [row for row in read_records(path) if isinstance(row, Record)]


@pytest.mark.parametrize("suffix", TEXT)
def test_molecules_are_read_back(tmp_path, suffix):
    path = write_table(ANALOGS, tmp_path / f"out{suffix}")
    assert [row.smiles for row in read_molecules(path)] == ANALOGS["smiles"].tolist()
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("suffix", [".smi", ".sdf"])
def test_analogs_are_named_by_their_seed(tmp_path, suffix):
    assert [row.name for row in read_molecules(write_table(ANALOGS, tmp_path / f"out{suffix}"))] == ANALOGS[
        "seed"
    ].tolist()


@pytest.mark.parametrize("suffix", [".smi", ".sdf"])
def test_reconstructions_are_named_by_their_input(tmp_path, suffix):
    (row,) = read_molecules(write_table(RECONSTRUCTIONS, tmp_path / f"out{suffix}"))
    assert (row.smiles, row.name) == ("CCO", "OCC")


@pytest.mark.parametrize(
    ("suffix", "read"),
    [
        (".csv", pd.read_csv),
        (".csv.gz", pd.read_csv),
        (".tsv", partial(pd.read_csv, sep="\t")),
        (".xlsx", pd.read_excel),
        (".parquet", pd.read_parquet),
    ],
)
def test_tables_keep_all_columns_and_digits(tmp_path, suffix, read):
    for name, frame in (("analogs", ANALOGS), ("reconstructions", RECONSTRUCTIONS)):
        back = read(write_table(frame, tmp_path / f"{name}{suffix}"))
        back = back.fillna({"error": "", "reconstruction": ""})
        pd.testing.assert_frame_equal(back, frame, check_dtype=False)


def test_parquet_types_of_object_columns(tmp_path):
    """Text stays text; a column of numbers and missing values is numeric."""
    columns = {"id": ["001", "mol-a"], "group": ["a", None], "value": [1, 0.5], "unknown": [None, None]}
    frame = pd.DataFrame({"smiles": ["CCO", "CCN"], **columns}, dtype=object)
    back = pd.read_parquet(write_table(frame, tmp_path / "out.parquet"))
    assert back["id"].tolist() == ["001", "mol-a"]
    assert back["group"].fillna("").tolist() == ["a", ""]
    assert back["value"].tolist() == [1, 0.5]
    assert back["unknown"].isna().all()
    assert (back["value"].dtype, back["unknown"].dtype) == (np.float64, np.float64)


@pytest.mark.parametrize("suffix", [*TEXT, ".html", ".svg"])
def test_appended_tables_equal_one_table(tmp_path, suffix):
    whole = write_table(ANALOGS, tmp_path / f"whole{suffix}")
    with table_writer(tmp_path / f"parts{suffix}") as append:
        append(ANALOGS.iloc[:0])
        for i in range(len(ANALOGS)):
            append(ANALOGS.iloc[i : i + 1])
    read = {".parquet": pd.read_parquet, ".xlsx": pd.read_excel}.get(suffix)
    if read:
        pd.testing.assert_frame_equal(read(whole), read(tmp_path / f"parts{suffix}"))
    elif suffix.endswith(".gz"):
        assert whole.read_bytes() == (tmp_path / f"parts{suffix}").read_bytes()
    else:
        parts = (tmp_path / f"parts{suffix}").read_text()
        assert parts.replace("parts", "whole") == whole.read_text()


def test_types_do_not_depend_on_the_first_table(tmp_path):
    """For a model without a Bloom filter, `not_in_training` is missing in every row."""
    unknown = ANALOGS.assign(not_in_training=None)
    with table_writer(tmp_path / "out.parquet") as append:
        append(unknown)
        append(ANALOGS)
    assert pd.read_parquet(tmp_path / "out.parquet")["not_in_training"].isna().tolist() == [True] * 3 + [False] * 3


SCORED = pd.DataFrame(
    {
        "smiles": ["C1CC", "OCC", "c1ccccc1"],
        "error": ["ring 1", "", ""],
        "canonical": ["", "CCO", "c1ccccc1"],
        "qed": [np.nan, 0.5, 0.25],
        "lipinski": [None, True, True],
        "veber": [None, True, False],
        "alerts": [None, "", "PAINS: quinone"],
        "moses_filters": [None, False, True],
        "scaffold": [None, "", "c1ccccc1"],
        "not_in_training": [None, True, False],
        "scaffold_not_in_training": [None, None, True],
        "nearest_neighbor": [None, "CO", "c1ccccc1"],
        "nearest_similarity": [np.nan, 0.3, 1.0],
    }
)


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 1, 0], [1, 0, 2]])
def test_parquet_of_scored_molecules(tmp_path, order):
    """The first table has only missing values if its row is invalid, and none if its row is valid."""
    with table_writer(tmp_path / "out.parquet") as append:
        for i in order:
            row = SCORED.iloc[i : i + 1].reset_index(drop=True)
            append(row.infer_objects())
    back = pd.read_parquet(tmp_path / "out.parquet")
    expected = SCORED.iloc[order].astype(object)
    for name in SCORED.columns:
        found = [None if pd.isna(value) else value for value in back[name]]
        assert found == [None if pd.isna(value) else value for value in expected[name]], name


@pytest.mark.parametrize("suffix", [".smi", ".sdf"])
def test_invalid_rows_are_omitted(tmp_path, suffix):
    """Tables of `anomaly`, `map` and `cluster` keep invalid inputs in `smiles`."""
    table = pd.DataFrame({"smiles": ["OCC", "C1CC", "CCN"], "error": ["", "ring 1 opened", ""], "log_likelihood": 0.1})
    path = write_table(table, tmp_path / f"out{suffix}")
    assert [row.smiles for row in read_molecules(path)] == (["OCC", "CCN"] if suffix == ".smi" else ["CCO", "CCN"])


def test_invalid_scored_rows_are_omitted_from_smi(tmp_path):
    path = write_table(SCORED, tmp_path / "out.smi")
    assert path.read_text().splitlines() == ["OCC", "c1ccccc1"]


def test_sdf_properties(tmp_path):
    text = write_table(ANALOGS, tmp_path / "out.sdf").read_text()
    assert text.count("$$$$") == 3
    assert re.search(r"<similarity>.*\n0\.25\n", text)
    assert "nan" not in write_table(ANALOGS.assign(qed=np.nan), tmp_path / "b.sdf").read_text()


def test_page_shows_all_molecules_and_loads_nothing(tmp_path):
    text = write_table(ANALOGS, tmp_path / "out.html").read_text()
    assert text.count("<svg") == text.count("</svg>") == 5  # three analogs, two seeds
    assert all(smiles in text for smiles in ANALOGS["smiles"])
    addresses = set(re.findall(r"https?://[^'\"\s>]+", text))
    assert all("w3.org" in a or "rdkit.org" in a for a in addresses)  # XML namespaces only
    assert not re.search(r"<(script [^>]*src|link|img|iframe)|@import|url\(|src=", text)
    cells = [re.sub(r"<.*?>", "", cell) for cell in re.findall(r"<td data-label=.*?</td>", text)]
    assert "".join(cells).count("0.50-1.50yes") == 1
    assert text.rstrip().endswith("</html>")


def test_page_escapes_text(tmp_path):
    text = write_table(RECONSTRUCTIONS, tmp_path / "a&b.html").read_text()
    assert "ring &lt;1&gt; open" in text
    assert "<title>a&amp;b</title>" in text


@pytest.mark.parametrize("suffix", [*TEXT, ".html"])
def test_empty_table(tmp_path, suffix):
    assert write_table(ANALOGS.iloc[:0], tmp_path / f"out{suffix}").exists()


def fail_after_a_table(path):
    with table_writer(path) as append:
        append(ANALOGS)
        _ = 1 / 0


@pytest.mark.parametrize("suffix", [*TEXT, ".html", ".png"])
def test_failure_keeps_the_older_file(tmp_path, suffix):
    path = tmp_path / f"out{suffix}"
    path.write_text("older")
    with pytest.raises(ZeroDivisionError):
        fail_after_a_table(path)
    assert path.read_text() == "older"
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("name", ["out.xyz", "out", "out.png.gz", "out.mol", "out.csv.bz2"])
def test_unknown_format_is_rejected(tmp_path, name):
    with pytest.raises(InputError, match=r"its suffix must be one of \.csv, \.tsv, \.smi"):
        check_format(tmp_path / name)


def test_directory_is_rejected(tmp_path):
    (tmp_path / "out.csv").mkdir()
    with pytest.raises(InputError, match="it is a directory"):
        check_format(tmp_path / "out.csv")


def test_csv_has_nine_digits_which_preserve_single_precision(tmp_path):
    latents = np.random.default_rng(0).normal(size=1000).astype(np.float32)
    frame = pd.DataFrame({"smiles": "C", "sum": 0.1 + 0.2, "z0": latents})
    path = write_table(frame, tmp_path / "latents.csv")
    assert path.read_text().splitlines()[1].split(",")[1] == "0.3"
    assert (pd.read_csv(path)["z0"].to_numpy(np.float32) == latents).all()


NAMED = pd.DataFrame(
    {"smiles": ["CCO", "C[C@H](N)C(=O)O", "Oc1ccccc1"], "name": ["ethanol", "Z1234567", ""], "qed": [0.4, 0.5, 0.6]}
)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=12), min_size=1, max_size=4))
def test_names_survive_every_format(names):
    """Control characters, with the white space around them, are the only parts of a name that are not kept."""
    table = pd.DataFrame({"smiles": "CCO", "name": [f"x{name}x" for name in names]})
    expected = [re.sub(r"[ \t]*[\x00-\x1f\x7f-\x9f\u2028\u2029]+\s*", " ", name) for name in table["name"]]
    with tempfile.TemporaryDirectory() as folder:
        for suffix in TEXT:
            path = write_table(table, Path(folder) / f"out{suffix}")
            assert [row.name for row in read_molecules(path)] == expected, suffix


@pytest.mark.parametrize("suffix", TEXT)
def test_name_with_control_characters_is_one_name(tmp_path, suffix):
    table = pd.DataFrame(
        {"smiles": ["CCO", "CCN", "CCC"], "name": ["x\x1f\ry", " a \r\n b ", "\x1b[0m\x00c\udcff"]}, dtype=object
    )
    path = write_table(table, tmp_path / f"out{suffix}")
    assert [row.name for row in read_molecules(path)] == ["x y", "a b", "[0m c\\udcff"]


@pytest.mark.parametrize("suffix", [*TEXT, ".html", ".svg"])
def test_text_that_is_not_unicode_is_escaped(tmp_path, suffix):
    table = pd.DataFrame(
        {"smiles": ["CC\udcff", "CCO"], "error": ["no \udcff", ""], "plate": ["\udcff", "1"]}, dtype=object
    )
    content = write_table(table, tmp_path / f"out{suffix}").read_bytes()
    assert content
    if suffix in (".csv", ".tsv"):
        assert content.decode().splitlines()[1].replace("\t", ",") == r"CC\udcff,no \udcff,\udcff"


def test_molecule_that_cannot_be_written_as_sdf_is_a_record(tmp_path, monkeypatch):
    """RDKit fails for one of three molecules: its record has the SMILES, all values and the reason."""
    from rdkit import Chem

    from molvae.viz import layout

    original = layout.compute_coordinates

    def fail(mol):
        if mol.GetNumAtoms() == 4:
            raise RuntimeError("Pre-condition Violation")
        return original(mol)

    monkeypatch.setattr(layout, "compute_coordinates", fail)
    table = pd.DataFrame({"smiles": ["CCO", "CCCN", "CCC"], "name": ["a", "b", "c"], "qed": [0.1, 0.2, 0.3]})
    path = write_table(table, tmp_path / "out.sdf")
    mols = list(Chem.SDMolSupplier(str(path)))
    assert [mol.GetProp("_Name") for mol in mols] == ["a", "b", "c"]
    assert [mol.GetNumAtoms() for mol in mols] == [3, 0, 3]
    values = mols[1].GetPropsAsDict()
    assert (values["smiles"], values["qed"]) == ("CCCN", 0.2)
    assert "Pre-condition Violation" in values["sdf_error"]
    assert not mols[0].HasProp("sdf_error")


@pytest.mark.parametrize("suffix", TEXT)
def test_molecules_keep_their_names(tmp_path, suffix):
    rows = read_molecules(write_table(NAMED, tmp_path / f"out{suffix}"))
    assert [(row.smiles, row.name) for row in rows] == list(zip(NAMED["smiles"], NAMED["name"], strict=True))


@pytest.mark.parametrize("suffix", [".smi", ".sdf"])
def test_hits_and_analogs_are_named_by_their_id(tmp_path, suffix):
    hits = pd.DataFrame({"seed": "CCO", "name": "ethanol", "rank": [1, 2], "smiles": ["CCN", "CCC"], "id": ["a", "b"]})
    assert [row.name for row in read_molecules(write_table(hits, tmp_path / f"out{suffix}"))] == ["a", "b"]


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "=HYPERLINK(0)", "#N/A", "0012", "a\x00b"])
def test_text_in_a_workbook_is_never_a_formula(tmp_path, text):
    openpyxl = pytest.importorskip("openpyxl")
    path = write_table(pd.DataFrame({"smiles": ["CCO"], "name": [text]}), tmp_path / "out.xlsx")
    cell = openpyxl.load_workbook(path).active["B2"]
    assert (cell.data_type, cell.value) == ("s", text.replace("\0", " "))
    assert cell.quotePrefix == text.startswith(("=", "+", "-", "@"))


@pytest.mark.parametrize("suffix", TEXT)
def test_counts_are_integers(tmp_path, suffix):
    table = pd.DataFrame(
        {"smiles": ["CCO", "CCN"], "hbd": [1.0, np.nan], "rotatable_bonds": [0.0, 2.0], "mw": [46.0, 2]}
    )
    path = write_table(table, tmp_path / f"out{suffix}")
    if ".smi" in suffix:
        return
    rows = [row.columns for row in read_records(path, with_columns=True)]
    assert [(row["hbd"], row["rotatable_bonds"]) for row in rows] == [("1", "0"), ("", "2")]


def test_hostile_columns_do_not_break_a_record(tmp_path):
    table = pd.DataFrame({"smiles": ["CCO"], "name": ["$$$$"], "a>b\n<c": ["x\n\n$$$$\nM  END"]})
    (row,) = read_records(write_table(table, tmp_path / "out.sdf"), with_columns=True)
    assert (row.smiles, row.name) == ("CCO", "$$$$")
    assert row.columns["a b c"] == "x $$$$ M  END"


def test_compressed_files_of_equal_tables_are_equal(tmp_path):
    first, second = (write_table(NAMED, tmp_path / name).read_bytes() for name in ("a.csv.gz", "b.csv.gz"))
    assert first == second
