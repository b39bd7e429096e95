"""Rows of input files: valid ones (`Record`), invalid ones with a reason (`InvalidRow`), and their counts."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from molvae.chem.smiles import MAX_SMILES_LENGTH, shortened
from molvae.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

ARGUMENT = "argument"
"""`source` of a SMILES that was given on the command line itself."""

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
        File as named by the user, "-" for standard input, or "argument" for a SMILES of the command line.
    row : int
        Line of a text file, row of a .parquet or record of an .sdf, counted from 1.
    """

    smiles: str
    name: str
    source: str
    row: int

    @property
    def location(self) -> str:
        """The position for messages, such as "library.smi, line 48"."""
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
    """Numbers of accepted, duplicate and invalid rows; every row that was read is counted in exactly one of them.

    >>> print(RowCounts(980, 15, 5).summary())
    1,000 read: 980 accepted, 15 duplicate, 5 invalid
    """

    accepted: int = 0
    duplicate: int = 0
    invalid: int = 0

    @property
    def read(self) -> int:
        """Number of all rows."""
        return self.accepted + self.duplicate + self.invalid

    def summary(self) -> str:
        """The counts in one line."""
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
    """The reason why a SMILES of `length` characters is invalid."""
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
    """Accept one SMILES as well as a list or column of them.

    Raises
    ------
    InputError
        For a whole table, whose iteration would give its column names, and for objects that cannot be iterated.
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
    """Return strings as a tuple: a single string is one element, None is empty.

    >>> as_tuple("qed"), as_tuple(["qed", "sa"]), as_tuple(None)
    (('qed',), ('qed', 'sa'), ())
    """
    return (values,) if isinstance(values, str) else tuple(values or ())


def with_index_of(frame: pd.DataFrame, rows: object) -> pd.DataFrame:
    """Give a table the index of the pandas object `rows`, which has as many rows; other objects have none."""
    if hasattr(rows, "iloc") and hasattr(rows, "index"):
        frame.index = rows.index.copy()  # a shared index would be renamed in both
    return frame


def escape_surrogates(text: str) -> str:
    """Escape lone surrogates, by which Python represents undecodable bytes and which Arrow columns cannot hold."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()
