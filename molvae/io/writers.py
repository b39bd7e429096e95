"""Tables of molecules to files: the suffix says the format, and a file appears whole or not at all.

A writer takes one table after another, so that a stream of any length is written in flat memory (a picture
apart, which has room for a few hundred molecules anyhow).
"""

from __future__ import annotations

import html
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from numbers import Real
from pathlib import Path
from typing import IO, Any

import pandas as pd

from molvae.chem.smiles import parse
from molvae.data.files import atomic_write
from molvae.errors import InputError, MoleculeError
from molvae.viz.molecules import MAX_PANELS, PAGE_HEAD, molecule_column, molecule_svg, render_table

Write = Callable[[pd.DataFrame], None]


@contextmanager
def table_file(path: str | Path) -> Iterator[Write]:
    """A function that adds tables to the file `path`, which is there once the block has ended well.

    Raises `InputError` at once for a suffix of no known format.
    """
    path = Path(path)
    check_format(path)
    with atomic_write(path) as draft:
        writer = _WRITERS[path.suffix.lower()](draft, path)
        try:
            yield writer.add
            writer.finish()
        finally:
            writer.close()


def write_table(frame: pd.DataFrame, path: str | Path) -> Path:
    """Write one table; the format is the suffix's."""
    with table_file(path) as write:
        write(frame)
    return Path(path)


def add_csv(frame: pd.DataFrame, file: IO[str], *, header: bool) -> None:
    """Rows to a file or stdout: nine digits, which is what a latent's single precision takes to come back the same."""
    frame.to_csv(file, index=False, header=header, lineterminator="\n", float_format="%.9g")


def check_format(path: str | Path) -> None:
    """Raises `InputError` when the suffix names no format, or the path is a directory: before the work is done."""
    suffix = Path(path).suffix.lower()
    if suffix not in _WRITERS:
        raise InputError(f"cannot write {path}: its suffix must be one of {', '.join(_WRITERS)}")
    if Path(path).is_dir():
        raise InputError(f"cannot write {path}: it is a directory")


class _Writer:
    """Text by default; `draft` is written, `path` is what it will be called."""

    def __init__(self, draft: Path, path: Path) -> None:
        self.draft, self.path, self.tables = draft, path, 0
        self.file: IO[str] = draft.open("w", encoding="utf-8", newline="")

    def add(self, frame: pd.DataFrame) -> None:
        self.rows(frame)
        self.tables += 1

    def rows(self, frame: pd.DataFrame) -> None:
        raise NotImplementedError

    def finish(self) -> None:
        """What is written last, once all tables are there."""

    def close(self) -> None:
        self.file.close()


class _Csv(_Writer):
    def rows(self, frame: pd.DataFrame) -> None:
        add_csv(frame, self.file, header=self.tables == 0)


class _Smi(_Writer):
    """SMILES, tab, name: the seed of an analog, the input of a reconstruction. Rows without a molecule are left out."""

    def rows(self, frame: pd.DataFrame) -> None:
        column, name = molecule_column(frame), _name_column(frame)
        for _, row in frame.iterrows():
            # `smiles` is what was read, be it a molecule or not; a column of its own is empty where there is none
            told = row.get("canonical", not (column == "smiles" and row.get("error")))
            if row[column] and told:
                self.file.write(f"{row[column]}\t{row[name]}\n" if name else f"{row[column]}\n")


class _Sdf(_Writer):
    """Molecules with 2D coordinates; the other columns are properties. Rows without a molecule are left out."""

    def __init__(self, draft: Path, path: Path) -> None:
        from rdkit.Chem import SDWriter

        super().__init__(draft, path)
        self.writer = SDWriter(self.file)

    def rows(self, frame: pd.DataFrame) -> None:
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


class _Parquet(_Writer):
    def __init__(self, draft: Path, path: Path) -> None:
        super().__init__(draft, path)
        self.writer: Any = None

    def rows(self, frame: pd.DataFrame) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        typed = _typed(frame)
        typed.attrs = {}  # they would be stored, and are of the first table only
        table = pa.Table.from_pandas(typed, preserve_index=False)
        if self.writer is None:
            self.writer = pq.ParquetWriter(self.draft, table.schema)
        self.writer.write_table(table.cast(self.writer.schema))

    def close(self) -> None:
        if self.writer is not None:
            self.writer.close()
        super().close()


