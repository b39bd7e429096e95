"""Output paths are checked before any work, also where the permissions alone do not tell."""

from __future__ import annotations

import os

import pytest

from molvae.data.files import check_output_folder, check_writable
from molvae.errors import InputError


@pytest.mark.parametrize("name", ["out.csv", "new/folder/out.csv", "name with spaces.csv"])
def test_writable_paths_leave_nothing_behind(tmp_path, name):
    check_writable(tmp_path / name)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "name", ["file/out.csv", "file/new/out.csv", "x" * 250 + ".csv", "a\0b.csv", "dangling/out.csv"]
)
def test_paths_that_cannot_be_written(tmp_path, name):
    (tmp_path / "file").write_text("x")
    (tmp_path / "dangling").symlink_to(tmp_path / "missing")
    with pytest.raises(InputError, match=r"cannot write .*; choose|cannot write .* is a file, not a folder"):
        check_writable(tmp_path / name)


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs /proc")
@pytest.mark.parametrize("path", ["/proc/x.csv", "/proc/new/folder"])
def test_file_systems_without_new_files(path):
    with pytest.raises(InputError, match=r"cannot write /proc/.*; choose another folder"):
        check_writable(path)


@pytest.mark.skipif(os.name == "nt" or os.getuid() == 0, reason="needs a user without all permissions")
def test_folder_without_permission(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(InputError, match="permission denied"):
        check_writable(tmp_path / "out.csv")


def test_file_in_place_of_an_output_folder(tmp_path):
    (tmp_path / "model").write_text("x")
    with pytest.raises(InputError, match="is a file: choose the name of a folder"):
        check_output_folder(tmp_path / "model", "config.json")
