"""Measured molecules out of a table: each once, with its value and its latent, and the count of the rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from molvae.chem.smiles import parse, write
from molvae.data.records import read_records
from molvae.data.rows import Record, Refusal, RowCounts
from molvae.errors import InputError

Floats = NDArray[np.float64]
Latents = NDArray[np.float32]
Encode = Callable[[Sequence[str]], tuple[Latents, list[str]]]
"""SMILES to the latents (K, D) of those that have any, and for every SMILES what is wrong with it, or nothing."""

_POSITIVE, _NEGATIVE = ("1", "1.0", "true", "yes", "active"), ("0", "0.0", "false", "no", "inactive")


class Measurements:
    """The usable molecules of a table, each once: smiles, values (N,), latents (N, D); and the count of the rows."""

    def __init__(self, task: str) -> None:
        self.task, self.counts = task, RowCounts()
        self.refusals: list[Refusal] = []
        self.smiles: list[str] = []
        self.values: Floats = np.empty(0)
        self.latents: NDArray[np.float32] = np.empty((0, 0), np.float32)

    @classmethod
    def read(cls, data: str | Path, target: str, column: str | None, task: str, encode: Encode) -> Self:
        """Raises `InputError` where nothing can be fitted, with the first reasons."""
        table = cls(task)
        rows = list(read_records(data, column=column, name_column=target))
        records = [row for row in rows if isinstance(row, Record)]
        table.refusals = [row for row in rows if isinstance(row, Refusal)]
        numbers = table._numbers([record.name for record in records], target)
        latents, errors = encode([record.smiles for record in records])
        usable = iter(latents)
        found: dict[str, tuple[NDArray[np.float32], list[float]]] = {}
        for record, number, error in zip(records, numbers, errors, strict=True):
            latent = None if error else next(usable)
            if latent is None or math.isnan(number):
                reason = error or f"its {target} is {record.name!r}, not a finite number"
                table.refusals.append(Refusal(record.source, record.row, record.smiles, reason))
            else:
                found.setdefault(write(parse(record.smiles)), (latent, []))[1].append(number)
        table._take(found)
        return table

    def _take(self, found: dict[str, tuple[NDArray[np.float32], list[float]]]) -> None:
        if not found:
            raise InputError(f"no usable row: {'; '.join(map(str, self.refusals[:3])) or 'the table is empty'}")
        self.smiles = list(found)
        self.latents = np.stack([latent for latent, _ in found.values()])
        means = np.array([np.mean(values) for _, values in found.values()])
        self.values = np.round(means) if self.task == "classification" else means
        if len(np.unique(self.values)) < 2:
            raise InputError(f"all {len(means)} usable values are {means[0]:g}: there is nothing to learn")
        measured = sum(len(values) for _, values in found.values())
        self.counts = RowCounts(len(found), measured - len(found), len(self.refusals))

    def _numbers(self, texts: Sequence[str], target: str) -> list[float]:
        """Values as numbers, labels as 0 and 1, NaN for what is neither; decides the task where that is auto."""
        kinds = {text.strip().lower() for text in texts if text.strip()}
        labels = {**dict.fromkeys(_POSITIVE, 1.0), **dict.fromkeys(_NEGATIVE, 0.0)}
        if self.task == "auto":
            self.task = "classification" if len(kinds) <= 2 and kinds <= set(labels) else "regression"
        if self.task == "regression":
            return [_number(text) for text in texts]
        if strange := sorted(kinds - set(labels)):
            known = f"{', '.join(_NEGATIVE)} or {', '.join(_POSITIVE)}"
            raise InputError(f"{target} is to be classified, but {strange[0]!r} is no label: labels are {known}")
        return [labels.get(text.strip().lower(), math.nan) for text in texts]

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
