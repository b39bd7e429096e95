"""Read molecules from .csv, .tsv, .parquet and .sdf files, one row at a time."""

from __future__ import annotations

import csv
import io
from collections import deque
from collections.abc import Iterator, Sequence
from typing import IO, Any

from rdkit import Chem

from molvae.chem.smiles import canonical_or_none, silence_rdkit, write
from molvae.data.rows import InvalidRow, Record, make_row
from molvae.data.text_lines import UNKNOWN, Line, read_lines
from molvae.errors import InputError, did_you_mean

SMILES_COLUMNS = ("smiles", "canonical_smiles", "structure", "mol")
NAME_COLUMNS = ("name", "id", "title")

_MAX_ROW_LINES = 100  # lines of one row with line breaks in quotes; more means that a quote is not closed
_MAX_SDF_RECORD = 10_000_000  # characters
_PARQUET_BATCH_SIZE = 8192


def csv_rows(
    stream: IO[bytes], source: str, kind: str, column: str | None, name_column: str | None
) -> Iterator[Record | InvalidRow]:
    """Read a table whose first row holds the column names; `kind` is "csv" or "tsv".

    The delimiter of a .csv is the most frequent of comma, semicolon and tab in its header. The number of a row is that
    of its first line.
    """
    lines = read_lines(stream, source)
    header = next(lines)
    delimiter = "\t" if kind == "tsv" else max(",;\t", key=header.text.count)
    columns = [name.strip() for name in _header(header, source, delimiter)]
    at, name_at = _pick(columns, source, column, name_column)
    for line, fields in _split_rows(lines, delimiter):
        if isinstance(fields, str):
            yield InvalidRow(source, line.row, line.text, fields)
        elif len(fields) > at and UNKNOWN in fields[at]:
            yield InvalidRow(
                source, line.row, fields[at], line.problem or "the SMILES field has bytes that are not UTF-8"
            )
        elif len(fields) > at:
            name = fields[name_at] if name_at is not None and name_at < len(fields) else ""
            yield make_row(fields[at], name, source, line.row)
        elif fields:
            reason = f"{len(fields)} fields, but the SMILES column {columns[at]!r} is number {at + 1}"
            yield InvalidRow(source, line.row, line.text, reason)


def parquet_rows(path: str, column: str | None, name_column: str | None) -> Iterator[Record | InvalidRow]:
    """Read the needed columns of a .parquet file in batches."""
    import pyarrow as pa  # takes half a second, which other formats do not need
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            columns = file.schema_arrow.names
            at, name_at = _pick(columns, path, column, name_column)
            picked = [columns[i] for i in (at, name_at) if i is not None]
            row = 0
            for batch in file.iter_batches(_PARQUET_BATCH_SIZE, columns=picked):
                values = batch.column(columns[at]).to_pylist()
                names = batch.column(picked[-1]).to_pylist() if name_at is not None else [None] * len(values)
                for value, name in zip(values, names, strict=True):
                    row += 1
                    yield _value_row(value, name, path, row)
    except pa.ArrowInvalid as error:
        raise InputError(f"{path} cannot be read as parquet ({error}): write or download it again") from error


def sdf_rows(stream: IO[bytes], source: str, name_column: str | None) -> Iterator[Record | InvalidRow]:
    """Read the records of an .sdf as canonical SMILES; the name is the title, or the property `name_column`."""
    block: list[str] = []
    row, size, problem, data = 1, 0, None, False
    for line in read_lines(stream, source):
        # undecodable bytes after "M  END", or in the title, do not affect the structure
        data = data or line.text.startswith("M  END")
        problem = problem or (None if line.undecodable and (data or not block) else line.problem)
        size += len(line.text) + 1
        if line.text.startswith("$$$$"):
            yield _sdf_row("\n".join(block), problem, source, row, name_column)
            block, row, size, problem, data = [], row + 1, 0, None, False
        elif size > _MAX_SDF_RECORD:
            problem = f"a record of more than {_MAX_SDF_RECORD:,} characters"
        else:
            block.append(line.text)
    if problem or any(line.strip() for line in block):  # the last record may have no $$$$
        yield _sdf_row("\n".join(block), problem, source, row, name_column)


