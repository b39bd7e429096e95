"""Latents as features: a scikit-learn transformer, for pipelines, searches and cross-validation."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from molvae.api import load
from molvae.errors import InputError, MoleculeError, import_extra
from molvae.generator import Generator

import_extra("sklearn.base")
from sklearn.base import BaseEstimator, TransformerMixin  # noqa: E402

ERRORS = ("raise", "nan")


class LatentTransformer(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """SMILES to latents (means of the posteriors), and back by decoding.

    >>> from sklearn.linear_model import Ridge
    >>> from sklearn.pipeline import make_pipeline
    >>> model = make_pipeline(LatentTransformer(), Ridge()).fit(smiles, solubility)

    `model`: a shipped model's name or a model directory; a pickle holds this name, not the weights, and finds them
    where it is loaded. `errors`: a molecule that cannot be encoded raises `MoleculeError` naming its row ("raise"), or
    becomes a row of NaN ("nan"). `inversion_steps` as in `Generator.decode`, for the way back.
    """

    def __init__(
        self, model: str = "druglike", device: str = "auto", errors: str = "raise", inversion_steps: int = 0
    ) -> None:
        self.model = model
        self.device = device
        self.errors = errors
        self.inversion_steps = inversion_steps

    def fit(self, X: Any, y: Any = None) -> Self:  # noqa: ARG002 - scikit-learn's names
        """Nothing is learned: the model is loaded, so that a wrong name is an error now. Raises `CheckpointError`."""
        if self.errors not in ERRORS:
            raise InputError(f"errors is {' or '.join(ERRORS)}, got {self.errors!r}")
        self.n_latents_ = int(self._generator.checkpoint.config.latent_dim)
        return self

    def transform(self, X: Any) -> NDArray[np.float32]:
        """Latents, N x D, of N SMILES: a list, an array, a Series, or a table with one column."""
        frame = self._generator.encode(_texts(X))
        bad = frame[frame["error"] != ""]
        if self.errors == "raise" and len(bad):
            raise MoleculeError(f"row {bad.index[0]} (counted from 0): {bad['error'].iloc[0]}")
        return np.array(frame.iloc[:, 2:], dtype=np.float32)

    def inverse_transform(self, X: Any) -> NDArray[np.object_]:
        """SMILES, N, of N x D latents; "" where the decoder writes no molecule, or a latent is NaN."""
        return self._generator.decode(np.asarray(X), inversion_steps=self.inversion_steps)["smiles"].to_numpy(
            dtype=object
        )

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:  # noqa: ARG002
        """z0, z1 ..."""
        return np.array([f"z{i}" for i in range(self._generator.checkpoint.config.latent_dim)], dtype=object)

    @property
    def _generator(self) -> Generator:
        return load(self.model, self.device)  # kept outside the estimator, which scikit-learn clones and pickles freely

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.input_tags.string, tags.input_tags.two_d_array = True, False
        tags.input_tags.one_d_array = True
        return tags


def _texts(molecules: Any) -> list[str]:
    if isinstance(molecules, str) or not isinstance(molecules, Iterable):
        raise InputError("molecules are a list, an array, a Series or a column of SMILES, not one of them")
    array = np.asarray(molecules, dtype=object)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise InputError(f"molecules are one column of SMILES, got {' x '.join(map(str, array.shape))}")
    return list(array)
