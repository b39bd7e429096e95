"""Regressors and classifiers that are stored as arrays: linear models, random forest and Gaussian process.

Each estimator is fitted with scikit-learn or NumPy and predicts with NumPy and SciPy, so that a stored model contains
no code.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Protocol, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.linalg import cho_factor, cho_solve, eigh
from scipy.spatial.distance import cdist, pdist

from molvae.data.array_files import array
from molvae.errors import InputError

Floats = NDArray[np.float64]

N_TREES = 200
"""Number of trees of a random forest."""

MAX_GP_MOLECULES = 2500
"""Maximum number of training molecules of a Gaussian process: fitting takes about 20 s, and the time is cubic."""

_NOISE_RATIOS = np.logspace(-4, 1, 26)  # noise variance / amplitude
_LENGTH_FACTORS = (0.5, 1.0, 2.0)  # length scale / median distance


class Estimator(Protocol):
    """A frozen dataclass whose fields are declared by `array`, so that it can be stored without code."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def n_features(self) -> int:
        """Number of features that `predict` needs; of a random forest, the least number."""
        ...

    @classmethod
    def fit(cls, x: NDArray[Any], y: Floats, random_state: int) -> Self:
        """Fit to features (N, D) and targets (N,)."""
        ...

    def predict(self, x: NDArray[Any]) -> tuple[Floats, Floats]:
        """Predict mean and standard deviation, (N,) each, from features (N, D)."""
        ...


@dataclass(frozen=True)
class BayesianRidge:
    """Bayesian ridge regression on standardized features (MacKay 1992), by scikit-learn's `BayesianRidge`.

    prediction = weights . (x - center) / scale + bias. The standard deviation combines the posterior of the weights
    and the noise.

    Attributes
    ----------
    center, scale, weights : ndarray, shape (D,)
        Mean and standard deviation of each feature, and its weight.
    covariance : ndarray, shape (D, D)
        Posterior covariance of the weights.
    bias, noise : ndarray, shape (1,)
        Intercept, and variance of the noise.
    """

    center: Floats = field(metadata=array("features"))
    scale: Floats = field(metadata=array("features", above=0))
    weights: Floats = field(metadata=array("features"))
    covariance: Floats = field(metadata=array("features", "features"))
    bias: Floats = field(metadata=array(1))
    noise: Floats = field(metadata=array(1, min=0))

    @property
    def n_features(self) -> int:
        """Number of features that `predict` needs."""
        return len(self.center)

    @classmethod
    def fit(cls, x: NDArray[Any], y: Floats, random_state: int) -> Self:  # noqa: ARG003 - deterministic
        """Fit to features (N, D) and targets (N,)."""
        from sklearn import linear_model

        center, scale = _mean_and_std(x)
        model = linear_model.BayesianRidge().fit((x - center) / scale, y)
        bias, noise = np.array([model.intercept_]), np.array([1 / model.alpha_])
        return cls(center, scale, model.coef_, model.sigma_, bias, noise)

    def predict(self, x: NDArray[Any]) -> tuple[Floats, Floats]:
        """Predict mean and standard deviation, (N,) each, from features (N, D)."""
        z = (x - self.center) / self.scale
        variance = np.einsum("nd,nd->n", z @ self.covariance, z) + self.noise
        return z @ self.weights + self.bias, np.sqrt(variance)


