"""Atomic writes of files and folders."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading

import pytest

from molvae.data import files
from molvae.data.files import atomic_write, atomic_write_folder, leftover_temporary_files, remove_leftovers
from molvae.errors import MolvaeError


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


def _write_and_get_killed(path):
    """Begin to write a file and a folder in another process, and kill it."""
    code = (
        "import os, signal, sys\nfrom pathlib import Path\n"
        "from molvae.data.files import atomic_write, temporary_folder\n"
        "path = Path(sys.argv[1])\n"
        "with atomic_write(path) as draft, temporary_folder(path) as folder:\n"
        "    draft.write_text('half')\n"
        "    (folder / 'a').write_text('half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    assert subprocess.run([sys.executable, "-c", code, str(path)], env=environment).returncode == -signal.SIGKILL


@pytest.mark.skipif(files.fcntl is None, reason="no file locks")
def test_leftovers_of_killed_processes_are_removed_by_the_next_write(tmp_path):
    path = tmp_path / "out.csv"
    _write_and_get_killed(path)
    other = tmp_path / f".other.csv.{'0' * 32}"
    other.write_text("of another path")
    assert len(list(tmp_path.iterdir())) == 3
    assert len(leftover_temporary_files(tmp_path)) == 3
    with atomic_write(path) as draft:
        draft.write_text("whole")
    assert path.read_text() == "whole"
    assert sorted(tmp_path.iterdir()) == [other, path]


@pytest.mark.skipif(files.fcntl is None, reason="no file locks")
def test_files_that_are_being_written_are_not_leftovers(tmp_path):
    path = tmp_path / "out.csv"
    with atomic_write(path) as first:
        first.write_text("first")
        assert leftover_temporary_files(tmp_path) == []
        with atomic_write(path) as second:
            second.write_text("second")
        assert path.read_text() == "second"
    assert path.read_text() == "first"


def test_folder_that_was_moved_away_is_restored(tmp_path):
    """A process was killed between the two renames that replace a folder."""
    _write_folder(tmp_path / "model", "old")
    os.replace(tmp_path / "model", tmp_path / f".model.{'0' * 32}.old")
    remove_leftovers(tmp_path / "model")
    assert (tmp_path / "model/config.json").read_text() == "old"


class _CauseInText(Exception):
    """As safetensors reports errors of the operating system."""


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EFBIG, "File too large"),
        _CauseInText("I/O error: No space left on device (os error 28)"),
    ],
)
@pytest.mark.parametrize("write", [atomic_write, lambda path: atomic_write_folder(path, "config.json")])
def test_full_disk(tmp_path, error, write):
    """The error names the output and says what to do; nothing is written."""
    wrapped = RuntimeError("unexpected position")  # torch hides the cause behind such an error
    wrapped.__context__ = error
    for raised in (error, wrapped):
        with pytest.raises(MolvaeError, match=r"cannot write .*out: .*make room on the disk"), write(tmp_path / "out"):
            raise raised
    assert list(tmp_path.iterdir()) == []


def test_other_errors_are_raised_unchanged(tmp_path):
    with pytest.raises(PermissionError), atomic_write(tmp_path / "out"):
        raise PermissionError(errno.EACCES, "Permission denied")
