"""Atomic writes of files and folders, checksums, and locks of folders.

A file or folder is first written under a temporary name next to its path (a dot, its name, and 32 hexadecimal digits).
The process holds a lock on it, which ends with the process. Temporary files without a lock are therefore left over from
killed processes, and the next write to the same path removes them.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

from molvae.errors import InputError, MolvaeError

try:
    import fcntl
except ImportError:  # Windows has no such locks: temporary files of killed processes are kept
    fcntl = None  # type: ignore[assignment]

_TEMPORARY_NAME = re.compile(r"\.(.+)\.[0-9a-f]{32}(\.old)?")
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NO_SPACE_IN_RUST = re.compile(rf"\(os error ({'|'.join(map(str, _NO_SPACE))})\)")  # safetensors has no error number


_own_temporary_files: set[Path] = set()
"""The temporary files and folders that this process is writing."""


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield the path of a temporary file next to `path`, which replaces `path` when the block ends without an error.

    Raises `MolvaeError` if the disk is full, and `InputError` if `path` is a folder.
    """
    if path.is_dir():
        raise InputError(f"{path} is a folder, but a file has to be written there: move the folder away")
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(path)
    temporary = _temporary_path(path)
    _own_temporary_files.add(temporary)
    try:
        with _explained_if_disk_is_full(path), _locked(temporary):
            yield temporary
            os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
        _own_temporary_files.discard(temporary)


@contextmanager
def temporary_folder(path: Path) -> Iterator[Path]:
    """Yield a new folder next to `path`, which is removed when the block ends, unless it was moved.

    Raises `MolvaeError` if the disk is full.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(path)
    temporary = _temporary_path(path)
    _own_temporary_files.add(temporary)
    try:
        temporary.mkdir(mode=0o700)
        with _explained_if_disk_is_full(path), _locked(temporary):
            yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        _own_temporary_files.discard(temporary)


def remove_own_temporary_files() -> None:
    """Remove the temporary files that this process is writing, before it is ended without cleaning up."""
    for path in list(_own_temporary_files):
        with suppress(OSError):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)


def check_writable(path: str | Path) -> None:
    """Raise `InputError` if a file or folder cannot be created at `path`; nothing is left behind.

    A file is created in the folder, or in the nearest parent that exists: permissions alone do not tell whether a file
    system accepts new files. The name is as long as that of the temporary file of `atomic_write`.
    """
    try:
        path = Path(os.path.abspath(path))
        parent = next(folder for folder in path.parents if os.path.lexists(folder))
        name = path.name if parent == path.parent else path.relative_to(parent).parts[0]
        if not parent.is_dir():
            raise InputError(f"cannot write {path}: {parent} is a file, not a folder")
        probe = parent / f".{name}.{uuid.uuid4().hex}"
        probe.open("xb").close()
        probe.unlink(missing_ok=True)
    except (OSError, ValueError) as error:  # ValueError: a null character in the path
        if isinstance(error, InputError):
            raise
        reason = (getattr(error, "strerror", None) or str(error)).lower()
        raise InputError(f"cannot write {path}: {reason}; choose another folder or file name") from None


def check_run_folder(folder: Path) -> None:
    """Raise `InputError` if a folder cannot be created, or cannot be written to if it exists."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} exists and is a file: choose the name of a folder")
    check_writable(folder / "settings.json" if folder.is_dir() else folder)


def leftover_temporary_files(folder: Path) -> list[Path]:
    """Return the temporary files and folders in a folder that remain from killed processes."""
    return [path for path in folder.glob(".*") if _TEMPORARY_NAME.fullmatch(path.name) and not _is_locked(path)]


def remove_leftovers(path: Path) -> None:
    """Remove temporary files and folders of killed processes that were writing `path`."""
    with suppress(OSError), os.scandir(path.parent) as entries:  # OSError: the folder cannot be read
        names = [entry.name for entry in entries if entry.name.startswith(f".{path.name}.")]
        for name in names:
            match = _TEMPORARY_NAME.fullmatch(name)
            if match and match[1] == path.name:
                remove_leftover(path.with_name(name), path)


