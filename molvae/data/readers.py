"""Read molecules from files and standard input, one row at a time: each row is a record or an invalid row.

The SMILES of text formats are not parsed here. Memory use does not depend on the size of the input.
"""

from __future__ import annotations

import io
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from molvae.data.compression import DAMAGED_STREAM, check_magic, open_binary
from molvae.data.layout import is_molecule
from molvae.data.rows import InvalidRow, Record, RowCounts, file_format
from molvae.data.structure_readers import sdf_rows
from molvae.data.table_readers import parquet_rows, xlsx_rows
from molvae.data.text_readers import Notify, text_rows
from molvae.errors import InputError, warn

__all__ = ["InvalidRow", "Record", "RowCounts", "looks_like_file", "read_records"]

SUFFIXES = (
    ".smi, .smiles, .ism, .cxsmiles, .txt, .csv, .tsv, .tab, .sdf, .sd, .mol (each also as .gz, .bz2, .xz or .zst), "
    ".xlsx and .parquet"
)
"""The suffixes of files that are read, for messages."""

_SUFFIX_HINTS = {
    ".xls": "save it as .xlsx or .csv",
    ".ods": "save it as .xlsx or .csv",
    ".zip": "unpack it first",
    ".mol2": "convert it to .sdf",
    ".pdb": "convert it to .sdf",
    ".rxn": "it holds a reaction",
}
_COUNTS_LINE = re.compile(r".{33,}V[23]000\s*")


def read_records(
    path: str | os.PathLike[str] | IO[Any],
    *,
    column: str | None = None,
    name_column: str | None = None,
    with_columns: bool = False,
    notify: Notify | None = None,
) -> Iterator[Record | InvalidRow]:
    """Read the rows of a file.

    Parameters
    ----------
    path : str, path or file object
        A .smi, .smiles, .ism, .cxsmiles, .txt, .csv, .tsv, .tab, .sdf, .sd or .mol file (also with .gz, .bz2, .xz or
        .zst), an .xlsx or a .parquet file; "-" for standard input. Standard input and file objects may hold any of the
        text formats.
    column : str, optional
        SMILES column of a table; by default the first of smiles, isomeric_smiles, canonical_smiles, structure, mol
        and other usual names, in any case and spelling, or a column of InChIs. In a file without a header, a number
        from 1; by default the column whose first values are molecules. .sdf and .mol files ignore it.
    name_column : str, optional
        Column with the names, or property of an .sdf; by default name, id, title or another usual name such as
        Compound_ID or "ChEMBL ID".
    with_columns : bool
        Whether the records contain the further columns of a table or properties of an .sdf.
    notify : callable, optional
        Called with a line that says how a file is read, if it is not obvious; by default a `MolvaeWarning`.

    Yields
    ------
    Record or InvalidRow
        In the order of the file.

    Raises
    ------
    InputError
        Immediately or at the first row, if the file is missing, empty, of unknown format, or has no such column.
    MissingExtraError
        For .xlsx and .zst files, if the extra "formats" is not installed.
    """
    notify = notify or warn
    if not isinstance(path, str | os.PathLike):
        return _stream_rows(path, str(getattr(path, "name", "stream")), column, name_column, with_columns, notify)
    if str(path) == "-":
        # bytes instead of text, so that an undecodable line does not affect the others
        stdin = getattr(sys.stdin, "buffer", sys.stdin)
        return _stream_rows(stdin, "-", column, name_column, with_columns, notify)
    kind = _checked_format(Path(path))
    if kind == "parquet":
        return parquet_rows(str(path), column, name_column, with_columns=with_columns)
    if kind == "xlsx":
        return xlsx_rows(str(path), column, name_column, with_columns=with_columns)
    return _file_rows(str(path), kind, column, name_column, with_columns, notify)


def looks_like_file(argument: str) -> bool:
    """Return whether an argument is a file (or "-") rather than a SMILES.

    It is if it has a known suffix, or if it exists and is not a molecule: a folder named CCO does not hide ethanol.
    """
    if argument == "-" or file_format(argument) is not None:
        return True
    return "\0" not in argument and os.path.exists(argument) and not is_molecule(argument)


def _checked_format(path: Path) -> str:
    if path.is_dir():
        raise InputError(f"{path} is a directory: give a file in it")
    if not path.exists():
        raise InputError(f"{path} does not exist: check the spelling and the current directory")
    kind = file_format(path.name)
    if kind is None:
        hint = _SUFFIX_HINTS.get(path.suffix.lower())
        also = f"; {hint}" if hint else ""
        raise InputError(f"{path} has no known format: its suffix must be one of {SUFFIXES}{also}")
    if path.is_file():  # a named pipe can be read only once
        with path.open("rb") as file:
            start = file.read(8)
        if not start:
            raise InputError(f"{path} is empty: at least one row is needed")
        check_magic(path, start)
    return kind


def _file_rows(
    path: str, kind: str, column: str | None, name_column: str | None, with_columns: bool, notify: Notify
) -> Iterator[Record | InvalidRow]:
    with open_binary(path) as stream:
        if kind in ("sdf", "mol"):
            yield from sdf_rows(stream, path, name_column, with_columns=with_columns)
        else:
            yield from text_rows(stream, path, kind, column, name_column, with_columns=with_columns, notify=notify)


def _stream_rows(
    stream: IO[Any], source: str, column: str | None, name_column: str | None, with_columns: bool, notify: Notify
) -> Iterator[Record | InvalidRow]:
    """Read a stream as a text file with or without a header, or as an .sdf if it begins like one."""
    if not isinstance(stream, io.TextIOBase):
        stream = stream if hasattr(stream, "peek") else io.BufferedReader(stream)  # type: ignore[type-var, assignment]
        if _is_sdf(stream):
            yield from sdf_rows(stream, source, name_column, with_columns=with_columns)
            return
    yield from text_rows(stream, source, "txt", column, name_column, with_columns=with_columns, notify=notify)


def _is_sdf(stream: IO[Any]) -> bool:
    """Whether the fourth line of a binary stream is the counts line of a mol block."""
    try:
        lines = stream.peek(4096)[:4096].splitlines()  # type: ignore[attr-defined]
    except DAMAGED_STREAM:
        return False  # reported with the first line
    return len(lines) > 3 and _COUNTS_LINE.fullmatch(lines[3].decode("latin-1")) is not None
