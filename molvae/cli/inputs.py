"""Rows from the command line: every one a record, or an invalid row that is reported."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain
from typing import IO, Any

import typer

from molvae.chem.smiles import parse, silence_rdkit, standardize, write
from molvae.data.readers import looks_like_file, read_records, split_smi_line
from molvae.data.rows import ARGUMENT, InvalidRow, Record, make_row
from molvae.data.table_readers import SMILES_COLUMNS, csv_rows
from molvae.errors import MoleculeError

_HEADER_BYTES = 65_536


def read(
    arguments: Sequence[str], column: str | None, name_column: str | None = None, *, standardized: bool = False
) -> Iterator[Record | InvalidRow]:
    """SMILES, files and `-` in order. Standard input may be a table too: what `molvae` writes into a pipe is one.

    `standardized`: with groups normalized and salts stripped. Raises `InputError` at once for any file that is missing
    or no file of molecules.
    """
    rows = [_rows(argument, position, column, name_column) for position, argument in enumerate(arguments, start=1)]
    found = chain.from_iterable(rows)
    if not standardized:
        return found
    return (replace(row, smiles=cleaned(row.smiles)) if isinstance(row, Record) else row for row in found)


def cleaned(smiles: str) -> str:
    """With groups normalized and salts stripped; what is no molecule as it is, to be rejected where it is used."""
    try:
        with silence_rdkit():
            return write(standardize(parse(smiles)))
    except MoleculeError:
        return smiles


def report(row: Record | InvalidRow, reason: str = "") -> None:
    """One line on stderr for a row that cannot be used."""
    typer.echo(f"{row.location}: {reason}" if isinstance(row, Record) else str(row), err=True)


def _rows(argument: str, position: int, column: str | None, name_column: str | None) -> Iterator[Record | InvalidRow]:
    if argument == "-":
        return _standard_input(column, name_column)
    if looks_like_file(argument):
        return read_records(argument, column=column, name_column=name_column)
    return iter([make_row(*split_smi_line(argument.strip()), ARGUMENT, position)])


def _standard_input(column: str | None, name_column: str | None) -> Iterator[Record | InvalidRow]:
    stream = Unread(getattr(sys.stdin, "buffer", sys.stdin))
    if column is not None or _is_header(stream.head):
        return csv_rows(stream, "-", "csv", column, name_column)  # type: ignore[arg-type]
    return read_records(stream)  # type: ignore[arg-type]


def _is_header(line: bytes) -> bool:
    """Whether a first line names several columns, one of them that of the SMILES; that of a .smi is none."""
    text = line.decode("utf-8-sig", errors="replace").strip()
    fields = next(csv.reader([text], delimiter=max(",;\t", key=text.count)), [])
    named = [field.strip().lower() in SMILES_COLUMNS for field in fields]
    smi = len(fields) == 2 and named[0] and "\t" in text
    return len(fields) > 1 and any(named) and not smi


class Unread:
    """A stream whose first line was looked at and is still to be read."""

    name = "-"

    def __init__(self, stream: IO[Any]) -> None:
        self.stream = stream
        first = stream.readline(_HEADER_BYTES)
        self.head = first if isinstance(first, bytes) else first.encode()
        self.left = self.head

    def readline(self, size: int = -1) -> bytes:
        """The next line or, as of any stream, the next `size` bytes of it."""
        if self.left:
            cut = len(self.left) if size < 0 else size
            line, self.left = self.left[:cut], self.left[cut:]
            return line
        more = self.stream.readline(size)
        return more if isinstance(more, bytes) else more.encode()
