"""Cross-validation: folds, metrics and candidates."""

from __future__ import annotations

import numpy as np
import pytest
from molecules import DRUGS
from sklearn.metrics import r2_score, roc_auc_score

from molvae.data.splits import scaffold_group
from molvae.errors import InputError
from molvae.qsar.estimators import MAX_GP_MOLECULES
from molvae.qsar.fitted_model import Candidate
from molvae.qsar.model_selection import CrossValidation, cross_validate, list_candidates, make_folds

SMILES = list(DRUGS.values())
Y = np.array([len(text) for text in SMILES], dtype=float)
LABELS = (np.median(Y) < Y).astype(float)


@pytest.mark.parametrize("split", ["random", "scaffold"])
@pytest.mark.parametrize("task", ["regression", "classification"])
def test_every_row_is_held_out_once(task, split):
    y = Y if task == "regression" else LABELS
    folds = make_folds(SMILES, y, task, CrossValidation(split, 4, 0))
    assert sorted(np.concatenate([held_out for _, held_out in folds])) == list(range(len(SMILES)))
    assert all(not set(train) & set(held_out) for train, held_out in folds)
    if split == "scaffold":
        keys = [scaffold_group(text) for text in SMILES]
        assert all(not {keys[i] for i in train} & {keys[i] for i in held_out} for train, held_out in folds)


def test_folds_depend_on_random_state():
    first, again, other = (
        make_folds(SMILES, Y, "regression", CrossValidation("random", 4, random_state)) for random_state in (0, 0, 1)
    )
    assert all((a[1] == b[1]).all() for a, b in zip(first, again, strict=True))
    assert any(len(a[1]) != len(b[1]) or (a[1] != b[1]).any() for a, b in zip(first, other, strict=True))


def test_too_few_molecules_or_labels_raise():
    with pytest.raises(InputError, match="5 folds need at least 5 molecules"):
        make_folds(SMILES[:3], Y[:3], "regression", CrossValidation("random", 5, 0))
    rare = np.array([1.0, *[0.0] * 9])
    with pytest.raises(InputError, match="got 1"):
        make_folds(SMILES[:10], rare, "classification", CrossValidation("random", 3, 0))


def test_metrics_match_scikit_learn_per_fold():
    x = np.stack([Y, Y**2], axis=1)
    folds = make_folds(SMILES, Y, "regression", CrossValidation("random", 3, 0))
    result = cross_validate(Candidate("latent", "bayesian_ridge"), x, Y, folds, "regression", 0)
    assert result.metrics["R2"] == pytest.approx(
        [r2_score(Y[held_out], result.mean[held_out]) for _, held_out in folds]
    )
    assert result.format_metric("R2") == f"{result.metrics['R2'].mean():.3f} ± {result.metrics['R2'].std():.3f}"
    folds = make_folds(SMILES, LABELS, "classification", CrossValidation("random", 3, 0))
    result = cross_validate(Candidate("latent", "logistic_regression"), x, LABELS, folds, "classification", 0)
    assert result.metrics["AUC"] == pytest.approx(
        [roc_auc_score(LABELS[held_out], result.mean[held_out]) for _, held_out in folds]
    )


def test_gaussian_process_is_limited_to_small_sets():
    assert "gaussian_process" in [c.estimator_name for c in list_candidates("regression", MAX_GP_MOLECULES)]
    assert "gaussian_process" not in [c.estimator_name for c in list_candidates("regression", MAX_GP_MOLECULES + 1)]
    assert {c.representation for c in list_candidates("classification", 10)} == {"latent", "fingerprint"}


def test_label_with_one_scaffold_raises():
    active = [f"c1ccc2cc({'C' * n})ccc2c1" for n in range(1, 11)]
    others = [f"C1{'C' * n}C1" for n in range(1, 11)]
    y = np.array([1.0] * 10 + [0.0] * 10)
    with pytest.raises(InputError, match="have the same scaffold: use the random split"):
        make_folds([*active, *others], y, "classification", CrossValidation("scaffold", 5, 0))
    assert len(make_folds([*active, *others], y, "classification", CrossValidation("random", 5, 0))) == 5
