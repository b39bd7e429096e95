"""Molecules as points of a plane, the like near the like, and the picture of it."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray

from molvae.chem.fingerprints import tanimoto_matrix

Floats = NDArray[np.float64]

MOST_POINTS, MOST_SEEDS = 2000, 300
"""The coordinates take the cube of their number; this many take seconds."""

_WIDTH, _HEIGHT, _MARGIN = 760, 520, 28
_WORST, _BEST = np.array([214, 226, 238]), np.array([8, 81, 156])


def coordinates(fingerprints: NDArray[np.uint8]) -> Floats:
    """Places (N, 2) whose distances follow 1 - Tanimoto as well as a plane can: classical scaling (Torgerson 1952).

    fingerprints: (N, 256), packed. The plane is turned so that its first axis is the longer; of fewer than two
    different molecules all lie at the origin.
    """
    if len(fingerprints) < 2:
        return np.zeros((len(fingerprints), 2))
    squares = (1 - tanimoto_matrix(fingerprints, fingerprints).astype(np.float64)) ** 2
    centered = squares - squares.mean(axis=0) - squares.mean(axis=1)[:, None] + squares.mean()
    values, vectors = np.linalg.eigh(-centered / 2)
    axes = vectors[:, ::-1][:, :2] * np.sqrt(np.maximum(values[::-1][:2], 0))
    turned = np.where(axes[np.abs(axes).argmax(axis=0), range(axes.shape[1])] < 0, -1, 1)  # a sign is a matter of luck
    return np.asarray(axes * turned, np.float64)


def similarity_map(
    molecules: Sequence[str], seeds: Sequence[str], scores: Floats, fingerprints: NDArray[np.uint8]
) -> str:
    """An <svg>: a dot for each molecule, the darker the better its score, and a diamond for each seed.

    fingerprints: of the molecules and then of the seeds, (N + S, 256); scores: (N,). Whoever points at a dot reads its
    SMILES and score. Of very many molecules, and of seeds, the first are shown.
    """
    shown, of_seeds = min(len(molecules), MOST_POINTS), len(seeds)
    seeds = seeds[:MOST_SEEDS]
    rows = [*range(shown), *range(len(molecules), len(molecules) + len(seeds))]
    places = _on_canvas(coordinates(fingerprints[rows]))
    dots = [
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{color}" stroke="#fff" stroke-width=".7">'
        f"<title>{escape(smiles)}: {score:.3g}</title></circle>"
        for (x, y), smiles, score, color in zip(
            places, molecules[:shown], scores, _colors(scores[:shown]), strict=False
        )
    ]
    diamonds = [
        f'<path d="M{x:.1f} {y - 8:.1f}l8 8l-8 8l-8 -8z" fill="#d9480f" stroke="#fff">'
        f"<title>seed {escape(smiles)}</title></path>"
        for (x, y), smiles in zip(places[shown:], seeds, strict=True)
    ]
    told = len(seeds) if len(seeds) == of_seeds else f"{len(seeds)} of {of_seeds:,}"
    drawn = "\n".join([*reversed(dots), *diamonds])  # the best dots over the others, the seeds over all
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" width="{_WIDTH}" height="{_HEIGHT}" '
        f'viewBox="0 0 {_WIDTH} {_HEIGHT}"><title>Map of similarity: {shown} molecules, {told} seeds</title>\n'
        f"{drawn}\n</svg>"
    )


def _on_canvas(places: Floats) -> Floats:
    """One scale for both axes, so that distances keep their meaning."""
    low, high = places.min(axis=0, initial=0), places.max(axis=0, initial=0)
    room = np.array([_WIDTH, _HEIGHT]) - 2 * _MARGIN
    scale = (room / np.maximum(high - low, 1e-9)).min()
    middle = np.array([_WIDTH, _HEIGHT]) / 2
    return np.asarray(middle + (places - (low + high) / 2) * scale, np.float64)


def _colors(scores: Floats) -> list[str]:
    """From pale to dark by rank: scores crowd together, ranks do not."""
    order = np.argsort(np.argsort(scores, kind="stable"), kind="stable") / max(len(scores) - 1, 1)
    return ["#" + bytes((_WORST + (_BEST - _WORST) * share).astype(np.uint8)).hex() for share in order]
