"""Atomic writes of files and folders, checksums, and locks of folders."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from molvae.errors import InputError, MolvaeError

_TEMPORARY_NAME = re.compile(r"\..+\.[0-9a-f]{32}")


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield the path of a temporary file next to `path`, which replaces `path` when the block ends without an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")  # process ids are not unique across containers
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def leftover_temporary_files(folder: Path) -> list[Path]:
    """Return the temporary files of `atomic_write` in a folder that remain from killed processes."""
    return [path for path in folder.glob(".*") if _TEMPORARY_NAME.fullmatch(path.name) and path.is_file()]


class FolderLock:
    """Marks a folder as in use by one run. A later run takes over the lock; the earlier run fails at its next check."""

    def __init__(self, path: Path) -> None:
        """Take the lock by writing the file `path` in the folder."""
        self.path, self.owner = path, uuid.uuid4().hex
        with atomic_write(path) as temporary:
            temporary.write_text(self.owner, encoding="utf-8")

    def check(self) -> None:
        """Raise `MolvaeError` if another run has taken over the lock or the folder was deleted."""
        try:
            owner = self.path.read_text(encoding="utf-8")
        except FileNotFoundError:
            raise MolvaeError(f"{self.path.parent} was deleted during the run") from None
        if owner != self.owner:
            raise MolvaeError(f"{self.path.parent} is in use by a run that was started later; this run stops")

    def release(self) -> None:
        """Release the lock. Raises `MolvaeError` as `check` does."""
        self.check()
        self.path.unlink()


def check_output_folder(path: Path, marker: str) -> None:
    """Raise `InputError` if `path` exists, unless it is an empty folder or a folder that contains the file `marker`."""
    if path.exists() and not (path / marker).exists() and (path.is_file() or any(path.iterdir())):
        raise InputError(f"{path} exists and does not contain {marker}: choose another folder")


@contextmanager
def atomic_write_folder(path: Path, marker: str) -> Iterator[Path]:
    """Yield a temporary folder next to `path`, which replaces `path` when the block ends without an error.

    An existing folder is replaced only if it contains the file `marker`, and it is restored if the replacement fails.
    Raises `InputError` as `check_output_folder` does.
    """
    check_output_folder(path, marker)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        yield temporary
        temporary.chmod(0o755)  # temporary folders and safetensors files are created without access for other users
        for file in temporary.iterdir():
            file.chmod(0o644)
        _replace_folder(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _replace_folder(temporary: Path, path: Path) -> None:
    old = temporary.with_name(f"{temporary.name}.old")
    if path.exists():
        os.replace(path, old)
    try:
        os.replace(temporary, path)
    except BaseException:
        if old.exists():
            os.replace(old, path)
        raise
    shutil.rmtree(old, ignore_errors=True)


def checksum(path: Path, algorithm: str = "sha256") -> str:
    """Return the checksum of a file in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()
