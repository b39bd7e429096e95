"""Table writers: the suffix of a file selects the format, and the file is replaced atomically.

A writer accepts one table after another, so memory stays constant for streams of any length. Images are the exception:
they contain at most a few hundred molecules.
"""

from __future__ import annotations

import gzip
import io
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from numbers import Real
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
import pandas as pd
from rdkit import Chem

from molvae.chem.properties import PROPERTIES
from molvae.chem.rdkit_guard import RDKIT_ERRORS, rdkit_reason, silence_rdkit
from molvae.chem.smiles import parse
from molvae.data.files import atomic_write
from molvae.data.rows import clean_name, escape_surrogates
from molvae.errors import InputError, MoleculeError, import_extra, one_line
from molvae.io.formats import OUTPUT_SUFFIXES
from molvae.io.formats import check_format as check_format
from molvae.io.formats import output_format as output_format
from molvae.viz.grid import MAX_PANELS
from molvae.viz.table_image import molecule_column, render_table

AppendTable = Callable[[pd.DataFrame], None]

_TEXT_COLUMNS = (
    "seed", "id", "name", "note", "source", "smiles", "reconstruction", "error", "canonical", "alerts", "scaffold",
    "nearest_neighbor", "nearest_seed", "flaws", "kind", "fragment", "level", "reason", "reference", "atoms",
)  # fmt: skip
_COUNT_COLUMNS = (
    *(name for name, prop in PROPERTIES.items() if prop.unit in ("count", "e")),
    *("rank", "row", "n_occurrences", "n_evaluations", "n_samples", "n_merged", "n_tokens", "n_molecules"),
)
_MOLECULE_NAMES = ("name", "id")
_ANALOG_NAMES = ("id", "name", "seed")  # in tables with seeds, `name` may be the name of the seed
_XLSX_ROWS, _XLSX_COLUMNS, _XLSX_TEXT = 1_048_576, 16_384, 32_767  # limits of a sheet and of a cell
_FORMULA_START = ("=", "+", "-", "@")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")
_SDF_TAG = re.compile(r"[<>\x00-\x1f]+")
_BOOLEAN_COLUMNS = ("not_in_training", "scaffold_not_in_training", "lipinski", "veber", "moses_filters", "plausible")


@contextmanager
def table_writer(path: str | Path) -> Iterator[AppendTable]:
    """Context manager for a function that appends tables to a file, which is written if no exception occurs.

    Parameters
    ----------
    path : str or Path
        Output file: .csv, .tsv, .smi, .sdf (each also with .gz), .xlsx, .parquet, .html, .png or .svg.

    Yields
    ------
    callable
        Appends a DataFrame; all tables must have the same columns.

    Raises
    ------
    InputError
        For another format, before anything is written.

    Examples
    --------
    >>> with table_writer("molecules.csv") as append:  # doctest: +SKIP
    ...     for table in tables:
    ...         append(table)
    """
    path = Path(path)
    check_format(path)
    with atomic_write(path) as draft:
        writer = _WRITERS[output_format(path)](draft, path)
        try:
            yield writer.append
            writer.finish()
        finally:
            writer.close()


def write_table(frame: pd.DataFrame, path: str | Path) -> Path:
    """Write one table in the format of the suffix.

    Parameters
    ----------
    frame : DataFrame
        Table with a column `smiles` or `reconstruction`, which tables without structures do not need. Molecules are
        named by the column `name` or `id`; in tables with seeds, `id` comes first.
    path : str or Path
        Output file: .csv, .tsv, .smi, .sdf (each also with .gz), .xlsx, .parquet, .html, .png or .svg; replaced
        atomically.

    Returns
    -------
    Path
        The path of the file.

    Raises
    ------
    InputError
        For another format.
    """
    with table_writer(path) as append:
        append(frame)
    return Path(path)


def append_csv(frame: pd.DataFrame, file: IO[str], *, header: bool, delimiter: str = ",") -> None:
    """Append rows as CSV with nine significant digits, which represent single-precision latents exactly."""
    whole_counts(frame).to_csv(
        file, index=False, header=header, sep=delimiter, lineterminator="\n", float_format="%.9g"
    )


