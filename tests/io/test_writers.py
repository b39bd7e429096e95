"""Table writers: files are read back unchanged, and a failure keeps the older file."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

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
TEXT = (".csv", ".smi", ".sdf", ".parquet")


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


@pytest.mark.parametrize(("suffix", "read"), [(".csv", pd.read_csv), (".parquet", pd.read_parquet)])
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
    if suffix == ".parquet":
        pd.testing.assert_frame_equal(pd.read_parquet(whole), pd.read_parquet(tmp_path / "parts.parquet"))
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
    assert not re.search(r"<(script|link|img|iframe)|@import|url\(|src=", text)
    assert "<td>0.50</td><td>-1.50</td><td>yes</td>" in text
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


@pytest.mark.parametrize("name", ["out.xyz", "out", "out.csv.gz"])
def test_unknown_format_is_rejected(tmp_path, name):
    with pytest.raises(InputError, match=r"its suffix must be one of \.csv, \.smi"):
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
