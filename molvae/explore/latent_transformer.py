"""Latents as features for scikit-learn: pipelines, cross-validation and hyperparameter searches."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from molvae.api import load
from molvae.errors import InputError, MoleculeError, import_extra
from molvae.explore.latent_points import LATENT_COLUMNS
from molvae.generator import Generator

import_extra("sklearn.base")
from sklearn.base import BaseEstimator, TransformerMixin  # noqa: E402 - after the check, which names the extra

ERRORS = ("raise", "nan")


class LatentTransformer(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Transform SMILES to latents (posterior means), and latents to SMILES by decoding.

    A pickle or clone stores the name of the model, not its weights.

    Parameters
    ----------
    model : str
        Name of a shipped model, or a model directory.
    device : str
        "auto", "cpu", "cuda" or another device name.
    errors : {"raise", "nan"}
        What to do with a molecule that cannot be encoded: raise `MoleculeError`, which names its row, or return a row
        of NaN.
    inversion_steps : int
        Latent inversion steps of `inverse_transform`, as in `Generator.decode`.

    Examples
    --------
    >>> from sklearn.linear_model import Ridge
    >>> from sklearn.pipeline import make_pipeline
    >>> pipeline = make_pipeline(LatentTransformer(), Ridge())
    >>> pipeline.fit(["CCO", "CCCO", "c1ccccc1"], [-0.77, -0.24, 2.13]).predict(["CCCCO"]).shape
    (1,)
    """

    def __init__(
        self, model: str = "druglike", device: str = "auto", errors: str = "raise", inversion_steps: int = 0
    ) -> None:
        self.model = model
        self.device = device
        self.errors = errors
        self.inversion_steps = inversion_steps

    def fit(self, X: Any, y: Any = None) -> Self:  # noqa: ARG002 - scikit-learn's signature
        """Load the model; nothing is learned from the data.

        Parameters
        ----------
        X, y
            Ignored.

        Raises
        ------
        CheckpointError
            If the model does not exist.
        InputError
            If `errors` is not "raise" or "nan".
        """
        if self.errors not in ERRORS:
            raise InputError(f"errors must be {' or '.join(ERRORS)}, got {self.errors!r}")
        self.n_latents_ = int(self._generator.checkpoint.config.latent_dim)
        return self

    def transform(self, X: Any) -> NDArray[np.float32]:
        """Encode SMILES to latents.

        Parameters
        ----------
        X : list, ndarray, Series, or DataFrame with one column
            N SMILES.

        Returns
        -------
        ndarray of shape (N, D), float32
            Posterior means.

        Raises
        ------
        MoleculeError
            If a molecule cannot be encoded and `errors` is "raise".
        """
        frame = self._generator.encode(_smiles_list(X))
        rejected = frame[frame["error"] != ""]
        if self.errors == "raise" and len(rejected):
            raise MoleculeError(f"row {rejected.index[0]} (counted from 0): {rejected['error'].iloc[0]}")
        return np.array(frame.filter(regex=LATENT_COLUMNS), dtype=np.float32)

    def inverse_transform(self, X: Any) -> NDArray[np.object_]:
        """Decode latents to SMILES.

        Parameters
        ----------
        X : array-like of shape (N, D)
            Latents.

        Returns
        -------
        ndarray of shape (N,)
            SMILES; "" for an invalid sample or a latent with NaN.
        """
        table = self._generator.decode(np.asarray(X), inversion_steps=self.inversion_steps)
        return table["smiles"].to_numpy(dtype=object)

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:  # noqa: ARG002
        """Names of the latent dimensions: z0, z1, ..."""
        return np.array([f"z{i}" for i in range(self._generator.checkpoint.config.latent_dim)], dtype=object)

    @property
    def _generator(self) -> Generator:
        """The model, cached outside the estimator, because scikit-learn clones and pickles estimators."""
        return load(self.model, self.device)

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.input_tags.string, tags.input_tags.two_d_array = True, False
        tags.input_tags.one_d_array = True
        return tags


def _smiles_list(molecules: Any) -> list[str]:
    """SMILES from a list, an array, a Series or a table with one column."""
    if isinstance(molecules, str) or not isinstance(molecules, Iterable):
        raise InputError(f"X must be a list, array, Series or one-column table of SMILES, got {molecules!r:.60}")
    array = np.asarray(molecules, dtype=object)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise InputError(f"X must be one column of SMILES, got an array of shape {array.shape}")
    return list(array)
