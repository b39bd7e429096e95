"""Arguments of Python functions that hold molecules: SMILES, RDKit molecules, pandas objects, and paths of files."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rdkit import Chem

from molvae.chem.rdkit_guard import rdkit_guard
from molvae.chem.smiles import write
from molvae.data.column_names import SMILES_COLUMNS, requested_column, smiles_column
from molvae.data.readers import looks_like_file, read_records
from molvae.data.rows import ARGUMENT, InvalidRow, Record, make_row, smiles_from_inchi, split_cx_block
from molvae.data.table_readers import cell_text
from molvae.errors import InputError, MoleculeError

if TYPE_CHECKING:
    import pandas as pd

Molecules = Any
"""A SMILES, an RDKit Mol, an iterable of them, a DataFrame with a column of SMILES, or the path of a file."""


def as_smiles_iterable(molecules: Molecules) -> Iterable[Any]:
    """Return molecules as an iterable of SMILES.

    Parameters
    ----------
    molecules : str, Mol, path, DataFrame, or iterable of str and Mol
        A string is the path of a file if it has the suffix of one or is not a SMILES and exists; otherwise it is one
        SMILES. A DataFrame needs a column called smiles (or another name that the readers of files know). An InChI and
        a SMILES with a CX extension are read as in files. Values that are neither text nor Mol are unchanged, so that
        they become invalid rows.

    Returns
    -------
    iterable
        Of the rows in order; iterables are read lazily.

    Raises
    ------
    InputError
        For an object of another type, a table without a column of SMILES, and a file that cannot be read.

    Examples
    --------
    >>> list(as_smiles_iterable([Chem.MolFromSmiles("OCC"), "C[C@H](N)O |&1:1|"]))
    ['CCO', 'C[C@H](N)O']
    """
    if isinstance(molecules, str):
        if looks_like_file(molecules):
            return (_text_of(row) for row in read_records(molecules))
        return [_smiles_of(molecules)]
    if isinstance(molecules, Chem.Mol):
        return [_smiles_of(molecules)]
    if isinstance(molecules, os.PathLike) or hasattr(molecules, "readline"):
        return (_text_of(row) for row in read_records(molecules))
    if is_table(molecules):
        molecules = table_column(molecules)
    elif isinstance(molecules, bytes | bytearray | Mapping) or not isinstance(molecules, Iterable):
        shown = f"{type(molecules).__name__}: {molecules!r:.60}"
        raise InputError(
            "molecules must be a SMILES, an RDKit Mol, an iterable of them, a DataFrame with a column smiles, or the "
            f"path of a file, got {shown}"
        )
    return _smiles_of_all(molecules)


def as_smiles(molecule: Any) -> str:
    """Return the SMILES of one molecule: a SMILES or an InChI, or an RDKit Mol. Raises `InputError` for other types.

    >>> as_smiles(Chem.MolFromSmiles("OCC"))
    'CCO'
    """
    smiles = _smiles_of(molecule)
    if not isinstance(smiles, str):
        raise InputError(f"one SMILES or RDKit Mol is needed, got {type(molecule).__name__}: {molecule!r:.60}")
    return smiles


def as_paths(files: Any, name: str) -> list[str | Path]:
    """Return one path or several as a list. Raises `InputError` for molecules and other types; `name` is the argument.

    >>> as_paths("library.smi", "library")
    ['library.smi']
    """
    items = [files] if isinstance(files, str | os.PathLike) else files
    if is_table(items) or isinstance(items, Chem.Mol | bytes | Mapping) or not isinstance(items, Iterable):
        raise InputError(f"{name} must be the path of a file or a list of paths, got {type(files).__name__}")
    paths: list[str | Path] = []
    for item in items:
        if not isinstance(item, str | os.PathLike):
            raise InputError(f"{name} must contain paths of files, got {type(item).__name__}: {item!r:.60}")
        paths.append(item if isinstance(item, str) else Path(item))
    return paths


def table_records(table: Any, column: str | None, name_column: str | None) -> Iterator[Record | InvalidRow]:
    """Yield the rows of a DataFrame as those of a file; the names are the values of `name_column` as text.

    Raises
    ------
    InputError
        If a column does not exist.
    """
    texts = [str(name) for name in table.columns]
    smiles = (
        table_column(table) if column is None else table.iloc[:, requested_column(texts, "the table", column, "column")]
    )
    names: Iterable[Any] = [""] * len(table)
    if name_column is not None:
        index = requested_column(texts, "the table", name_column, "its name")
        names = table.iloc[:, index]
    for row, (value, name) in enumerate(zip(smiles, names, strict=True), start=1):
        text, label = _smiles_of(value), cell_text(name)
        if isinstance(text, str):
            yield make_row(text, label, ARGUMENT, row)
        else:
            yield InvalidRow(ARGUMENT, row, str(text), f"the SMILES is {type(text).__name__}, not text", label)


def is_table(molecules: object) -> bool:
    """Return whether an object is a table, such as a DataFrame, whose iteration would yield column names."""
    return hasattr(molecules, "columns") or hasattr(molecules, "column_names")


def table_column(table: Any) -> Any:
    """Return the column of a DataFrame with SMILES, or with RDKit molecules. Raises `InputError` if there is none."""
    names = list(table.column_names if hasattr(table, "column_names") else table.columns)
    texts = [str(name) for name in names]
    index = smiles_column(texts)
    if index is None:
        raise InputError(
            f"the table has no column called {' or '.join(SMILES_COLUMNS)}: it has {', '.join(texts)}; pass the column "
            "that holds the SMILES, such as table['drug']"
        )
    return table[names[index]]


def as_tuple(values: str | Iterable[str] | None) -> tuple[str, ...]:
    """Return strings as a tuple: a single string becomes one element, None an empty tuple.

    >>> as_tuple("qed"), as_tuple(["qed", "sa"]), as_tuple(None)
    (('qed',), ('qed', 'sa'), ())
    """
    if values is not None and not isinstance(values, Iterable):
        raise InputError(f"expected text or a list of texts, got {values!r}")
    return (values,) if isinstance(values, str) else tuple(values or ())


def with_index_of(frame: pd.DataFrame, rows: object) -> pd.DataFrame:
    """Set the index of a table to that of `rows`, if `rows` is a pandas object (of the same length)."""
    if hasattr(rows, "iloc") and hasattr(rows, "index"):
        frame.index = rows.index.copy()  # a shared index would be renamed in both
    return frame


def _smiles_of_all(molecules: Iterable[Any]) -> Iterator[Any]:
    for molecule in molecules:
        yield _smiles_of(molecule)


def _smiles_of(molecule: Any) -> Any:
    """The SMILES of a text or Mol; other values unchanged."""
    if isinstance(molecule, str):
        if "|" in molecule:
            return split_cx_block(molecule.strip(" \t\r\n"))[0]
        return (smiles_from_inchi(molecule) or molecule) if molecule.startswith("InChI=") else molecule
    if isinstance(molecule, Chem.Mol):
        try:
            with rdkit_guard("cannot write the molecule"):
                return write(molecule)
        except MoleculeError:
            return molecule  # becomes an invalid row
    return molecule


def _text_of(row: Record | InvalidRow) -> str:
    """The SMILES of a row of a file; of an invalid row its value, which is reported as an invalid SMILES."""
    return row.smiles if isinstance(row, Record) else row.value
