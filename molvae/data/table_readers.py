"""Read molecules from .parquet and .xlsx tables, whose first row or schema holds the column names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, datetime
from itertools import chain, islice
from typing import Any

from molvae.data.column_names import distinct_names
from molvae.data.layout import SAMPLE_ROWS, find_columns
from molvae.data.rows import InvalidRow, Record, make_row
from molvae.errors import InputError, import_extra

_PARQUET_BATCH_SIZE = 8192


def parquet_rows(
    path: str, column: str | None = None, name_column: str | None = None, *, with_columns: bool = False
) -> Iterator[Record | InvalidRow]:
    """Read a .parquet file in batches; only the columns that are needed.

    Parameters
    ----------
    path : str
        The file.
    column, name_column : str, optional
        Columns with SMILES and names; by default those with usual names.
    with_columns : bool
        Whether the records contain the further columns, except nested ones.
    """
    import pyarrow as pa  # takes half a second, which other formats do not need
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            schema = file.schema_arrow
            columns = schema.names
            smiles_index, name_index = find_columns(columns, (), path, column, name_column)
            selected = [i for i in (smiles_index, name_index) if i is not None]
            if with_columns:
                flat = (i for i, field in enumerate(schema) if not pa.types.is_nested(field.type))
                selected += [i for i in flat if i not in selected]
            further = [columns[i] for i in selected if i not in (smiles_index, name_index)]
            row = 0
            for batch in file.iter_batches(_PARQUET_BATCH_SIZE, columns=[columns[i] for i in selected]):
                values = {name: batch.column(name).to_pylist() for name in batch.schema.names}
                names = values[columns[name_index]] if name_index is not None else [None] * len(batch)
                for i, (value, name) in enumerate(zip(values[columns[smiles_index]], names, strict=True)):
                    row += 1
                    extra = {key: cell_text(values[key][i]) for key in further}
                    yield _table_row(value, cell_text(name), path, row, extra)
    except (pa.ArrowInvalid, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise InputError(f"{path} cannot be read as parquet ({error}): write or download it again") from error


def xlsx_rows(
    path: str, column: str | None = None, name_column: str | None = None, *, with_columns: bool = False
) -> Iterator[Record | InvalidRow]:
    """Read the first sheet with rows of an .xlsx workbook; formulas by their stored values.

    Parameters
    ----------
    path : str
        The file.
    column, name_column : str, optional
        Columns with SMILES and names; by default those with usual names, or the only one with molecules.
    with_columns : bool
        Whether the records contain the further columns.

    Raises
    ------
    MissingExtraError
        If openpyxl is not installed.
    InputError
        If the file is not a workbook, or has no column with SMILES.
    """
    openpyxl = import_extra("openpyxl", "formats")
    try:
        workbook = openpyxl.load_workbook(path, read_only=True, data_only=True)
    except Exception as error:
        raise InputError(f"{path} cannot be read as an .xlsx workbook ({error}): save it again") from error
    try:
        cells = _numbered_rows(workbook, path)
        _, header = next(cells)
        columns = distinct_names(header)
        sample = list(islice(cells, SAMPLE_ROWS))
        smiles_index, name_index = find_columns(columns, [row for _, row in sample], path, column, name_column)
        for number, fields in chain(sample, cells):
            name = fields[name_index] if name_index is not None and name_index < len(fields) else ""
            extra: dict[str, str] = {}
            if with_columns:
                used = (smiles_index, name_index)
                extra = {key: fields[i] for i, key in enumerate(columns) if i not in used and i < len(fields)}
            value = fields[smiles_index] if smiles_index < len(fields) else ""
            yield _table_row(value, name, path, number, extra)
    finally:
        workbook.close()


def cell_text(value: Any) -> str:
    """Return a cell as text: "" for an empty one, whole numbers without decimals, dates as in ISO 8601."""
    if value is None or value != value:
        return ""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    if isinstance(value, datetime | date):
        return value.isoformat()
    return str(value)


def _numbered_rows(workbook: Any, path: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows of the first sheet that has any, with their numbers; the first is the header."""
    empty = True
    for sheet in workbook.worksheets:
        for number, cells in enumerate(sheet.iter_rows(values_only=True), start=1):
            if any(value is not None for value in cells):
                empty = False
                yield number, [cell_text(value) for value in cells]
        if not empty:
            return
    raise InputError(f"{path} is empty: at least one row is needed")


def _table_row(value: Any, name: str, source: str, row: int, columns: Mapping[str, str]) -> Record | InvalidRow:
    if value is not None and not isinstance(value, str):
        return InvalidRow(
            source, row, str(value), f"the SMILES field is {type(value).__name__}, not text", name, columns
        )
    return make_row(value or "", name, source, row, columns)
