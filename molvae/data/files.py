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

_DRAFT = re.compile(r"\..+\.[0-9a-f]{32}")


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary file next to `path` that replaces it when the block ends without an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex}")  # a process id may not be unique
    try:
        yield draft
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def abandoned_drafts(folder: Path) -> list[Path]:
    """Return the temporary files in a folder that killed writers (`atomic_write`) left behind."""
    return [path for path in folder.glob(".*") if _DRAFT.fullmatch(path.name) and path.is_file()]


class FolderLock:
    """Marks a folder as used by one run. A later run takes the lock over; the earlier one fails at its next check."""

    def __init__(self, path: Path) -> None:
        """Take the lock by writing the file `path` in the folder."""
        self.path, self.token = path, uuid.uuid4().hex
        with atomic_write(path) as draft:
            draft.write_text(self.token, encoding="utf-8")

    def check(self) -> None:
        """Raise `MolvaeError` if another run has taken the lock over or the folder was deleted."""
        try:
            holder = self.path.read_text(encoding="utf-8")
        except FileNotFoundError:
            raise MolvaeError(f"{self.path.parent} was deleted during the run") from None
        if holder != self.token:
            raise MolvaeError(f"{self.path.parent} is in use by a run that was started later; this run stops")

    def release(self) -> None:
        """Release the lock. Raises `MolvaeError` as `check` does."""
        self.check()
        self.path.unlink()


def check_output_folder(path: Path, holding: str) -> None:
    """Raise `InputError` if `path` exists and is neither an empty folder nor one with the file `holding`."""
    if path.exists() and not (path / holding).exists() and (path.is_file() or any(path.iterdir())):
        raise InputError(f"{path} exists and does not contain {holding}: choose another folder")


@contextmanager
def atomic_write_folder(path: Path, holding: str) -> Iterator[Path]:
    """Yield a temporary folder next to `path` that replaces it when the block ends without an error.

    An existing folder is restored if the replacement fails. Raises `InputError` as `check_output_folder` does.
    """
    check_output_folder(path, holding)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        yield draft
        draft.chmod(0o755)  # temporary folders and safetensors files are readable by their owner only
        for file in draft.iterdir():
            file.chmod(0o644)
        _replace_folder(draft, path)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _replace_folder(draft: Path, path: Path) -> None:
    old = draft.with_name(f"{draft.name}.old")
    if path.exists():
        os.replace(path, old)
    try:
        os.replace(draft, path)
    except BaseException:
        if old.exists():
            os.replace(old, path)
        raise
    shutil.rmtree(old, ignore_errors=True)


def checksum(path: Path, algorithm: str = "sha256") -> str:
    """Return the checksum of a file in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()
