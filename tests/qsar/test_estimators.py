"""Each estimator, kept as arrays, predicts what scikit-learn predicts; Gaussian processes are the book's."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn.ensemble import RandomForestRegressor
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
from sklearn.linear_model import BayesianRidge

from molvae.qsar.candidates import ESTIMATORS
from molvae.qsar.estimators import TREES, Forest, GaussianProcess, Logistic, Ridge

RNG = np.random.default_rng(0)
X = RNG.normal(size=(120, 6)).astype(np.float32)
Y = X[:, 0] - 2 * X[:, 1] + np.sin(2 * X[:, 2]) + 0.1 * RNG.normal(size=120)
NEW = RNG.normal(size=(40, 6)).astype(np.float32)
COUNTS = RNG.poisson(0.6, size=(60, 32)).astype(np.uint8)


def test_ridge_is_scikit_learns():
    scaled = (X - X.mean(0)) / X.std(0)
    expected, spread = BayesianRidge().fit(scaled, Y).predict((NEW - X.mean(0)) / X.std(0), return_std=True)
    mean, std = Ridge.fit(X, Y, 0).predict(NEW)
    np.testing.assert_allclose(mean, expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(std, spread, rtol=1e-4)


def test_a_feature_that_never_changes_does_no_harm():
    flat = np.concatenate([X, np.ones((len(X), 1), np.float32)], axis=1)
    mean, std = Ridge.fit(flat, Y, 0).predict(flat)
    assert np.isfinite(mean).all()
    assert np.isfinite(std).all()


def test_the_forest_is_scikit_learns_tree_by_tree():
    expected = RandomForestRegressor(TREES, max_features=1 / 3, random_state=7).fit(X, Y)
    mean, std = Forest.fit(X, Y, 7).predict(NEW)
    np.testing.assert_allclose(mean, expected.predict(NEW), rtol=1e-10)
    by_tree = np.stack([tree.predict(NEW) for tree in expected.estimators_])
    np.testing.assert_allclose(std, by_tree.std(axis=0), rtol=1e-8)


def test_logistic_probabilities_are_probabilities_and_right():
    labels = (Y > 0).astype(float)
    probability, spread = Logistic.fit(X, labels, 0).predict(X)
    assert ((probability > 0) & (probability < 1)).all()
    assert ((probability > 0.5) == (labels == 1)).mean() > 0.85
    np.testing.assert_allclose(spread, np.sqrt(probability * (1 - probability)))


def test_logistic_does_not_overflow():
    model = Logistic(np.zeros(1), np.ones(1), np.array([1.0]), np.zeros(1))
    np.testing.assert_allclose(model.predict(np.array([[-1e4], [0.0], [1e4]]))[0], [0, 0.5, 1])


def test_the_gaussian_process_is_scikit_learns_at_its_own_hyperparameters():
    own = GaussianProcess.fit(X, Y, 0)
    kernel = ConstantKernel(own.amplitude[0]) * RBF(own.length[0]) + WhiteKernel(own.noise[0])
    peer = GaussianProcessRegressor(kernel, optimizer=None, alpha=0).fit(X, Y - own.mean[0])
    expected, spread = peer.predict(NEW, return_std=True)
    mean, std = own.predict(NEW)
    np.testing.assert_allclose(mean, expected + own.mean[0], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(std, spread, rtol=1e-4)


def test_the_gaussian_process_finds_about_the_evidence_that_an_optimizer_finds():
    own = GaussianProcess.fit(X, Y, 0)
    kernel = ConstantKernel(1.0) * RBF(own.length[0], length_scale_bounds="fixed") + WhiteKernel(0.1)
    best = GaussianProcessRegressor(kernel, alpha=0, n_restarts_optimizer=2, random_state=0).fit(X, Y - own.mean[0])
    theta = np.log([own.amplitude[0], own.noise[0]])
    assert best.log_marginal_likelihood(theta) > best.log_marginal_likelihood_value_ - 1.0


def test_counts_get_the_tanimoto_kernel():
    y = COUNTS[:, 0].astype(float) + 0.01 * np.arange(60)
    own = GaussianProcess.fit(COUNTS[:50], y[:50], 0)
    assert own.length[0] == 0

    def kernel(a, b):
        low = np.minimum(a[:, None].astype(int), b[None].astype(int)).sum(-1)
        high = np.maximum(a[:, None].astype(int), b[None].astype(int)).sum(-1)
        return own.amplitude[0] * low / np.maximum(high, 1)

    inverse = np.linalg.inv(kernel(COUNTS[:50], COUNTS[:50]) + own.noise[0] * np.eye(50))
    cross = kernel(COUNTS[50:], COUNTS[:50])
    mean, std = own.predict(COUNTS[50:])
    np.testing.assert_allclose(mean, own.mean[0] + cross @ inverse @ (y[:50] - own.mean[0]), rtol=1e-6)
    variance = own.amplitude[0] - np.einsum("nm,mk,nk->n", cross, inverse, cross) + own.noise[0]
    np.testing.assert_allclose(std, np.sqrt(variance), rtol=1e-5)


@pytest.mark.parametrize("kind", ["ridge", "forest", "gaussian process"])
def test_a_tiny_set_and_no_molecules_at_all(kind):
    model = ESTIMATORS[kind].fit(X[:4], Y[:4], 0)
    mean, std = model.predict(X[:0])
    assert mean.shape == std.shape == (0,)
    assert np.isfinite(model.predict(X[:1])[0]).all()


@pytest.mark.parametrize("kind", ["forest", "gaussian process"])
def test_what_is_far_away_is_uncertain(kind):
    model = ESTIMATORS[kind].fit(X, Y, 0)
    near, far = model.predict(X[:20])[1], model.predict(20 * NEW[:20])[1]
    if kind == "gaussian process":
        assert far.min() > near.max()
    else:
        assert far.mean() > near.mean()


def test_with_one_of_a_label_the_penalty_is_not_chosen():
    """As it is where two positives are parted into two folds."""
    x = np.random.default_rng(0).normal(size=(12, 4))
    y = (np.arange(12) == 3).astype(float)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        probability, _ = Logistic.fit(x, y, 0).predict(x)
    assert probability.argmax() == 3
    assert probability.mean() == pytest.approx(1 / 12, abs=0.01)
