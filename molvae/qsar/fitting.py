"""From molecules with a measured property to a model of it: every candidate is validated, the best is fitted to all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from molvae.errors import InputError
from molvae.qsar.candidates import REPRESENTATIONS, candidates
from molvae.qsar.estimators import MOST_ROWS
from molvae.qsar.fitted_model import Encoder, FittedModel
from molvae.qsar.validation import FIGURES, SPLITS, Validation, folds_of, validate

Floats = NDArray[np.float64]

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Trial:
    """How models are compared: held out at `random` or by `scaffold`, in `folds` parts, drawn by `seed`."""

    split: str = "scaffold"
    folds: int = 5
    seed: int = 0

    def __post_init__(self) -> None:
        if self.split not in SPLITS:
            raise InputError(f"the split is {' or '.join(SPLITS)}, got {self.split!r}")
        if self.folds < 2:
            raise InputError(f"a cross-validation takes 2 folds or more, got {self.folds}")


def compared(
    features: Mapping[str, NDArray[Any]],
    y: Floats,
    smiles: Sequence[str],
    task: str,
    trial: Trial,
    progress: Progress | None = None,
) -> list[Validation]:
    """Every candidate on the same folds, the best first; `features` by representation, (N, D) each."""
    folds = folds_of(smiles, y, task, trial.split, trial.folds, trial.seed)
    done = []
    for candidate in candidates(task, len(y)):
        done.append(validate(candidate, features[candidate.representation], y, folds, task, trial.seed))
        if progress:
            name = FIGURES[task][0]
            progress(f"{candidate}: {name} {done[-1].told(name)}")
    return sorted(done, key=lambda v: -_mean(v.figures[FIGURES[task][0]]))


def fitted(
    best: Validation, x: NDArray[Any], y: Floats, target: str, task: str, encoder: Encoder, seed: int
) -> FittedModel:
    """The best candidate on all molecules, its uncertainty calibrated on those that it predicted unseen."""
    return FittedModel(
        target=target,
        task=task,
        candidate=best.candidate,
        estimator=best.candidate.estimator.fit(x, y, seed),
        calibration=_calibration(best, y) if task == "regression" else 1.0,
        doubt=_doubt(best, y) if task == "regression" else 0.0,
        encoder=encoder if best.candidate.representation == "latent" else None,
    )


def card_of(validations: Sequence[Validation], y: Floats, task: str, trial: Trial) -> dict[str, Any]:
    """What a card says of the comparison: each candidate's figures with their spread over the folds, and the choice."""
    best = validations[0]
    held = f"{trial.folds} folds, held out {'by scaffold' if trial.split == 'scaffold' else 'at random'}"
    card: dict[str, Any] = {
        "Chosen": str(best.candidate),
        f"Held-out figures ({held}; mean ± standard deviation over the folds)": {
            str(v.candidate): ", ".join(f"{name} {v.told(name)}" for name in FIGURES[task]) for v in validations
        },
        "Best of each representation": {
            name: f"{FIGURES[task][0]} {_best_on(validations, name).told(FIGURES[task][0])}" for name in REPRESENTATIONS
        },
    }
    if len(y) > MOST_ROWS:
        card["Not tried"] = f"Gaussian processes: they are for {MOST_ROWS:,} molecules at most"
    if task == "regression":
        inside = np.abs(y - best.mean) <= _calibration(best, y) * _spread(best, y)
        card["Uncertainty"] = {
            "calibration factor": f"{_calibration(best, y):.3g}",
            "held-out molecules within one uncertainty (0.68 for a Gaussian)": f"{inside.mean():.2f}",
        }
    return card


def _best_on(validations: Sequence[Validation], representation: str) -> Validation:
    return next(v for v in validations if v.candidate.representation == representation)


def _calibration(validation: Validation, y: Floats) -> float:
    """Root mean square of error / spread on held-out molecules; 1 where nothing was left to explain."""
    spread = _spread(validation, y)
    ratio = (y - validation.mean) / np.where(spread > 0, spread, 1.0)
    return float(np.sqrt(np.mean(ratio**2))) or 1.0


def _spread(validation: Validation, y: Floats) -> Floats:
    """Of each held-out molecule, with the doubt that there is in any case; `FittedModel.predict` calibrates the same."""
    spread: Floats = np.hypot(validation.spread, _doubt(validation, y))
    return spread


def _doubt(validation: Validation, y: Floats) -> float:
    """A tenth of the root mean square error: with less, one molecule of a spread of 0 would calibrate all others."""
    return 0.1 * float(np.sqrt(np.mean((y - validation.mean) ** 2)))


def _mean(values: Floats) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else -np.inf
