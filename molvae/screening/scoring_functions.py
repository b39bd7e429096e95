"""Scores of a screen: similarity to seeds, properties, property models and functions of the user."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem

from molvae.chem.fingerprints import morgan_bits, tanimoto_matrix
from molvae.chem.properties import PROPERTIES, property_name
from molvae.chem.scoring_functions import ScoringFunction, as_scoring_function, by_name, list_of_scores
from molvae.errors import InputError
from molvae.qsar.property_model import PropertyModel
from molvae.qsar.property_model import PropertyModelFunction as PropertyModelFunction
from molvae.synthesis.route_score import N_STEPS, RouteScore

Floats = NDArray[np.float64]
ScoreSpec = str | Path | PropertyModel | Callable[..., Any]
Scores = Mapping[str, ScoreSpec] | Iterable[ScoreSpec]

TANIMOTO, LATENT = "tanimoto", "latent"

RESERVED_NAMES = frozenset({
    *PROPERTIES, TANIMOTO, LATENT, "smiles", "name", "score", "seed", "similarity", "log_likelihood", "rank",
    "not_in_training", "nearest_seed", "n_occurrences", "source", "row",
})  # fmt: skip
"""Names of columns that a score cannot have."""


class MoleculeScore(Protocol):
    """A score computed from N molecules: (N,), NaN where there is none. Worker processes compute it."""

    def __call__(self, mols: Sequence[Chem.Mol]) -> Floats:
        """Return the scores: (N,)."""


class LatentScore(Protocol):
    """A score computed from latents (N, D): (N,). It is computed by the process that encodes."""

    def __call__(self, latents: NDArray[np.float32]) -> Floats:
        """Return the scores: (N,)."""


@dataclass(frozen=True)
class TanimotoScore:
    """Tanimoto similarity to the nearest seed, 0 to 1.

    seeds: (S, 256), packed Morgan fingerprints as from `morgan_bits`.
    """

    seeds: NDArray[np.uint8]

    def __call__(self, mols: Sequence[Chem.Mol]) -> Floats:
        """Return the similarity of N molecules to the nearest seed: (N,)."""
        return np.asarray(self.to_each_seed(mols).max(axis=1), np.float64)

    def to_each_seed(self, mols: Sequence[Chem.Mol]) -> NDArray[np.float32]:
        """Return the similarity of N molecules to every seed: (N, S)."""
        return tanimoto_matrix(morgan_bits(mols), self.seeds)


@dataclass(frozen=True)
class CosineScore:
    """Cosine similarity to the latent of the nearest seed, -1 to 1. seeds: (S, D)."""

    seeds: NDArray[np.float32]

    def __call__(self, latents: NDArray[np.float32]) -> Floats:
        """Return the similarity of N latents (N, D) to the nearest seed: (N,)."""
        return np.asarray(self.to_each_seed(latents).max(axis=1), np.float64)

    def to_each_seed(self, latents: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the similarity of N latents (N, D) to every seed: (N, S)."""
        return np.asarray(_normalized(latents) @ _normalized(self.seeds).T, np.float32)


def load_scoring_function(spec: ScoreSpec, name: str | None = None, device: str = "auto") -> ScoringFunction:
    """Adapt a user's score to `ScoringFunction` as `as_scoring_function` does, and load property models.

    Parameters
    ----------
    spec : str, Path, PropertyModel or callable
        The folder of a property model, a loaded property model, "n_steps" or "n_steps:STOCK" for the number of steps of
        a route of synthesis, or what `as_scoring_function` accepts.
    name : str, optional
        Name of the column. Default: the target of the model, or the name of the function.
    device : str
        Device of a property model's encoder.

    Returns
    -------
    ScoringFunction

    Raises
    ------
    InputError
        If `spec` is not a score, or if its name is that of another column.
    CheckpointError
        If a property model is missing or damaged.
    """
    if isinstance(spec, str) and name in (None, N_STEPS) and (routes := RouteScore.from_text(spec)) is not None:
        return routes
    if isinstance(spec, str | Path) and Path(spec).is_dir() and (isinstance(spec, Path) or not property_name(spec)):
        spec = PropertyModel.load(spec, device=device)
    function = as_scoring_function(spec, name)
    if function.name in RESERVED_NAMES and spec != function.name:
        raise InputError(f"a score cannot be called {function.name!r}, the name of another column: rename it")
    return function


def load_scoring_functions(scores: Scores, device: str = "auto") -> dict[str, ScoringFunction]:
    """Adapt several scores, as `load_scoring_function` does, by name. Raises `InputError` if two have the same name."""
    if isinstance(scores, Mapping):
        return {name: load_scoring_function(spec, name, device) for name, spec in scores.items()}
    return by_name(load_scoring_function(spec, device=device) for spec in list_of_scores(scores))


def _normalized(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return vectors (N, D) scaled to length 1."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(length, 1e-12), np.float32)
