"""A stored model predicts the same, holds no code, and says what is wrong with it."""

from __future__ import annotations

import hashlib
import json
import pickle

import numpy as np
import pytest
from safetensors.numpy import save_file

from molvae.errors import CheckpointError, InputError
from molvae.qsar.candidates import ESTIMATORS, Candidate
from molvae.qsar.fitted_model import Encoder, FittedModel, load, save
from molvae.qsar.fitting import fitted as fit_best
from molvae.qsar.validation import Validation

X = np.random.default_rng(0).normal(size=(40, 5)).astype(np.float32)
Y = X[:, 0] + 0.1 * X[:, 1]


def fitted(kind):
    task = "classification" if kind == "logistic" else "regression"
    y = (Y > 0).astype(float) if task == "classification" else Y
    estimator = ESTIMATORS[kind].fit(X, y, 0)
    return FittedModel(
        "pIC50", task, Candidate("latent", kind), estimator, 1.5, Encoder("tiny", "/x", "ab"), {"Data": "40"}
    )


@pytest.mark.parametrize("kind", list(ESTIMATORS))
def test_round_trip(tmp_path, kind):
    model = fitted(kind)
    save(model, "# card\n", tmp_path / "m")
    again = load(tmp_path / "m")
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    assert (again.target, again.task, again.candidate, again.encoder, again.card) == (
        model.target, model.task, model.candidate, model.encoder, model.card,
    )  # fmt: skip
    assert {file.name for file in (tmp_path / "m").iterdir()} == {
        "model.json", "weights.safetensors", "card.json", "card.md",
    }  # fmt: skip


def test_the_calibration_widens_the_uncertainty_of_a_regression():
    model = fitted("ridge")
    np.testing.assert_allclose(model.predict(X)[1], 1.5 * model.estimator.predict(X)[1])


def test_trees_that_agree_do_not_calibrate_those_that_do_not(tmp_path):
    """One held-out molecule that is predicted wrong without a spread, among others whose spread is their error."""
    spread = np.where(np.arange(len(Y)) == np.abs(Y).argmax(), 1e-16, 1.0)
    best = Validation(Candidate("latent", "forest"), {}, np.zeros(len(Y)), spread)
    model = fit_best(best, X, Y, "pIC50", "regression", Encoder("tiny", "/x", "ab"), 0)
    assert 0.5 < model.calibration < 5
    assert model.doubt == pytest.approx(0.1 * np.sqrt(np.mean(Y**2)))
    expected = model.calibration * np.sqrt(model.estimator.predict(X)[1] ** 2 + model.doubt**2)
    np.testing.assert_allclose(model.predict(X)[1], expected)
    save(model, "", tmp_path / "m")
    np.testing.assert_array_equal(load(tmp_path / "m").predict(X), model.predict(X))


def test_of_no_molecules():
    assert [part.shape for part in fitted("forest").predict(X[:0])] == [(0,), (0,)]


def test_saving_again_replaces_a_model_but_nothing_else(tmp_path):
    for _ in range(2):
        save(fitted("ridge"), "", tmp_path / "m")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("precious")
    with pytest.raises(InputError, match="choose another place"):
        save(fitted("ridge"), "", tmp_path / "other")
    assert (tmp_path / "other" / "thesis.txt").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m", "other"]  # no draft is left behind


def _edit(folder, **changes):
    path = folder / "model.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"format": "other"}, "fit it again"),
        ({"kind": "os.system"}, "os.system"),
        ({"representation": "smell"}, "smell"),
        ({"calibration": "much"}, "cannot load"),
        ({"sha256": "0"}, "damaged"),
    ],
)
def test_damage_is_named(tmp_path, change, complaint):
    save(fitted("ridge"), "", tmp_path / "m")
    _edit(tmp_path / "m", **change)
    with pytest.raises(CheckpointError, match=complaint):
        load(tmp_path / "m")


@pytest.mark.parametrize(
    ("arrays", "complaint"),
    [
        ({"left": [1, 0, 2], "right": [1, 0, 2]}, "children do not stand behind it"),  # round and round
        ({"left": [1, 1, 9], "right": [2, 1, 2]}, "children do not stand behind it"),
        ({"feature": [-1, 0, 0]}, "where there is nothing"),
        ({"roots": [3]}, "where there is nothing"),
        ({"threshold": [0.0]}, "different lengths"),
        ({"feature": [99_999, 0, 0]}, "out of bounds"),
    ],
)
def test_trees_that_are_none_are_not_walked(tmp_path, arrays, complaint):
    good = {"roots": [0], "feature": [0, 0, 0], "threshold": [0.5, 0, 0], "left": [1, 1, 2], "right": [2, 1, 2],
            "value": [0.0, 1.0, 2.0]}  # fmt: skip
    assert load(_crafted(tmp_path / "good", "forest", good)).estimator.predict(np.zeros((1, 2048)))[0] == [1.0]
    with pytest.raises(CheckpointError, match=complaint):
        load(_crafted(tmp_path / "bad", "forest", good | arrays))


def test_other_arrays_that_are_none(tmp_path):
    of_two = {name: np.ones(2) for name in ("center", "scale", "weights")} | {"bias": [0.0], "noise": [1.0]}
    with pytest.raises(CheckpointError, match="cannot load"):
        load(_crafted(tmp_path / "a", "ridge", of_two | {"covariance": np.eye(2)}))
    counts = {"x": np.full((1, 2048), 2**31 - 1, np.int32), "y": [0.0], "mean": [0.0], "amplitude": [1.0],
              "noise": [1.0], "length": [0.0]}  # fmt: skip
    with pytest.raises(CheckpointError, match="counts up to 255, got int32"):
        load(_crafted(tmp_path / "b", "gaussian process", counts))


def _crafted(folder, kind, arrays):
    """A folder of a model on fingerprints with these arrays, whole as far as sums of it can tell."""
    save(fitted(kind), "", folder)
    save_file({name: np.asarray(array) for name, array in arrays.items()}, folder / "weights.safetensors")
    digest = hashlib.sha256((folder / "weights.safetensors").read_bytes()).hexdigest()
    _edit(folder, sha256=digest, representation="fingerprint")
    return folder


def test_a_pickle_is_no_model(tmp_path):
    save(fitted("ridge"), "", tmp_path / "m")
    evil = pickle.dumps(Boom())
    (tmp_path / "m" / "weights.safetensors").write_bytes(evil)
    _edit(tmp_path / "m", sha256=hashlib.sha256(evil).hexdigest())
    with pytest.raises(CheckpointError):
        load(tmp_path / "m")
    with pytest.raises(CheckpointError, match="not a whole property model"):
        load(tmp_path / "nowhere")


class Boom:
    def __reduce__(self):
        return (pytest.fail, ("loading ran code",))
