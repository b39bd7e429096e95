"""Cross-validation of candidate models, selection of the best one, and calibration of its uncertainty."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from molvae.data.splits import scaffold_group
from molvae.errors import InputError
from molvae.qsar.estimators import MAX_GP_MOLECULES, Floats
from molvae.qsar.fitted_model import REPRESENTATIONS, Candidate, EncoderInfo, FittedModel

Ints = NDArray[np.int64]
Progress = Callable[[str], None]

SPLITS = ("random", "scaffold")

METRICS = {"regression": ("R2", "RMSE", "MAE"), "classification": ("AUC", "average precision")}
"""Metrics of each task; the best model is selected by the first."""

MIN_STD_FRACTION = 0.1
"""Minimum standard deviation of a prediction, as a fraction of the root mean square error."""

_CANDIDATES = {
    "regression": (
        ("latent", "bayesian_ridge"), ("latent", "gaussian_process"), ("latent", "random_forest"),
        ("fingerprint", "gaussian_process"), ("fingerprint", "random_forest"),
    ),
    "classification": (
        ("latent", "logistic_regression"), ("latent", "random_forest"),
        ("fingerprint", "logistic_regression"), ("fingerprint", "random_forest"),
    ),
}  # fmt: skip


@dataclass(frozen=True)
class CrossValidation:
    """Settings of the cross-validation.

    Attributes
    ----------
    split : {"scaffold", "random"}
        With "scaffold", all molecules of a scaffold are in one fold.
    folds : int
        Number of folds, at least 2.
    random_state : int
        Random number seed.
    """

    split: str = "scaffold"
    folds: int = 5
    random_state: int = 0

    def __post_init__(self) -> None:
        if self.split not in SPLITS:
            raise InputError(f"split must be {' or '.join(SPLITS)}, got {self.split!r}")
        if self.folds < 2:
            raise InputError(f"folds must be at least 2, got {self.folds}")


@dataclass(frozen=True)
class ValidationResult:
    """Held-out predictions of a candidate.

    Attributes
    ----------
    candidate : Candidate
        Representation and estimator.
    metrics : dict of str to ndarray, shape (folds,)
        Value of each metric for each fold.
    mean, std : ndarray, shape (N,)
        Prediction and standard deviation of each molecule, by the model of the fold in which it is held out.
    """

    candidate: Candidate
    metrics: dict[str, Floats]
    mean: Floats
    std: Floats

    def mean_metric(self, name: str) -> float:
        """Return the mean over the folds in which the metric is defined; -inf if it is undefined in all."""
        values = self._defined(name)
        return float(values.mean()) if len(values) else -np.inf

    def format_metric(self, name: str) -> str:
        """Return mean and standard deviation over the folds as text, such as "0.712 ± 0.031"."""
        values = self._defined(name)
        return f"{values.mean():.3f} ± {values.std():.3f}" if len(values) else "undefined"

    def _defined(self, name: str) -> Floats:
        return self.metrics[name][np.isfinite(self.metrics[name])]


def list_candidates(task: str, n_molecules: int) -> list[Candidate]:
    """Return the candidates of a task. Gaussian processes are limited to `MAX_GP_MOLECULES` molecules."""
    candidates = [Candidate(*pair) for pair in _CANDIDATES[task]]
    return [c for c in candidates if c.estimator_name != "gaussian_process" or n_molecules <= MAX_GP_MOLECULES]


def make_folds(smiles: Sequence[str], y: Floats, task: str, settings: CrossValidation) -> list[tuple[Ints, Ints]]:
    """Split molecules into folds.

    With the scaffold split, molecules with the same Bemis-Murcko scaffold are held out together. Labels are
    stratified.

    Parameters
    ----------
    smiles : sequence of str
        The molecules.
    y : ndarray, shape (N,)
        Values, or labels 0 and 1.
    task : {"regression", "classification"}
        Kind of the values.
    settings : CrossValidation
        Split, number of folds and random number seed.

    Returns
    -------
    list of pairs of ndarray
        Training rows and held-out rows of each fold. Each row is held out once.

    Raises
    ------
    InputError
        If there are fewer molecules, scaffolds, or molecules of a label than folds, or if all molecules of a label
        have one scaffold.
    """
    from sklearn.model_selection import GroupKFold, KFold, StratifiedGroupKFold, StratifiedKFold

    groups = [scaffold_group(text) for text in smiles] if settings.split == "scaffold" else None
    smallest = len(smiles) if groups is None else len(set(groups))
    if task == "classification":
        smallest = min(smallest, int(y.sum()), int(len(y) - y.sum()))
    if smallest < settings.folds:
        unit = "molecules" if groups is None else "scaffolds"
        per_label = " and molecules of each label" if task == "classification" else ""
        raise InputError(
            f"{settings.folds} folds need at least {settings.folds} {unit}{per_label}, got {smallest}: "
            "provide more data or use fewer folds"
        )
    splitters: dict[tuple[str, bool], Any] = {
        ("regression", False): KFold, ("regression", True): GroupKFold,
        ("classification", False): StratifiedKFold, ("classification", True): StratifiedGroupKFold,
    }  # fmt: skip
    splitter = splitters[task, groups is not None](settings.folds, shuffle=True, random_state=settings.random_state)
    folds = list(splitter.split(np.zeros(len(y)), y, groups))
    if task == "classification" and any(len(np.unique(y[train])) < 2 for train, _ in folds):
        raise InputError("all molecules of a label have the same scaffold: use the random split")
    return folds


def cross_validate(
    candidate: Candidate, x: NDArray[Any], y: Floats, folds: Sequence[tuple[Ints, Ints]], task: str, random_state: int
) -> ValidationResult:
    """Fit a candidate to the training rows of each fold, and predict the held-out rows.

    Parameters
    ----------
    candidate : Candidate
        Representation and estimator.
    x : ndarray, shape (N, D)
        Features.
    y : ndarray, shape (N,)
        Values, or labels 0 and 1.
    folds : sequence of pairs of ndarray
        As returned by `make_folds`.
    task : {"regression", "classification"}
        Kind of the values.
    random_state : int
        Random number seed.
    """
    mean, std = np.zeros(len(y)), np.zeros(len(y))
    for train, held_out in folds:
        model = candidate.estimator.fit(x[train], y[train], random_state)
        mean[held_out], std[held_out] = model.predict(x[held_out])
    per_fold = [_compute_metrics(y[held_out], mean[held_out], task) for _, held_out in folds]
    metrics = {name: np.array([fold[name] for fold in per_fold]) for name in METRICS[task]}
    return ValidationResult(candidate, metrics, mean, std)


def compare_candidates(
    features: Mapping[str, NDArray[Any]],
    y: Floats,
    smiles: Sequence[str],
    task: str,
    settings: CrossValidation,
    progress: Progress | None = None,
) -> list[ValidationResult]:
    """Cross-validate all candidates on the same folds; the best is first.

    Parameters
    ----------
    features : mapping of str to ndarray, shape (N, D)
        Features by representation.
    y : ndarray, shape (N,)
        Values, or labels 0 and 1.
    smiles : sequence of str
        The molecules.
    task : {"regression", "classification"}
        Kind of the values.
    settings : CrossValidation
        Split, number of folds and random number seed.
    progress : callable, optional
        Called with the result of each candidate as text.
    """
    folds = make_folds(smiles, y, task, settings)
    results = []
    criterion = METRICS[task][0]
    for candidate in list_candidates(task, len(y)):
        x = features[candidate.representation]
        results.append(cross_validate(candidate, x, y, folds, task, settings.random_state))
        if progress:
            progress(f"{candidate}: {criterion} {results[-1].format_metric(criterion)}")
    return sorted(results, key=lambda result: -result.mean_metric(criterion))


def fit_best(
    best: ValidationResult,
    x: NDArray[Any],
    y: Floats,
    target: str,
    task: str,
    encoder: EncoderInfo,
    random_state: int,
) -> FittedModel:
    """Fit the best candidate to all molecules, and calibrate its uncertainty on the held-out predictions.

    Parameters
    ----------
    best : ValidationResult
        Result of the best candidate.
    x, y : ndarray, shape (N, D) and (N,)
        Features and values of all molecules.
    target : str
        Name of the property.
    task : {"regression", "classification"}
        Kind of the values.
    encoder : EncoderInfo
        The model that computes the latents; stored if the candidate uses latents.
    random_state : int
        Random number seed.
    """
    is_regression = task == "regression"
    return FittedModel(
        target=target,
        task=task,
        candidate=best.candidate,
        estimator=best.candidate.estimator.fit(x, y, random_state),
        std_scale=_std_scale(best, y) if is_regression else 1.0,
        encoder=encoder if best.candidate.representation == "latent" else None,
        min_std=_min_std(best, y) if is_regression else 0.0,
    )


def build_card(results: Sequence[ValidationResult], y: Floats, task: str, settings: CrossValidation) -> dict[str, Any]:
    """Return the validation results of all candidates, the best first, for the card of the model."""
    best, criterion = results[0], METRICS[task][0]
    card: dict[str, Any] = {
        "Selected model": str(best.candidate),
        f"Held-out metrics ({settings.folds} folds, {settings.split} split; mean ± standard deviation over folds)": {
            str(r.candidate): ", ".join(f"{name} {r.format_metric(name)}" for name in METRICS[task]) for r in results
        },
        "Best model per representation": {
            name: f"{criterion} {_best_of_representation(results, name).format_metric(criterion)}"
            for name in REPRESENTATIONS
        },
    }
    if len(y) > MAX_GP_MOLECULES:
        card["Not evaluated"] = f"Gaussian processes, which are limited to {MAX_GP_MOLECULES:,} molecules"
    if task == "regression":
        within = np.abs(y - best.mean) <= _std_scale(best, y) * _total_std(best, y)
        card["Uncertainty"] = {
            "calibration factor": f"{_std_scale(best, y):.3g}",
            "held-out molecules within one standard deviation (0.68 for a Gaussian)": f"{within.mean():.2f}",
        }
    return card


def _best_of_representation(results: Sequence[ValidationResult], representation: str) -> ValidationResult:
    return next(result for result in results if result.candidate.representation == representation)


def _std_scale(result: ValidationResult, y: Floats) -> float:
    """Return the root mean square of error / standard deviation on held-out molecules; 1 if all errors are 0."""
    std = _total_std(result, y)
    ratio = (y - result.mean) / np.where(std > 0, std, 1.0)
    return float(np.sqrt(np.mean(ratio**2))) or 1.0


def _total_std(result: ValidationResult, y: Floats) -> Floats:
    """Return the standard deviation of each held-out prediction, with the minimum, as in `FittedModel.predict`."""
    std: Floats = np.hypot(result.std, _min_std(result, y))
    return std


def _min_std(result: ValidationResult, y: Floats) -> float:
    """Return the minimum standard deviation; without it, one molecule with a value near 0 would dominate the scale."""
    return MIN_STD_FRACTION * float(np.sqrt(np.mean((y - result.mean) ** 2)))


def _compute_metrics(y: Floats, mean: Floats, task: str) -> dict[str, float]:
    """Compute the metrics of one fold; NaN if undefined."""
    from sklearn import metrics

    if task == "regression":
        return {
            "R2": float(metrics.r2_score(y, mean)) if len(y) > 1 else np.nan,
            "RMSE": float(metrics.root_mean_squared_error(y, mean)),
            "MAE": float(metrics.mean_absolute_error(y, mean)),
        }
    has_both = 0 < y.sum() < len(y)
    return {
        "AUC": float(metrics.roc_auc_score(y, mean)) if has_both else np.nan,
        "average precision": float(metrics.average_precision_score(y, mean)) if has_both else np.nan,
    }
