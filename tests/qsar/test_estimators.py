"""Estimators compared with scikit-learn, and Gaussian processes with textbook formulas."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn import linear_model
from sklearn.ensemble import RandomForestRegressor
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

from molvae.qsar.estimators import ESTIMATORS, N_TREES, BayesianRidge, GaussianProcess, LogisticRegression, RandomForest

RNG = np.random.default_rng(0)
X = RNG.normal(size=(120, 6)).astype(np.float32)
Y = X[:, 0] - 2 * X[:, 1] + np.sin(2 * X[:, 2]) + 0.1 * RNG.normal(size=120)
NEW = RNG.normal(size=(40, 6)).astype(np.float32)
COUNTS = RNG.poisson(0.6, size=(60, 32)).astype(np.uint8)


def test_bayesian_ridge_matches_scikit_learn():
    scaled = (X - X.mean(0)) / X.std(0)
    expected, expected_std = (
        linear_model.BayesianRidge().fit(scaled, Y).predict((NEW - X.mean(0)) / X.std(0), return_std=True)
    )
    mean, std = BayesianRidge.fit(X, Y, 0).predict(NEW)
    np.testing.assert_allclose(mean, expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(std, expected_std, rtol=1e-4)


def test_bayesian_ridge_with_constant_feature():
    flat = np.concatenate([X, np.ones((len(X), 1), np.float32)], axis=1)
    mean, std = BayesianRidge.fit(flat, Y, 0).predict(flat)
    assert np.isfinite(mean).all()
    assert np.isfinite(std).all()


def test_random_forest_matches_scikit_learn():
    expected = RandomForestRegressor(N_TREES, max_features=1 / 3, random_state=7).fit(X, Y)
    mean, std = RandomForest.fit(X, Y, 7).predict(NEW)
    np.testing.assert_allclose(mean, expected.predict(NEW), rtol=1e-10)
    by_tree = np.stack([tree.predict(NEW) for tree in expected.estimators_])
    np.testing.assert_allclose(std, by_tree.std(axis=0), rtol=1e-8)


def test_logistic_regression_probabilities():
    labels = (Y > 0).astype(float)
    probability, std = LogisticRegression.fit(X, labels, 0).predict(X)
    assert ((probability > 0) & (probability < 1)).all()
    assert ((probability > 0.5) == (labels == 1)).mean() > 0.85
    np.testing.assert_allclose(std, np.sqrt(probability * (1 - probability)))


def test_logistic_regression_does_not_overflow():
    model = LogisticRegression(np.zeros(1), np.ones(1), np.array([1.0]), np.zeros(1))
    np.testing.assert_allclose(model.predict(np.array([[-1e4], [0.0], [1e4]]))[0], [0, 0.5, 1])


def test_gaussian_process_matches_scikit_learn():
    model = GaussianProcess.fit(X, Y, 0)
    kernel = ConstantKernel(model.amplitude[0]) * RBF(model.length[0]) + WhiteKernel(model.noise[0])
    reference = GaussianProcessRegressor(kernel, optimizer=None, alpha=0).fit(X, Y - model.mean[0])
    expected, expected_std = reference.predict(NEW, return_std=True)
    mean, std = model.predict(NEW)
    np.testing.assert_allclose(mean, expected + model.mean[0], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(std, expected_std, rtol=1e-4)


def test_gaussian_process_hyperparameters_are_near_optimal():
    model = GaussianProcess.fit(X, Y, 0)
    kernel = ConstantKernel(1.0) * RBF(model.length[0], length_scale_bounds="fixed") + WhiteKernel(0.1)
    best = GaussianProcessRegressor(kernel, alpha=0, n_restarts_optimizer=2, random_state=0).fit(X, Y - model.mean[0])
    theta = np.log([model.amplitude[0], model.noise[0]])
    assert best.log_marginal_likelihood(theta) > best.log_marginal_likelihood_value_ - 1.0


def test_gaussian_process_of_counts_uses_tanimoto_kernel():
    y = COUNTS[:, 0].astype(float) + 0.01 * np.arange(60)
    model = GaussianProcess.fit(COUNTS[:50], y[:50], 0)
    assert model.length[0] == 0

    def kernel(a, b):
        low = np.minimum(a[:, None].astype(int), b[None].astype(int)).sum(-1)
        high = np.maximum(a[:, None].astype(int), b[None].astype(int)).sum(-1)
        return model.amplitude[0] * low / np.maximum(high, 1)

    inverse = np.linalg.inv(kernel(COUNTS[:50], COUNTS[:50]) + model.noise[0] * np.eye(50))
    cross = kernel(COUNTS[50:], COUNTS[:50])
    mean, std = model.predict(COUNTS[50:])
    np.testing.assert_allclose(mean, model.mean[0] + cross @ inverse @ (y[:50] - model.mean[0]), rtol=1e-6)
    variance = model.amplitude[0] - np.einsum("nm,mk,nk->n", cross, inverse, cross) + model.noise[0]
    np.testing.assert_allclose(std, np.sqrt(variance), rtol=1e-5)


@pytest.mark.parametrize("kind", ["bayesian_ridge", "random_forest", "gaussian_process"])
def test_small_training_set_and_empty_prediction(kind):
    model = ESTIMATORS[kind].fit(X[:4], Y[:4], 0)
    mean, std = model.predict(X[:0])
    assert mean.shape == std.shape == (0,)
    assert np.isfinite(model.predict(X[:1])[0]).all()


@pytest.mark.parametrize("kind", ["random_forest", "gaussian_process"])
def test_uncertainty_is_larger_far_from_training_set(kind):
    model = ESTIMATORS[kind].fit(X, Y, 0)
    near, far = model.predict(X[:20])[1], model.predict(20 * NEW[:20])[1]
    if kind == "gaussian_process":
        assert far.min() > near.max()
    else:
        assert far.mean() > near.mean()


def test_logistic_regression_with_one_positive_label():
    """This occurs in cross-validation with two positive labels in different folds."""
    x = np.random.default_rng(0).normal(size=(12, 4))
    y = (np.arange(12) == 3).astype(float)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        probability, _ = LogisticRegression.fit(x, y, 0).predict(x)
    assert probability.argmax() == 3
    assert probability.mean() == pytest.approx(1 / 12, abs=0.01)
