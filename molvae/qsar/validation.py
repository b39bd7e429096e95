"""What a model is worth on molecules that it was not fitted to: folds, and figures over them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from molvae.data.splits import scaffold_group
from molvae.errors import InputError
from molvae.qsar.candidates import Candidate

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

SPLITS = ("random", "scaffold")
FIGURES = {"regression": ("R2", "RMSE", "MAE"), "classification": ("AUC", "average precision")}
"""The first one decides which model is the better; of RMSE and MAE less is better."""


@dataclass(frozen=True)
class Validation:
    """One candidate's held-out predictions: figures name -> (folds,), and mean and spread (N,) of every molecule."""

    candidate: Candidate
    figures: dict[str, Floats]
    mean: Floats
    spread: Floats

    def told(self, name: str) -> str:
        """Such as "0.712 ± 0.031", the mean and the standard deviation over the folds."""
        values = self.figures[name][np.isfinite(self.figures[name])]
        return f"{values.mean():.3f} ± {values.std():.3f}" if len(values) else "unknown"


def folds_of(smiles: Sequence[str], y: Floats, task: str, split: str, count: int, seed: int) -> list[tuple[Ints, Ints]]:
    """Rows to fit to and rows held out, `count` times; every row is held out once.

    `scaffold` keeps the molecules of a Bemis-Murcko scaffold together: what is held out is of another chemotype. Of
    labels, each fold has its share of both. Raises `InputError` where there are too few molecules or scaffolds, or
    all of a label are of one scaffold.
    """
    from sklearn.model_selection import GroupKFold, KFold, StratifiedGroupKFold, StratifiedKFold

    groups = [scaffold_group(text) for text in smiles] if split == "scaffold" else None
    fewest = len(smiles) if groups is None else len(set(groups))
    if task == "classification":
        fewest = min(fewest, int(y.sum()), int(len(y) - y.sum()))
    if fewest < count:
        what = "scaffolds" if groups is not None else "molecules of a kind"
        raise InputError(f"{count} folds need {count} {what} or more, got {fewest}: give more data, or fewer folds")
    kinds: dict[tuple[str, bool], Any] = {
        ("regression", False): KFold, ("regression", True): GroupKFold,
        ("classification", False): StratifiedKFold, ("classification", True): StratifiedGroupKFold,
    }  # fmt: skip
    splitter = kinds[task, groups is not None](count, shuffle=True, random_state=seed)
    folds = list(splitter.split(np.zeros(len(y)), y, groups))
    if task == "classification" and any(len(np.unique(y[fitted])) < 2 for fitted, _ in folds):
        raise InputError("the molecules of a label share a scaffold, and are held out together: split at random")
    return folds


def validate(
    candidate: Candidate, x: NDArray[Any], y: Floats, folds: Sequence[tuple[Ints, Ints]], task: str, seed: int
) -> Validation:
    """Fit to each fold's rows, predict the others."""
    mean, spread = np.zeros(len(y)), np.zeros(len(y))
    for fitted, held in folds:
        model = candidate.estimator.fit(x[fitted], y[fitted], seed)
        mean[held], spread[held] = model.predict(x[held])
    per_fold = [dict(_figures(y[held], mean[held], task)) for _, held in folds]
    figures = {name: np.array([fold[name] for fold in per_fold]) for name in FIGURES[task]}
    return Validation(candidate, figures, mean, spread)


def _figures(y: Floats, mean: Floats, task: str) -> Iterator[tuple[str, float]]:
    from sklearn import metrics

    if task == "regression":
        yield "R2", float(metrics.r2_score(y, mean)) if len(y) > 1 else np.nan
        yield "RMSE", float(metrics.root_mean_squared_error(y, mean))
        yield "MAE", float(metrics.mean_absolute_error(y, mean))
    else:
        both = 0 < y.sum() < len(y)  # in a fold with one kind only there is nothing to tell apart
        yield "AUC", float(metrics.roc_auc_score(y, mean)) if both else np.nan
        yield "average precision", float(metrics.average_precision_score(y, mean)) if both else np.nan
