"""Gaussian processes (Rasmussen and Williams 2006) with two kernels: one for latents, one for fingerprint counts.

scikit-learn factorises the kernel anew at every step of its search. With one noise and one amplitude a single
eigendecomposition serves every noise that is tried, which is why the few lines are written here.
"""

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
