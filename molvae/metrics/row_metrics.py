"""Rows on their way to figures: strings as rows, and chunks of rows as tables."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rdkit import Chem

from molvae.chem.fingerprints import morgan_bits
from molvae.chem.smiles import silence_rdkit
from molvae.data.rows import InvalidRow, Record, escape_surrogates
from molvae.errors import InputError
from molvae.metrics.molecules import COLUMNS, Read, read, table
from molvae.metrics.structures import Structures, structures_of

Row = Record | InvalidRow


class Part(NamedTuple):
    """Of some rows: figures and, if asked for, packed fingerprints, (N, 256), and structures of the valid ones."""

    frame: pd.DataFrame
    bits: NDArray[np.uint8]
    structures: Structures | None


def described(rows: list[Row], columns: Collection[str], bits: bool, structured: bool = False) -> Part:
    """The rows with the name of each as `seed`."""
    with silence_rdkit():
        molecules = [
            read(escape_surrogates(row.smiles))
            if isinstance(row, Record)
            else Read(escape_surrogates(row.value), row.reason)
            for row in rows
        ]
        found = structures_of([m.again for m in molecules if m.again is not None]) if structured else None
        packed = morgan_bits([m.again or Chem.Mol() for m in molecules]) if bits else np.empty((0, 256), np.uint8)
        frame = table(molecules, tuple(columns))
    frame = frame.astype({name: "float64" for name in columns if isinstance(COLUMNS[name].missing, float)})
    frame.insert(0, "seed", [escape_surrogates(row.name) for row in rows])
    return Part(frame, packed, found)


def joined(tables: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """One table of many; of none, an empty one."""
    frames = list(tables)
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame({"smiles": [], "error": []}, dtype=object)


def as_rows(smiles: Iterable[Any], seeds: Iterable[str] | None = None) -> Iterator[Row]:
    """Strings as rows; what is no string, as NaN in a column, is rejected and stays in its place.

    Raises `InputError`, at the row, where there are fewer or more `seeds` than `smiles`.
    """
    names = None if seeds is None else iter(seeds)
    end, place = object(), 0
    for place, text in enumerate(smiles, start=1):
        name = "" if names is None else next(names, end)
        if name is end:
            raise InputError(f"{place - 1:,} seeds for more molecules than that: each molecule needs its own")
        if isinstance(text, str):
            yield Record(text, _seed_named(name), "argument", place)
        else:
            reason = f"the SMILES is {type(text).__name__}, not text"
            yield InvalidRow("argument", place, str(text), reason, _seed_named(name))
    if names is not None and next(names, end) is not end:
        raise InputError(f"more seeds than molecules, which are {place:,}: each molecule needs its own")


def _seed_named(seed: Any) -> str:
    """What is no text, as None or NaN in a column, is no seed."""
    return seed if isinstance(seed, str) else ""
