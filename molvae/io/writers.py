"""Table writers: the suffix of a file selects the format, and the file is replaced atomically.

A writer accepts one table after another, so memory stays constant for streams of any length. Images are the exception:
they contain at most a few hundred molecules.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from numbers import Real
from pathlib import Path
from typing import IO, Any

import pandas as pd

from molvae.chem.smiles import parse
from molvae.data.files import atomic_write
from molvae.errors import InputError, MoleculeError
from molvae.viz.molecules import MAX_PANELS, molecule_column, render_table

AppendTable = Callable[[pd.DataFrame], None]

_TEXT_COLUMNS = (
    "seed", "name", "source", "smiles", "reconstruction", "error", "canonical", "alerts", "scaffold",
    "nearest_neighbor", "nearest_seed",
)  # fmt: skip
_BOOLEAN_COLUMNS = ("not_in_training", "scaffold_not_in_training", "lipinski", "veber", "moses_filters")


@contextmanager
def table_writer(path: str | Path) -> Iterator[AppendTable]:
    """Context manager for a function that appends tables to a file, which is written if no exception occurs.

    Parameters
    ----------
    path : str or Path
        Output file: .csv, .smi, .sdf, .parquet, .html, .png or .svg.

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
        writer = _WRITERS[path.suffix.lower()](draft, path)
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
        Table with a column `smiles` or `reconstruction`, which .csv and .parquet do not need.
    path : str or Path
        Output file: .csv, .smi, .sdf, .parquet, .html, .png or .svg; replaced atomically.

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


def append_csv(frame: pd.DataFrame, file: IO[str], *, header: bool) -> None:
    """Append rows as CSV with nine significant digits, which represent single-precision latents exactly."""
    frame.to_csv(file, index=False, header=header, lineterminator="\n", float_format="%.9g")


def check_format(path: str | Path) -> None:
    """Raise `InputError` if the suffix is not a known format, or the path is a directory."""
    suffix = Path(path).suffix.lower()
    if suffix not in _WRITERS:
        raise InputError(f"cannot write {path}: its suffix must be one of {', '.join(_WRITERS)}")
    if Path(path).is_dir():
        raise InputError(f"cannot write {path}: it is a directory")


class _Writer:
    """Base class, which opens a text file; `draft` is the temporary file, `path` the final one."""

    def __init__(self, draft: Path, path: Path) -> None:
        self.draft, self.path, self.n_tables = draft, path, 0
        self.file: IO[str] = draft.open("w", encoding="utf-8", newline="")

    def append(self, frame: pd.DataFrame) -> None:
        self.write_rows(frame)
        self.n_tables += 1

    def write_rows(self, frame: pd.DataFrame) -> None:
        raise NotImplementedError

    def finish(self) -> None:
        """Write what follows the last table."""

    def close(self) -> None:
        self.file.close()


class _CsvWriter(_Writer):
    def write_rows(self, frame: pd.DataFrame) -> None:
        append_csv(frame, self.file, header=self.n_tables == 0)


class _SmilesWriter(_Writer):
    """SMILES, tab, name (the seed of an analog, the input of a reconstruction). Invalid rows are omitted."""

    def write_rows(self, frame: pd.DataFrame) -> None:
        column, name = molecule_column(frame), _name_column(frame)
        for _, row in frame.iterrows():
            # `smiles` contains the input, valid or not; result columns are empty for an invalid row
            is_valid = row.get("canonical", not (column == "smiles" and row.get("error")))
            if row[column] and is_valid:
                self.file.write(f"{row[column]}\t{row[name]}\n" if name else f"{row[column]}\n")


class _SdfWriter(_Writer):
    """Molecules with 2D coordinates; the other columns are properties. Invalid rows are omitted."""

    def __init__(self, draft: Path, path: Path) -> None:
        from rdkit.Chem import SDWriter

        super().__init__(draft, path)
        self.writer = SDWriter(self.file)

    def write_rows(self, frame: pd.DataFrame) -> None:
        from rdkit.Chem import rdDepictor

        column, name = molecule_column(frame), _name_column(frame)
        for _, row in frame.iterrows():
            try:
                mol = parse(row[column])
            except MoleculeError:
                continue
            rdDepictor.Compute2DCoords(mol)
            mol.SetProp("_Name", str(row[name]) if name else "")
            for key, value in row.items():
                mol.SetProp(str(key), "" if pd.isna(value) else str(value))
            self.writer.write(mol)

    def close(self) -> None:
        self.writer.close()
        super().close()


class _ParquetWriter(_Writer):
    def __init__(self, draft: Path, path: Path) -> None:
        super().__init__(draft, path)
        self.writer: Any = None

    def write_rows(self, frame: pd.DataFrame) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        typed = _with_fixed_types(frame)
        typed.attrs = {}  # pandas would store them, and only those of the first table
        table = pa.Table.from_pandas(typed, preserve_index=False)
        if self.writer is None:
            self.writer = pq.ParquetWriter(self.draft, table.schema)
        self.writer.write_table(table.cast(self.writer.schema))

    def close(self) -> None:
        if self.writer is not None:
            self.writer.close()
        super().close()


class _HtmlWriter(_Writer):
    """A self-contained page with a structure per row; the rows of each seed follow its own structure."""

    def __init__(self, draft: Path, path: Path) -> None:
        from molvae.viz.templating import macros

        super().__init__(draft, path)
        self.html, self.seed, self.has_header = macros("table.html"), "", False
        self.file.write(self.html.page_start(path.stem))

    def write_rows(self, frame: pd.DataFrame) -> None:
        column = molecule_column(frame)
        columns = [name for name in frame.columns if name not in ("seed", column)]
        for _, row in frame.iterrows():
            is_new_seed = "seed" in frame.columns and row["seed"] != self.seed
            if is_new_seed or not self.has_header:
                self.file.write(self.html.header_row(columns))
                self.has_header = True
            if is_new_seed:
                self.seed = row["seed"]
                self.file.write(self.html.seed_row(self.seed, len(columns)))
            self.file.write(self.html.molecule_row(row[column], [row[name] for name in columns]))

    def finish(self) -> None:
        self.file.write(self.html.page_end())


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
    ".smi": _SmilesWriter,
    ".sdf": _SdfWriter,
    ".parquet": _ParquetWriter,
    ".html": _HtmlWriter,
    ".png": _ImageWriter,
    ".svg": _ImageWriter,
}


def _name_column(frame: pd.DataFrame) -> str | None:
    """The column that names molecules in .smi and .sdf files: the seed, or the input of a reconstruction."""
    if "seed" in frame.columns:
        return "seed"
    return "smiles" if molecule_column(frame) != "smiles" else None


def _with_fixed_types(frame: pd.DataFrame) -> pd.DataFrame:
    """Convert columns to types that do not depend on the first table, whose flags or texts may all be missing."""
    fixed = dict.fromkeys(_TEXT_COLUMNS, "string") | dict.fromkeys(_BOOLEAN_COLUMNS, "boolean")
    types = {name: dtype for name, dtype in fixed.items() if name in frame.columns}
    types |= {c: _object_type(frame[c]) for c in frame.columns if c not in types and frame[c].dtype == object}
    return frame.astype(types)


def _object_type(column: pd.Series[Any]) -> str:
    """The type of a column of Python objects: float64 if all known values are numbers, else string."""
    return "float64" if all(isinstance(value, Real) for value in column.dropna()) else "string"
