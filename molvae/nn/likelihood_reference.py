"""Likelihood reference: the distribution of log-likelihoods over known molecules, for anomaly detection."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray
from torch import nn

from molvae.data.files import atomic_write
from molvae.data.hashing import weights_digest
from molvae.data.json_files import from_json, option, read_object, reading
from molvae.errors import InputError

PERCENTILES = np.array([0, 0.1, 0.2, 0.5, *range(1, 100), 99.5, 99.8, 99.9, 100])
"""Stored percentiles, 0 to 100; denser in the tails, where anomalies lie."""

MIN_MOLECULES = 20
"""Minimum number of reference molecules."""

DEFAULT_N_MOLECULES = 5000
"""Training molecules in the reference that training stores in a model directory."""

_FORMAT_1_KEYS = {"weights": "weights_digest", "molecules": "n_molecules"}


@dataclass(frozen=True)
class LikelihoodReference:
    """Percentiles of a model's log-likelihood per token over a reference set, such as its training set.

    Parameters
    ----------
    model : str
        Name of the model.
    weights_digest : str
        `weights_digest` of the model. The percentiles are valid for these weights only.
    n_molecules : int
        Number of reference molecules.
    percentiles : tuple of float
        Log-likelihood per token in nats at each of `PERCENTILES`.
    """

    model: str = field(metadata=option(printable=True))
    weights_digest: str
    n_molecules: int = field(metadata=option(min=MIN_MOLECULES))
    percentiles: tuple[float, ...]

    @classmethod
    def from_log_likelihoods(cls, name: str, model: nn.Module, log_likelihoods: NDArray[np.float64]) -> Self:
        """Compute the percentiles of log-likelihoods.

        Parameters
        ----------
        name : str
            Name of the model.
        model : nn.Module
            The model that computed the log-likelihoods.
        log_likelihoods : ndarray, shape (N,)
            Log-likelihood per token of each reference molecule in nats; NaN for molecules that could not be encoded.

        Raises
        ------
        InputError
            If fewer than `MIN_MOLECULES` values are not NaN.
        """
        finite = log_likelihoods[~np.isnan(log_likelihoods)]
        if len(finite) < MIN_MOLECULES:
            raise InputError(
                f"a likelihood reference needs {MIN_MOLECULES} or more molecules that can be encoded, got {len(finite)}"
            )
        values = tuple(float(f"{value:.6g}") for value in np.percentile(finite, PERCENTILES))
        return cls(name, weights_digest(model), len(finite), values)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a file written by `save`. Raises `InputError` if it is not a likelihood reference."""
        path = Path(path)
        with reading(path, InputError, "compute the likelihood reference again from molecules"):
            stored = {_FORMAT_1_KEYS.get(key, key): value for key, value in read_object(path).items()}
            reference = from_json(cls, stored)
            if len(reference.percentiles) != len(PERCENTILES):
                raise InputError(f"it has {len(reference.percentiles)} percentiles, expected {len(PERCENTILES)}")
            if (np.diff(reference.percentiles) < 0).any():
                raise InputError("the percentiles are not in ascending order")
        return reference

    def save(self, path: str | Path) -> Path:
        """Write the reference as JSON."""
        with atomic_write(Path(path)) as draft:
            draft.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")
        return Path(path)

    def percentile(self, log_likelihoods: NDArray[np.float64]) -> NDArray[np.float64]:
        """Percentage of reference molecules with a lower log-likelihood per token; NaN where the input is NaN."""
        interpolated = np.interp(log_likelihoods, self.percentiles, PERCENTILES)
        return np.where(np.isnan(log_likelihoods), np.nan, interpolated)
