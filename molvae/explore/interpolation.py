"""Interpolation between two molecules through the latents between them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from molvae.chem.fingerprints import morgan, tanimoto
from molvae.chem.smiles import parse
from molvae.chem.standardization import prepare
from molvae.data.arguments import as_smiles
from molvae.data.checked_arguments import checked_arguments
from molvae.errors import InputError
from molvae.explore.latent_points import Array, decode_molecules, optimized_latent
from molvae.generator import Generator
from molvae.viz.comparison import Stopwatch
from molvae.viz.grid import Panel, save_panels
from molvae.viz.molecules import COMPARISON_SECONDS

PATHS = ("spherical", "linear")
MIN_SIMILARITY = 0.01
"""Lower bound of a similarity in the weighted mean: a similarity of 0 to one end must not exclude a molecule."""

COLUMNS = ["position", "n_merged", "smiles", "similarity_start", "similarity_end", "log_likelihood"]


@checked_arguments
def interpolate(
    generator: Generator,
    start: str,
    end: str,
    *,
    steps: int = 20,
    path: str = "spherical",
    samples_per_latent: int = 16,
    random_state: int = 0,
    keep_salts: bool = False,
) -> pd.DataFrame:
    """Find intermediate molecules on a path between two molecules in latent space.

    Each interpolated latent is decoded greedily and `samples_per_latent` more times at the model's temperature. Of its
    molecules the one with the largest weighted geometric mean of the similarities to both ends is kept, where the
    weights are the positions along the path; an end itself is kept only if no other molecule was found. Consecutive
    points with the same molecule are merged into one row.

    Parameters
    ----------
    generator : Generator
        The model.
    start, end : str
        SMILES of the two ends.
    steps : int
        Number of latents on the path, including both ends; at least 2.
    path : {"spherical", "linear"}
        "spherical" follows a great circle, which preserves the norm of latents [1]_.
    samples_per_latent : int
        Samples per latent in addition to the greedy one. With 0, points whose greedy sample is invalid are omitted.
    random_state : int
        Seed of the sampling.
    keep_salts : bool
        Keep salts and solvents, which few models can represent; otherwise the largest fragment is used.

    Returns
    -------
    DataFrame
        Columns: `position` (0 to 1, of the first merged point), `n_merged` (number of merged points), `smiles`,
        `similarity_start`, `similarity_end` (Tanimoto), `log_likelihood` (nats, of the sample given its latent; NaN for
        the ends, which are not decoded). `attrs`: notes (SMILES to what was changed),
        statistics (points, distinct, invalid), summary.

    Raises
    ------
    MoleculeError
        If an end cannot be encoded.
    InputError
        For fewer than 2 steps or an unknown path.

    References
    ----------
    .. [1] White, "Sampling generative networks", 2016, https://arxiv.org/abs/1609.04468

    Examples
    --------
    >>> from molvae import explore, load
    >>> path = explore.interpolate(load(), "CC(=O)Oc1ccccc1C(=O)O", "CC(=O)Nc1ccc(O)cc1", steps=5)
    >>> path["smiles"].iloc[[0, -1]].tolist()
    ['CC(=O)Oc1ccccc1C(=O)O', 'CC(=O)Nc1ccc(O)cc1']
    """
    if steps < 2:
        raise InputError(f"steps must be at least 2 (the two ends), got {steps}")
    if path not in PATHS:
        raise InputError(f"path must be {' or '.join(PATHS)}, got {path!r}")
    start, end = as_smiles(start), as_smiles(end)
    position = np.linspace(0, 1, steps)  # (steps,)
    inner = position[1:-1]
    molecules = {text: prepare(text, keep_salts=keep_salts, keep_isotopes=False) for text in (start, end)}
    notes = {text: molecule.note for text, molecule in molecules.items() if molecule.notes}
    start, end = (molecules[text].smiles for text in (start, end))
    first, last = optimized_latent(generator, start), optimized_latent(generator, end)  # (D,)
    curve = spherical_interpolation if path == "spherical" else linear_interpolation
    latents = curve(first, last, inner[:, None])  # (steps - 2, D)
    ends = [start, end]
    if ends[0] == ends[1]:
        samples_per_latent = 0  # a molecule has no intermediates with itself
    noise_level = _noise_level(inner, _angle(first, last))
    samples = _decode_path(generator, latents, noise_level, samples_per_latent, random_state)
    end_rows = pd.DataFrame({"smiles": ends, "log_likelihood": np.nan})
    table = pd.concat(
        [end_rows.iloc[:1], _select_intermediates(samples, ends, inner), end_rows.iloc[1:]], ignore_index=True
    )
    table.insert(0, "position", position)
    valid = table[table["smiles"] != ""]
    statistics = {"points": steps, "distinct": valid["smiles"].nunique(), "invalid": steps - len(valid)}
    merged = _merge_runs(valid)
    n_distinct, n_invalid = statistics["distinct"], statistics["invalid"]
    summary = f"{steps} points: {n_distinct} distinct molecules, {n_invalid} points without a valid one"
    merged.attrs = {"notes": notes, "statistics": statistics, "summary": [summary]}
    return merged


def draw_path(frame: pd.DataFrame, path: str | Path) -> Path:
    """Save the molecules of an `interpolate` table as an image, with both ends highlighted.

    What differs from the start is marked. The legends are the similarities to the start and to the end.

    Parameters
    ----------
    frame : DataFrame
        Result of `interpolate`.
    path : str or Path
        Output file, .png or .svg; replaced atomically.

    Returns
    -------
    Path
        The path of the file.
    """
    start, stopwatch = frame["smiles"].iloc[0], Stopwatch(COMPARISON_SECONDS)
    panels = [
        Panel.from_smiles(
            row["smiles"],
            f"similarity to start {row['similarity_start']:.2f}   to end {row['similarity_end']:.2f}",
            title=f"position {row['position']:.2f}",
            align_to=start if number else "",
            stopwatch=stopwatch,
        )
        for number, row in enumerate(frame.to_dict("records"))
    ]
    panels[0], panels[-1] = (replace(panel, highlight=True) for panel in (panels[0], panels[-1]))
    return save_panels(panels, path)


def linear_interpolation(a: Array, b: Array, t: Array) -> Array:
    """Interpolate on the straight line between two latents.

    Parameters
    ----------
    a, b : ndarray of shape (D,)
        Latents of the start and the end.
    t : ndarray of shape (N, 1)
        Positions, 0 to 1.

    Returns
    -------
    ndarray of shape (N, D)
    """
    return (1 - t) * a + t * b


def spherical_interpolation(a: Array, b: Array, t: Array) -> Array:
    """Interpolate on the great circle through two latents, or on a straight line if they are parallel.

    Parameters
    ----------
    a, b : ndarray of shape (D,)
        Latents of the start and the end.
    t : ndarray of shape (N, 1)
        Positions, 0 to 1.

    Returns
    -------
    ndarray of shape (N, D)

    Examples
    --------
    >>> spherical_interpolation(np.array([1.0, 0.0]), np.array([0.0, 1.0]), np.array([[0.5]])).round(3)
    array([[0.707, 0.707]])
    """
    angle = _angle(a, b)
    if np.sin(angle) < 1e-6:
        return linear_interpolation(a, b, t)
    points: Array = (np.sin((1 - t) * angle) * a + np.sin(t * angle) * b) / np.sin(angle)
    return points


def _angle(a: Array, b: Array) -> float:
    """Angle between two latents in radians: 0 for identical latents, about pi/2 for unrelated molecules."""
    lengths = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(np.arccos(np.clip(a @ b / lengths, -1, 1))) if lengths else 0.0


def _noise_level(t: Array, angle: float) -> Array:
    """Noise level of each point: for the closer end, the share of the other end acts as noise.

    cos(a) z1 + sin(a) z2 is z1 perturbed at noise level sin(a); halfway between unrelated molecules that is 0.71.
    """
    return np.sin(np.minimum(np.minimum(t, 1 - t) * angle, np.pi / 2))


def _decode_path(
    generator: Generator, latents: Array, noise_level: Array, samples_per_latent: int, random_state: int
) -> pd.DataFrame:
    """The distinct valid molecules of each latent, the greedy one first: point, smiles, log_likelihood."""
    tables = [decode_molecules(generator, latents, noise_level=noise_level).assign(point=range(len(latents)))]
    if samples_per_latent and len(latents):
        point = np.repeat(np.arange(len(latents)), samples_per_latent)
        samples = decode_molecules(
            generator,
            latents[point],
            noise_level=noise_level[point],
            temperature=generator.checkpoint.defaults.temperature,
            random_state=random_state,
        )
        tables.append(samples.assign(point=point))
    table = pd.concat(tables, ignore_index=True)
    return table[table["smiles"] != ""].drop_duplicates(["point", "smiles"])[["point", "smiles", "log_likelihood"]]


def _select_intermediates(samples: pd.DataFrame, ends: list[str], position: Array) -> pd.DataFrame:
    """The best molecule of each point, "" if it has none: smiles, log_likelihood."""
    fingerprints = [morgan(parse(smiles)) for smiles in samples["smiles"]]
    to_start, to_end = (
        np.maximum(tanimoto(morgan(parse(smiles)), fingerprints), MIN_SIMILARITY) for smiles in ends
    )  # fmt: skip
    t = position[samples["point"]]
    ranked = samples.assign(
        is_end=samples["smiles"].isin(ends), mean_similarity=to_start ** (1 - t) * to_end**t
    ).sort_values(["is_end", "mean_similarity"], ascending=[True, False], kind="stable")
    best = ranked.drop_duplicates("point")
    table = pd.DataFrame({"smiles": "", "log_likelihood": np.nan}, index=range(len(position)))
    table.loc[best["point"], ["smiles", "log_likelihood"]] = best[["smiles", "log_likelihood"]].to_numpy()
    return table


def _merge_runs(table: pd.DataFrame) -> pd.DataFrame:
    """Merge runs of the same molecule into one row each, and add the similarities to the first and last row."""
    starts = table["smiles"] != table["smiles"].shift()
    n_merged = starts.cumsum().value_counts(sort=False).to_numpy()
    merged = table[starts].assign(n_merged=n_merged).reset_index(drop=True)
    fingerprints = [morgan(parse(smiles)) for smiles in merged["smiles"]]
    merged["similarity_start"] = tanimoto(fingerprints[0], fingerprints)
    merged["similarity_end"] = tanimoto(fingerprints[-1], fingerprints)
    return merged[COLUMNS]
