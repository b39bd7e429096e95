"""A path, a dataset or one of its splits: which file it means."""

from __future__ import annotations

import gzip

import pytest

from molvae.data import datasets as catalog
from molvae.data.datasets import MoleculeSource, resolve_source
from molvae.data.downloads import DownloadSource
from molvae.errors import InputError


@pytest.fixture
def druglike(tmp_path, monkeypatch):
    monkeypatch.setenv("MOLVAE_DATA", str(tmp_path))
    folder = tmp_path / "druglike"
    folder.mkdir()
    for split in ("train", "valid", "test"):
        (folder / f"druglike_{split}.smi.gz").write_bytes(gzip.compress(b"CCO\n"))
    return folder


def test_a_file(tmp_path):
    path = tmp_path / "a.smi"
    path.write_text("CCO\n")
    assert resolve_source(path) == MoleculeSource(path, None, str(path))
    assert resolve_source(str(path), "structure") == MoleculeSource(path, "structure", str(path))


def test_a_column_of_a_file(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("structure,x\nCCO,1\n")
    assert resolve_source(f"{path}:structure") == MoleculeSource(path, "structure", f"{path}:structure")


def test_a_file_of_no_known_format_is_still_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "moses").write_text("CCO\n")
    assert str(resolve_source("moses").path) == "moses"


def test_a_dataset_and_its_splits(druglike):
    assert resolve_source("druglike") == MoleculeSource(druglike / "druglike_train.smi.gz", None, "druglike:train")
    assert resolve_source("druglike", split="valid").path == druglike / "druglike_valid.smi.gz"
    named = resolve_source("druglike:test", split="valid")
    assert (named.path, named.label) == (druglike / "druglike_test.smi.gz", "druglike:test")


def test_a_dataset_knows_its_column(monkeypatch, tmp_path):
    part = catalog.DatasetFile("train", (DownloadSource(file="a.csv"),), column="structure_a")
    monkeypatch.setattr(catalog, "load_recipe", lambda name: catalog.Recipe(name, "d", "l", "c", (part,)))
    monkeypatch.setattr(catalog, "dataset_path", lambda *_: tmp_path / "a.csv")
    assert resolve_source("some").column == "structure_a"
    assert resolve_source("some", "other").column == "other"


@pytest.mark.usefixtures("druglike")
@pytest.mark.parametrize(
    ("item", "reason"),
    [
        ("nowhere.smi", "nowhere.smi does not exist or is no file"),
        ("drglike", "did you mean 'druglike'"),
        ("moses", "molvae data fetch moses"),
        ("moses:nosuch", "train, test, test_scaffolds"),
        ("C" * 10_000, "CCC"),
    ],
)
def test_what_cannot_be_found(item, reason):
    with pytest.raises(InputError, match=reason):
        resolve_source(item)


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(InputError, match="is no file"):
        resolve_source(tmp_path)
