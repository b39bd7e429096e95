"""Saving and loading of fitted models, including damaged and malicious files."""

from __future__ import annotations

import hashlib
import json
import pickle
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from molvae.data.json_files import signed
from molvae.errors import CheckpointError, InputError
from molvae.qsar.estimators import ESTIMATORS
from molvae.qsar.fitted_model import Candidate, EncoderInfo, FittedModel, load, save, sign
from molvae.qsar.model_selection import ValidationResult, fit_best

X = np.random.default_rng(0).normal(size=(40, 5)).astype(np.float32)
Y = X[:, 0] + 0.1 * X[:, 1]


def fitted(name):
    task = "classification" if name == "logistic_regression" else "regression"
    y = (Y > 0).astype(float) if task == "classification" else Y
    estimator = ESTIMATORS[name].fit(X, y, 0)
    return FittedModel(
        "pIC50", task, Candidate("latent", name), estimator, 1.5, EncoderInfo("tiny", "/x", "ab"), {"Data": "40"}
    )


@pytest.mark.parametrize("name", list(ESTIMATORS))
def test_save_and_load(tmp_path, name):
    model = fitted(name)
    save(model, "# card\n", tmp_path / "m")
    loaded = load(tmp_path / "m")
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))
    assert (loaded.target, loaded.task, loaded.candidate, loaded.encoder, loaded.card) == (
        model.target, model.task, model.candidate, model.encoder, model.card,
    )  # fmt: skip
    assert {file.name for file in (tmp_path / "m").iterdir()} == {
        "model.json", "weights.safetensors", "card.json", "card.md",
    }  # fmt: skip


def test_std_scale_multiplies_uncertainty():
    model = fitted("bayesian_ridge")
    np.testing.assert_allclose(model.predict(X)[1], 1.5 * model.estimator.predict(X)[1])


def test_min_std_limits_std_scale(tmp_path):
    """One wrong held-out prediction with a standard deviation near 0 must not dominate the scale."""
    std = np.where(np.arange(len(Y)) == np.abs(Y).argmax(), 1e-16, 1.0)
    best = ValidationResult(Candidate("latent", "random_forest"), {}, np.zeros(len(Y)), std)
    model = fit_best(best, X, Y, "pIC50", "regression", EncoderInfo("tiny", "/x", "ab"), 0)
    assert 0.5 < model.std_scale < 5
    assert model.min_std == pytest.approx(0.1 * np.sqrt(np.mean(Y**2)))
    expected = model.std_scale * np.sqrt(model.estimator.predict(X)[1] ** 2 + model.min_std**2)
    np.testing.assert_allclose(model.predict(X)[1], expected)
    save(model, "", tmp_path / "m")
    np.testing.assert_array_equal(load(tmp_path / "m").predict(X), model.predict(X))


def test_empty_prediction():
    assert [part.shape for part in fitted("random_forest").predict(X[:0])] == [(0,), (0,)]


def test_save_replaces_only_a_model(tmp_path):
    for _ in range(2):
        save(fitted("bayesian_ridge"), "", tmp_path / "m")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("text")
    with pytest.raises(InputError, match="choose another folder"):
        save(fitted("bayesian_ridge"), "", tmp_path / "other")
    assert (tmp_path / "other" / "thesis.txt").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m", "other"]  # no temporary files


def _edit(folder, **changes):
    path = folder / "model.json"
    path.write_text(json.dumps(signed({**json.loads(path.read_text()), **changes})))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "other"}, "refit it"),
        ({"estimator": "os.system"}, "os.system"),
        ({"representation": "unknown"}, "unknown"),
        ({"std_scale": "much"}, r"model\.json is damaged: std_scale must be of type float, got 'much'"),
        ({"sha256": "0"}, "damaged"),
    ],
)
def test_invalid_settings_raise(tmp_path, change, message):
    save(fitted("bayesian_ridge"), "", tmp_path / "m")
    _edit(tmp_path / "m", **change)
    with pytest.raises(CheckpointError, match=message):
        load(tmp_path / "m")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"left": [1, 0, 2], "right": [1, 0, 2]}, "lower index than its parent"),  # a cycle
        ({"left": [1, 1, 9], "right": [2, 1, 2]}, "lower index than its parent"),
        ({"feature": [-1, 0, 0]}, "'feature' has the value -1, less than 0"),
        ({"roots": [3]}, "does not exist"),
        ({"threshold": [0.0]}, r"'threshold' has the shape \(1,\), expected \(3\)"),
        ({"feature": [99_999, 0, 0]}, "of a model of 100000 features"),
    ],
)
def test_invalid_trees_raise(tmp_path, arrays, message):
    valid = {"roots": [0], "feature": [0, 0, 0], "threshold": [0.5, 0, 0], "left": [1, 1, 2], "right": [2, 1, 2],
            "value": [0.0, 1.0, 2.0]}  # fmt: skip
    assert load(_save_with_arrays(tmp_path / "valid", "random_forest", valid)).estimator.predict(np.zeros((1, 2048)))[
        0
    ] == [1.0]
    with pytest.raises(CheckpointError, match=message):
        load(_save_with_arrays(tmp_path / "invalid", "random_forest", valid | arrays))


