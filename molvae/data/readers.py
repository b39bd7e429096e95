"""Read molecules from files and standard input, one row at a time: each row is a record or an invalid row.

The SMILES of text formats are not parsed here. Memory use does not depend on the size of the input.
"""

from __future__ import annotations

import gzip
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, cast

from molvae.chem.smiles import MAX_SMILES_LENGTH
from molvae.data.rows import InvalidRow, Record, RowCounts, file_format, make_row, too_long_message
from molvae.data.table_readers import csv_rows, parquet_rows, sdf_rows
from molvae.data.text_lines import UNKNOWN, Line, read_lines
from molvae.errors import InputError

__all__ = ["InvalidRow", "Record", "RowCounts", "looks_like_file", "read_records"]

_CX_EXTENSION = re.compile(r"^\|[^|]*\|\s*")
_KNOWN = ".smi, .smiles, .txt, .csv, .tsv, .sdf (each also as .gz) and .parquet"


def read_records(
    path: str | Path | IO[Any], *, column: str | None = None, name_column: str | None = None
) -> Iterator[Record | InvalidRow]:
    """Read the rows of a file.

    Parameters
    ----------
    path : str, Path or file object
        A .smi, .smiles, .txt, .csv, .tsv or .sdf file (also with .gz) or a .parquet file; "-" for standard input.
        Standard input and file objects are read like a .smi file.
    column : str, optional
        SMILES column of a .csv, .tsv or .parquet; by default smiles, canonical_smiles, structure or mol, the first that
        exists, in any case. Other formats ignore it.
    name_column : str, optional
        Column with the names, or property of an .sdf; by default name, id or title.

    Yields
    ------
    Record or InvalidRow
        In the order of the file.

    Raises
    ------
    InputError
        Immediately or at the first row, if the file is missing, empty, of unknown format, or has no such column.
    """
    if not isinstance(path, str | Path):
        return _smi_rows(path, str(getattr(path, "name", "stream")))
    if str(path) == "-":
        # bytes instead of text, so that an undecodable line does not affect the others
        return _smi_rows(getattr(sys.stdin, "buffer", sys.stdin), "-")
    kind = _checked_format(Path(path))
    if kind == "parquet":
        return parquet_rows(str(path), column, name_column)
    return _file_rows(str(path), kind, column, name_column)


def looks_like_file(argument: str) -> bool:
    """Return whether an argument is a file (or "-") rather than a SMILES, by its existence or its suffix."""
    return argument == "-" or os.path.exists(argument) or file_format(argument) is not None


def _checked_format(path: Path) -> str:
    if path.is_dir():
        raise InputError(f"{path} is a directory: give a file in it")
    if not path.exists():
        raise InputError(f"{path} does not exist: check the spelling and the current directory")
    kind = file_format(path.name)
    if kind is None:
        raise InputError(f"{path} has no known format: its suffix must be one of {_KNOWN}")
    if path.is_file():  # a named pipe can be read only once
        with path.open("rb") as file:
            start = file.read(2)
        if not start:
            raise InputError(f"{path} is empty: at least one row is needed")
        if path.suffix.lower() == ".gz" and start != b"\x1f\x8b":
            raise InputError(f"{path} is named .gz but is not gzip: remove .gz from its name or compress it")
    return kind


def _file_rows(path: str, kind: str, column: str | None, name_column: str | None) -> Iterator[Record | InvalidRow]:
    opener = gzip.open if path.lower().endswith(".gz") else open
    with cast(IO[bytes], opener(path, "rb")) as stream:
        if kind == "smi":
            yield from _smi_rows(stream, path)
        elif kind == "sdf":
            yield from sdf_rows(stream, path, name_column)
        else:
            yield from csv_rows(stream, path, kind, column, name_column)


def _smi_rows(stream: IO[Any], source: str) -> Iterator[Record | InvalidRow]:
    """Read lines with a SMILES and optionally white space and a name; skip blank lines and lines that start with #."""
    for line in read_lines(stream, source):
        if line.problem is None and (not line.text.strip() or line.text.startswith("#")):
            continue
        smiles, name = split_smi_line(line.text)
        if line.problem is not None and not (line.undecodable and UNKNOWN not in smiles):
            yield InvalidRow(source, line.row, line.text, _smiles_problem(smiles, line))
        elif line.row > 1 or smiles.lower() != "smiles":  # line 1 may be a header
            yield make_row(smiles, name, source, line.row)


def split_smi_line(text: str) -> tuple[str, str]:
    """Split a line of a .smi file into SMILES and name.

    After a leading tab the SMILES is missing. ChemAxon extensions between the two, such as |&1:1|, are removed.

    >>> split_smi_line("CCO |r| ethanol")
    ('CCO', 'ethanol')
    """
    if text.lstrip(" ").startswith("\t"):
        return "", text.strip()
    smiles, *rest = text.split(None, 1) or [""]
    return smiles, _CX_EXTENSION.sub("", "".join(rest))


def _smiles_problem(smiles: str, line: Line) -> str:
    """Return the problem of a line: a long first word is a long SMILES."""
    if len(smiles) <= MAX_SMILES_LENGTH or line.problem is None:
        return line.problem or ""
    return too_long_message(line.length if smiles == line.text else len(smiles))
