"""The odd ones out: how well a model knows each molecule, measured against molecules it should know."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from molvae.data.hashing import weights_digest
from molvae.errors import InputError
from molvae.generator import Generator, per_symbol
from molvae.nn.likelihood_reference import LikelihoodReference
from molvae.viz.molecules import MOST_PANELS, Panel, save_panels


def anomaly(
    generator: Generator,
    smiles: Iterable[str],
    *,
    reference: LikelihoodReference | Iterable[str] | None = None,
) -> pd.DataFrame:
    """How well the model reconstructs each molecule, one row out per row in (a pandas column's under its own index).

    log p(x given z) of a molecule's canonical SMILES, given the mean of its own posterior, is near 0 for what a model
    knows by heart, and far below for what is unlike its training. Longer strings have more to get wrong, hence
    `per_symbol`. What is usual says a `reference`: some thousand molecules, or their `LikelihoodReference` as of
    `Generator.calibration`; by default the one that the model brings of its training set.

    Columns: smiles, error, log_likelihood (nats), per_symbol (nats), and percentile, 0 to 100: of 100 reference
    molecules so many are known less well; below 1 is an anomaly worth a look. Where nothing says what is usual there
    is no percentile. `attrs`: summary. Raises `InputError` for a calibration of another model.
    """
    frame = generator.likelihood(smiles)
    table = frame[["smiles", "error", "log_likelihood"]].assign(per_symbol=per_symbol(frame))
    good = int((table["error"] == "").sum())
    summary = f"{len(table):,} molecules: {good:,} read"
    usual = _usual(generator, reference)
    if usual is not None:
        table["percentile"] = usual.percentile(table["per_symbol"].to_numpy())
        odd = int((table["percentile"] < 1).sum())
        summary += f", {odd:,} known less well than 99 % of the {usual.molecules:,} reference molecules"
    else:
        summary += "; the model has no calibration, so a reference has to say what is usual"
    table.attrs = {"summary": [summary]}
    return table


def draw_anomalies(frame: pd.DataFrame, picture: str | Path, n: int = 20) -> Path:
    """The `n` molecules that the model knows least, the oddest first, as .png or .svg."""
    odd = frame[frame["error"] == ""].sort_values("per_symbol", kind="stable").head(min(n, MOST_PANELS))
    return save_panels([Panel.of(row["smiles"], _legend(row)) for _, row in odd.iterrows()], picture)


def _usual(generator: Generator, reference: LikelihoodReference | Iterable[str] | None) -> LikelihoodReference | None:
    usual = generator.checkpoint.usual if reference is None else reference
    if usual is None:
        return None
    if not isinstance(usual, LikelihoodReference):
        return generator.calibration(usual)
    if usual.weights != weights_digest(generator.model):
        raise InputError(
            f"the calibration is of a model {usual.model!r} with other weights than {generator.checkpoint.name!r}: "
            "make one with the model in use"
        )
    return usual


def _legend(row: pd.Series[float]) -> str:
    if "percentile" in row.index:
        return f"percentile {row['percentile']:.3g}   {row['per_symbol']:.2f} nats"
    return f"{row['per_symbol']:.2f} nats a symbol"