def test_invalid_arrays_raise(tmp_path):
    two_features = {name: np.ones(2) for name in ("center", "scale", "weights")} | {"bias": [0.0], "noise": [1.0]}
    with pytest.raises(CheckpointError, match="a model of 2 features, but the fingerprint has 2048"):
        load(_save_with_arrays(tmp_path / "a", "bayesian_ridge", two_features | {"covariance": np.eye(2)}))
    counts = {"x": np.full((1, 2048), 2**31 - 1, np.int32), "y": [0.0], "mean": [0.0], "amplitude": [1.0],
              "noise": [1.0], "length": [0.0]}  # fmt: skip
    with pytest.raises(CheckpointError, match="uint8, got int32"):
        load(_save_with_arrays(tmp_path / "b", "gaussian_process", counts))


def _save_with_arrays(folder, name, arrays):
    """Save a model of fingerprints with these arrays and a matching checksum."""
    save(fitted(name), "", folder)
    save_file({key: np.asarray(array) for key, array in arrays.items()}, folder / "weights.safetensors")
    digest = hashlib.sha256((folder / "weights.safetensors").read_bytes()).hexdigest()
    _edit(folder, sha256=digest, representation="fingerprint", encoder=None)
    return folder


def test_pickle_is_not_loaded(tmp_path):
    save(fitted("bayesian_ridge"), "", tmp_path / "m")
    pickled = pickle.dumps(FailsOnUnpickling())
    (tmp_path / "m" / "weights.safetensors").write_bytes(pickled)
    _edit(tmp_path / "m", sha256=hashlib.sha256(pickled).hexdigest())
    with pytest.raises(CheckpointError):
        load(tmp_path / "m")
    with pytest.raises(CheckpointError, match="is not a property model"):
        load(tmp_path / "nowhere")


class FailsOnUnpickling:
    def __reduce__(self):
        return (pytest.fail, ("loading executed code",))


@pytest.mark.parametrize("name", list(ESTIMATORS))
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite(tmp_path, name, value):
    save(fitted(name), "", tmp_path / "m")
    arrays = load_file(tmp_path / "m" / "weights.safetensors")
    for array, values in arrays.items():
        if values.dtype.kind == "f":
            changed = values.copy()
            changed.reshape(-1)[-1] = value
            save_file({**arrays, array: changed}, tmp_path / "m" / "weights.safetensors")
            _sign(tmp_path / "m")
            with pytest.raises(
                CheckpointError, match=rf"weights\.safetensors is damaged: the array '{array}' has values"
            ):
                load(tmp_path / "m")


@pytest.mark.parametrize(
    ("name", "arrays", "message"),
    [
        ("bayesian_ridge", {"scale": np.zeros(5)}, "'scale' has the value 0.0, which has to exceed 0"),
        ("bayesian_ridge", {"noise": np.array([-1.0])}, "'noise' has the value -1.0, less than 0"),
        ("bayesian_ridge", {"covariance": np.eye(4)}, r"'covariance' has the shape \(4, 4\), expected \(5, 5\)"),
        ("logistic_regression", {"bias": np.zeros(2)}, r"'bias' has the shape \(2,\), expected \(1\)"),
        ("random_forest", {"roots": np.zeros(0, np.int32)}, "there are no trees"),
        ("gaussian_process", {"y": np.zeros(3)}, r"'y' has the shape \(3,\), expected \(40\)"),
        ("gaussian_process", {"x": np.zeros((3000, 5)), "y": np.zeros(3000)}, "3,000 molecules, more than 2,500"),
        ("gaussian_process", {"noise": np.zeros(1), "x": np.zeros((40, 5))}, "the estimator cannot predict"),
    ],
)  # fmt: skip
def test_arrays_outside_their_limits(tmp_path, name, arrays, message):
    save(fitted(name), "", tmp_path / "m")
    path = tmp_path / "m" / "weights.safetensors"
    save_file({**load_file(path), **arrays}, path)
    _sign(tmp_path / "m")
    with pytest.raises(CheckpointError, match=rf"weights\.safetensors is damaged: .*{message}"):
        load(tmp_path / "m")


def test_predictions_that_are_not_finite_raise():
    model = fitted("bayesian_ridge")
    damaged = replace(model, estimator=replace(model.estimator, covariance=-100 * np.eye(5)))
    with pytest.raises(InputError, match=r"'pIC50' predicts values that are not finite .*weights\.safetensors"):
        damaged.predict(X)


def test_edited_model_is_refused_until_signed(tmp_path):
    save(fitted("bayesian_ridge"), "", tmp_path / "m")
    path = tmp_path / "m" / "model.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "target": "pKi"}))
    with pytest.raises(CheckpointError, match=r"model\.json is damaged or was edited .*molvae sign"):
        load(tmp_path / "m")
    sign(tmp_path / "m")
    assert load(tmp_path / "m").target == "pKi"


def _sign(folder):
    _edit(folder, sha256=hashlib.sha256((folder / "weights.safetensors").read_bytes()).hexdigest())
