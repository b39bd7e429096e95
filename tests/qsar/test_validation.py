"""Folds hold every row out once, scaffolds stay together, figures are scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
from molecules import DRUGS
from sklearn.metrics import r2_score, roc_auc_score

from molvae.data.splits import scaffold_group
from molvae.errors import InputError
from molvae.qsar.candidates import Candidate, candidates
from molvae.qsar.estimators import MOST_ROWS
from molvae.qsar.validation import folds_of, validate

SMILES = list(DRUGS.values())
Y = np.array([len(text) for text in SMILES], dtype=float)
LABELS = (np.median(Y) < Y).astype(float)


@pytest.mark.parametrize("split", ["random", "scaffold"])
@pytest.mark.parametrize("task", ["regression", "classification"])
def test_every_row_is_held_out_once(task, split):
    y = Y if task == "regression" else LABELS
    folds = folds_of(SMILES, y, task, split, 4, 0)
    assert sorted(np.concatenate([held for _, held in folds])) == list(range(len(SMILES)))
    assert all(not set(fitted) & set(held) for fitted, held in folds)
    if split == "scaffold":
        keys = [scaffold_group(text) for text in SMILES]
        assert all(not {keys[i] for i in fitted} & {keys[i] for i in held} for fitted, held in folds)


def test_the_seed_draws_the_folds():
    first, again, other = (folds_of(SMILES, Y, "regression", "random", 4, seed) for seed in (0, 0, 1))
    assert all((a[1] == b[1]).all() for a, b in zip(first, again, strict=True))
    assert any(len(a[1]) != len(b[1]) or (a[1] != b[1]).any() for a, b in zip(first, other, strict=True))


def test_too_few_molecules_or_labels_are_an_error():
    with pytest.raises(InputError, match="5 folds need 5 molecules"):
        folds_of(SMILES[:3], Y[:3], "regression", "random", 5, 0)
    rare = np.array([1.0, *[0.0] * 9])
    with pytest.raises(InputError, match="got 1"):
        folds_of(SMILES[:10], rare, "classification", "random", 3, 0)


def test_figures_are_of_each_fold():
    x = np.stack([Y, Y**2], axis=1)
    folds = folds_of(SMILES, Y, "regression", "random", 3, 0)
    got = validate(Candidate("latent", "ridge"), x, Y, folds, "regression", 0)
    assert got.figures["R2"] == pytest.approx([r2_score(Y[held], got.mean[held]) for _, held in folds])
    assert got.told("R2") == f"{got.figures['R2'].mean():.3f} ± {got.figures['R2'].std():.3f}"
    folds = folds_of(SMILES, LABELS, "classification", "random", 3, 0)
    got = validate(Candidate("latent", "logistic"), x, LABELS, folds, "classification", 0)
    assert got.figures["AUC"] == pytest.approx([roc_auc_score(LABELS[held], got.mean[held]) for _, held in folds])


def test_gaussian_processes_are_for_few_molecules():
    assert "gaussian process" in [c.kind for c in candidates("regression", MOST_ROWS)]
    assert "gaussian process" not in [c.kind for c in candidates("regression", MOST_ROWS + 1)]
    assert {c.representation for c in candidates("classification", 10)} == {"latent", "fingerprint"}


def test_labels_of_one_scaffold_cannot_be_held_out_by_scaffold():
    active = [f"c1ccc2cc({'C' * n})ccc2c1" for n in range(1, 11)]
    others = [f"C1{'C' * n}C1" for n in range(1, 11)]
    y = np.array([1.0] * 10 + [0.0] * 10)
    with pytest.raises(InputError, match="share a scaffold, and are held out together: split at random"):
        folds_of([*active, *others], y, "classification", "scaffold", 5, 0)
    assert len(folds_of([*active, *others], y, "classification", "random", 5, 0)) == 5