@dataclass(frozen=True)
class LogisticRegression:
    """Logistic regression on standardized features: probability = sigmoid(weights . (x - center) / scale + bias).

    Attributes
    ----------
    center, scale, weights : ndarray, shape (D,)
        Mean and standard deviation of each feature, and its weight.
    bias : ndarray, shape (1,)
        Intercept.
    """

    center: Floats = field(metadata=array("features"))
    scale: Floats = field(metadata=array("features", above=0))
    weights: Floats = field(metadata=array("features"))
    bias: Floats = field(metadata=array(1))

    @property
    def n_features(self) -> int:
        """Number of features that `predict` needs."""
        return len(self.center)

    @classmethod
    def fit(cls, x: NDArray[Any], y: Floats, random_state: int) -> Self:
        """Fit to features (N, D) and labels (N,), 0 or 1.

        The regularization strength is selected from four values by cross-validation; it is fixed if a class has fewer
        than two molecules.
        """
        from sklearn import linear_model
        from sklearn.model_selection import GridSearchCV, StratifiedKFold

        center, scale = _mean_and_std(x)
        z, minority = (x - center) / scale, int(min(y.sum(), len(y) - y.sum()))
        if minority < 2:
            model = linear_model.LogisticRegression(C=1e-2, max_iter=2000).fit(z, y)
        else:
            search = GridSearchCV(
                linear_model.LogisticRegression(max_iter=2000),
                {"C": [1e-4, 1e-3, 1e-2, 1e-1]},
                scoring="neg_log_loss",
                cv=StratifiedKFold(min(3, minority), shuffle=True, random_state=random_state),
            )
            model = search.fit(z, y).best_estimator_
        return cls(center, scale, model.coef_[0], model.intercept_)

    def predict(self, x: NDArray[Any]) -> tuple[Floats, Floats]:
        """Predict the probability of label 1 and the standard deviation of the label, (N,) each."""
        logit = (x - self.center) / self.scale @ self.weights + self.bias
        probability = 0.5 * (1 + np.tanh(logit / 2))  # the logistic function without overflow
        return probability, np.sqrt(probability * (1 - probability))


def _mean_and_std(x: NDArray[Any]) -> tuple[Floats, Floats]:
    """Return mean and standard deviation of each feature, (D,) each; 1 as standard deviation of a constant feature."""
    scale = x.std(axis=0, dtype=np.float64)
    return x.mean(axis=0, dtype=np.float64), np.where(scale > 0, scale, 1.0)


@dataclass(frozen=True)
class RandomForest:
    """Random forest of T trees with M nodes in total. The standard deviation is computed over the trees.

    Attributes
    ----------
    roots : ndarray, shape (T,)
        Root node of each tree.
    feature, threshold, left, right : ndarray, shape (M,)
        A molecule moves to the left child if its feature is at most the threshold, else to the right child. Both
        children of a leaf are the leaf itself.
    value : ndarray, shape (M,)
        Mean target of a leaf; for labels, the fraction of label 1.
    """

    roots: NDArray[np.int32] = field(metadata=array("trees", dtype="integer", min=0))
    feature: NDArray[np.int32] = field(metadata=array("nodes", dtype="integer", min=0))
    threshold: Floats = field(metadata=array("nodes"))
    left: NDArray[np.int32] = field(metadata=array("nodes", dtype="integer", min=0))
    right: NDArray[np.int32] = field(metadata=array("nodes", dtype="integer", min=0))
    value: Floats = field(metadata=array("nodes"))

    def __post_init__(self) -> None:
        """Raise `InputError` for arrays that are not trees; a cycle in a stored file would cause an endless loop."""
        nodes = np.arange(len(self.value))
        if any((children < nodes).any() or (children >= len(nodes)).any() for children in (self.left, self.right)):
            raise InputError("a child node has a lower index than its parent, or does not exist")
        if not len(self.roots) or (self.roots >= len(nodes)).any():
            raise InputError("a root node does not exist, or there are no trees")

    @property
    def n_features(self) -> int:
        """Number of features that `predict` needs at least."""
        return int(self.feature.max()) + 1

    @classmethod
    def fit(cls, x: NDArray[Any], y: Floats, random_state: int) -> Self:
        """Fit to features (N, D) and targets (N,), with a third of the features considered at each split."""
        from sklearn.ensemble import RandomForestRegressor

        # also for labels 0 and 1: their variance is half the Gini impurity, so that a classifier has the same trees
        forest = RandomForestRegressor(N_TREES, max_features=1 / 3, random_state=random_state, n_jobs=-1)
        trees = [tree.tree_ for tree in forest.fit(x.astype(np.float32), y).estimators_]
        roots = np.cumsum([0, *(tree.node_count for tree in trees[:-1])]).astype(np.int32)
        nodes = np.arange(sum(tree.node_count for tree in trees), dtype=np.int32)
        offset = np.repeat(roots, [tree.node_count for tree in trees])
        children = [np.concatenate([getattr(t, f"children_{side}") for t in trees]) for side in ("left", "right")]
        left, right = (np.where(side < 0, nodes, side + offset).astype(np.int32) for side in children)
        return cls(
            roots=roots,
            feature=np.maximum(np.concatenate([tree.feature for tree in trees]), 0).astype(np.int32),
            threshold=np.concatenate([tree.threshold for tree in trees]),
            left=left,
            right=right,
            value=np.concatenate([tree.value[:, 0, 0] for tree in trees]),
        )

    def predict(self, x: NDArray[Any]) -> tuple[Floats, Floats]:
        """Predict mean and standard deviation over the trees, (N,) each, from features (N, D)."""
        values = self.value[self._leaves(x)]
        return values.mean(axis=1), values.std(axis=1)

    def _leaves(self, x: NDArray[Any]) -> NDArray[np.int32]:
        """Return the leaf of each molecule in each tree, (N, T)."""
        x = x.astype(np.float32)  # scikit-learn compares thresholds with single-precision features
        rows = np.arange(len(x))[:, None]
        node = np.broadcast_to(self.roots, (len(x), len(self.roots)))
        while True:
            is_left = x[rows, self.feature[node]] <= self.threshold[node]
            child = np.where(is_left, self.left[node], self.right[node])
            if np.array_equal(child, node):
                return child
            node = child


