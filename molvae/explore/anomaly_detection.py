"""Anomaly detection: the likelihood of each molecule under a model, as a percentile of reference molecules."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from molvae.data.checked_arguments import checked_arguments
from molvae.data.hashing import weights_digest
from molvae.errors import InputError
from molvae.generator import Generator, log_likelihood_per_token
from molvae.nn.likelihood_reference import LikelihoodReference
from molvae.viz.formatting import format_text
from molvae.viz.grid import MAX_PANELS, Panel, save_panels

ANOMALY_PERCENTILE = 1
"""Molecules below this percentile of the reference are counted as anomalies in the summary."""


@checked_arguments
def anomaly(
    generator: Generator,
    smiles: Iterable[str],
    *,
    reference: LikelihoodReference | Iterable[str] | None = None,
    keep_salts: bool = False,
) -> pd.DataFrame:
    """Score how well a model reconstructs each molecule, compared with reference molecules.

    The log-likelihood log p(x | z) of a molecule's canonical SMILES, given its own latent, is close to 0 for
    molecules like those of the training set and far below 0 for others. Longer SMILES have lower likelihoods, so
    molecules are compared by the mean log-likelihood per token.

    Parameters
    ----------
    generator : Generator
        The model.
    smiles : iterable of str
        Molecules. A pandas Series keeps its index in the result.
    reference : LikelihoodReference or iterable of str, optional
        About a thousand reference molecules, or the result of `Generator.likelihood_reference` for them. By default the
        reference that is saved with the model, computed from its training set.
    keep_salts : bool
        Keep salts and solvents, which few models can represent; otherwise the largest fragment is used.

    Returns
    -------
    DataFrame
        One row per input with the columns `smiles`, `error`, `note`, `log_likelihood` (nats),
        `log_likelihood_per_token` (nats) and, if there is a reference, `percentile` (0 to 100): the share of reference
        molecules with a lower log-likelihood per token. Values below 1 mark anomalies. `attrs`: statistics (counts of
        read, valid and anomalous molecules), summary.

    Raises
    ------
    InputError
        If the reference was computed with other weights.

    Examples
    --------
    >>> from molvae import explore, load
    >>> table = explore.anomaly(load(), ["CC(=O)Oc1ccccc1C(=O)O", "C1CC1C1CC1C1CC1C1CC1"])
    >>> bool(table["percentile"][0] > table["percentile"][1])
    True
    """
    likelihoods = generator.likelihood(smiles, keep_salts=keep_salts)
    table = likelihoods[["smiles", "error", "note", "log_likelihood"]].assign(
        log_likelihood_per_token=log_likelihood_per_token(likelihoods)
    )
    statistics = {"read": len(table), "valid": int((table["error"] == "").sum())}
    summary = f"read {statistics['read']:,} molecules ({statistics['valid']:,} valid)"
    reference = _resolve_reference(generator, reference)
    if reference is None:
        summary += "; no percentiles: the model has no likelihood reference, and no reference molecules were given"
    else:
        table["percentile"] = reference.percentile(table["log_likelihood_per_token"].to_numpy())
        statistics["anomalies"] = int((table["percentile"] < ANOMALY_PERCENTILE).sum())
        summary += (
            f"; {statistics['anomalies']:,} anomalies below percentile {ANOMALY_PERCENTILE} "
            f"of {reference.n_molecules:,} reference molecules"
        )
    table.attrs = {"statistics": statistics, "summary": [summary]}
    return table


def draw_anomalies(frame: pd.DataFrame, path: str | Path, n: int = 20) -> Path:
    """Save the least likely molecules of an `anomaly` table as an image, the least likely first.

    Parameters
    ----------
    frame : DataFrame
        Result of `anomaly`.
    path : str or Path
        Output file, .png or .svg; replaced atomically.
    n : int
        Maximum number of molecules.

    Returns
    -------
    Path
        The path of the file.
    """
    ranked = frame[frame["error"] == ""].sort_values("log_likelihood_per_token", kind="stable")
    rows = enumerate(ranked.head(min(n, MAX_PANELS)).to_dict("records"), start=1)
    panels = [
        Panel.from_smiles(row["smiles"], _legend(row), title=f"{rank}  {format_text(row.get('name'))}".strip())
        for rank, row in rows
    ]
    return save_panels(panels, path)


def _resolve_reference(
    generator: Generator, reference: LikelihoodReference | Iterable[str] | None
) -> LikelihoodReference | None:
    """The reference to compare with: the given one, one computed from the given molecules, or the model's own."""
    if reference is None:
        reference = generator.checkpoint.likelihood_reference
    if reference is None:
        return None
    if not isinstance(reference, LikelihoodReference):
        return generator.likelihood_reference(reference)
    if reference.weights_digest != weights_digest(generator.model):
        raise InputError(
            f"the likelihood reference of model {reference.model!r} was computed with other weights than those of "
            f"{generator.checkpoint.name!r}: compute it again with this model"
        )
    return reference


def _legend(row: Mapping[Any, Any]) -> str:
    """Text such as "percentile 0.3   -2.17 nats"."""
    nats = f"{row['log_likelihood_per_token']:.2f} nats"
    return f"percentile {row['percentile']:.3g}   {nats}" if "percentile" in row else f"{nats} per token"
