"""Linear models on standardised features, as arrays: Bayesian ridge regression and logistic regression."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Ridge:
    """prediction = weights . (x - centre) / scale + bias, with the posterior over the weights as uncertainty.

    centre, scale, weights: (D,); covariance: (D, D) of the weights; bias, noise: (1,), the noise as a variance.
    Bayesian ridge regression finds its penalty in the data (MacKay 1992; scikit-learn's `BayesianRidge`).
    """

    centre: Floats
    scale: Floats
    weights: Floats
    covariance: Floats
    bias: Floats
    noise: Floats

    @classmethod
    def fit(cls, x: NDArray[Any], y: Floats, seed: int) -> Self:  # noqa: ARG003 - nothing here is drawn
        """From features (N, D) and targets (N,)."""
        from sklearn.linear_model import BayesianRidge

        centre, scale = _moments(x)
        model = BayesianRidge().fit((x - centre) / scale, y)
        bias, noise = np.array([model.intercept_]), np.array([1 / model.alpha_])
        return cls(centre, scale, model.coef_, model.sigma_, bias, noise)

    def predict(self, x: NDArray[Any]) -> tuple[Floats, Floats]:
        """Mean and standard deviation, (N,) each, of features (N, D)."""
        z = (x - self.centre) / self.scale
        variance = np.einsum("nd,nd->n", z @ self.covariance, z) + self.noise
        return z @ self.weights + self.bias, np.sqrt(variance)


@dataclass(frozen=True)
class Logistic:
    """probability = 1 / (1 + exp(-(weights . (x - centre) / scale + bias))); shapes as in `Ridge`."""

    centre: Floats
    scale: Floats
    weights: Floats
    bias: Floats

    @classmethod
    def fit(cls, x: NDArray[Any], y: Floats, seed: int) -> Self:
        """From features (N, D) and labels (N,), 0 or 1; the penalty is the best of four by cross-validation, where
        there are two of each label."""
        from sklearn.linear_model import LogisticRegression
        from sklearn.model_selection import GridSearchCV, StratifiedKFold

        centre, scale = _moments(x)
        z, rarest = (x - centre) / scale, int(min(y.sum(), len(y) - y.sum()))
        if rarest < 2:  # nothing to cross-validate with
            model = LogisticRegression(C=1e-2, max_iter=2000).fit(z, y)
        else:
            folds = StratifiedKFold(min(3, rarest), shuffle=True, random_state=seed)
            search = GridSearchCV(
                LogisticRegression(max_iter=2000), {"C": [1e-4, 1e-3, 1e-2, 1e-1]}, scoring="neg_log_loss", cv=folds
            )
            model = search.fit(z, y).best_estimator_
        return cls(centre, scale, model.coef_[0], model.intercept_)

    def predict(self, x: NDArray[Any]) -> tuple[Floats, Floats]:
        """Probability of the label 1 and the standard deviation of such a label, (N,) each."""
        logit = (x - self.centre) / self.scale @ self.weights + self.bias
        probability = 0.5 * (1 + np.tanh(logit / 2))  # the logistic function, without overflow
        return probability, np.sqrt(probability * (1 - probability))


def _moments(x: NDArray[Any]) -> tuple[Floats, Floats]:
    """Mean and standard deviation of each feature; 1 for a feature that never changes."""
    scale = x.std(axis=0, dtype=np.float64)
    return x.mean(axis=0, dtype=np.float64), np.where(scale > 0, scale, 1.0)
