"""Linear models on standardized features, as arrays: Bayesian ridge regression and logistic regression."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.linalg import cho_factor, cho_solve, eigh
from scipy.spatial.distance import cdist, pdist

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Ridge:
    """prediction = weights . (x - center) / scale + bias, with the posterior over the weights as uncertainty.

    center, scale, weights: (D,); covariance: (D, D) of the weights; bias, noise: (1,), the noise as a variance.
    Bayesian ridge regression finds its penalty in the data (MacKay 1992; scikit-learn's `BayesianRidge`).
    """

    center: Floats
    scale: Floats
    weights: Floats
    covariance: Floats
    bias: Floats
    noise: Floats

    @classmethod
    def fit(cls, x: NDArray[Any], y: Floats, seed: int) -> Self:  # noqa: ARG003 - nothing here is drawn
        """From features (N, D) and targets (N,)."""
        from sklearn.linear_model import BayesianRidge

        center, scale = _moments(x)
        model = BayesianRidge().fit((x - center) / scale, y)
        bias, noise = np.array([model.intercept_]), np.array([1 / model.alpha_])
        return cls(center, scale, model.coef_, model.sigma_, bias, noise)

    def predict(self, x: NDArray[Any]) -> tuple[Floats, Floats]:
        """Mean and standard deviation, (N,) each, of features (N, D)."""
        z = (x - self.center) / self.scale
        variance = np.einsum("nd,nd->n", z @ self.covariance, z) + self.noise
        return z @ self.weights + self.bias, np.sqrt(variance)


@dataclass(frozen=True)
class Logistic:
    """probability = 1 / (1 + exp(-(weights . (x - center) / scale + bias))); shapes as in `Ridge`."""

    center: Floats
    scale: Floats
    weights: Floats
    bias: Floats

    @classmethod
    def fit(cls, x: NDArray[Any], y: Floats, seed: int) -> Self:
        """From features (N, D) and labels (N,), 0 or 1; the penalty is the best of four by cross-validation, where
        there are two of each label."""
        from sklearn.linear_model import LogisticRegression
        from sklearn.model_selection import GridSearchCV, StratifiedKFold

        center, scale = _moments(x)
        z, rarest = (x - center) / scale, int(min(y.sum(), len(y) - y.sum()))
        if rarest < 2:  # nothing to cross-validate with
            model = LogisticRegression(C=1e-2, max_iter=2000).fit(z, y)
        else:
            folds = StratifiedKFold(min(3, rarest), shuffle=True, random_state=seed)
            search = GridSearchCV(
                LogisticRegression(max_iter=2000), {"C": [1e-4, 1e-3, 1e-2, 1e-1]}, scoring="neg_log_loss", cv=folds
            )
            model = search.fit(z, y).best_estimator_
        return cls(center, scale, model.coef_[0], model.intercept_)

    def predict(self, x: NDArray[Any]) -> tuple[Floats, Floats]:
        """Probability of the label 1 and the standard deviation of such a label, (N,) each."""
        logit = (x - self.center) / self.scale @ self.weights + self.bias
        probability = 0.5 * (1 + np.tanh(logit / 2))  # the logistic function, without overflow
        return probability, np.sqrt(probability * (1 - probability))


def _moments(x: NDArray[Any]) -> tuple[Floats, Floats]:
    """Mean and standard deviation of each feature; 1 for a feature that never changes."""
    scale = x.std(axis=0, dtype=np.float64)
    return x.mean(axis=0, dtype=np.float64), np.where(scale > 0, scale, 1.0)


TREES = 200


@dataclass(frozen=True)
class Forest:
    """T trees with M nodes in all. roots: (T,) the node that each tree begins at.

    feature, left, right: (M,); a molecule goes left where its feature is at most the threshold, (M,). A leaf has
    itself as both children. value: (M,) the mean target of a leaf; of labels, the share of 1.
    """

    roots: NDArray[np.int32]
    feature: NDArray[np.int32]
    threshold: Floats
    left: NDArray[np.int32]
    right: NDArray[np.int32]
    value: Floats

    def __post_init__(self) -> None:
        """Raises `ValueError` for arrays that are no trees: those of a file, which might be walked for ever."""
        nodes, parts = np.arange(len(self.value)), (self.feature, self.threshold, self.left, self.right)
        if any(part.shape != nodes.shape for part in parts):
            raise ValueError("the arrays of the trees are of different lengths")
        # a node's children stand behind it, and a leaf is its own
        if any((side < nodes).any() or (side >= len(nodes)).any() for side in (self.left, self.right)):
            raise ValueError("a node's children do not stand behind it")
        if (self.feature < 0).any() or not ((self.roots >= 0) & (self.roots < len(nodes))).all():
            raise ValueError("a tree begins or asks where there is nothing")

    @classmethod
    def fit(cls, x: NDArray[Any], y: Floats, seed: int) -> Self:
        """From features (N, D) and targets (N,): each tree sees a third of the features at every split."""
        from sklearn.ensemble import RandomForestRegressor

        # labels of 0 and 1 too: the variance of a label is half its Gini impurity, so the trees are the same
        forest = RandomForestRegressor(TREES, max_features=1 / 3, random_state=seed, n_jobs=-1)
        trees = [tree.tree_ for tree in forest.fit(x.astype(np.float32), y).estimators_]
        roots = np.cumsum([0, *(tree.node_count for tree in trees[:-1])]).astype(np.int32)
        own = np.arange(sum(tree.node_count for tree in trees), dtype=np.int32)
        shift = np.repeat(roots, [tree.node_count for tree in trees])
        children = [np.concatenate([getattr(t, f"children_{side}") for t in trees]) for side in ("left", "right")]
        left, right = (np.where(side < 0, own, side + shift).astype(np.int32) for side in children)
        return cls(
            roots=roots,
            feature=np.maximum(np.concatenate([tree.feature for tree in trees]), 0).astype(np.int32),
            threshold=np.concatenate([tree.threshold for tree in trees]),
            left=left,
            right=right,
            value=np.concatenate([tree.value[:, 0, 0] for tree in trees]),
        )

    def predict(self, x: NDArray[Any]) -> tuple[Floats, Floats]:
        """Mean and standard deviation over the trees, (N,) each, of features (N, D)."""
        values = self.value[self._leaves(x)]
        return values.mean(axis=1), values.std(axis=1)

    def _leaves(self, x: NDArray[Any]) -> NDArray[np.int32]:
        """The leaf in which each molecule ends in each tree: (N, T)."""
        x, rows = x.astype(np.float32), np.arange(len(x))[:, None]  # as scikit-learn compares
        node = np.broadcast_to(self.roots, (len(x), len(self.roots)))
        while True:
            goes_left = x[rows, self.feature[node]] <= self.threshold[node]
            following = np.where(goes_left, self.left[node], self.right[node])
            if np.array_equal(following, node):
                return following
            node = following


MOST_ROWS = 2500
"""Time grows with their cube: this many take some twenty seconds."""

_NOISES = np.logspace(-4, 1, 26)  # in units of the amplitude
_LENGTHS = (0.5, 1.0, 2.0)  # in units of the median distance


@dataclass(frozen=True)
class GaussianProcess:
    """target = mean + f(x) + noise, f drawn from a Gaussian process around the training set.

    x: (N, D) features of the training set, y: (N,) targets; mean, amplitude, noise: (1,), the last two variances.
    length: (1,) of the kernel exp(-|a - b|^2 / (2 length^2)); 0 is the Tanimoto kernel of counts,
    sum min(a, b) / sum max(a, b) (Ralaivola et al. 2005).
    """

    x: NDArray[Any]
    y: Floats
    mean: Floats
    amplitude: Floats
    noise: Floats
    length: Floats

    def __post_init__(self) -> None:
        """Raises `ValueError` for counts as no molecule has them, which would be counted one by one."""
        if not float(self.length[0]) and self.x.dtype != np.uint8:
            raise ValueError(f"the kernel of counts is for counts up to 255, got {self.x.dtype}")

    @classmethod
    def fit(cls, x: NDArray[Any], y: Floats, seed: int) -> Self:
        """From features (N, D), counts where they are integers, and targets (N,), at the greatest evidence."""
        counts = np.issubdtype(x.dtype, np.integer)
        lengths = [0.0] if counts else [factor * _median_distance(x, seed) for factor in _LENGTHS]
        mean = float(y.mean())
        fits = [(*_evidence(_kernel(x, x, length), y - mean), length) for length in lengths]
        _, amplitude, noise, length = max(fits)
        return cls(x, y, *(np.array([value]) for value in (mean, amplitude, noise, length)))

    def predict(self, x: NDArray[Any]) -> tuple[Floats, Floats]:
        """Mean and standard deviation (of a measurement, noise included), (N,) each, of features (N, D)."""
        kernel = self.amplitude * _kernel(x, self.x, float(self.length[0]))
        mean = self.mean + kernel @ cho_solve(self._factor, self.y - self.mean)
        known = np.einsum("nm,mn->n", kernel, cho_solve(self._factor, kernel.T))
        return mean, np.sqrt(np.maximum(self.amplitude - known, 0) + self.noise)

    @cached_property
    def _factor(self) -> Any:
        kernel = self.amplitude * _kernel(self.x, self.x, float(self.length[0]))
        return cho_factor(kernel + self.noise * np.eye(len(kernel)), lower=True)


def _evidence(kernel: Floats, y: Floats) -> tuple[float, float, float]:
    """The greatest log evidence of y (N,) over the noises, up to a constant, and its amplitude and noise.

    For kernel = Q diag(l) Q^T and noise t, the best amplitude is a = mean((Q^T y)^2 / (l + t)), and the log
    evidence is -1/2 (N log a + sum log(l + t)).
    """
    values, vectors = eigh(kernel)
    squares = (vectors.T @ y) ** 2
    spectra = np.maximum(values, 0) + _NOISES[:, None]  # noises x N
    amplitudes = np.maximum((squares / spectra).mean(axis=1), 1e-12)  # of constant targets it would be 0
    evidence = -0.5 * (len(y) * np.log(amplitudes) + np.log(spectra).sum(axis=1))
    best = int(evidence.argmax())
    return float(evidence[best]), float(amplitudes[best]), float(amplitudes[best] * _NOISES[best])


def _kernel(a: NDArray[Any], b: NDArray[Any], length: float) -> Floats:
    """(N, M) for features (N, D) and (M, D), 1 for two that are the same."""
    if length:
        return np.asarray(np.exp(-cdist(a, b, "sqeuclidean") / (2 * length**2)), np.float64)
    most = int(max(a.max(initial=1), b.max(initial=1)))
    unary_a, unary_b = _unary(a, most), _unary(b, most)
    common = np.asarray((unary_a @ unary_b.T).todense(), np.float64)
    either = unary_a.sum(axis=1).reshape(-1, 1) + unary_b.sum(axis=1).reshape(1, -1) - common
    return np.asarray(common / np.maximum(either, 1), np.float64)


def _unary(counts: NDArray[Any], most: int) -> sparse.csr_array:
    """Counts (N, D) up to `most` as ones: 3 becomes three of them, so that a product of two rows sums their minima."""
    return sparse.csr_array(sparse.hstack([sparse.csr_array(counts > t, dtype=np.float32) for t in range(most)]))


def _median_distance(x: NDArray[Any], seed: int) -> float:
    """Of a thousand rows at most; 1 where it would be 0."""
    some = np.random.default_rng(seed).permutation(len(x))[:1000]
    return float(np.median(pdist(x[some])) if len(x) > 1 else 0.0) or 1.0
