"""Read molecules from text formats: .smi, .csv and .tsv files, line by line in bounded memory.

An undecodable or overlong line does not affect the other lines. A truncated or damaged stream ends with an invalid row.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import re
import zlib
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import IO, Any

from molvae.chem.smiles import MAX_SMILES_LENGTH, canonical_or_none
from molvae.data.rows import InvalidRow, Record, make_row, too_long_message
from molvae.errors import InputError, did_you_mean

MAX_LINE_LENGTH = 100_000
"""Maximum length of a line in bytes; the rest is skipped. It is below the limit of the csv module for one field."""

REPLACEMENT_CHARACTER = "\N{REPLACEMENT CHARACTER}"
"""Replaces bytes that are not valid UTF-8."""

SMILES_COLUMNS = ("smiles", "canonical_smiles", "structure", "mol")
"""Default names of the SMILES column, in order of preference."""

NAME_COLUMNS = ("name", "id", "title")
"""Default names of the name column, in order of preference."""

_STREAM_ERRORS = (EOFError, zlib.error, gzip.BadGzipFile, UnicodeDecodeError)
_UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_CX_EXTENSION = re.compile(r"^\|[^|]*\|\s*")
_MAX_ROW_LINES = 100  # lines of one row with line breaks in quotes; more means that a quote is not closed


@dataclass(frozen=True, slots=True)
class Line:
    """A line of text.

    Attributes
    ----------
    row : int
        Line number, from 1.
    text : str
        The line without its line break.
    problem : str, optional
        Why the text cannot be used.
    length : int
        Length of the whole line in bytes.
    undecodable : bool
        Whether the problem is bytes that are not UTF-8. They are replaced by `REPLACEMENT_CHARACTER`; fields without
        this character can be used.
    """

    row: int
    text: str
    problem: str | None = None
    length: int = 0
    undecodable: bool = False


def read_lines(stream: IO[Any], source: str) -> Iterator[Line]:
    """Yield the lines of a binary or text stream, without line breaks and byte-order mark.

    Undecodable and overlong lines have a `problem`, and so has the last line of a truncated or damaged .gz.

    Raises
    ------
    InputError
        If the stream is empty or UTF-16, or if its first line contains a carriage return.
    """
    row = 0
    while True:
        row += 1
        try:
            raw, length = _read_line(stream)
        except _STREAM_ERRORS as error:
            yield Line(row, "", f"the file is truncated or damaged from this line on ({error})")
            return
        if row == 1:
            raw = _check_first_line(raw, source)
        if not length:
            return
        yield _decode(row, raw, length)


def smi_rows(stream: IO[Any], source: str) -> Iterator[Record | InvalidRow]:
    """Read a .smi file: a SMILES and optionally a name in each line; skip blank lines and comments (#)."""
    for line in read_lines(stream, source):
        if line.problem is None and (not line.text.strip() or line.text.startswith("#")):
            continue
        smiles, name = split_smi_line(line.text)
        if line.problem is not None and not (line.undecodable and REPLACEMENT_CHARACTER not in smiles):
            yield InvalidRow(source, line.row, line.text, _smiles_problem(smiles, line))
        elif line.row > 1 or smiles.lower() != "smiles":  # line 1 may be a header
            yield make_row(smiles, name, source, line.row)


def split_smi_line(text: str) -> tuple[str, str]:
    """Split a line of a .smi file into SMILES and name.

    The SMILES is "" if the line begins with a tab. ChemAxon extensions between SMILES and name, such as |&1:1|, are
    removed.

    >>> split_smi_line("CCO |r| ethanol")
    ('CCO', 'ethanol')
    """
    if text.lstrip(" ").startswith("\t"):
        return "", text.strip()
    smiles, *rest = text.split(None, 1) or [""]
    return smiles, _CX_EXTENSION.sub("", "".join(rest))


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
    smiles_index, name_index = select_columns(columns, source, column, name_column)
    for line, fields in _split_rows(lines, delimiter):
        if isinstance(fields, str):
            yield InvalidRow(source, line.row, line.text, fields)
        elif len(fields) > smiles_index and REPLACEMENT_CHARACTER in fields[smiles_index]:
            reason = line.problem or "the SMILES field has bytes that are not UTF-8"
            yield InvalidRow(source, line.row, fields[smiles_index], reason)
        elif len(fields) > smiles_index:
            name = fields[name_index] if name_index is not None and name_index < len(fields) else ""
            yield make_row(fields[smiles_index], name, source, line.row)
        elif fields:
            name, number = columns[smiles_index], smiles_index + 1
            reason = f"{len(fields)} fields, but the SMILES column {name!r} is number {number}"
            yield InvalidRow(source, line.row, line.text, reason)


def select_columns(
    columns: Sequence[str], source: str, column: str | None, name_column: str | None
) -> tuple[int, int | None]:
    """Return the index of the SMILES column and of the name column of a table.

    Parameters
    ----------
    columns : sequence of str
        Names of all columns.
    source : str
        File name for messages.
    column, name_column : str or None
        Requested columns; None selects the first of `SMILES_COLUMNS` and `NAME_COLUMNS` that exists, in any case.

    Returns
    -------
    smiles_index : int
    name_index : int or None
        None if no default name column exists.

    Raises
    ------
    InputError
        If a requested column or the SMILES column does not exist.
    """
    lower = [name.lower() for name in columns]
    default = next((lower.index(name) for name in SMILES_COLUMNS if name in lower), None)
    smiles_index = _column_index(columns, source, column, "--column") if column is not None else default
    if smiles_index is None:
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
        return smiles_index, _column_index(columns, source, name_column, "the same option")
    candidates = (lower.index(name) for name in NAME_COLUMNS if name in lower)
    return smiles_index, next((index for index in candidates if index != smiles_index), None)


def _column_index(columns: Sequence[str], source: str, requested: str, option: str) -> int:
    if requested in columns:
        return list(columns).index(requested)
    hint = did_you_mean(requested, columns)
    found = ", ".join(columns)
    raise InputError(f"{source} has no column {requested!r}{hint}: it has {found}; give one of them by {option}")


def _smiles_problem(smiles: str, line: Line) -> str:
    """Return the problem of a line; an overlong first word is reported as an overlong SMILES."""
    if len(smiles) <= MAX_SMILES_LENGTH or line.problem is None:
        return line.problem or ""
    return too_long_message(line.length if smiles == line.text else len(smiles))


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
    """Yield the first line of each row with the fields of the row, or with the reason why it is invalid.

    Quoted fields may contain line breaks. If a quote is never closed, only its line is invalid; the lines after it are
    read as rows.
    """
    pending: deque[Line] = deque()
    while line := pending.popleft() if pending else next(lines, None):
        if line.problem and not line.undecodable:
            yield line, line.problem
            continue
        block, fields, reason = [line], None, "a quote is not closed"
        try:
            fields = _fields(line.text, delimiter)
            while fields is None and len(block) < _MAX_ROW_LINES:
                following = pending.popleft() if pending else next(lines, None)
                if following is None:
                    break
                block.append(following)
                if following.problem and not following.undecodable:
                    break
                fields = _fields("\n".join(part.text for part in block), delimiter)
        except csv.Error as error:
            reason = f"not a row of a table: {error}"
        if fields is None:
            pending.extendleft(reversed(block[1:]))
        yield line, reason if fields is None else fields


def _read_line(stream: IO[Any]) -> tuple[bytes, int]:
    """Return a line, cut at `MAX_LINE_LENGTH`, and its length in bytes with the line break; 0 at the end."""
    raw = piece = _as_bytes(stream.readline(MAX_LINE_LENGTH))
    length = len(raw)
    # If the last line has no line break, read again: in a truncated .gz this raises an error, so that an incomplete row
    # is not returned as a complete one.
    while piece and not piece.endswith(b"\n"):
        piece = _as_bytes(stream.readline(MAX_LINE_LENGTH))
        length += len(piece)
    return raw, length


def _as_bytes(piece: bytes | str) -> bytes:
    return piece.encode("utf-8", "surrogatepass") if isinstance(piece, str) else piece


def _check_first_line(raw: bytes, source: str) -> bytes:
    """Return the first line without its byte-order mark. Raises `InputError`."""
    if not raw:
        raise InputError(f"{source} is empty: at least one row is needed")
    if raw.startswith(_UTF16_MARKS):
        raise InputError(f"{source} is UTF-16 text: only UTF-8 is read; save it again as UTF-8")
    if b"\r" in raw.rstrip(b"\r\n"):
        raise InputError(f"{source} has carriage returns as line breaks: save it with line feeds")
    return raw.removeprefix(codecs.BOM_UTF8)


def _decode(row: int, raw: bytes, length: int) -> Line:
    raw = raw.rstrip(b"\r\n")
    try:
        text, problem = raw.decode("utf-8"), None
    except UnicodeDecodeError as error:
        text, problem = raw.decode("utf-8", "replace"), f"byte {error.start + 1} of the line is not UTF-8"
    if length > MAX_LINE_LENGTH:
        problem = f"the line has {length:,} characters, more than the maximum of {MAX_LINE_LENGTH:,}"
        return Line(row, text, problem, length)
    return Line(row, text, problem, length, undecodable=problem is not None)