class _Html(_Writer):
    """One page without a single outside resource: every molecule is an inline drawing."""

    def __init__(self, draft: Path, path: Path) -> None:
        super().__init__(draft, path)
        self.seed, self.count = "", 0
        self.file.write(_PAGE_TOP.replace("TITLE", html.escape(path.stem)))

    def rows(self, frame: pd.DataFrame) -> None:
        column = molecule_column(frame)
        shown = [c for c in frame.columns if c not in ("seed", column)]
        for _, row in frame.iterrows():
            if "seed" in frame.columns and row["seed"] != self.seed:
                self._head(["", "molecule", *shown])
                self._seed(row["seed"], len(shown))
            elif not self.count:
                self._head(["", "molecule", *shown])
            self.count += 1
            self._row(row, column, shown)

    def _head(self, columns: list[str]) -> None:
        cells = "".join(f"<th>{html.escape(name.replace('_', ' '))}</th>" for name in columns)
        self.file.write(f"<tr>{cells}</tr>\n")

    def _seed(self, seed: str, others: int) -> None:
        self.seed, self.count = seed, 0
        self.file.write(
            f'<tr class="seed"><td class="picture">{molecule_svg(seed)}</td><td class="smiles">'
            f'{html.escape(seed)}</td><td colspan="{others}">seed</td></tr>\n'
        )

    def _row(self, row: pd.Series[Any], column: str, shown: list[str]) -> None:
        cells = "".join(f"<td>{html.escape(cell(row[name]))}</td>" for name in shown)
        smiles = row[column]
        self.file.write(
            f'<tr><td class="picture">{molecule_svg(smiles)}</td><td class="smiles">{html.escape(smiles)}</td>{cells}</tr>\n'
        )

    def finish(self) -> None:
        self.file.write(_PAGE_END)


class _Picture(_Writer):
    def __init__(self, draft: Path, path: Path) -> None:
        super().__init__(draft, path)
        self.frames: list[pd.DataFrame] = []

    def rows(self, frame: pd.DataFrame) -> None:
        if sum(map(len, self.frames)) < MAX_PANELS:
            self.frames.append(frame)

    def finish(self) -> None:
        frame = pd.concat([f for f in self.frames if len(f)] or [pd.DataFrame({"smiles": []})])
        self.draft.write_bytes(render_table(frame, self.path.suffix))


_WRITERS: dict[str, type[_Writer]] = {
    ".csv": _Csv, ".smi": _Smi, ".sdf": _Sdf, ".parquet": _Parquet, ".html": _Html, ".png": _Picture, ".svg": _Picture,
}  # fmt: skip


def _name_column(frame: pd.DataFrame) -> str | None:
    if "seed" in frame.columns:
        return "seed"
    return "smiles" if molecule_column(frame) != "smiles" else None


_PLACES = ("seed", "name", "source")
_TYPES = {
    "string": (
        *_PLACES,
        "smiles",
        "reconstruction",
        "error",
        "canonical",
        "alerts",
        "scaffold",
        "nearest",
        "nearest_neighbor",
    ),
    "boolean": ("novel", "not_in_training", "scaffold_not_in_training", "lipinski", "veber", "moses_filters"),
}


def _typed(frame: pd.DataFrame) -> pd.DataFrame:
    """Columns of one type whatever the first table holds: `novel` may be all None, text may be all empty."""
    types = {name: kind for kind, names in _TYPES.items() for name in names if name in frame.columns}
    others = {c: _kind(frame[c]) for c in frame.columns if c not in types and frame[c].dtype == object}
    return frame.astype({**types, **others})


def _kind(column: pd.Series[Any]) -> str:
    """Of values of any kind: numbers where they are all, or there are none, and else text."""
    return "float64" if all(isinstance(value, Real) for value in column.dropna()) else "string"


def cell(value: Any) -> str:
    """A value of a table as people read it: two digits, yes and no, nothing where there is none."""
    if value is None or value is pd.NA or (isinstance(value, float) and value != value):
        return ""
    if isinstance(value, float):
        return f"{value:.1f}" if abs(value) >= 100 else f"{value:.2f}"
    return {"True": "yes", "False": "no"}.get(str(value), str(value))


_PAGE_TOP = (
    PAGE_HEAD
    + """h1 { font-size: 1.35rem; font-weight: 600; }
.frame { overflow-x: auto; background: #fff; border: 1px solid #dde3e9; border-radius: 10px; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th { text-align: right; font-weight: 600; font-size: .85rem; color: #52606d; padding: .7rem .9rem; white-space: nowrap;
     border-bottom: 1px solid #dde3e9; }
td { text-align: right; padding: .35rem .9rem; border-bottom: 1px solid #edf0f3; }
th:nth-child(2), td.smiles { text-align: left; }
td.smiles { font: 12.5px/1.4 ui-monospace, monospace; overflow-wrap: anywhere; min-width: 14rem; user-select: all; }
td.picture { width: 220px; padding: .2rem .6rem; }
td.picture svg { display: block; }
tr.seed td { background: #e6f1fd; font-weight: 600; }
tr:hover td { background: #f7fafc; } tr.seed:hover td { background: #e6f1fd; }
</style></head><body><h1>TITLE</h1><div class="frame"><table>
"""
)
_PAGE_END = "</table></div></body></html>\n"
