"""Reader of tables of molecules with a measured property."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from molvae.chem.standardization import prepare
from molvae.data.arguments import is_table, table_records
from molvae.data.readers import read_records
from molvae.data.rows import InvalidRow, Record, RowCounts
from molvae.errors import InputError
from molvae.qsar.estimators import Floats

Latents = NDArray[np.float32]

Encode = Callable[[Sequence[str]], tuple[Latents, list[str]]]
"""Function of N SMILES that returns the latents (K, D) of the K valid ones, and N error messages, "" for valid ones."""

Measured = dict[str, tuple[NDArray[np.float32], list[tuple[Record, float]]]]
"""Latent of each molecule, and its rows with their values, by canonical SMILES."""

_POSITIVE_LABELS = ("1", "1.0", "true", "yes", "active")
_NEGATIVE_LABELS = ("0", "0.0", "false", "no", "inactive")
_LABELS = {**dict.fromkeys(_POSITIVE_LABELS, 1.0), **dict.fromkeys(_NEGATIVE_LABELS, 0.0)}


class Measurements:
    """The distinct molecules of a table with their measured values.

    Attributes
    ----------
    task : {"regression", "classification"}
        Kind of the values.
    smiles : list of str
        N identities (see `chem.standardization`).
    values : ndarray, shape (N,)
        Mean value of each molecule, or its label, 0 or 1.
    latents : ndarray, shape (N, D)
        Latent of each molecule.
    counts : RowCounts
        Accepted, duplicate and invalid rows.
    invalid_rows : list of InvalidRow
        Rows without a valid molecule or value.
    notes : list of InvalidRow
        Rows whose molecule was changed, with the note as the reason.
    """

    def __init__(self, task: str) -> None:
        self.task, self.counts = task, RowCounts()
        self.invalid_rows: list[InvalidRow] = []
        self.notes: list[InvalidRow] = []
        self.smiles: list[str] = []
        self.values: Floats = np.empty(0)
        self.latents: Latents = np.empty((0, 0), np.float32)

    @classmethod
    def read(
        cls,
        data: str | Path | pd.DataFrame,
        target: str,
        column: str | None,
        task: str,
        encode: Encode,
        *,
        standardize: bool = False,
        keep_salts: bool = False,
    ) -> Self:
        """Read a table.

        Parameters
        ----------
        data : str, Path or DataFrame
            Table with the molecules and the values.
        target : str
            Column of the values.
        column : str or None
            Column of the SMILES; None selects a default name.
        task : {"auto", "regression", "classification"}
            "auto" is a classification if the values are labels such as 0 and 1 or inactive and active.
        encode : callable
            Computes the latents.
        standardize, keep_salts : bool
            As in `chem.standardization.prepare`.

        Raises
        ------
        InputError
            If no row is usable, if all values are equal, or if most values of a classification are not labels.
        """
        table = cls(task)
        if isinstance(data, str | os.PathLike):
            rows = list(read_records(data, column=column, name_column=target))
        elif is_table(data):
            rows = list(table_records(data, column, target))
        else:
            raise InputError(f"data must be the path of a file or a DataFrame, got {type(data).__name__}")
        records = [row for row in rows if isinstance(row, Record)]
        table.invalid_rows = [row for row in rows if isinstance(row, InvalidRow)]
        values = table._parse_values([record.name for record in records], target)
        latents, errors = encode([record.smiles for record in records])
        valid_latents = iter(latents)
        measured: Measured = {}
        for record, value, error in zip(records, values, errors, strict=True):
            latent = None if error else next(valid_latents)
            if latent is None or math.isnan(value):
                expected = "a finite number" if table.task == "regression" else "a label"
                table._reject(record, error or f"{target} is {record.name!r}, expected {expected}")
            else:
                molecule = prepare(record.smiles, standardize=standardize, keep_salts=keep_salts, keep_isotopes=False)
                if note := "; ".join(filter(None, (record.note, molecule.note))):
                    table.notes.append(InvalidRow(record.source, record.row, record.smiles, note))
                measured.setdefault(molecule.smiles, (latent, []))[1].append((record, value))
        table._set_molecules(measured if table.task == "regression" else table._majority_labels(measured, target))
        return table

    def _reject(self, record: Record, reason: str) -> None:
        self.invalid_rows.append(InvalidRow(record.source, record.row, record.smiles, reason))

    def _majority_labels(self, measured: Measured, target: str) -> Measured:
        """Replace the labels of each molecule by the most frequent one; reject a molecule with a tie."""
        decided: Measured = {}
        for smiles, (latent, rows) in measured.items():
            n_positive = sum(label for _, label in rows)
            if 2 * n_positive == len(rows):
                numbers = ", ".join(str(record.row) for record, _ in rows)
                for record, _ in rows:
                    self._reject(record, f"contradictory values of {target}: as many 1 as 0 in rows {numbers}")
            else:
                decided[smiles] = latent, [(record, float(2 * n_positive > len(rows))) for record, _ in rows]
        return decided

    def _set_molecules(self, measured: Measured) -> None:
        if not measured:
            reasons = "; ".join(map(str, self.invalid_rows[:3])) or "the table is empty"
            raise InputError(f"no usable row: {reasons}")
        self.smiles = list(measured)
        self.latents = np.stack([latent for latent, _ in measured.values()])
        self.values = np.array([np.mean([value for _, value in rows]) for _, rows in measured.values()])
        if len(np.unique(self.values)) < 2:
            raise InputError(f"all {len(measured)} usable values are {self.values[0]:g}: there is nothing to learn")
        n_rows = sum(len(rows) for _, rows in measured.values())
        self.counts = RowCounts(len(measured), n_rows - len(measured), len(self.invalid_rows), len(self.notes))

    def _parse_values(self, texts: Sequence[str], target: str) -> list[float]:
        """Parse values or labels, NaN for invalid ones, and determine the task if it is "auto".

        The task is a regression if a value is a number other than 0 and 1, or if there are at least as many distinct
        other values as labels.
        """
        normalized = [text.strip().lower() for text in texts]
        n_labels = sum(text in _LABELS for text in normalized)
        others = [text for text, n in zip(texts, normalized, strict=True) if n and n not in _LABELS]
        if self.task == "auto":
            has_numbers = any(not math.isnan(_parse_number(text)) for text in others)
            self.task = "regression" if has_numbers or len(set(others)) >= n_labels else "classification"
        if self.task == "regression":
            return [_parse_number(text) for text in texts]
        if n_labels < len(others):
            known = f"{', '.join(_NEGATIVE_LABELS)} or {', '.join(_POSITIVE_LABELS)}"
            raise InputError(f"{min(others)!r} in column {target} is not a label: the labels of classes are {known}")
        return [_LABELS.get(text, math.nan) for text in normalized]

    def summary(self, file_name: str) -> dict[str, str]:
        """Describe the data for the card of the model."""
        values = self.values
        if self.task == "classification":
            n_positive = int(values.sum())
            description = f"{n_positive:,} of label 1, {len(values) - n_positive:,} of label 0"
        else:
            moments = f"mean {values.mean():.3g}, standard deviation {values.std():.3g}"
            description = f"{values.min():g} to {values.max():g}, {moments}"
        return {"file": file_name, "rows": self.counts.summary(), "values": description}


def _parse_number(text: str) -> float:
    """Return a number; NaN for text that is not a finite number."""
    try:
        number = float(text)
    except ValueError:
        return math.nan
    return number if math.isfinite(number) else math.nan
