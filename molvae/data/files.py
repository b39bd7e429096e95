"""Files and folders that appear whole or not at all, and what tells one from another."""

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
    """A temporary neighbor of `path` to write to; takes its place when the block ends well, else is
    removed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex}")  # a pid would be shared by threads, and by containers
    try:
        yield draft
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def abandoned_drafts(folder: Path) -> list[Path]:
    """What writers of a `atomic_write` in a folder have left that were killed."""
    return [path for path in folder.glob(".*") if _DRAFT.fullmatch(path.name) and path.is_file()]


class FolderLock:
    """A folder as one run's own. Whoever claims it later has it, and the earlier run is told when it next checks."""

    def __init__(self, path: Path) -> None:
        """Write the claim to `path`, in that folder."""
        self.path, self.token = path, uuid.uuid4().hex
        with atomic_write(path) as draft:
            draft.write_text(self.token, encoding="utf-8")

    def check(self) -> None:
        """Raises `MolvaeError` where the folder is another run's by now, or has gone."""
        try:
            holder = self.path.read_text(encoding="utf-8")
        except FileNotFoundError:
            raise MolvaeError(f"{self.path.parent} has gone: it was deleted while the run went on") from None
        if holder != self.token:
            raise MolvaeError(f"{self.path.parent} is another run's now, which was begun later and goes on alone")

    def release(self) -> None:
        """Nobody's any more, where it is still this run's."""
        self.check()
        self.path.unlink()


def check_output_folder(path: Path, holding: str) -> None:
    """Raises `InputError` where `path` is there and neither an empty folder nor an older one: with a file `holding`."""
    if path.exists() and not (path / holding).exists() and (path.is_file() or any(path.iterdir())):
        raise InputError(f"{path} exists and has no {holding} in it: choose another place")


@contextmanager
def atomic_write_folder(path: Path, holding: str) -> Iterator[Path]:
    """A temporary neighbor of the folder `path` to write to, which takes its place when the block ends well.

    An older one is moved aside first, and back should anything fail. Raises `InputError` as `check_output_folder` does.
    """
    check_output_folder(path, holding)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        yield draft
        draft.chmod(0o755)  # temporary folders, and safetensors' files, are their owner's alone
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
    """The checksum of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()