def _pick(columns: Sequence[str], source: str, column: str | None, name_column: str | None) -> tuple[int, int | None]:
    """Return the index of the SMILES column and of the name column, if there is one."""
    lower = [name.lower() for name in columns]
    default = next((lower.index(name) for name in SMILES_COLUMNS if name in lower), None)
    at = _position(columns, source, column, "--column") if column is not None else default
    if at is None:
        if molecule := next((name for name in columns if len(name) > 5 and canonical_or_none(name)), ""):
            raise InputError(
                f"{source} seems to have no header: {molecule!r} in its first line is a molecule; "
                "add a first line with the column names, such as smiles,name"
            )
        raise InputError(
            f"{source} has no column called {' or '.join(SMILES_COLUMNS)}: it has {', '.join(columns)}; "
            "give the SMILES column by --column, or as FILE:COLUMN for a reference"
        )
    if name_column is not None:
        return at, _position(columns, source, name_column, "the same option")
    return at, next((lower.index(name) for name in NAME_COLUMNS if name in lower and lower.index(name) != at), None)


def _position(columns: Sequence[str], source: str, wanted: str, option: str) -> int:
    if wanted in columns:
        return list(columns).index(wanted)
    hint = did_you_mean(wanted, columns)
    found = ", ".join(columns)
    raise InputError(f"{source} has no column {wanted!r}{hint}: it has {found}; give one of them by {option}")


def _header(line: Line, source: str, delimiter: str) -> list[str]:
    try:
        columns = None if line.problem else _fields(line.text, delimiter)
    except csv.Error:
        columns = None
    if not columns:
        found = line.problem or repr(line.text[:80])
        raise InputError(f"{source}: the first line must hold the column names, got {found}; add a header")
    return columns


def _fields(text: str, delimiter: str) -> list[str] | None:
    """Return the fields of a row, or None if a quoted field is not closed. Raises `csv.Error`."""
    try:
        return next(csv.reader([text], delimiter=delimiter, strict=True), [])
    except csv.Error as error:
        if "unexpected end" in str(error):
            return None
        raise


def _split_rows(lines: Iterator[Line], delimiter: str) -> Iterator[tuple[Line, list[str] | str]]:
    """Yield the first line of each row with its fields, or with the reason why it has none.

    Quoted fields may contain line breaks. If a quote is never closed, only its line is invalid; the lines after it are
    read as rows.
    """
    waiting: deque[Line] = deque()
    while line := waiting.popleft() if waiting else next(lines, None):
        if line.problem and not line.undecodable:
            yield line, line.problem
            continue
        block, fields, reason = [line], None, "a quote is not closed"
        try:
            fields = _fields(line.text, delimiter)
            while fields is None and len(block) < _MAX_ROW_LINES:
                following = waiting.popleft() if waiting else next(lines, None)
                if following is None:
                    break
                block.append(following)
                if following.problem and not following.undecodable:
                    break
                fields = _fields("\n".join(part.text for part in block), delimiter)
        except csv.Error as error:
            reason = f"not a row of a table: {error}"
        if fields is None:
            waiting.extendleft(reversed(block[1:]))
        yield line, reason if fields is None else fields


def _value_row(value: Any, name: Any, source: str, row: int) -> Record | InvalidRow:
    name = "" if name is None else str(name)
    if value is not None and not isinstance(value, str):
        return InvalidRow(source, row, str(value), f"the SMILES field is {type(value).__name__}, not text", name)
    return make_row(value or "", name, source, row)


def _sdf_row(text: str, problem: str | None, source: str, row: int, name_column: str | None) -> Record | InvalidRow:
    title = text.partition("\n")[0].strip()
    if problem:
        return InvalidRow(source, row, title, problem)
    with silence_rdkit():
        mol = next(Chem.ForwardSDMolSupplier(io.BytesIO(text.encode())), None)
        if mol is None:
            return InvalidRow(source, row, title, _sdf_reason(text))
        if mol.GetNumAtoms() == 0:
            return InvalidRow(source, row, title, "no atoms in the record")
        name = title if name_column is None else _property(mol, name_column)
        return make_row(write(mol), name, source, row)


def _property(mol: Chem.Mol, name: str) -> str:
    """Return a property as text, without conversion: 0012 stays 0012."""
    return str(mol.GetProp(name)) if mol.HasProp(name) else ""


def _sdf_reason(text: str) -> str:
    mol = Chem.MolFromMolBlock(text, sanitize=False)
    problems = Chem.DetectChemistryProblems(mol) if mol is not None else []
    return f"cannot read the record: {problems[0].Message().strip() if problems else 'not a valid mol block'}"
