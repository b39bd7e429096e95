"""What is usual for a model: how well it knows molecules of its training set, by which the odd ones are told."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray
from torch import nn

from molvae.data.files import atomic_write
from molvae.data.hashing import weights_digest
from molvae.errors import InputError

GRID = np.array([0, 0.1, 0.2, 0.5, *range(1, 100), 99.5, 99.8, 99.9, 100])
"""The percentiles that a calibration keeps: closer where anomalies are."""

LEAST, ENOUGH = 20, 5000
"""Reference molecules: as many as it takes, and as many as a model directory's own calibration is of."""


@dataclass(frozen=True)
class LikelihoodReference:
    """How well a model knows molecules of a reference set, the training set or a part of it.

    `percentiles`: log-likelihood per symbol (nats) at each percentile of `GRID`. `model` and `weights` say what
    computed them: figures of another model mean nothing.
    """

    model: str
    weights: str
    molecules: int
    percentiles: tuple[float, ...]

    @classmethod
    def of(cls, name: str, model: nn.Module, per_symbol: NDArray[np.float64]) -> Self:
        """From a figure per reference molecule, NaN where it has none. Raises `InputError` for fewer than 20."""
        known = per_symbol[~np.isnan(per_symbol)]
        if len(known) < LEAST:
            raise InputError(f"a calibration takes {LEAST} molecules or more, {len(known)} could be encoded")
        values = tuple(float(f"{value:.6g}") for value in np.percentile(known, GRID))
        return cls(name, weights_digest(model), len(known), values)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """From a file of `save`. Raises `InputError` where it is none."""
        try:
            stored = json.loads(Path(path).read_text(encoding="utf-8"))
            table = cls(**{**stored, "percentiles": tuple(map(float, stored["percentiles"]))})
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise InputError(f"{path} is no calibration ({error}): make one from reference molecules") from None
        if len(table.percentiles) != len(GRID):
            raise InputError(f"{path} has {len(table.percentiles)} percentiles, a calibration {len(GRID)}")
        return table

    def save(self, path: str | Path) -> Path:
        with atomic_write(Path(path)) as draft:
            draft.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")
        return Path(path)

    def percentile(self, per_symbol: NDArray[np.float64]) -> NDArray[np.float64]:
        """The share, in per cent, of reference molecules that the model knows less well."""
        return np.where(np.isnan(per_symbol), np.nan, np.interp(per_symbol, self.percentiles, GRID))
