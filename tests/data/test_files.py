"""Atomic writes of files and folders."""

from __future__ import annotations

import os
import threading

import pytest

from molvae.data import files
from molvae.data.files import atomic_write, atomic_write_folder


def test_concurrent_writers_use_different_temporary_files(tmp_path):
    """Two threads have the same process id, as two containers may have."""
    path, barrier = tmp_path / "out.txt", threading.Barrier(2)
    failed = []

    def write(letter):
        try:
            with atomic_write(path) as temporary, temporary.open("w") as file:
                file.write(letter * 100_000)
                barrier.wait()
        except OSError as error:
            failed.append(error)

    threads = [threading.Thread(target=write, args=(letter,)) for letter in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert set(path.read_text()) in ({"a"}, {"b"})
    assert [file.name for file in tmp_path.iterdir()] == ["out.txt"]


def _write_folder(path, text):
    with atomic_write_folder(path, "config.json") as temporary:
        (temporary / "config.json").write_text(text)


def test_folder_is_replaced(tmp_path):
    for text in ("old", "new"):
        _write_folder(tmp_path / "model", text)
        assert (tmp_path / "model/config.json").read_text() == text
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize("failing_call", [1, 2])
def test_failed_replacement_keeps_the_old_folder(tmp_path, monkeypatch, failing_call):
    """The first or the second rename fails, as on Windows if a file in the folder is open."""
    _write_folder(tmp_path / "model", "old")
    os_replace, calls = os.replace, []

    def replace(source, target):
        calls.append(source)
        if len(calls) == failing_call:
            raise PermissionError("a file is open")
        os_replace(source, target)

    monkeypatch.setattr(files.os, "replace", replace)
    with pytest.raises(PermissionError):
        _write_folder(tmp_path / "model", "new")
    assert (tmp_path / "model/config.json").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