@dataclass(frozen=True)
class GaussianProcess:
    """Gaussian process regression: target = mean + f(x) + noise.

    The kernel of f is the squared exponential exp(-|a - b|^2 / (2 length^2)) or, for counts, the Tanimoto kernel
    sum min(a, b) / sum max(a, b) (Ralaivola et al. 2005), each times the amplitude.

    Attributes
    ----------
    x : ndarray, shape (N, D)
        Features of the training set; uint8 for the Tanimoto kernel.
    y : ndarray, shape (N,)
        Targets of the training set.
    mean, amplitude, noise : ndarray, shape (1,)
        Mean target, variance of f, and variance of the noise.
    length : ndarray, shape (1,)
        Length scale; 0 selects the Tanimoto kernel.
    """

    x: NDArray[Any] = field(metadata=array("molecules", "features", dtype="number"))
    y: Floats = field(metadata=array("molecules"))
    mean: Floats = field(metadata=array(1))
    amplitude: Floats = field(metadata=array(1, min=0))
    noise: Floats = field(metadata=array(1, min=0))
    length: Floats = field(metadata=array(1, min=0))

    def __post_init__(self) -> None:
        """Raise `InputError` for counts that are not uint8: the memory of the kernel grows with the largest count."""
        if not float(self.length[0]) and self.x.dtype != np.uint8:
            raise InputError(f"the Tanimoto kernel needs counts of type uint8, got {self.x.dtype}")

    @property
    def n_features(self) -> int:
        """Number of features that `predict` needs."""
        return int(self.x.shape[1])

    @classmethod
    def fit(cls, x: NDArray[Any], y: Floats, random_state: int) -> Self:
        """Fit to features (N, D) and targets (N,), maximizing the marginal likelihood over a grid.

        Features of an integer type are counts and use the Tanimoto kernel.
        """
        if np.issubdtype(x.dtype, np.integer):
            lengths = [0.0]
        else:
            lengths = [factor * _median_distance(x, random_state) for factor in _LENGTH_FACTORS]
        mean = float(y.mean())
        fits = [(*_max_log_likelihood(_kernel(x, x, length), y - mean), length) for length in lengths]
        _, amplitude, noise, length = max(fits)
        return cls(x, y, *(np.array([value]) for value in (mean, amplitude, noise, length)))

    def predict(self, x: NDArray[Any]) -> tuple[Floats, Floats]:
        """Predict mean and standard deviation of a measurement, noise included, (N,) each, from features (N, D)."""
        kernel = self.amplitude * _kernel(x, self.x, float(self.length[0]))
        mean = self.mean + kernel @ cho_solve(self._factor, self.y - self.mean)
        explained = np.einsum("nm,mn->n", kernel, cho_solve(self._factor, kernel.T))
        return mean, np.sqrt(np.maximum(self.amplitude - explained, 0) + self.noise)

    @cached_property
    def _factor(self) -> Any:
        """Cholesky factor of the covariance of the training targets."""
        kernel = self.amplitude * _kernel(self.x, self.x, float(self.length[0]))
        return cho_factor(kernel + self.noise * np.eye(len(kernel)), lower=True)


