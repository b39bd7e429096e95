"""Rows of molecules from the command line: SMILES, files and standard input; invalid rows are reported on stderr."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain

import typer

from molvae.chem.smiles import parse
from molvae.chem.standardization import prepare
from molvae.data.carried_columns import peek_columns
from molvae.data.readers import looks_like_file, read_records
from molvae.data.rows import ARGUMENT, InvalidRow, Record
from molvae.data.text_readers import smi_row
from molvae.errors import MoleculeError

Row = Record | InvalidRow


def read_rows(
    arguments: Sequence[str],
    column: str | None,
    name_column: str | None = None,
    *,
    standardized: bool = False,
    keep_salts: bool = False,
    with_columns: bool = False,
) -> Iterator[Row]:
    """The rows of SMILES, files and standard input (`-`), in the order of the arguments.

    Parameters
    ----------
    arguments
        SMILES, paths or `-`. Standard input may be a list of SMILES or a table with a header.
    column, name_column
        Columns with the SMILES and the names; None for the usual names.
    standardized
        Clean up functional groups and metals, and strip salts unless `keep_salts`.
    with_columns
        Whether the records contain the further columns of tables and properties of .sdf files.

    Returns
    -------
    iterator of Record or InvalidRow

    Raises
    ------
    InputError
        For a file that does not exist or has an unknown format, before any row is read.
    """
    inputs = _read_arguments(arguments, column, name_column, standardized, keep_salts, with_columns)
    return chain.from_iterable(inputs)


def _standardized(row: Record, keep_salts: bool) -> Record:
    """The row with the standardized SMILES; unchanged if it cannot be parsed, so that the caller reports the error."""
    try:
        molecule = prepare(row.smiles, standardize=True, keep_salts=keep_salts)
    except MoleculeError:
        return row
    return replace(row, smiles=molecule.smiles, note="; ".join(filter(None, (row.note, molecule.note))))


def standardized_smiles(smiles: str, keep_salts: bool = False) -> str:
    """The SMILES after standardization; unchanged if it cannot be parsed, so that the caller reports the error."""
    return _standardized(Record(smiles, "", ARGUMENT, 1), keep_salts).smiles


def report_row(row: Row, reason: str = "") -> None:
    """Print one line on stderr for a row that cannot be used."""
    typer.echo(f"{row.location}: {reason}" if isinstance(row, Record) else str(row), err=True)


def report_note(row: Record, note: str) -> bool:
    """Print one line on stderr for a row whose molecule was changed; whether there is something to tell."""
    note = "; ".join(filter(None, (row.note, note)))
    if note:
        typer.echo(f"{row.location}: {note}", err=True)
    return bool(note)


def report_notes(notes: dict[str, str]) -> None:
    """Print one line on stderr for each molecule that was changed."""
    from molvae.chem.smiles import shortened

    for smiles, note in notes.items():
        typer.echo(f"{shortened(smiles)}: {note}", err=True)


def changed_summary(n_changed: int) -> str:
    """The end of a summary line: how many rows were changed; "" for none."""
    return f"; {n_changed:,} changed, such as salts that were stripped" if n_changed else ""


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
            report_note(row, "")
            yield row


def valid_smiles(rows: Iterator[Row]) -> Iterator[str]:
    """The SMILES of the valid rows. The others are reported on stderr."""
    return (row.smiles for row in valid_rows(rows))


def _read_arguments(
    arguments: Sequence[str],
    column: str | None,
    name_column: str | None,
    standardized: bool,
    keep_salts: bool,
    with_columns: bool,
) -> list[Iterator[Row]]:
    """The rows of each argument."""
    inputs = [
        _read_argument(argument, position, column, name_column, with_columns)
        for position, argument in enumerate(arguments, start=1)
    ]
    if not standardized:
        return inputs
    return [(_standardized(row, keep_salts) if isinstance(row, Record) else row for row in rows) for rows in inputs]


def _read_argument(
    argument: str, position: int, column: str | None, name_column: str | None, with_columns: bool
) -> Iterator[Row]:
    """The rows of one argument: standard input, a file, or a SMILES."""
    if looks_like_file(argument):
        return read_records(argument, column=column, name_column=name_column, with_columns=with_columns, notify=_tell)
    return iter([smi_row(argument, ARGUMENT, position)])


def _tell(line: str) -> None:
    typer.echo(line, err=True)


class InputRows:
    """The rows of all inputs with the names of their further columns, which are carried through to the output.

    The columns are those of the first rows of every input. A column with the name of one of the output's own columns
    is written as `input_NAME`.

    Parameters
    ----------
    arguments, column, name_column, standardized, keep_salts
        As in `read_rows`.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        column: str | None,
        name_column: str | None = None,
        *,
        standardized: bool = False,
        keep_salts: bool = False,
    ) -> None:
        self.columns: tuple[str, ...] = ()
        inputs = _read_arguments(arguments, column, name_column, standardized, keep_salts, with_columns=True)
        self._rows = chain.from_iterable([self._peek(rows) for rows in inputs])

    def _peek(self, rows: Iterator[Row]) -> Iterator[Row]:
        found, rows = peek_columns(rows)
        self.columns = tuple(dict.fromkeys((*self.columns, *found)))
        return rows

    def __iter__(self) -> Iterator[Row]:
        return self._rows

    def __next__(self) -> Row:
        return next(self._rows)
