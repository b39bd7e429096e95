"""The input files of a library: finding, checking and hashing them, and estimating their rows."""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from molvae.data.arguments import as_paths
from molvae.data.compression import compression_suffix
from molvae.data.files import checksum
from molvae.data.readers import SUFFIXES, read_records
from molvae.data.rows import InvalidRow, Record, file_format
from molvae.errors import InputError

_SAMPLE_BYTES = 1 << 20  # of the beginning of a file, to estimate the length of its rows


@dataclass(frozen=True)
class InputFile:
    """A file: its path as given by the user or as found in a folder, its size in bytes, and its sha256."""

    path: str
    bytes: int
    sha256: str


def find_files(library: Sequence[str | Path], exclude: Path | None = None) -> list[Path]:
    """Return the files of a library: files as given, and all molecule files in folders and their subfolders, sorted.

    Parameters
    ----------
    library : sequence of str or Path
        Files and folders.
    exclude : Path, optional
        A folder whose files are ignored, such as the output folder.

    Returns
    -------
    list of Path

    Raises
    ------
    InputError
        For standard input ("-"), for a folder without molecule files, and if `library` is empty.
    """
    found = list[Path]()
    for item in map(Path, as_paths(library, "library")):
        if str(item) == "-":
            raise InputError("standard input (-) cannot be read again to resume: write the rows to a file first")
        files = _files_in(item, exclude) if item.is_dir() else [item]
        if not files:
            raise InputError(f"the folder {item} contains no file of molecules: {SUFFIXES}")
        found += files
    if not found:
        raise InputError("a library needs at least one file or folder, got none")
    return found


def _files_in(folder: Path, exclude: Path | None) -> list[Path]:
    files = sorted(path for path in folder.rglob("*") if _is_molecule_file(path))
    if exclude is None:
        return files
    return [path for path in files if not path.resolve().is_relative_to(exclude.resolve())]


def _is_molecule_file(path: Path) -> bool:
    return path.is_file() and not path.name.startswith(".") and file_format(path.name) is not None


def check_files(files: Sequence[Path], column: str | None = None, name_column: str | None = None) -> list[InputFile]:
    """Return size and sha256 of every file after reading its first row. Raises `InputError` if that fails."""
    for path in files:  # finds a missing column before hours of work
        next(read_records(path, column=column, name_column=name_column, notify=lambda _: None), None)
    return [InputFile(str(path), path.stat().st_size, checksum(path)) for path in files]


def read_files(
    files: Sequence[Path], column: str | None = None, name_column: str | None = None
) -> Iterator[Record | InvalidRow]:
    """Yield the rows of all files, file by file."""
    return chain.from_iterable(read_records(path, column=column, name_column=name_column) for path in files)


def estimate_rows(files: Iterable[Path]) -> int | None:
    """Return the number of rows of all files, estimated from their beginning; None if one cannot be estimated.

    Parquet files and text files below 1 MiB are counted exactly.
    """
    total = 0
    for path in files:
        rows = _estimate_rows(path)
        if rows is None:
            return None
        total += rows
    return total


def _estimate_rows(path: Path) -> int | None:
    kind = file_format(path.name)
    if not path.is_file() or kind is None:
        return None
    if kind in ("mol", "xlsx"):
        return 1 if kind == "mol" else None
    if kind == "parquet":
        import pyarrow.parquet as pq

        return int(pq.read_metadata(path).num_rows)
    return _estimate_text_rows(path, b"\n$$$$" if kind == "sdf" else b"\n")


def _estimate_text_rows(path: Path, separator: bytes) -> int | None:
    """Count the rows at the beginning of a file, and scale the count by the size of the file."""
    with path.open("rb") as raw:
        if compression_suffix(path.name) == ".gz":
            with gzip.open(raw) as unpacked:
                try:
                    sample = unpacked.read(_SAMPLE_BYTES)
                except (OSError, EOFError):  # a damaged file: the error is reported when it is read
                    return None
            read = raw.tell()
        elif compression_suffix(path.name):
            return None
        else:
            sample = raw.read(_SAMPLE_BYTES)
            read = len(sample)
        size = path.stat().st_size
    is_complete = len(sample) < _SAMPLE_BYTES
    rows = sample.count(separator) + (is_complete and not sample.endswith(b"\n"))
    return int(rows if is_complete else rows * size / max(read, 1))
