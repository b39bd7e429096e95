"""A map of molecules by Tanimoto similarity: multidimensional scaling to two dimensions, drawn as SVG."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from molvae.chem.fingerprints import tanimoto_matrix
from molvae.viz.templating import render

if TYPE_CHECKING:
    from markupsafe import Markup

Floats = NDArray[np.float64]

MAX_POINTS, MAX_SEEDS = 2000, 300
"""Scaling takes cubic time in their number; this many take seconds."""

_WIDTH, _HEIGHT, _MARGIN = 760, 520, 28  # pixels
_WORST_COLOR, _BEST_COLOR = np.array([214, 226, 238]), np.array([8, 81, 156])


def coordinates(fingerprints: NDArray[np.uint8]) -> Floats:
    """Two-dimensional coordinates that approximate the Tanimoto distances, by classical scaling [1]_.

    Parameters
    ----------
    fingerprints : ndarray of shape (N, 256)
        Packed Morgan fingerprints.

    Returns
    -------
    ndarray of shape (N, 2)
        The first axis has the larger extent. Fewer than two different molecules lie at the origin.

    References
    ----------
    .. [1] Torgerson, "Multidimensional scaling: I. Theory and method", 1952.
    """
    if len(fingerprints) < 2:
        return np.zeros((len(fingerprints), 2))
    squared = (1 - tanimoto_matrix(fingerprints, fingerprints).astype(np.float64)) ** 2
    centered = squared - squared.mean(axis=0) - squared.mean(axis=1)[:, None] + squared.mean()
    eigenvalues, eigenvectors = np.linalg.eigh(-centered / 2)
    axes = eigenvectors[:, ::-1][:, :2] * np.sqrt(np.maximum(eigenvalues[::-1][:2], 0))
    largest = axes[np.abs(axes).argmax(axis=0), range(axes.shape[1])]
    return np.asarray(axes * np.where(largest < 0, -1, 1), np.float64)  # the signs of eigenvectors are arbitrary


def similarity_map(
    molecules: Sequence[str], seeds: Sequence[str], scores: Floats, fingerprints: NDArray[np.uint8]
) -> Markup:
    """An <svg> with a dot per molecule, darker for a better score, and a diamond per seed.

    The tooltip of a dot is its SMILES and score. Only the first 2,000 molecules and 300 seeds are drawn.

    Parameters
    ----------
    molecules, seeds : sequence of str
        N and S SMILES.
    scores : ndarray of shape (N,)
        Scores of the molecules.
    fingerprints : ndarray of shape (N + S, 256)
        Packed Morgan fingerprints of the molecules, then of the seeds.
    """
    n_points, n_seeds = min(len(molecules), MAX_POINTS), min(len(seeds), MAX_SEEDS)
    rows = [*range(n_points), *range(len(molecules), len(molecules) + n_seeds)]
    pixels = _to_pixels(coordinates(fingerprints[rows]))
    dots = [
        {"x": x, "y": y, "color": color, "tooltip": f"{smiles}: {score:.3g}"}
        for (x, y), smiles, score, color in zip(
            pixels[:n_points], molecules[:n_points], scores[:n_points], _colors(scores[:n_points]), strict=True
        )
    ]
    diamonds = [
        {"x": x, "y": y, "tooltip": f"seed {smiles}"}
        for (x, y), smiles in zip(pixels[n_points:], seeds[:n_seeds], strict=True)
    ]
    shown_seeds = f"{n_seeds}" if n_seeds == len(seeds) else f"{n_seeds} of {len(seeds):,}"
    return render(
        "similarity_map.svg",
        width=_WIDTH,
        height=_HEIGHT,
        description=f"Similarity map: {n_points} molecules, {shown_seeds} seeds",
        dots=dots[::-1],  # the best are drawn last, over the others
        diamonds=diamonds,
    )


def _to_pixels(points: Floats) -> Floats:
    """Scale coordinates to the image, with the same scale for both axes."""
    low, high = points.min(axis=0, initial=0), points.max(axis=0, initial=0)
    size = np.array([_WIDTH, _HEIGHT])
    scale = ((size - 2 * _MARGIN) / np.maximum(high - low, 1e-9)).min()
    return np.asarray(size / 2 + (points - (low + high) / 2) * scale, np.float64)


def _colors(scores: Floats) -> list[str]:
    """A color per score by rank: ranks are spread evenly, scores are not."""
    rank = np.argsort(np.argsort(scores, kind="stable"), kind="stable") / max(len(scores) - 1, 1)
    colors = [(_WORST_COLOR + (_BEST_COLOR - _WORST_COLOR) * share).astype(np.uint8) for share in rank]
    return [f"#{bytes(color).hex()}" for color in colors]
