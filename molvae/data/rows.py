"""Rows of input files: records, invalid rows with the reason, and their counts; arguments that hold SMILES."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from molvae.chem.smiles import MAX_SMILES_LENGTH, shortened
from molvae.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

ARGUMENT = "argument"
"""`source` of a SMILES that is an argument of a command or a function."""

MAX_INVALID_ROWS_SHOWN = 20
"""Maximum number of invalid rows that a command prints one by one."""

_FORMATS = {
    ".smi": "smi",
    ".smiles": "smi",
    ".txt": "smi",
    ".csv": "csv",
    ".tsv": "tsv",
    ".sdf": "sdf",
    ".parquet": "parquet",
}
_UNITS = {"sdf": "record", "parquet": "row"}


_NO_COLUMNS: Mapping[str, str] = {}  # one object, because most readers carry no columns


@dataclass(frozen=True, slots=True)
class Record:
    """A row with a SMILES, which has not been parsed yet.

    Attributes
    ----------
    smiles : str
        As in the source.
    name : str
        Name of the molecule, or "".
    source : str
        File name as passed by the user, "-" for standard input, or `ARGUMENT`.
    row : int
        Number of the line of a text file, the row of a .parquet or the record of an .sdf, from 1.
    columns : mapping of str to str
        The further columns of the row, if they were requested; empty otherwise.
    note : str
        What the reader dropped, such as enhanced stereo; "" if nothing.
    """

    smiles: str
    name: str
    source: str
    row: int
    columns: Mapping[str, str] = field(default_factory=lambda: _NO_COLUMNS, hash=False)
    note: str = ""

    @property
    def location(self) -> str:
        """Source and row for messages, such as "library.smi, line 48"."""
        return _location(self.source, self.row)


@dataclass(frozen=True, slots=True)
class InvalidRow:
    """A row that cannot be used, with the reason.

    Attributes
    ----------
    source, row : str, int
        As in `Record`.
    value : str
        Contents of the row or of its SMILES field, shortened.
    reason : str
        Why the row is invalid.
    name : str
        Name of the molecule, or "".
    """

    source: str
    row: int
    value: str
    reason: str
    name: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "value", shortened(self.value))

    def __str__(self) -> str:
        return f"{_location(self.source, self.row)}: {self.reason}"


@dataclass
class RowCounts:
    """Numbers of accepted, duplicate and invalid rows. Each row is counted once.

    >>> print(RowCounts(980, 15, 5).summary())
    1,000 read: 980 accepted, 15 duplicate, 5 invalid
    """

    accepted: int = 0
    duplicate: int = 0
    invalid: int = 0

    @property
    def read(self) -> int:
        """Total number of rows."""
        return self.accepted + self.duplicate + self.invalid

    def summary(self) -> str:
        """Return the counts in one line."""
        return f"{self.read:,} read: {self.accepted:,} accepted, {self.duplicate:,} duplicate, {self.invalid:,} invalid"


def make_row(smiles: str, name: str, source: str, row: int) -> Record | InvalidRow:
    """Return a record, or an invalid row if the SMILES is empty or too long to be parsed."""
    smiles, name = smiles.strip(), name.strip()
    if not smiles:
        return InvalidRow(source, row, "", "the SMILES field is empty", name)
    if len(smiles) > MAX_SMILES_LENGTH:
        return InvalidRow(source, row, smiles, too_long_message(len(smiles)), name)
    return Record(smiles, name, source, row)


def too_long_message(length: int) -> str:
    """Return the message for a SMILES with too many characters."""
    return f"the SMILES has {length:,} characters, more than the maximum of {MAX_SMILES_LENGTH:,}"


def file_format(name: str) -> str | None:
    """Return the format of a file by its suffix, ignoring .gz: smi, csv, tsv, sdf, parquet, or None if unknown.

    >>> file_format("library.SMI.gz"), file_format("library.xlsx")
    ('smi', None)
    """
    lower = name.lower()
    known = _FORMATS.get(os.path.splitext(lower.removesuffix(".gz"))[1])
    return None if known == "parquet" and lower.endswith(".gz") else known


def _location(source: str, row: int) -> str:
    if source == ARGUMENT:
        return f"argument {row}"
    unit = _UNITS.get(file_format(source) or "", "line")
    return f"{'standard input' if source == '-' else source}, {unit} {row}"


# --- arguments of Python functions --------------------------------------------------------------------------------


def as_smiles_iterable(smiles: str | Iterable[Any]) -> Iterable[Any]:
    """Return SMILES as an iterable: a single SMILES becomes a list of one.

    Raises
    ------
    InputError
        For a table, whose iteration would yield column names, and for objects that are not iterable.
    """
    if isinstance(smiles, str):
        return [smiles]
    if hasattr(smiles, "columns"):
        raise InputError("SMILES were expected, got a table: pass the column that holds them, such as table['smiles']")
    if not isinstance(smiles, Iterable):
        raise InputError(
            f"SMILES must be a string or an iterable of strings, got {type(smiles).__name__}: {smiles!r:.60}"
        )
    return smiles


def as_tuple(values: str | Iterable[str] | None) -> tuple[str, ...]:
    """Return strings as a tuple: a single string becomes one element, None an empty tuple.

    >>> as_tuple("qed"), as_tuple(["qed", "sa"]), as_tuple(None)
    (('qed',), ('qed', 'sa'), ())
    """
    return (values,) if isinstance(values, str) else tuple(values or ())


def with_index_of(frame: pd.DataFrame, rows: object) -> pd.DataFrame:
    """Set the index of a table to that of `rows`, if `rows` is a pandas object (of the same length)."""
    if hasattr(rows, "iloc") and hasattr(rows, "index"):
        frame.index = rows.index.copy()  # a shared index would be renamed in both
    return frame


def escape_surrogates(text: str) -> str:
    """Escape lone surrogates, which represent undecodable bytes in Python and are not allowed in Arrow columns."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()
