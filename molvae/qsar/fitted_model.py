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
from safetensors.numpy import save_file

from molvae.chem.fingerprints import BITS
from molvae.data.array_files import from_arrays, read_safetensors
from molvae.data.files import atomic_write, atomic_write_folder, checksum
from molvae.data.json_files import (
    SIGNATURE,
    check_regular_file,
    from_json,
    is_signed,
    option,
    read_object,
    reading,
    shortened_repr,
    signed,
)
from molvae.errors import CheckpointError, InputError
from molvae.qsar.estimators import ESTIMATORS, MAX_GP_MOLECULES, Estimator, Floats, RandomForest

FORMAT = "molvae-property-2"
SETTINGS, WEIGHTS, CARD = "model.json", "weights.safetensors", "card.json"

REPRESENTATIONS = ("latent", "fingerprint")
TASKS = ("regression", "classification")

_FIT_AGAIN = "copy the property model again, or fit it again with `molvae fit`"
_EDITED = "copy the property model again, or accept the change with `molvae sign {}` if you made it on purpose"

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

        Raises `InputError` if a prediction is not finite, which only damaged arrays give.
        """
        with np.errstate(all="ignore"):  # values that are not finite raise an error below
            parts = [self.estimator.predict(x[start : start + _BATCH_SIZE]) for start in range(0, len(x), _BATCH_SIZE)]
        mean = np.concatenate([np.empty(0), *(part[0] for part in parts)])
        std = np.concatenate([np.empty(0), *(part[1] for part in parts)])
        if self.task == "classification":
            std = np.sqrt(np.clip(mean * (1 - mean), 0, None))
        else:
            std = self.std_scale * np.hypot(std, self.min_std)
        if not (np.isfinite(mean) & np.isfinite(std)).all():
            raise InputError(
                f"the property model {self.target!r} predicts values that are not finite (NaN or infinite): "
                f"the arrays in its {WEIGHTS} are damaged; {_FIT_AGAIN}"
            )
        return mean, std

    def check_n_features(self, n_features: int) -> None:
        """Raise `InputError` unless the estimator was fitted to this number of features."""
        needed, is_forest = self.estimator.n_features, isinstance(self.estimator, RandomForest)
        if needed > n_features or (needed != n_features and not is_forest):
            raise InputError(
                f"the arrays are those of a model of {needed} features, but the {self.candidate.representation} "
                f"has {n_features}"
            )


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
        (temporary / SETTINGS).write_text(json.dumps(signed(settings), indent=2) + "\n", encoding="utf-8")
        (temporary / CARD).write_text(json.dumps(model.card, indent=2) + "\n", encoding="utf-8")
        (temporary / "card.md").write_text(card, encoding="utf-8")


def load(folder: Path) -> FittedModel:
    """Read a folder. Raises `CheckpointError` for a missing, damaged or edited file, and for another format."""
    settings, content = _read_settings(folder)
    if _checksum(folder) != settings.sha256:
        raise CheckpointError(
            f"{folder / WEIGHTS} is damaged or was edited (its sha256 differs from {SETTINGS}): "
            f"{_EDITED.format(folder)}"
        )
    if not is_signed(content):
        raise CheckpointError(
            f"{folder / SETTINGS} is damaged or was edited (its settings differ from {SIGNATURE}): "
            f"{_EDITED.format(folder)}"
        )
    return _load_parts(folder, settings)


def sign(folder: Path) -> Path:
    """Accept the files of a property model as they are, after editing one on purpose: write their digests.

    Raises `CheckpointError` if the model cannot be loaded, apart from the digests; the folder is then unchanged.
    """
    settings, content = _read_settings(folder)
    _load_parts(folder, settings)
    with atomic_write(folder / SETTINGS) as draft:
        text = json.dumps(signed({**content, "sha256": _checksum(folder)}), indent=2)
        draft.write_text(text + "\n", encoding="utf-8")
    return folder


@dataclass(frozen=True)
class _StoredSettings:
    """The settings in model.json."""

    format: str
    target: str = field(metadata=option(printable=True))
    task: str = field(metadata=option(choices=TASKS))
    representation: str = field(metadata=option(choices=REPRESENTATIONS))
    estimator: str = field(metadata=option(choices=tuple(ESTIMATORS)))
    std_scale: float = field(metadata=option(min=0, max=1e9))
    min_std: float = field(metadata=option(min=0))
    encoder: EncoderInfo | None
    sha256: str
    settings_sha256: str = ""

    def __post_init__(self) -> None:
        if (self.encoder is None) != (self.representation == "fingerprint"):
            raise InputError("a model of latents has an encoder, a model of fingerprints has none")


def _read_settings(folder: Path) -> tuple[_StoredSettings, dict[str, Any]]:
    """The settings in model.json, and its content."""
    path = folder / SETTINGS
    if not path.exists():
        raise CheckpointError(f"{folder} is not a property model: it lacks {SETTINGS}")
    with reading(path, CheckpointError, _FIT_AGAIN):
        content = read_object(path)
    if (found := content.get("format")) != FORMAT:
        raise CheckpointError(
            f"{path} has the format {shortened_repr(found)}, this version of molvae reads {FORMAT!r}: refit it"
        )
    with reading(path, CheckpointError, f"correct it, or {_FIT_AGAIN}"):
        return from_json(_StoredSettings, content), content


def _load_parts(folder: Path, settings: _StoredSettings) -> FittedModel:
    """Read the arrays and the card, and check that the estimator can predict."""
    weights, candidate = folder / WEIGHTS, Candidate(settings.representation, settings.estimator)
    with reading(weights, CheckpointError, _FIT_AGAIN):
        estimator = from_arrays(candidate.estimator, read_safetensors(weights), {"molecules": MAX_GP_MOLECULES})
        model = FittedModel(
            target=settings.target,
            task=settings.task,
            candidate=candidate,
            estimator=estimator,
            std_scale=float(settings.std_scale),
            encoder=settings.encoder,
            min_std=float(settings.min_std),
        )
        if candidate.representation == "fingerprint":
            model.check_n_features(BITS)
        x = np.zeros((1, max(estimator.n_features, 1)), np.uint8 if candidate.representation == "fingerprint" else "f4")
        try:
            model.predict(x)  # computes the factors of a Gaussian process, which fails for arrays of no valid kernel
        except (ValueError, ArithmeticError, MemoryError) as error:  # LinAlgError is a ValueError
            raise InputError(f"the estimator cannot predict: {error}") from None
    with reading(folder / CARD, CheckpointError, _FIT_AGAIN):
        card = read_object(folder / CARD)
    return dataclasses.replace(model, card=card)


def _checksum(folder: Path) -> str:
    with reading(folder / WEIGHTS, CheckpointError, _FIT_AGAIN):
        check_regular_file(folder / WEIGHTS)
        return checksum(folder / WEIGHTS)