def remove_leftover(leftover: Path, path: Path | None = None) -> None:
    """Remove a temporary file or folder, unless a process is writing it.

    A folder that was moved away to be replaced, by a process that was killed before it did so, is moved back to `path`.
    """
    if _is_locked(leftover):
        return
    if path is not None and leftover.suffix == ".old" and not path.exists():
        os.replace(leftover, path)
    elif leftover.is_dir():
        shutil.rmtree(leftover, ignore_errors=True)
    else:
        leftover.unlink(missing_ok=True)


def _temporary_path(path: Path) -> Path:
    return path.with_name(f".{path.name}.{uuid.uuid4().hex}")  # process ids are not unique across containers


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Lock a temporary file, which is created if it does not exist, or a temporary folder."""
    if fcntl is None:
        yield
        return
    while True:
        descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR | os.O_CREAT, 0o666)
        try:
            with suppress(OSError):  # some network file systems have no locks
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not path.exists():  # another process removed it before it was locked
                continue
            yield
            return
        finally:
            os.close(descriptor)


def _is_locked(path: Path) -> bool:
    """Whether a process is writing a temporary file or folder, or may be."""
    if fcntl is None:
        return True
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


@contextmanager
def _explained_if_disk_is_full(path: Path) -> Iterator[None]:
    """Raise `MolvaeError` for an error that was caused by a full disk, whatever its type."""
    try:
        yield
    except MolvaeError:
        raise
    except Exception as error:  # the writers of torch, safetensors and pyarrow raise their own types
        if (reason := no_space_reason(error)) is None:
            raise
        raise MolvaeError(
            f"cannot write {path}: {reason}; make room on the disk, or choose another output. Nothing was changed"
        ) from error


def no_space_reason(error: BaseException | None) -> str | None:
    """Return the reason of the operating system if an error was caused by a full disk, otherwise None."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _NO_SPACE:
            return os.strerror(error.errno)
        if match := _NO_SPACE_IN_RUST.search(str(error)):
            return os.strerror(int(match[1]))
        error = error.__cause__ or error.__context__
    return None


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

    @contextmanager
    def released_on_error(self) -> Iterator[None]:
        """Release the lock if the block raises an exception, such as `KeyboardInterrupt`, and this run still has it."""
        try:
            yield
        except BaseException:
            with suppress(MolvaeError, OSError):
                self.release()
            raise


def check_output_folder(path: Path, marker: str) -> None:
    """Raise `InputError` if the folder `path` cannot be written.

    An existing folder must be empty, or contain the file `marker`.
    """
    if path.exists() and not path.is_dir():
        raise InputError(f"{path} exists and is a file: choose the name of a folder")
    if path.exists() and not (path / marker).exists() and any(path.iterdir()):
        raise InputError(f"{path} exists and does not contain {marker}: choose another folder")
    check_writable(path)


@contextmanager
def atomic_write_folder(path: Path, marker: str) -> Iterator[Path]:
    """Yield a temporary folder next to `path`, which replaces `path` when the block ends without an error.

    An existing folder is replaced only if it contains the file `marker`, and it is restored if the replacement fails.
    Raises `InputError` as `check_output_folder` does, and `MolvaeError` if the disk is full.
    """
    check_output_folder(path, marker)
    with temporary_folder(path) as temporary:
        yield temporary
        temporary.chmod(0o755)  # temporary folders and safetensors files are created without access for other users
        for file in temporary.iterdir():
            file.chmod(0o644)
        _replace_folder(temporary, path)


def _replace_folder(temporary: Path, path: Path) -> None:
    old = temporary.with_name(f"{temporary.name}.old")
    with _locked(path) if path.exists() else nullcontext():  # other runs then do not take it for a leftover
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
