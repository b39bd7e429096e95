"""Read molecules from text formats: .smi, .txt, .csv and .tsv files, line by line in bounded memory.

An undecodable or overlong line does not affect the other lines. A truncated or damaged stream ends with an invalid row.
"""

from __future__ import annotations

import csv
import re
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from itertools import chain, islice
from typing import IO, Any

from molvae.chem.smiles import MAX_SMILES_LENGTH
from molvae.data.layout import SAMPLE_ROWS, Layout, find_layout
from molvae.data.lines import Line, read_lines
from molvae.data.rows import InvalidRow, Record, clean_name, make_row, split_cx_block, too_long_message
from molvae.errors import InputError

Notify = Callable[[str], None]
"""Function of a message about how a file is read."""

_SAMPLE_LINES = 60  # lines at the beginning of a file that may contain `SAMPLE_ROWS` rows, besides comments
_MAX_ROW_LINES = 100  # lines of one row with line breaks in quotes; more means that a quote is not closed
_SMI_FIELDS = re.compile(r" *([^ \t]*)[ \t]*(.*)", re.DOTALL)
_EXCEL_DELIMITER = re.compile(r'"?sep=[,;|\t]"?')
_SPACES = re.compile(r"[ \t]+")


def text_rows(
    stream: IO[Any],
    source: str,
    kind: str,
    column: str | None = None,
    name_column: str | None = None,
    *,
    with_columns: bool = False,
    notify: Notify = lambda _: None,
) -> Iterator[Record | InvalidRow]:
    """Read a text file whose layout is recognized by its first rows (see `layout`).

    Parameters
    ----------
    stream : file object
        Text or bytes.
    source : str
        Name of the file for records and messages.
    kind : {"smi", "txt", "csv", "tsv"}
        Format by the suffix of the file. A .smi or .txt has comments (#); only in a .smi, quotes have no meaning.
    column, name_column : str, optional
        Columns with SMILES and names, or their numbers in a file without a header.
    with_columns : bool
        Whether the records contain the further columns.
    notify : callable
        Called with what was recognized if it is not obvious, and if the text is not UTF-8.

    Yields
    ------
    Record or InvalidRow
        The number of a row is that of its first line.

    Raises
    ------
    InputError
        If the file is empty, or a column does not exist or cannot be recognized.
    """
    lines = _tell_encoding(read_lines(stream, source), source, notify)
    sample = list(islice(lines, _SAMPLE_LINES))
    has_comments = kind in ("smi", "txt")
    if not has_comments and _EXCEL_DELIMITER.fullmatch(sample[0].text):
        del sample[0]
    usable = [line for line in sample if _is_usable(line) and not (has_comments and _is_skipped(line))]
    if not has_comments and (not sample or not _is_usable(sample[0]) or not sample[0].text.strip()):
        found = "nothing" if not sample else sample[0].problem or repr(sample[0].text[:80])
        raise InputError(f"{source}: the first line must hold the column names, got {found}; add a header")
    recognize = partial(
        find_layout,
        kind=kind,
        source=_shown(source),
        column=column,
        requested_name=name_column,
    )
    header = next((line for line in sample[:1] if line.text.startswith("#")), None)
    if header is not None:  # a comment, or a header that begins with #
        rest = [line for line in usable if line is not header]
        layout = recognize(partial(_split_sample, [replace(header, text=header.text.lstrip("# ")), *rest], kind))
        if not layout.has_header:
            layout, header = recognize(partial(_split_sample, rest, kind)), rest[0] if rest else None
    else:
        layout, header = recognize(partial(_split_sample, usable, kind)), usable[0] if usable else None
    if layout.message:
        notify(layout.message)
    if layout.has_header:
        sample = [line for line in sample if line is not header]
    rows = chain(sample, lines)
    if layout.delimiter == "":
        yield from _plain_rows(rows, source, with_columns)
    else:
        yield from _table_rows(rows, source, kind, layout, with_columns)


def smi_row(text: str, source: str, row: int, *, with_columns: bool = False) -> Record | InvalidRow:
    """Return the row of a line of a .smi file, or of an argument of a command.

    Spaces and tabs separate SMILES and name, and tabs further fields. The SMILES is "" if the line begins with a tab.

    >>> smi_row("CCO |$;;OH_p$| ethanol", "a.smi", 1).name
    'ethanol'
    """
    smiles, name, further, note = _split_plain(text)
    if "," in smiles and "," in smiles.partition(" |")[0] and not smiles.startswith("InChI="):
        reason = "',' is not a SMILES character: separate SMILES and name by a tab, or name the file .csv"
        return InvalidRow(source, row, smiles, reason, clean_name(name))
    made = make_row(smiles, name, source, row, _further_fields(further) if with_columns and further else {})
    return replace(made, note=note) if note and isinstance(made, Record) else made


def _split_plain(text: str) -> tuple[str, str, str, str]:
    """Return SMILES, name, further fields, and a note of a dropped CX extension."""
    match = _SMI_FIELDS.match(text)
    assert match is not None  # every part of the pattern may be empty
    smiles, rest = match.groups()
    note, further = "", ""
    if rest.startswith("|") and rest.find("|", 1) > 0:
        smiles, note, rest = split_cx_block(f"{smiles} {rest}")
    if "\t" in rest:
        rest, _, further = rest.partition("\t")
    return smiles, rest, further, note


def _plain_rows(lines: Iterator[Line], source: str, with_columns: bool) -> Iterator[Record | InvalidRow]:
    """Read lines of a SMILES and optionally a name; skip blank lines and comments (#)."""
    for line in lines:
        if line.problem is None and _is_skipped(line):
            continue
        smiles = "" if line.problem is None else _split_plain(line.text)[0]
        if line.problem is not None and not (line.undecodable and smiles.isascii()):
            yield InvalidRow(source, line.row, line.text, _smiles_problem(smiles, line))
        else:
            yield smi_row(line.text, source, line.row, with_columns=with_columns)