def whole_counts(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a table whose counts, such as hydrogen bond donors, are integers; missing ones stay missing."""
    counts = [name for name in _COUNT_COLUMNS if name in frame.columns and frame[name].dtype.kind == "f"]
    types = {name: "Int64" for name in counts if _is_whole(frame[name])}
    return frame.astype(types) if types else frame


def _is_whole(column: pd.Series[Any]) -> bool:
    values = column.to_numpy(dtype=float)
    return bool(np.all(np.isnan(values) | (values == np.floor(values))))


class _Writer:
    """Base class, which opens a text file; `draft` is the temporary file, `path` the final one."""

    def __init__(self, draft: Path, path: Path) -> None:
        self.draft, self.path, self.n_tables = draft, path, 0
        self.file: IO[str] = _open_text(draft, compressed=output_format(path).endswith(".gz"))

    def append(self, frame: pd.DataFrame) -> None:
        self.write_rows(_clean_text(frame))
        self.n_tables += 1

    def write_rows(self, frame: pd.DataFrame) -> None:
        raise NotImplementedError

    def finish(self) -> None:
        """Write what follows the last table."""

    def close(self) -> None:
        self.file.close()


def _clean_text(frame: pd.DataFrame) -> pd.DataFrame:
    """The table with names in one line, and without lone surrogates, so that all formats hold the same text."""
    changed = dict[str, list[Any]]()
    for name in frame.columns:
        clean = clean_name if name in _ANALOG_NAMES else escape_surrogates
        if frame[name].dtype == object or clean is clean_name:  # pandas' text has no surrogates
            values = [clean(value) if isinstance(value, str) else value for value in frame[name]]
            if any(new is not old for new, old in zip(values, frame[name], strict=True)):
                changed[name] = values
    return frame.assign(**changed)


def _open_text(path: Path, *, compressed: bool) -> IO[str]:
    """Open a file for writing text. A compressed one has no time stamp, so that equal tables give equal files."""
    if not compressed:
        return path.open("w", encoding="utf-8", newline="", errors="backslashreplace")
    stream = cast(IO[bytes], _GzipFile(path))
    return io.TextIOWrapper(stream, encoding="utf-8", newline="", errors="backslashreplace")


class _GzipFile(gzip.GzipFile):
    """A .gz file for writing without name and time stamp, which closes the file below it."""

    def __init__(self, path: Path) -> None:
        self.raw_file = path.open("wb")
        super().__init__(filename="", mode="wb", fileobj=self.raw_file, mtime=0)

    def close(self) -> None:
        super().close()
        self.raw_file.close()


class _CsvWriter(_Writer):
    def write_rows(self, frame: pd.DataFrame) -> None:
        append_csv(frame, self.file, header=self.n_tables == 0)


class _TsvWriter(_Writer):
    def write_rows(self, frame: pd.DataFrame) -> None:
        append_csv(frame, self.file, header=self.n_tables == 0, delimiter="\t")


class _SmilesWriter(_Writer):
    """SMILES, tab, name. Invalid rows are omitted."""

    def write_rows(self, frame: pd.DataFrame) -> None:
        for smiles, name, _ in _valid_rows(frame):
            self.file.write(f"{smiles}\t{name}\n" if name else f"{smiles}\n")


def _valid_rows(frame: pd.DataFrame) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """The molecule, its name, and the values of each row that is not invalid."""
    column = molecule_column(frame)
    names = [str(name) for name in frame.columns]
    rows = (dict(zip(names, values, strict=True)) for values in zip(*(frame[c] for c in frame.columns), strict=True))
    for row, name in zip(rows, molecule_names(frame), strict=True):
        # `smiles` contains the input, valid or not; result columns are empty for an invalid row
        is_valid = row.get("canonical", not (column == "smiles" and row.get("error")))
        if row[column] and not pd.isna(row[column]) and is_valid:
            yield str(row[column]), name, row


class _SdfWriter(_Writer):
    """Molecules with 2D coordinates, titled by their names; the other columns are properties. No invalid rows.

    A molecule that RDKit cannot write is a record without atoms: its properties have the SMILES and the reason.
    """

    def __init__(self, draft: Path, path: Path) -> None:
        from rdkit.Chem import SDWriter

        super().__init__(draft, path)
        self.writer = SDWriter(self.file)

    def write_rows(self, frame: pd.DataFrame) -> None:
        for smiles, name, row in _valid_rows(whole_counts(frame)):
            with silence_rdkit():
                try:
                    self._write(_with_coordinates(smiles), name, row)
                except RDKIT_ERRORS as error:
                    mol = Chem.Mol()
                    mol.SetProp("sdf_error", _sdf_line(one_line(rdkit_reason(error))))
                    self._write(mol, name, {"smiles": smiles, **row})

    def _write(self, mol: Chem.Mol, name: str, row: Mapping[str, Any]) -> None:
        mol.SetProp("_Name", _sdf_line(name))
        for key, value in row.items():
            # a tag and its value have one line each
            mol.SetProp(_SDF_TAG.sub(" ", key), "" if pd.isna(value) else _sdf_line(clean_name(str(value))))
        self.writer.write(mol)

    def close(self) -> None:
        self.writer.close()
        super().close()


def _with_coordinates(smiles: str) -> Chem.Mol:
    """The molecule with 2D coordinates."""
    from molvae.viz.layout import compute_coordinates, zero_coordinates

    mol = parse(smiles)
    try:
        compute_coordinates(mol)
    except MoleculeError as error:  # the record says so, and its SMILES has the stereo
        zero_coordinates(mol)
        mol.SetProp("coordinates", str(error))
    return mol


def _sdf_line(text: str) -> str:
    """A line that does not look like the end of a record or a tag, and has no lone surrogates."""
    line = text.encode("utf-8", "backslashreplace").decode()
    return f" {line}" if line.startswith(("$$$$", ">")) else line


class _XlsxWriter(_Writer):
    """A workbook with one sheet. Text is never a formula, whatever its first character."""

    def __init__(self, draft: Path, path: Path) -> None:
        super().__init__(draft, path)
        openpyxl = import_extra("openpyxl", "formats")
        self.cell = import_extra("openpyxl.cell", "formats").WriteOnlyCell
        self.book = openpyxl.Workbook(write_only=True)
        self.sheet = self.book.create_sheet("molecules")
        self.sheet.freeze_panes = "A2"
        self.n_rows = 0

    def write_rows(self, frame: pd.DataFrame) -> None:
        if not self.n_tables:
            if len(frame.columns) > _XLSX_COLUMNS:
                raise InputError(f"an .xlsx sheet has {_XLSX_COLUMNS:,} columns: write {self.path} as .csv or .parquet")
            self._append([str(name) for name in frame.columns])
        if self.n_rows + len(frame) > _XLSX_ROWS:
            raise InputError(f"an .xlsx sheet has {_XLSX_ROWS:,} rows: write {self.path} as .csv or .parquet")
        whole = whole_counts(frame)
        for values in zip(*(whole[name] for name in whole.columns), strict=True):
            self._append(values)

    def _append(self, values: Sequence[Any]) -> None:
        self.sheet.append([self._cell(value) for value in values])
        self.n_rows += 1

    def _cell(self, value: Any) -> Any:
        if value is None or value is pd.NA or value != value:
            return None
        if isinstance(value, bool | np.bool_):
            return bool(value)
        if isinstance(value, Real):
            number = int(value) if isinstance(value, int | np.integer) else float(value)
            return number if abs(number) < np.inf else str(number)
        text = str(value).encode("utf-8", "backslashreplace").decode()[:_XLSX_TEXT]
        cell = self.cell(self.sheet, _CONTROL.sub(" ", text))
        cell.data_type = "s"  # openpyxl would take text beginning with = for a formula
        cell.quotePrefix = text.startswith(_FORMULA_START)  # and so would Excel when the cell is edited
        return cell

    def finish(self) -> None:
        self.book.save(self.draft)


class _ParquetWriter(_Writer):
    def __init__(self, draft: Path, path: Path) -> None:
        super().__init__(draft, path)
        self.writer: Any = None

    def write_rows(self, frame: pd.DataFrame) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        typed = _with_fixed_types(whole_counts(frame))
        typed.attrs = {}  # pandas would store them, and only those of the first table
        table = pa.Table.from_pandas(typed, preserve_index=False)
        if self.writer is None:
            self.writer = pq.ParquetWriter(self.draft, table.schema)
        self.writer.write_table(table.cast(self.writer.schema))

    def finish(self) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        if self.writer is None:  # no table at all
            pq.write_table(pa.table({}), self.draft)

    def close(self) -> None:
        if self.writer is not None:
            self.writer.close()
        super().close()


class _HtmlWriter(_Writer):
    """A self-contained page with a structure per row; the rows of each seed follow its own structure."""

    def __init__(self, draft: Path, path: Path) -> None:
        from molvae.viz.table_page import TablePage

        super().__init__(draft, path)
        self.page = TablePage(path.stem)
        self.file.write(self.page.start())

    def write_rows(self, frame: pd.DataFrame) -> None:
        for text in self.page.rows(whole_counts(frame)):
            self.file.write(text)

    def finish(self) -> None:
        self.file.write(self.page.end())


class _ImageWriter(_Writer):
    def __init__(self, draft: Path, path: Path) -> None:
        super().__init__(draft, path)
        self.frames: list[pd.DataFrame] = []

    def write_rows(self, frame: pd.DataFrame) -> None:
        if sum(map(len, self.frames)) < MAX_PANELS:
            self.frames.append(frame)

    def finish(self) -> None:
        frame = pd.concat([f for f in self.frames if len(f)] or [pd.DataFrame({"smiles": []})])
        self.draft.write_bytes(render_table(frame, self.path.suffix))


_WRITERS: dict[str, type[_Writer]] = {
    ".csv": _CsvWriter,
    ".tsv": _TsvWriter,
    ".smi": _SmilesWriter,
    ".sdf": _SdfWriter,
    ".csv.gz": _CsvWriter,
    ".tsv.gz": _TsvWriter,
    ".smi.gz": _SmilesWriter,
    ".sdf.gz": _SdfWriter,
    ".xlsx": _XlsxWriter,
    ".parquet": _ParquetWriter,
    ".html": _HtmlWriter,
    ".png": _ImageWriter,
    ".svg": _ImageWriter,
}
assert tuple(_WRITERS) == OUTPUT_SUFFIXES


def molecule_names(frame: pd.DataFrame) -> list[str]:
    """Return the name of the molecule in each row, in one line; "" for rows without one.

    The name is in the column `name` or `id`; in tables with seeds in `id` or `name`, or else it is the seed. Without
    such a column, a reconstruction is named by its input.
    """
    order = _ANALOG_NAMES if "seed" in frame.columns else _MOLECULE_NAMES
    if "seed" not in frame.columns and molecule_column(frame) != "smiles":
        order = (*order, "smiles")
    column = next((name for name in order if name in frame.columns), None)
    if column is None:
        return [""] * len(frame)
    return ["" if pd.isna(value) else clean_name(str(value)) for value in frame[column]]


def _with_fixed_types(frame: pd.DataFrame) -> pd.DataFrame:
    """Convert columns to types that do not depend on the first table, whose flags or texts may all be missing."""
    fixed = dict.fromkeys(_TEXT_COLUMNS, "string") | dict.fromkeys(_BOOLEAN_COLUMNS, "boolean")
    types = {name: dtype for name, dtype in fixed.items() if name in frame.columns}
    types |= {name: "Int64" for name in _COUNT_COLUMNS if name in frame.columns and _is_count(frame[name])}
    types |= {c: _object_type(frame[c]) for c in frame.columns if c not in types and frame[c].dtype == object}
    return frame.astype(types)


def _is_count(column: pd.Series[Any]) -> bool:
    """Whether a column of counts has only whole numbers, so that all tables of a file get the same type."""
    return bool(pd.api.types.is_numeric_dtype(column) and _is_whole(column.astype("Float64").fillna(0)))


def _object_type(column: pd.Series[Any]) -> str:
    """The type of a column of Python objects: float64 if all known values are numbers, else string."""
    return "float64" if all(isinstance(value, Real) for value in column.dropna()) else "string"
