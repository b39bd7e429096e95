"""A fitted property model and its folder of arrays and JSON; loading it executes no code.

weights.safetensors   arrays of the estimator
model.json            target, task, representation, estimator, uncertainty, encoder, sha256 of the weights
card.json, card.md    training data and the validation of all candidates
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from molvae.chem.fingerprints import BITS
from molvae.data.files import atomic_write_folder, checksum
from molvae.errors import CheckpointError
from molvae.qsar.estimators import ESTIMATORS, Estimator, Floats

FORMAT = "molvae-property-2"
SETTINGS, WEIGHTS, CARD = "model.json", "weights.safetensors", "card.json"

REPRESENTATIONS = ("latent", "fingerprint")
TASKS = ("regression", "classification")

_BATCH_SIZE = 2048  # molecules per prediction, to limit the memory of kernel matrices and tree traversal


@dataclass(frozen=True)
class Candidate:
    """A combination of molecular representation and estimator.

    Attributes
    ----------
    representation : {"latent", "fingerprint"}
        Latents (posterior means of the encoder) or Morgan count fingerprints.
    estimator_name : str
        A key of `ESTIMATORS`.
    """

    representation: str
    estimator_name: str

    @property
    def estimator(self) -> type[Estimator]:
        """The class of the estimator."""
        return ESTIMATORS[self.estimator_name]

    def __str__(self) -> str:
        return f"{self.estimator_name.replace('_', ' ')} on {self.representation}s"


@dataclass(frozen=True)
class EncoderInfo:
    """Name, path and SHA-256 of the weights of the model that computes the latents of a property model."""

    name: str
    path: str
    sha256: str


@dataclass(frozen=True)
class FittedModel:
    """A fitted estimator with its target, encoder, calibration and card.

    Attributes
    ----------
    target : str
        Name of the property.
    task : {"regression", "classification"}
        Kind of the target.
    candidate : Candidate
        Representation and estimator.
    estimator : Estimator
        The fitted estimator.
    std_scale : float
        Factor for the standard deviation of the estimator, so that error / uncertainty has a mean square of 1 on
        held-out molecules.
    encoder : EncoderInfo or None
        The model that computes the latents; None if the representation is a fingerprint.
    card : dict
        Training data and validation.
    min_std : float
        Standard deviation added in quadrature to that of the estimator, which may be 0 by chance in a random forest.
    """

    target: str
    task: str
    candidate: Candidate
    estimator: Estimator
    std_scale: float
    encoder: EncoderInfo | None
    card: dict[str, Any] = field(default_factory=dict)
    min_std: float = 0.0

    def predict(self, x: NDArray[Any]) -> tuple[Floats, Floats]:
        """Predict values and uncertainties (standard deviations), (N,) each, from features (N, D).

        For a classification: the probability of label 1, and the standard deviation of the label.
        """
        parts = [self.estimator.predict(x[start : start + _BATCH_SIZE]) for start in range(0, len(x), _BATCH_SIZE)]
        mean = np.concatenate([np.empty(0), *(part[0] for part in parts)])
        if self.task == "classification":
            return mean, np.sqrt(np.clip(mean * (1 - mean), 0, None))
        std = np.concatenate([np.empty(0), *(part[1] for part in parts)])
        return mean, self.std_scale * np.hypot(std, self.min_std)


def save(model: FittedModel, card: str, folder: Path) -> None:
    """Write a model to a folder, atomically. `card` is the text of card.md."""
    names = [f.name for f in dataclasses.fields(model.estimator)]  # type: ignore[arg-type]
    with atomic_write_folder(folder, SETTINGS) as temporary:
        save_file({name: np.ascontiguousarray(getattr(model.estimator, name)) for name in names}, temporary / WEIGHTS)
        settings = {
            "format": FORMAT,
            "target": model.target,
            "task": model.task,
            "representation": model.candidate.representation,
            "estimator": model.candidate.estimator_name,
            "std_scale": model.std_scale,
            "min_std": model.min_std,
            "encoder": None if model.encoder is None else dataclasses.asdict(model.encoder),
            "sha256": checksum(temporary / WEIGHTS),
        }
        (temporary / SETTINGS).write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
        (temporary / CARD).write_text(json.dumps(model.card, indent=2) + "\n", encoding="utf-8")
        (temporary / "card.md").write_text(card, encoding="utf-8")


def load(folder: Path) -> FittedModel:
    """Read a folder. Raises `CheckpointError` for a missing or damaged file, and for another format."""
    settings, card = _read_json(folder, SETTINGS), _read_json(folder, CARD)
    if settings.get("format") != FORMAT:
        found = settings.get("format")
        raise CheckpointError(f"{folder} has the format {found!r}, this version of molvae reads {FORMAT!r}: refit it")
    weights = folder / WEIGHTS
    if not weights.exists() or checksum(weights) != settings.get("sha256"):
        raise CheckpointError(f"{weights} is missing or damaged: its sha256 differs from that in {SETTINGS}")
    try:
        candidate = Candidate(settings["representation"], settings["estimator"])
        if candidate.representation not in REPRESENTATIONS or settings["task"] not in TASKS:
            raise ValueError(f"unknown task {settings['task']!r} or representation {candidate.representation!r}")
        estimator = candidate.estimator(**load_file(weights))
        if candidate.representation == "fingerprint":
            estimator.predict(np.zeros((1, BITS), np.uint8))  # raises an error for features of another width
        encoder = settings["encoder"]
        return FittedModel(
            target=str(settings["target"]),
            task=settings["task"],
            candidate=candidate,
            estimator=estimator,
            std_scale=float(settings["std_scale"]),
            encoder=None if encoder is None else EncoderInfo(**encoder),
            card=card,
            min_std=float(settings["min_std"]),
        )
    except (KeyError, TypeError, ValueError, IndexError, SafetensorError) as error:
        raise CheckpointError(f"cannot load the property model {folder}: {error!r}") from None


def _read_json(folder: Path, name: str) -> dict[str, Any]:
    try:
        content = json.loads((folder / name).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{folder} is not a property model: cannot read {name}: {error}") from None
    if not isinstance(content, dict):
        raise CheckpointError(f"{folder / name} is damaged: it is not a JSON object")
    return content
