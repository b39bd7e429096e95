"""Measured molecules out of a table: each once, with its value and its latent, and the count of the rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from molvae.chem.smiles import parse, write
from molvae.data.readers import read_records
from molvae.data.rows import InvalidRow, Record, RowCounts
from molvae.errors import InputError

Floats = NDArray[np.float64]
Latents = NDArray[np.float32]
Encode = Callable[[Sequence[str]], tuple[Latents, list[str]]]
"""SMILES to the latents (K, D) of those that have any, and for every SMILES what is wrong with it, or nothing."""

Found = dict[str, tuple[NDArray[np.float32], list[tuple[Record, float]]]]
"""Of each molecule, by its canonical SMILES, its latent and the rows that it is in with their values."""

_POSITIVE, _NEGATIVE = ("1", "1.0", "true", "yes", "active"), ("0", "0.0", "false", "no", "inactive")


class Measurements:
    """The usable molecules of a table, each once: smiles, values (N,), latents (N, D); and the count of the rows."""

    def __init__(self, task: str) -> None:
        self.task, self.counts = task, RowCounts()
        self.invalid_rows: list[InvalidRow] = []
        self.smiles: list[str] = []
        self.values: Floats = np.empty(0)
        self.latents: NDArray[np.float32] = np.empty((0, 0), np.float32)

    @classmethod
    def read(cls, data: str | Path, target: str, column: str | None, task: str, encode: Encode) -> Self:
        """Raises `InputError` where nothing can be fitted, with the first reasons."""
        table = cls(task)
        rows = list(read_records(data, column=column, name_column=target))
        records = [row for row in rows if isinstance(row, Record)]
        table.invalid_rows = [row for row in rows if isinstance(row, InvalidRow)]
        numbers = table._numbers([record.name for record in records], target)
        latents, errors = encode([record.smiles for record in records])
        usable = iter(latents)
        found: Found = {}
        for record, number, error in zip(records, numbers, errors, strict=True):
            latent = None if error else next(usable)
            if latent is None or math.isnan(number):
                kind = "a finite number" if table.task == "regression" else "a label"
                reason = error or f"its {target} is {record.name!r}, not {kind}"
                table.invalid_rows.append(InvalidRow(record.source, record.row, record.smiles, reason))
            else:
                found.setdefault(write(parse(record.smiles)), (latent, []))[1].append((record, number))
        table._take(found if table.task == "regression" else table._agreed(found, target))
        return table

    def _agreed(self, found: Found, target: str) -> Found:
        """Labels by majority; a molecule with as many of one as of the other is rejected."""
        agreed: Found = {}
        for smiles, (latent, rows) in found.items():
            ones = sum(number for _, number in rows)
            if 2 * ones == len(rows):
                reason = f"its {target} is 1 as often as 0, in rows {', '.join(str(record.row) for record, _ in rows)}"
                self.invalid_rows += [
                    InvalidRow(record.source, record.row, record.smiles, reason) for record, _ in rows
                ]
            else:
                agreed[smiles] = latent, [(record, float(2 * ones > len(rows))) for record, _ in rows]
        return agreed

    def _take(self, found: Found) -> None:
        if not found:
            raise InputError(f"no usable row: {'; '.join(map(str, self.invalid_rows[:3])) or 'the table is empty'}")
        self.smiles = list(found)
        self.latents = np.stack([latent for latent, _ in found.values()])
        self.values = np.array([np.mean([number for _, number in rows]) for _, rows in found.values()])
        if len(np.unique(self.values)) < 2:
            raise InputError(f"all {len(found)} usable values are {self.values[0]:g}: there is nothing to learn")
        measured = sum(len(rows) for _, rows in found.values())
        self.counts = RowCounts(len(found), measured - len(found), len(self.invalid_rows))

    def _numbers(self, texts: Sequence[str], target: str) -> list[float]:
        """Values as numbers, labels as 0 and 1, NaN for what is neither; decides the task where that is auto.

        It is one of labels where there is no other number. Raises `InputError` where labels are asked for, and most of
        what there is are none.
        """
        kinds = [text.strip().lower() for text in texts]
        labels = {**dict.fromkeys(_POSITIVE, 1.0), **dict.fromkeys(_NEGATIVE, 0.0)}
        labeled = sum(kind in labels for kind in kinds)
        strange = [text for text, kind in zip(texts, kinds, strict=True) if kind and kind not in labels]
        if self.task == "auto":
            numbers = any(not math.isnan(_number(text)) for text in strange)
            self.task = "regression" if numbers or len(set(strange)) >= labeled else "classification"
        if self.task == "regression":
            return [_number(text) for text in texts]
        if labeled < len(strange):
            known = f"{', '.join(_NEGATIVE)} or {', '.join(_POSITIVE)}"
            raise InputError(f"{target} is to be classified, but {min(strange)!r} is no label: labels are {known}")
        return [labels.get(kind, math.nan) for kind in kinds]

    def summary(self, name: str) -> dict[str, str]:
        values = self.values
        told = f"{values.min():g} to {values.max():g}, mean {values.mean():.3g}, standard deviation {values.std():.3g}"
        labels = f"{int(values.sum()):,} of label 1, {int(len(values) - values.sum()):,} of label 0"
        kind = labels if self.task == "classification" else told
        return {"file": name, "rows": self.counts.summary(), "values": kind}


def _number(text: str) -> float:
    """NaN for what is no finite number."""
    try:
        number = float(text)
    except ValueError:
        return math.nan
    return number if math.isfinite(number) else math.nan
