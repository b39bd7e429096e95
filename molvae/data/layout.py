"""The layout of a text file: its delimiter, its header, and the columns with SMILES and names.

A header is recognized by the names in it (`column_names`); without one, the column whose values in the first rows are
molecules holds the SMILES. A .smi or .txt file whose lines begin with a molecule has SMILES and name, separated by a
tab or spaces.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from molvae.chem.smiles import MAX_SMILES_LENGTH, parse, silence_rdkit
from molvae.data.column_names import (
    SMILES_COLUMNS,
    column_key,
    distinct_names,
    find_requested,
    name_column,
    requested_column,
    smiles_column,
)
from molvae.data.rows import WHITE_SPACE, smiles_from_inchi
from molvae.errors import InputError, MoleculeError

SAMPLE_ROWS = 20
"""Rows at the beginning of a file by which its layout is recognized."""

DELIMITERS = {"\t": "tab", ",": "comma", ";": "semicolon", "|": "pipe", " ": "space"}

Split = Callable[[str], list[list[str]]]
"""Function of a delimiter that returns the fields of the first rows."""

_SMILES_CHARACTERS = re.compile(r"(\[[^\[\]]+\]|Br|Cl|[BCNOPSFI]|[bcnops]|[0-9%()=#$:/\\.~*@+-])+")
_WORD_END = re.compile(r"[ \t]")
_MIN_FRACTION = 0.5  # of the first rows that must be molecules in the SMILES column
_SHORT = 3  # characters: shorter values that are molecules, such as CN, may as well be IDs


@dataclass(frozen=True, slots=True)
class Layout:
    """How the rows of a file are split, and which fields are SMILES and name.

    Attributes
    ----------
    delimiter : str
        Separator of the fields; "" for a SMILES, white space, and a name.
    columns : tuple of str
        Names of all columns; column_1, column_2, ... without a header.
    smiles_index, name_index : int, int or None
        The columns with SMILES and names.
    has_header : bool
        Whether the first row holds the names of the columns.
    message : str
        What was recognized, if it is not obvious from the name of the file.
    """

    delimiter: str
    columns: tuple[str, ...] = ()
    smiles_index: int = 0
    name_index: int | None = None
    has_header: bool = False
    message: str = ""


def find_layout(split: Split, kind: str, source: str, column: str | None, requested_name: str | None) -> Layout:
    """Return the layout of a text file.

    Parameters
    ----------
    split : callable
        Returns the fields of the first rows for a delimiter; for "", one field with the whole line.
    kind : {"smi", "txt", "csv", "tsv"}
        Format by the suffix of the file.
    source : str
        Name of the file for messages.
    column, requested_name : str or None
        Columns with SMILES and names: a name in the header, or a number from 1 in a file without a header.

    Raises
    ------
    InputError
        If a requested column does not exist, or if no column can be told to hold the SMILES.
    """
    rows = split("")
    if not rows:
        return Layout("" if kind in ("smi", "txt") else ",")
    first = rows[0][0]
    found = _known_header(first, split, kind, column)
    if found is not None:
        layout = _layout_with_header(found, split(found)[0], kind, source, column, requested_name)
    else:
        layout = _layout_by_values(rows, split, kind, source, column, requested_name)
    return replace(layout, message=_message(layout, kind, source, column))


def find_columns(
    columns: Sequence[str], rows: Sequence[Sequence[str]], source: str, column: str | None, requested_name: str | None
) -> tuple[int, int | None]:
    """Return the indices of the SMILES column and of the name column of a table with a header.

    Parameters
    ----------
    columns : sequence of str
        Names of all columns.
    rows : sequence of sequences of str
        The first rows; if no name is known, the only column whose values are molecules holds the SMILES.
    source, column, requested_name
        As in `find_layout`.

    Raises
    ------
    InputError
        If a requested column or the SMILES column does not exist.
    """
    if column is not None:
        smiles_index = requested_column(columns, source, column, "--column")
    elif (known := smiles_column(columns)) is not None:
        smiles_index = known
    else:
        smiles_index = _only_molecule_column(columns, rows, source)
    if requested_name is not None:
        return smiles_index, requested_column(columns, source, requested_name, "the same option")
    return smiles_index, name_column(columns, smiles_index)


def is_molecule(text: str) -> bool:
    """Return whether a field is a valid SMILES (also with a CX extension) or an InChI."""
    if text.startswith("InChI="):
        return smiles_from_inchi(text) is not None
    smiles = text.partition(" |")[0].strip(WHITE_SPACE)
    if not smiles or len(smiles) > MAX_SMILES_LENGTH or not _SMILES_CHARACTERS.fullmatch(smiles):
        return False
    try:
        with silence_rdkit():
            parse(smiles)
    except MoleculeError:
        return False
    return True


# --- with a header ------------------------------------------------------------------------------------------------


def _known_header(first: str, split: Split, kind: str, column: str | None) -> str | None:
    """Return the delimiter with which the first row is a header; None if it is not one."""
    default = {"csv": ",", "tsv": "\t"}.get(kind, "")
    present = [mark for mark in _ordered(kind, first) if mark != " "]
    steps = [*((mark, True) for mark in present), (default, True), *((mark, False) for mark in present)]
    if " " in first.strip(" "):
        steps.append((" ", True))
    steps.append((default, False))
    if column is not None:
        marks = dict.fromkeys(mark for mark, _ in steps)
        named = (mark for mark in marks if find_requested(_names(split, mark), column) is not None)
        if (mark := next(named, None)) is not None:
            return mark
    return next((mark for mark, exact in steps if _is_header(_names(split, mark), exact=exact)), None)


def _names(split: Split, mark: str) -> list[str]:
    return [name.strip() for name in split(mark)[0]]


def _is_header(names: Sequence[str], *, exact: bool) -> bool:
    """Whether the fields of the first row include a known name of a SMILES column.

    A row that begins with a molecule is a header only if a field is called SMILES, because C and N may be names, too.
    """
    index = smiles_column(names, exact=exact)
    if index is None:
        return False
    return not is_molecule(names[0]) or (index > 0 and "smiles" in column_key(names[index]))


def _layout_with_header(
    delimiter: str, fields: Sequence[str], kind: str, source: str, column: str | None, requested_name: str | None
) -> Layout:
    columns = distinct_names(fields)
    is_smi = kind in ("smi", "txt") and delimiter in ("", "\t", " ")
    if is_smi and column is not None and find_requested(columns, column) is None:
        column = None  # a .smi file beside tables: its message says so
    smiles_index, name_index = find_columns(columns, (), source, column, requested_name)
    if is_smi and smiles_index == 0 and len(columns) <= 2 and name_index in (None, len(columns) - 1):
        return Layout("", tuple(columns), 0, len(columns) - 1 or None, has_header=True)
    return Layout(delimiter, tuple(columns), smiles_index, name_index, has_header=True)


# --- by values ----------------------------------------------------------------------------------------------------


def _layout_by_values(
    lines: Sequence[Sequence[str]], split: Split, kind: str, source: str, column: str | None, requested_name: str | None
) -> Layout:
    """Return the layout in which a column of the first rows holds molecules."""
    first = lines[0][0]
    is_smi = kind in ("smi", "txt")
    marks = [mark for mark in _ordered(kind, first) if is_smi or mark != " "]
    if column is not None and column.isdecimal() and int(column):
        return _numbered(int(column) - 1, marks or [","], split, source, column, requested_name)
    plain = 0.0
    if is_smi:
        plain = _fraction([is_molecule(_WORD_END.split(line[0].strip(" "), maxsplit=1)[0]) for line in lines])
        if plain >= 0.9 or not marks:
            return Layout("")
    best, best_layout, tables = max(plain, _MIN_FRACTION - 1e-9), None, [(mark, split(mark)) for mark in marks]
    for mark, rows in tables or [("\t" if kind == "tsv" else ",", [list(line) for line in lines])]:
        fraction, index, has_header = _molecule_column(rows, is_smi, source)
        if fraction > best:
            best = fraction
            best_layout = _table_layout(mark, rows, index, has_header, kind, source, column, requested_name)
    if best_layout is not None:
        return best_layout
    if is_smi:
        return Layout("")
    mark = max(",;\t|", key=first.count) if kind == "csv" else "\t"
    columns = _names(split, mark)
    smiles_index, name_index = find_columns(columns, (), source, column, requested_name)
    return Layout(mark, tuple(distinct_names(columns)), smiles_index, name_index, has_header=True)


def _fraction(hits: Sequence[bool]) -> float:
    """The fraction of molecules in a column; a first row that is none may be a header and does not count."""
    counted = hits[1:] if len(hits) > 1 and not hits[0] else hits
    return sum(counted) / max(len(counted), 1)


def _molecule_column(rows: Sequence[Sequence[str]], is_smi: bool, source: str) -> tuple[float, int, bool]:
    """Return the fraction of molecules in the SMILES column, its index, and whether the first row is a header."""
    hits = [[len(row) > i and is_molecule(row[i]) for row in rows] for i in range(len(rows[0]))]
    fractions = [_fraction(column) for column in hits]
    best = max(fractions)
    candidates = [i for i, fraction in enumerate(fractions) if fraction == best]
    index = candidates[0]
    if len(candidates) > 1 and best >= _MIN_FRACTION and not is_smi:
        long = [i for i in candidates if any(len(row) > i and len(row[i]) > _SHORT for row in rows)]
        if len(long) != 1:
            shown = " and ".join(f"{i + 1} ({rows[0][i][:40]!r})" for i in candidates)
            raise InputError(f"{source}: the columns {shown} hold SMILES; choose one by --column NUMBER or its name")
        index = long[0]
    others = [field for i, field in enumerate(rows[0]) if i != index]
    named = len(rows) > 1 and name_column(others) is not None
    has_header = named or (not hits[index][0] and not _SMILES_CHARACTERS.fullmatch(rows[0][index].strip() or "C"))
    return best, index, has_header


def _table_layout(
    mark: str,
    rows: Sequence[Sequence[str]],
    index: int,
    has_header: bool,
    kind: str,
    source: str,
    column: str | None,
    requested_name: str | None,
) -> Layout:
    if has_header:
        columns = distinct_names(rows[0])
        smiles_index, name_index = find_columns(columns, rows[1:], source, column, requested_name)
        return Layout(mark, tuple(columns), smiles_index, name_index, has_header=True)
    if column is not None and kind in ("csv", "tsv"):
        raise InputError(
            f"{source} has no header with the column {column!r}: give the number of the column, such as "
            f"--column {index + 1}, or add a first line with the column names"
        )
    return _without_header(mark, rows, index, source, requested_name)


def _without_header(
    mark: str, rows: Sequence[Sequence[str]], index: int, source: str, requested_name: str | None
) -> Layout:
    n_columns = max(map(len, rows))
    columns = tuple(f"column_{number}" for number in range(1, n_columns + 1))
    if requested_name is not None:
        number = int(requested_name) if requested_name.isdecimal() else 0
        name_index = number - 1 if 0 < number <= n_columns else requested_column(columns, source, requested_name, "it")
        return Layout(mark, columns, index, name_index)
    return Layout(mark, columns, index, _name_by_values(rows, index, n_columns))


def _name_by_values(rows: Sequence[Sequence[str]], index: int, n_columns: int) -> int | None:
    """Return the first other column with a different value in each row, else the first other column."""
    others = [i for i in range(n_columns) if i != index]
    for i in others:
        values = [row[i] for row in rows if len(row) > i]
        if all(values) and len(set(values)) == len(rows) and not values[0].startswith("InChI="):
            return i
    return others[0] if others else None


def _numbered(
    index: int, marks: Sequence[str], split: Split, source: str, column: str, requested_name: str | None
) -> Layout:
    """Return the layout of a file without header whose SMILES column is given by its number."""
    for mark in marks:
        rows = split(mark)
        if index < len(rows[0]):
            return _without_header(mark, rows, index, source, requested_name)
    raise InputError(f"{source} has no header and no column {column}: its first line has fewer fields")


def _only_molecule_column(columns: Sequence[str], rows: Sequence[Sequence[str]], source: str) -> int:
    """Return the only column of a table with a header whose values are molecules. Raises `InputError`."""
    values = [[row[i] for row in rows if len(row) > i and row[i].strip()] for i in range(len(columns))]
    hits = [bool(column) and sum(map(is_molecule, column)) > _MIN_FRACTION * len(column) for column in values]
    found = [i for i, hit in enumerate(hits) if hit and max(map(len, values[i])) > _SHORT - 1]
    if len(found) == 1:
        return found[0]
    if found:
        both = " and ".join(repr(columns[i]) for i in found)
        raise InputError(f"{source}: the columns {both} hold SMILES; choose one by --column")
    if molecule := next((name for name in columns if len(name) > 5 and is_molecule(name)), ""):
        raise InputError(
            f"{source} seems to have no header: {molecule!r} in its first line is a molecule; "
            "add a first line with the column names, such as smiles,name"
        )
    raise InputError(
        f"{source} has no column called {' or '.join(SMILES_COLUMNS)}: it has {', '.join(columns)}; "
        "give the SMILES column by --column, or as FILE:COLUMN for a reference"
    )


# --- messages -----------------------------------------------------------------------------------------------------


def _ordered(kind: str, first: str) -> list[str]:
    """Return the delimiters in the first row; in a .csv the most frequent first."""
    present = [mark for mark in DELIMITERS if mark in first.strip(" ")]
    if kind == "csv":
        return sorted(present, key=lambda mark: (mark == " ", -first.count(mark)))
    return present


def _message(layout: Layout, kind: str, source: str, column: str | None) -> str:
    """Return what was recognized, or "" if the suffix and the names of the columns say it."""
    if layout.delimiter == "":
        ignored = column is not None and find_requested(layout.columns, column) != 0
        return f"{source} has no column {column!r}: the first field of each line is the SMILES" if ignored else ""
    known = layout.has_header and (column is not None or smiles_column(layout.columns) == layout.smiles_index)
    if known and layout.delimiter == {"csv": ",", "tsv": "\t"}.get(kind):
        return ""
    header = "with a header" if layout.has_header else "without a header"
    parts = [f"{source}: read as {DELIMITERS[layout.delimiter]}-separated text {header}"]
    parts.append(f"SMILES in {_column_text(layout, layout.smiles_index)}")
    if layout.name_index is not None:
        parts.append(f"names in {_column_text(layout, layout.name_index)}")
    if kind == "smi" and layout.delimiter != "\t":
        parts.append("a .smi file has a tab or space between SMILES and name: name tables .csv or .tsv")
    return "; ".join(parts)


def _column_text(layout: Layout, index: int) -> str:
    return f"column {layout.columns[index]!r}" if layout.has_header else f"column {index + 1}"
