"""Read molecules from files and standard input, one row at a time: each row is a record or an invalid row.

The SMILES of text formats are not parsed here. Memory use does not depend on the size of the input.
"""

from __future__ import annotations

import gzip
import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, cast

from rdkit import Chem

from molvae.chem.smiles import silence_rdkit, write
from molvae.data.rows import InvalidRow, Record, RowCounts, file_format, make_row
from molvae.data.text_readers import csv_rows, read_lines, select_columns, smi_rows
from molvae.errors import InputError

__all__ = ["InvalidRow", "Record", "RowCounts", "looks_like_file", "read_records"]

_SUFFIXES = ".smi, .smiles, .txt, .csv, .tsv, .sdf (each also as .gz) and .parquet"
_PARQUET_BATCH_SIZE = 8192
_MAX_SDF_RECORD = 10_000_000  # characters


def read_records(
    path: str | Path | IO[Any], *, column: str | None = None, name_column: str | None = None
) -> Iterator[Record | InvalidRow]:
    """Read the rows of a file.

    Parameters
    ----------
    path : str, Path or file object
        A .smi, .smiles, .txt, .csv, .tsv or .sdf file (also with .gz) or a .parquet file; "-" for standard input.
        Standard input and file objects are read like a .smi file.
    column : str, optional
        SMILES column of a .csv, .tsv or .parquet; by default smiles, canonical_smiles, structure or mol, the first that
        exists, in any case. Other formats ignore it.
    name_column : str, optional
        Column with the names, or property of an .sdf; by default name, id or title.

    Yields
    ------
    Record or InvalidRow
        In the order of the file.

    Raises
    ------
    InputError
        Immediately or at the first row, if the file is missing, empty, of unknown format, or has no such column.
    """
    if not isinstance(path, str | Path):
        return smi_rows(path, str(getattr(path, "name", "stream")))
    if str(path) == "-":
        # bytes instead of text, so that an undecodable line does not affect the others
        return smi_rows(getattr(sys.stdin, "buffer", sys.stdin), "-")
    kind = _checked_format(Path(path))
    if kind == "parquet":
        return _parquet_rows(str(path), column, name_column)
    return _file_rows(str(path), kind, column, name_column)


def looks_like_file(argument: str) -> bool:
    """Return whether an argument is a file (or "-") rather than a SMILES: it exists or has a known suffix."""
    return argument == "-" or os.path.exists(argument) or file_format(argument) is not None


def _checked_format(path: Path) -> str:
    if path.is_dir():
        raise InputError(f"{path} is a directory: give a file in it")
    if not path.exists():
        raise InputError(f"{path} does not exist: check the spelling and the current directory")
    kind = file_format(path.name)
    if kind is None:
        raise InputError(f"{path} has no known format: its suffix must be one of {_SUFFIXES}")
    if path.is_file():  # a named pipe can be read only once
        with path.open("rb") as file:
            start = file.read(2)
        if not start:
            raise InputError(f"{path} is empty: at least one row is needed")
        if path.suffix.lower() == ".gz" and start != b"\x1f\x8b":
            raise InputError(f"{path} is named .gz but is not gzip: remove .gz from its name or compress it")
    return kind


def _file_rows(path: str, kind: str, column: str | None, name_column: str | None) -> Iterator[Record | InvalidRow]:
    opener = gzip.open if path.lower().endswith(".gz") else open
    with cast(IO[bytes], opener(path, "rb")) as stream:
        if kind == "smi":
            yield from smi_rows(stream, path)
        elif kind == "sdf":
            yield from _sdf_rows(stream, path, name_column)
        else:
            yield from csv_rows(stream, path, kind, column, name_column)


def _parquet_rows(path: str, column: str | None, name_column: str | None) -> Iterator[Record | InvalidRow]:
    """Read the SMILES and the name column of a .parquet file in batches."""
    import pyarrow as pa  # takes half a second, which other formats do not need
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            columns = file.schema_arrow.names
            smiles_index, name_index = select_columns(columns, path, column, name_column)
            selected = [columns[i] for i in (smiles_index, name_index) if i is not None]
            row = 0
            for batch in file.iter_batches(_PARQUET_BATCH_SIZE, columns=selected):
                values = batch.column(columns[smiles_index]).to_pylist()
                names = batch.column(selected[-1]).to_pylist() if name_index is not None else [None] * len(values)
                for value, name in zip(values, names, strict=True):
                    row += 1
                    yield _parquet_row(value, name, path, row)
    except pa.ArrowInvalid as error:
        raise InputError(f"{path} cannot be read as parquet ({error}): write or download it again") from error


def _parquet_row(value: Any, name: Any, source: str, row: int) -> Record | InvalidRow:
    name = "" if name is None else str(name)
    if value is not None and not isinstance(value, str):
        return InvalidRow(source, row, str(value), f"the SMILES field is {type(value).__name__}, not text", name)
    return make_row(value or "", name, source, row)


def _sdf_rows(stream: IO[bytes], source: str, name_column: str | None) -> Iterator[Record | InvalidRow]:
    """Read the records of an .sdf as canonical SMILES; the name is the title, or the property `name_column`."""
    block: list[str] = []
    row, size, problem, in_properties = 1, 0, None, False
    for line in read_lines(stream, source):
        # undecodable bytes after "M  END", or in the title, do not affect the structure
        in_properties = in_properties or line.text.startswith("M  END")
        problem = problem or (None if line.undecodable and (in_properties or not block) else line.problem)
        size += len(line.text) + 1
        if line.text.startswith("$$$$"):
            yield _sdf_row("\n".join(block), problem, source, row, name_column)
            block, row, size, problem, in_properties = [], row + 1, 0, None, False
        elif size > _MAX_SDF_RECORD:
            problem = f"a record of more than {_MAX_SDF_RECORD:,} characters"
        else:
            block.append(line.text)
    if problem or any(line.strip() for line in block):  # the last record may have no $$$$
        yield _sdf_row("\n".join(block), problem, source, row, name_column)


def _sdf_row(text: str, problem: str | None, source: str, row: int, name_column: str | None) -> Record | InvalidRow:
    title = text.partition("\n")[0].strip()
    if problem:
        return InvalidRow(source, row, title, problem)
    with silence_rdkit():
        mol = next(Chem.ForwardSDMolSupplier(io.BytesIO(text.encode())), None)
        if mol is None:
            return InvalidRow(source, row, title, _sdf_problem(text))
        if mol.GetNumAtoms() == 0:
            return InvalidRow(source, row, title, "no atoms in the record")
        name = title if name_column is None else _property(mol, name_column)
        return make_row(write(mol), name, source, row)


def _property(mol: Chem.Mol, name: str) -> str:
    """Return a property as text, without conversion: 0012 stays 0012."""
    return str(mol.GetProp(name)) if mol.HasProp(name) else ""


def _sdf_problem(text: str) -> str:
    mol = Chem.MolFromMolBlock(text, sanitize=False)
    problems = Chem.DetectChemistryProblems(mol) if mol is not None else []
    return f"cannot read the record: {problems[0].Message().strip() if problems else 'not a valid mol block'}"
