"""Which models are tried: an estimator on a representation of molecules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from molvae.qsar.estimators import MOST_ROWS, Forest, GaussianProcess, Logistic, Ridge

Floats = NDArray[np.float64]

REPRESENTATIONS = ("latent", "fingerprint")
TASKS = ("regression", "classification")


class Estimator(Protocol):
    """A frozen dataclass of arrays and nothing else: what it has learned is stored without a line of code."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @classmethod
    def fit(cls, x: NDArray[Any], y: Floats, seed: int) -> Self:
        """From features (N, D) and targets (N,)."""
        ...

    def predict(self, x: NDArray[Any]) -> tuple[Floats, Floats]:
        """Mean and standard deviation, (N,) each."""
        ...


ESTIMATORS: dict[str, type[Estimator]] = {
    "ridge": Ridge,
    "logistic": Logistic,
    "forest": Forest,
    "gaussian process": GaussianProcess,
}

_TRIED = {
    "regression": (
        ("latent", "ridge"), ("latent", "gaussian process"), ("latent", "forest"),
        ("fingerprint", "gaussian process"), ("fingerprint", "forest"),
    ),
    "classification": (
        ("latent", "logistic"), ("latent", "forest"), ("fingerprint", "logistic"), ("fingerprint", "forest"),
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Candidate:
    """A representation ("latent": means of the posterior, "fingerprint": Morgan counts) and a kind of estimator."""

    representation: str
    kind: str

    @property
    def estimator(self) -> type[Estimator]:
        """The class of that name."""
        return ESTIMATORS[self.kind]

    def __str__(self) -> str:
        return f"{self.kind} on {self.representation}s"


def candidates(task: str, rows: int) -> list[Candidate]:
    """The models to try for a task with so many molecules; a Gaussian process has a limit (`MOST_ROWS`)."""
    tried = [Candidate(*pair) for pair in _TRIED[task]]
    return [each for each in tried if each.kind != "gaussian process" or rows <= MOST_ROWS]
