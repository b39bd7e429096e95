"""The files of a library: folders opened, every file checked and hashed before the work begins."""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from molvae.data.files import checksum
from molvae.data.readers import read_records
from molvae.data.rows import InvalidRow, Record, file_format
from molvae.errors import InputError


@dataclass(frozen=True)
class InputFile:
    """One file as the user named it, or as it was found in a folder, and what it held."""

    path: str
    bytes: int
    sha256: str


def find_files(library: Sequence[str | Path], aside: Path | None = None) -> list[Path]:
    """The files, and of each folder all that `read_records` knows, sorted by path, whatever their depth.

    What a folder holds in the folder `aside`, into which something is written, is none of them. Raises `InputError`
    for a path that is not there, standard input, or a folder without such a file.
    """
    found = list[Path]()
    for item in map(Path, library):
        if str(item) == "-":
            raise InputError("a library is indexed from files, which can be read again after an interruption; got -")
        files = _files_in(item, aside) if item.is_dir() else [item]
        if not files:
            raise InputError(f"{item} is a folder without a .smi, .csv, .sdf or .parquet file in it")
        found += files
    if not found:
        raise InputError("a library needs at least one file or folder")
    return found


def _files_in(folder: Path, aside: Path | None) -> list[Path]:
    files = sorted(path for path in folder.rglob("*") if _is_readable(path))
    if aside is None:
        return files
    return [path for path in files if not path.resolve().is_relative_to(aside.resolve())]


def check_files(files: Sequence[Path], column: str | None = None) -> list[InputFile]:
    """Size and sha256 of every file, once its first row could be read. Raises `InputError`."""
    for path in files:
        next(read_records(path, column=column), None)  # a column that is missing, before hours of work
    return [InputFile(str(path), path.stat().st_size, checksum(path)) for path in files]


def read_files(files: Sequence[Path], column: str | None = None) -> Iterator[Record | InvalidRow]:
    """The rows of all files, one after the other."""
    return chain.from_iterable(read_records(path, column=column) for path in files)


def _is_readable(path: Path) -> bool:
    return path.is_file() and not path.name.startswith(".") and file_format(path.name) is not None


_SAMPLE = 1 << 20  # bytes from the beginning of a file


def expected_rows(files: Iterable[Path]) -> int | None:
    """Rows of all files, from how long those at the beginning of each are; None where one cannot be told."""
    total = 0
    for path in files:
        rows = _rows(path)
        if rows is None:
            return None
        total += rows
    return total


def _rows(path: Path) -> int | None:
    kind = file_format(path.name)
    if not path.is_file() or kind is None:
        return None
    if kind == "parquet":
        import pyarrow.parquet as pq

        return int(pq.read_metadata(path).num_rows)
    return _text_rows(path, b"\n$$$$" if kind == "sdf" else b"\n")


def _text_rows(path: Path, end: bytes) -> int | None:
    """The rows in the first bytes, times how often the file is longer than those, as it lies on disk."""
    with path.open("rb") as raw:
        if path.suffix.lower() == ".gz":
            with gzip.open(raw) as unpacked:
                try:
                    sample = unpacked.read(_SAMPLE)
                except (OSError, EOFError):  # damaged; whoever reads it says so
                    return None
            read = raw.tell()
        else:
            sample = raw.read(_SAMPLE)
            read = len(sample)
        size = path.stat().st_size
    whole = len(sample) < _SAMPLE
    rows = sample.count(end) + (whole and not sample.endswith(b"\n"))
    return int(rows if whole else rows * size / max(read, 1))
