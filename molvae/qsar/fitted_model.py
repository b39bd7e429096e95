"""A fitted estimator with what it predicts, and its folder: arrays and JSON, so that loading one never runs code.

weights.safetensors   the arrays of the estimator
model.json            format, target, task, representation, kind, calibration, doubt, encoder, sha256 of the weights
card.json, card.md    what it was fitted to, and what every candidate scored on held-out molecules
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
from molvae.qsar.candidates import REPRESENTATIONS, TASKS, Candidate, Estimator

FORMAT = "molvae-property-1"
SETTINGS, WEIGHTS, CARD = "model.json", "weights.safetensors", "card.json"

Floats = NDArray[np.float64]

_BATCH = 2048  # molecules predicted together: a kernel or the walk through a forest takes memory for each of them


@dataclass(frozen=True)
class Encoder:
    """The model whose latents a property model reads: its name, where it was, and the sha256 of its weights."""

    name: str
    place: str
    sha256: str


@dataclass(frozen=True)
class FittedModel:
    """`estimator` predicts `target` (a `task`) from the representation of `candidate`.

    `calibration` multiplies its spread, so that on held-out molecules error / uncertainty has a mean square of 1;
    `doubt` is a standard deviation that the spread has in any case: trees that agree to the last digit know no more.
    `encoder` is None unless the representation is that of latents.
    """

    target: str
    task: str
    candidate: Candidate
    estimator: Estimator
    calibration: float
    encoder: Encoder | None
    card: dict[str, Any] = field(default_factory=dict)
    doubt: float = 0.0

    def predict(self, x: NDArray[Any]) -> tuple[Floats, Floats]:
        """Prediction and uncertainty (one standard deviation), (N,) each, of features (N, D).

        Of a classification the probability of the label 1, and the standard deviation of such a label.
        """
        parts = [self.estimator.predict(x[start : start + _BATCH]) for start in range(0, len(x), _BATCH)]
        mean = np.concatenate([np.empty(0), *(part[0] for part in parts)])
        if self.task == "classification":
            return mean, np.sqrt(np.clip(mean * (1 - mean), 0, None))
        spread = np.concatenate([np.empty(0), *(part[1] for part in parts)])
        return mean, self.calibration * np.hypot(spread, self.doubt)


def save(fitted: FittedModel, card: str, folder: Path) -> None:
    """Write the folder, which appears whole or not at all; `card` is its card as Markdown."""
    arrays = {f.name: getattr(fitted.estimator, f.name) for f in dataclasses.fields(fitted.estimator)}  # type: ignore[arg-type]
    with atomic_write_folder(folder, SETTINGS) as draft:
        save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, draft / WEIGHTS)
        settings = {
            "format": FORMAT, "target": fitted.target, "task": fitted.task,
            "representation": fitted.candidate.representation, "kind": fitted.candidate.kind,
            "calibration": fitted.calibration, "doubt": fitted.doubt,
            "encoder": None if fitted.encoder is None else dataclasses.asdict(fitted.encoder),
            "sha256": checksum(draft / WEIGHTS),
        }  # fmt: skip
        (draft / SETTINGS).write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
        (draft / CARD).write_text(json.dumps(fitted.card, indent=2) + "\n", encoding="utf-8")
        (draft / "card.md").write_text(card, encoding="utf-8")


def load(folder: Path) -> FittedModel:
    """Read a folder. Raises `CheckpointError` saying what is missing, damaged, or of another version."""
    settings, card = _json(folder, SETTINGS), _json(folder, CARD)
    if settings.get("format") != FORMAT:
        found = settings.get("format")
        raise CheckpointError(f"{folder}: format {found!r}, but this version of molvae reads {FORMAT!r}: fit it again")
    weights = folder / WEIGHTS
    if not weights.exists() or checksum(weights) != settings.get("sha256"):
        raise CheckpointError(f"{weights} is missing or damaged (its sha256 is not that in {SETTINGS}): copy it again")
    try:
        candidate = Candidate(settings["representation"], settings["kind"])
        if candidate.representation not in REPRESENTATIONS or settings["task"] not in TASKS:
            raise ValueError(f"a {settings['task']} on {candidate.representation!r} is unknown")
        estimator = candidate.estimator(**load_file(weights))
        if candidate.representation == "fingerprint":
            estimator.predict(np.zeros((1, BITS), np.uint8))  # of another width it is none of fingerprints
        return FittedModel(
            target=str(settings["target"]), task=settings["task"], candidate=candidate,
            estimator=estimator, calibration=float(settings["calibration"]),
            doubt=float(settings.get("doubt", 0)),  # which older models do not have
            encoder=None if settings["encoder"] is None else Encoder(**settings["encoder"]), card=card,
        )  # fmt: skip
    except (KeyError, TypeError, ValueError, IndexError, SafetensorError) as error:
        raise CheckpointError(f"{folder}: cannot load the property model: {error!r}") from None


def _json(folder: Path, name: str) -> dict[str, Any]:
    try:
        content = json.loads((folder / name).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{folder} is not a whole property model: {name}: {error}; fit it again") from None
    if not isinstance(content, dict):
        raise CheckpointError(f"{folder / name} is not a table: the file is damaged")
    return content