def _max_log_likelihood(kernel: Floats, y: Floats) -> tuple[float, float, float]:
    """Return the maximum over `_NOISE_RATIOS` of the log marginal likelihood of y (N,), its amplitude and its noise.

    For kernel = Q diag(l) Q^T and noise ratio t, the optimal amplitude is a = mean((Q^T y)^2 / (l + t)), and the log
    marginal likelihood is -1/2 (N log a + sum log(l + t)), up to a constant.
    """
    eigenvalues, eigenvectors = eigh(kernel)
    squares = (eigenvectors.T @ y) ** 2
    spectra = np.maximum(eigenvalues, 0) + _NOISE_RATIOS[:, None]  # (26, N)
    amplitudes = np.maximum((squares / spectra).mean(axis=1), 1e-12)  # a maximum of 0 occurs for constant targets
    log_likelihood = -0.5 * (len(y) * np.log(amplitudes) + np.log(spectra).sum(axis=1))
    best = int(log_likelihood.argmax())
    return float(log_likelihood[best]), float(amplitudes[best]), float(amplitudes[best] * _NOISE_RATIOS[best])


def _kernel(a: NDArray[Any], b: NDArray[Any], length: float) -> Floats:
    """Compute the kernel matrix (N, M) of features (N, D) and (M, D); `length` 0 selects the Tanimoto kernel."""
    if length:
        return np.asarray(np.exp(-cdist(a, b, "sqeuclidean") / (2 * length**2)), np.float64)
    max_count = int(max(a.max(initial=1), b.max(initial=1)))
    unary_a, unary_b = _unary(a, max_count), _unary(b, max_count)
    common = np.asarray((unary_a @ unary_b.T).todense(), np.float64)
    union = unary_a.sum(axis=1).reshape(-1, 1) + unary_b.sum(axis=1).reshape(1, -1) - common
    return np.asarray(common / np.maximum(union, 1), np.float64)


def _unary(counts: NDArray[Any], max_count: int) -> sparse.csr_array:
    """Return the unary code (N, D * max_count) of counts (N, D); the dot product of two codes is the sum of minima."""
    return sparse.csr_array(sparse.hstack([sparse.csr_array(counts > t, dtype=np.float32) for t in range(max_count)]))


def _median_distance(x: NDArray[Any], random_state: int) -> float:
    """Return the median Euclidean distance of up to 1000 random rows; 1 if it is 0."""
    rows = np.random.default_rng(random_state).permutation(len(x))[:1000]
    return float(np.median(pdist(x[rows])) if len(x) > 1 else 0.0) or 1.0


ESTIMATORS: dict[str, type[Estimator]] = {
    "bayesian_ridge": BayesianRidge,
    "logistic_regression": LogisticRegression,
    "random_forest": RandomForest,
    "gaussian_process": GaussianProcess,
}
