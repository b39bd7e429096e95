"""Resolution of file and dataset names, and the sample library."""

from __future__ import annotations

import gzip

import pytest

from molvae.chem.smiles import canonical
from molvae.data import datasets
from molvae.data.datasets import MoleculeSource, fetch_dataset, resolve_source, sample_library_path
from molvae.data.downloads import DownloadSource
from molvae.data.readers import Record, read_records
from molvae.errors import InputError


@pytest.fixture
def druglike(tmp_path, monkeypatch):
    monkeypatch.setenv("MOLVAE_DATA", str(tmp_path))
    folder = tmp_path / "druglike"
    folder.mkdir()
    for split in ("train", "valid", "test"):
        (folder / f"druglike_{split}.smi.gz").write_bytes(gzip.compress(b"CCO\n"))
    return folder


def test_resolve_path(tmp_path):
    path = tmp_path / "a.smi"
    path.write_text("CCO\n")
    assert resolve_source(path) == MoleculeSource(path, None, str(path))
    assert resolve_source(str(path), "structure") == MoleculeSource(path, "structure", str(path))


def test_resolve_path_with_column(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("structure,x\nCCO,1\n")
    assert resolve_source(f"{path}:structure") == MoleculeSource(path, "structure", f"{path}:structure")


def test_file_takes_precedence_over_dataset(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "moses").write_text("CCO\n")
    assert str(resolve_source("moses").path) == "moses"


def test_resolve_dataset_and_split(druglike):
    assert resolve_source("druglike") == MoleculeSource(druglike / "druglike_train.smi.gz", None, "druglike:train")
    assert resolve_source("druglike", split="valid").path == druglike / "druglike_valid.smi.gz"
    source = resolve_source("druglike:test", split="valid")
    assert (source.path, source.label) == (druglike / "druglike_test.smi.gz", "druglike:test")


def test_column_of_a_dataset(monkeypatch, tmp_path):
    file = datasets.DatasetFile("train", (DownloadSource(file="a.csv"),), column="structure_a")
    monkeypatch.setattr(datasets, "load_recipe", lambda name: datasets.Recipe(name, "d", "l", "c", (file,)))
    monkeypatch.setattr(datasets, "dataset_path", lambda *_: tmp_path / "a.csv")
    assert resolve_source("name").column == "structure_a"
    assert resolve_source("name", "other").column == "other"


@pytest.mark.usefixtures("druglike")
@pytest.mark.parametrize(
    ("item", "reason"),
    [
        ("nowhere.smi", "nowhere.smi does not exist"),
        ("drglike", "did you mean 'druglike'"),
        ("moses", "molvae data fetch moses"),
        ("moses:nosuch", "train, test, test_scaffolds"),
        ("C" * 10_000, "CCC"),
    ],
)
def test_unknown_source(item, reason):
    with pytest.raises(InputError, match=reason):
        resolve_source(item)


def test_folder_is_rejected(tmp_path):
    with pytest.raises(InputError, match="is not a file"):
        resolve_source(tmp_path)


def test_sample_library_is_canonical_and_distinct():
    rows = list(read_records(sample_library_path()))
    assert len(rows) == 500
    assert all(isinstance(row, Record) and row.name for row in rows)
    assert [canonical(row.smiles) for row in rows] == [row.smiles for row in rows]
    assert len({row.smiles for row in rows}) == len({row.name for row in rows}) == 500
    assert {"aspirin", "caffeine", "imatinib"} < {row.name for row in rows}


def test_sample_is_a_dataset_without_download(tmp_path, monkeypatch):
    monkeypatch.setenv("MOLVAE_DATA", str(tmp_path))
    assert fetch_dataset("sample") == [sample_library_path()]
    assert list(tmp_path.iterdir()) == []
    for item in ("sample", "sample:all"):
        assert resolve_source(item, split="test") == MoleculeSource(sample_library_path(), None, "sample:all")
    with pytest.raises(InputError, match="no split 'train': it has all"):
        resolve_source("sample:train")
