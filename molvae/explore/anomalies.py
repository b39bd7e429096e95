"""The odd ones out: how well a model knows each molecule, measured against molecules it should know."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from molvae.data.files import whole_file
from molvae.errors import InputError
from molvae.generator import Generator
from molvae.pictures import MOST_PANELS, Panel, save_panels

GRID = np.array([0, 0.1, 0.2, 0.5, *range(1, 100), 99.5, 99.8, 99.9, 100])
"""The percentiles that a calibration keeps: closer where anomalies are."""


@dataclass(frozen=True)
class Calibration:
    """How well a model knows molecules of a reference set, the training set or a part of it.

    `percentiles`: log-likelihood per symbol (nats) at each percentile of `GRID`. `model` and `weights` say what
    computed them: figures of another model mean nothing.
    """

    model: str
    weights: str
    molecules: int
    percentiles: tuple[float, ...]

    @classmethod
    def of(cls, generator: Generator, smiles: Iterable[str]) -> Self:
        """From reference molecules. Raises `InputError` where fewer than 20 of them can be encoded."""
        known = _per_symbol(generator.likelihood(smiles)).dropna()
        if len(known) < 20:
            raise InputError(f"a calibration takes 20 molecules or more, {len(known)} could be encoded")
        values = tuple(float(f"{value:.6g}") for value in np.percentile(known, GRID))
        return cls(generator.checkpoint.name, weights_of(generator), len(known), values)

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
        with whole_file(Path(path)) as draft:
            draft.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")
        return Path(path)

    def percentile(self, per_symbol: NDArray[np.float64]) -> NDArray[np.float64]:
        """The share, in per cent, of reference molecules that the model knows less well."""
        return np.where(np.isnan(per_symbol), np.nan, np.interp(per_symbol, self.percentiles, GRID))


def anomaly(
    generator: Generator,
    smiles: Iterable[str],
    *,
    reference: Calibration | Iterable[str] | None = None,
) -> pd.DataFrame:
    """How well the model reconstructs each molecule, one row out per row in.

    log p(x given z) of a molecule's canonical SMILES, given the mean of its own posterior, is near 0 for what a model
    knows by heart, and far below for what is unlike its training. Longer strings have more to get wrong, hence
    `per_symbol`. `reference`, some thousand molecules of the training set or their `Calibration`, says what is usual.

    Columns: smiles, error, log_likelihood (nats), per_symbol (nats), and with a reference percentile, 0 to 100: of 100
    reference molecules so many are known less well; below 1 is an anomaly worth a look. `attrs`: summary. Raises
    `InputError` for a calibration of another model.
    """
    frame = generator.likelihood(smiles)
    table = frame[["smiles", "error", "log_likelihood"]].assign(per_symbol=_per_symbol(frame))
    good = int((table["error"] == "").sum())
    summary = f"{len(table):,} molecules: {good:,} read"
    if reference is not None:
        usual = reference if isinstance(reference, Calibration) else Calibration.of(generator, reference)
        _check(usual, generator)
        table["percentile"] = usual.percentile(table["per_symbol"].to_numpy())
        odd = int((table["percentile"] < 1).sum())
        summary += f", {odd:,} known less well than 99 % of the {usual.molecules:,} reference molecules"
    table.attrs = {"summary": [summary]}
    return table


def draw_anomalies(frame: pd.DataFrame, picture: str | Path, n: int = 20) -> Path:
    """The `n` molecules that the model knows least, the oddest first, as .png or .svg."""
    odd = frame[frame["error"] == ""].sort_values("per_symbol", kind="stable").head(min(n, MOST_PANELS))
    return save_panels([Panel.of(row["smiles"], _legend(row)) for _, row in odd.iterrows()], picture)


def weights_of(generator: Generator) -> str:
    """A digest of the networks' weights, by which a calibration knows its model."""
    digest = hashlib.blake2b(digest_size=16)
    for tensor in generator.model.state_dict().values():
        digest.update(tensor.cpu().numpy().tobytes())
    return digest.hexdigest()


def _per_symbol(likelihood: pd.DataFrame) -> pd.Series[float]:
    return likelihood["log_likelihood"] / likelihood["symbols"].clip(lower=1)


def _check(usual: Calibration, generator: Generator) -> None:
    if usual.weights != weights_of(generator):
        raise InputError(
            f"the calibration is of a model {usual.model!r} with other weights than {generator.checkpoint.name!r}: "
            "make one with the model in use"
        )


def _legend(row: pd.Series[float]) -> str:
    if "percentile" in row.index:
        return f"percentile {row['percentile']:.3g}   {row['per_symbol']:.2f} nats"
    return f"{row['per_symbol']:.2f} nats a symbol"