def _further_fields(text: str) -> dict[str, str]:
    return {f"column_{number}": field for number, field in enumerate(text.split("\t"), start=3)}


def _table_rows(
    lines: Iterator[Line], source: str, kind: str, layout: Layout, with_columns: bool
) -> Iterator[Record | InvalidRow]:
    """Read the rows of a table after its header."""
    smiles_index, name_index = layout.smiles_index, layout.name_index
    if kind in ("smi", "txt"):
        lines = (line for line in lines if line.problem or not _is_skipped(line))
    for line, fields in _split_rows(lines, layout.delimiter, kind):
        if isinstance(fields, str):
            yield InvalidRow(source, line.row, line.text, fields)
            continue
        if layout.delimiter == " ":
            fields = _joined_words(fields, layout)
        if len(fields) > smiles_index:
            smiles = fields[smiles_index]
            name = fields[name_index] if name_index is not None and name_index < len(fields) else ""
            if line.problem and not smiles.isascii():
                yield InvalidRow(source, line.row, smiles, line.problem, clean_name(name))
            else:
                yield make_row(smiles, name, source, line.row, _columns(layout, fields) if with_columns else {})
        elif fields:
            name, number = layout.columns[smiles_index], smiles_index + 1
            reason = f"{len(fields)} fields, but the SMILES column {name!r} is number {number}"
            yield InvalidRow(source, line.row, line.text, reason)


def _joined_words(words: list[str], layout: Layout) -> list[str]:
    """Join the words of a name with spaces in a space-separated row with more words than columns."""
    extra = len(words) - len(layout.columns)
    if extra <= 0 or layout.name_index is None:
        return words
    end = layout.name_index + extra + 1
    return [*words[: layout.name_index], " ".join(words[layout.name_index : end]), *words[end:]]


def _columns(layout: Layout, fields: list[str]) -> Mapping[str, str]:
    """The fields of a row besides SMILES and name, by the name of their column."""
    used = (layout.smiles_index, layout.name_index)
    return {name: field for i, (name, field) in enumerate(zip(layout.columns, fields, strict=False)) if i not in used}


def _is_usable(line: Line) -> bool:
    """Whether the ASCII fields of a line can be used."""
    return not line.problem or line.undecodable


def _is_skipped(line: Line) -> bool:
    """Whether a line is blank or a comment."""
    return line.text.startswith("#") or not line.text.strip(" \t")


def _smiles_problem(smiles: str, line: Line) -> str:
    """Return the problem of a line; an overlong first word is reported as an overlong SMILES."""
    if len(smiles) <= MAX_SMILES_LENGTH or line.problem is None:
        return line.problem or ""
    return too_long_message(line.length if smiles == line.text else len(smiles))


def _tell_encoding(lines: Iterator[Line], source: str, notify: Notify) -> Iterator[Line]:
    """Yield all lines; the first one that is not UTF-8 is told."""
    for line in lines:
        yield line
        if line.undecodable:
            where = f"{_shown(source)}, line {line.row}"
            notify(f"{where}: not UTF-8; the text of such lines is read as Windows-1252 (Latin-1)")
            break
    yield from lines


def _shown(source: str) -> str:
    """The source in messages."""
    return "standard input" if source == "-" else source


# --- fields -------------------------------------------------------------------------------------------------------


def _split_sample(lines: list[Line], kind: str, delimiter: str) -> list[list[str]]:
    """Return the fields of the first rows; for "", one field with the whole line."""
    if not delimiter:
        return [[line.text] for line in lines[:SAMPLE_ROWS]]
    rows = (fields for _, fields in _split_rows(iter(lines), delimiter, kind) if isinstance(fields, list))
    return list(islice(rows, SAMPLE_ROWS)) or [[line.text] for line in lines[:1]]


def _split_rows(lines: Iterator[Line], delimiter: str, kind: str) -> Iterator[tuple[Line, list[str] | str]]:
    """Yield the first line of each row with the fields of the row, or with the reason why it is invalid."""
    if delimiter == " ":
        return _split_simply(lines, lambda text: _SPACES.split(text.strip(" \t")))
    if kind == "smi" and delimiter in "\t|":
        return _split_simply(lines, lambda text: text.split(delimiter))
    return _split_quoted(lines, delimiter)


def _split_simply(lines: Iterator[Line], split: Callable[[str], list[str]]) -> Iterator[tuple[Line, list[str] | str]]:
    for line in lines:
        yield line, line.problem if line.problem and not line.undecodable else split(line.text)


def _split_quoted(lines: Iterator[Line], delimiter: str) -> Iterator[tuple[Line, list[str] | str]]:
    """Yield rows whose fields may be quoted.

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
        yield _with_problem(block) if fields is not None else line, reason if fields is None else fields


def _with_problem(block: list[Line]) -> Line:
    """The first line of a row, with the problem of the first undecodable line."""
    problem = next((line.problem for line in block if line.undecodable), None)
    first = block[0]
    return first if problem is None else Line(first.row, first.text, problem, first.length, undecodable=True)


def _fields(text: str, delimiter: str) -> list[str] | None:
    """Return the fields of a row, or None if a quoted field is not closed. Raises `csv.Error`."""
    text = text.replace("\r", " ")  # not a line break here, but one for the csv module
    try:
        return next(csv.reader([text], delimiter=delimiter, strict=True), [])
    except csv.Error as error:
        if "unexpected end" in str(error):
            return None
        raise
