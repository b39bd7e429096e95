"""What one row of input becomes: a record, or an invalid row with its reason; and the count of both."""

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
"""The source of a SMILES that was given on the command line itself."""

MAX_INVALID_ROWS_SHOWN = 20
"""InvalidRows, at most, that are told one by one."""

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
    """One row: a SMILES as it stands in the source, not yet parsed.

    `row` counts from 1: the line in a text file, the row of a .parquet, the record of an .sdf. `source` is
    the file as named by the user, `-` for standard input, or `argument` for a SMILES given on the command
    line.
    """

    smiles: str
    name: str
    source: str
    row: int

    @property
    def location(self) -> str:
        """The place for a message, such as "library.smi, line 48"."""
        return _where(self.source, self.row)


@dataclass(frozen=True, slots=True)
class InvalidRow:
    """One row that gave no molecule, with its reason; `value` is what stood there, shortened.

    `name` is the row's, where it could be told.
    """

    source: str
    row: int
    value: str
    reason: str
    name: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "value", shortened(self.value))

    def __str__(self) -> str:
        return f"{_where(self.source, self.row)}: {self.reason}"


@dataclass
class RowCounts:
    """What became of each row; `read` is the sum of the others, so that no row can go missing."""

    kept: int = 0
    duplicate: int = 0
    rejected: int = 0

    @property
    def read(self) -> int:
        return self.kept + self.duplicate + self.rejected

    def summary(self) -> str:
        """One line, such as "1,000 read: 980 kept, 15 duplicate, 5 rejected"."""
        kept, duplicate, rejected = self.kept, self.duplicate, self.rejected
        return f"{self.read:,} read: {kept:,} kept, {duplicate:,} duplicate, {rejected:,} rejected"


def make_row(smiles: str, name: str, source: str, row: int) -> Record | InvalidRow:
    """A record, or the invalid row of a SMILES that is empty or too long to be looked at."""
    smiles, name = smiles.strip(), name.strip()
    if not smiles:
        return InvalidRow(source, row, "", "the SMILES field is empty", name)
    if len(smiles) > MAX_SMILES_LENGTH:
        return InvalidRow(source, row, smiles, too_long_message(len(smiles)), name)
    return Record(smiles, name, source, row)


def as_smiles_iterable(smiles: str | Iterable[Any]) -> Iterable[Any]:
    """SMILES given from Python: one of them is many too.

    Raises `InputError` for a table, whose rows are its column names to who goes through it, and for what has no rows.
    """
    if isinstance(smiles, str):
        return [smiles]
    if hasattr(smiles, "columns"):
        raise InputError("a table is no list of SMILES: give the column that holds them, such as table['smiles']")
    if not isinstance(smiles, Iterable):
        raise InputError(f"SMILES are text, or a list or column of it; got {type(smiles).__name__}: {smiles!r:.60}")
    return smiles


def with_index_of(frame: pd.DataFrame, rows: object) -> pd.DataFrame:
    """A table with a row for each of `rows`, under the index of these where they are of pandas."""
    if hasattr(rows, "iloc") and hasattr(rows, "index"):
        frame.index = rows.index.copy()  # or who renames one would rename the other
    return frame


def escape_surrogates(text: str) -> str:
    """Without lone surrogates, what Python makes of bytes that are not text: a table's column cannot hold them."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def too_long_message(length: int) -> str:
    """The reason for refusing a SMILES of `length` characters unread."""
    return f"a SMILES of {length:,} characters, more than {MAX_SMILES_LENGTH:,}"


def file_format(name: str) -> str | None:
    """The format that a file name announces (smi, csv, tsv, sdf, parquet), or None."""
    lower = name.lower()
    kind = _FORMATS.get(os.path.splitext(lower.removesuffix(".gz"))[1])
    return None if kind == "parquet" and lower.endswith(".gz") else kind


def _where(source: str, row: int) -> str:
    if source == ARGUMENT:
        return f"argument {row}"
    unit = _UNITS.get(file_format(source) or "", "line")
    return f"{'standard input' if source == '-' else source}, {unit} {row}"


def as_tuple(asked: str | Iterable[str] | None) -> tuple[str, ...]:
    """Wishes given from Python: a bare string is one, and not one for each of its letters; None is none."""
    return (asked,) if isinstance(asked, str) else tuple(asked or ())
