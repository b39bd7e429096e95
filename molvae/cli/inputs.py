"""Rows of molecules from the command line: SMILES, files and standard input; invalid rows are reported on stderr."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain
from typing import IO, Any

import typer

from molvae.chem.smiles import parse, silence_rdkit, standardize, write
from molvae.data.readers import looks_like_file, read_records
from molvae.data.rows import ARGUMENT, InvalidRow, Record, make_row
from molvae.data.text_readers import SMILES_COLUMNS, csv_rows, split_smi_line
from molvae.errors import MoleculeError

Row = Record | InvalidRow

_MAX_HEADER_BYTES = 65_536


def read_rows(
    arguments: Sequence[str], column: str | None, name_column: str | None = None, *, standardized: bool = False
) -> Iterator[Row]:
    """The rows of SMILES, files and standard input (`-`), in the order of the arguments.

    Parameters
    ----------
    arguments
        SMILES, paths or `-`. Standard input may be a list of SMILES or a table with a header.
    column, name_column
        Columns with the SMILES and the names; None for the usual names.
    standardized
        Normalize functional groups and strip salts.

    Returns
    -------
    iterator of Record or InvalidRow

    Raises
    ------
    InputError
        For a file that does not exist or has an unknown format, before any row is read.
    """
    rows = [
        _read_argument(argument, position, column, name_column) for position, argument in enumerate(arguments, start=1)
    ]
    found = chain.from_iterable(rows)
    if not standardized:
        return found
    return (replace(row, smiles=standardized_smiles(row.smiles)) if isinstance(row, Record) else row for row in found)


def standardized_smiles(smiles: str) -> str:
    """The SMILES after standardization; unchanged if it cannot be parsed, so that the caller reports the error."""
    try:
        with silence_rdkit():
            return write(standardize(parse(smiles)))
    except MoleculeError:
        return smiles


def report_row(row: Row, reason: str = "") -> None:
    """Print one line on stderr for a row that cannot be used."""
    typer.echo(f"{row.location}: {reason}" if isinstance(row, Record) else str(row), err=True)


def report_errors(errors: dict[str, str]) -> None:
    """Print one line on stderr for each molecule that could not be used."""
    from molvae.chem.smiles import shortened

    for smiles, reason in errors.items():
        typer.echo(f"{shortened(smiles)}: {reason}", err=True)


def valid_rows(rows: Iterator[Row], invalid: list[Row] | None = None) -> Iterator[Record]:
    """The rows with a valid molecule. The others are reported on stderr and appended to `invalid`."""
    invalid = [] if invalid is None else invalid
    for row in rows:
        if not isinstance(row, Record):
            report_row(row)
            invalid.append(row)
            continue
        try:
            parse(row.smiles)
        except MoleculeError as error:
            report_row(row, str(error))
            invalid.append(row)
        else:
            yield row


def valid_smiles(rows: Iterator[Row]) -> Iterator[str]:
    """The SMILES of the valid rows. The others are reported on stderr."""
    return (row.smiles for row in valid_rows(rows))


def _read_argument(argument: str, position: int, column: str | None, name_column: str | None) -> Iterator[Row]:
    """The rows of one argument: standard input, a file, or a SMILES."""
    if argument == "-":
        return _standard_input(column, name_column)
    if looks_like_file(argument):
        return read_records(argument, column=column, name_column=name_column)
    return iter([make_row(*split_smi_line(argument.strip()), ARGUMENT, position)])


def _standard_input(column: str | None, name_column: str | None) -> Iterator[Row]:
    stream = _PeekedStream(getattr(sys.stdin, "buffer", sys.stdin))
    if column is not None or _is_table_header(stream.first_line):
        return csv_rows(stream, "-", "csv", column, name_column)  # type: ignore[arg-type]
    return read_records(stream)  # type: ignore[arg-type]


def _is_table_header(line: bytes) -> bool:
    """Whether a line names several columns, one of them a SMILES column. The header of a .smi file does not count."""
    text = line.decode("utf-8-sig", errors="replace").strip()
    fields = next(csv.reader([text], delimiter=max(",;\t", key=text.count)), [])
    is_smiles = [field.strip().lower() in SMILES_COLUMNS for field in fields]
    smi_header = len(fields) == 2 and is_smiles[0] and "\t" in text
    return len(fields) > 1 and any(is_smiles) and not smi_header


class _PeekedStream:
    """A binary stream whose first line has been inspected and is returned again by `readline`."""

    name = "-"

    def __init__(self, stream: IO[Any]) -> None:
        self.stream = stream
        first = stream.readline(_MAX_HEADER_BYTES)
        self.first_line = first if isinstance(first, bytes) else first.encode()
        self.unread = self.first_line

    def readline(self, size: int = -1) -> bytes:
        """The next line, or its next `size` bytes."""
        if self.unread:
            cut = len(self.unread) if size < 0 else size
            line, self.unread = self.unread[:cut], self.unread[cut:]
            return line
        line = self.stream.readline(size)
        return line if isinstance(line, bytes) else line.encode()
