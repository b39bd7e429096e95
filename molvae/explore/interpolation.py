"""From one molecule to another, through the latents between them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from molvae.chem.fingerprints import morgan, tanimoto
from molvae.chem.smiles import canonical, parse
from molvae.errors import InputError
from molvae.explore.latent_points import latent_of, proposed
from molvae.generator import Generator
from molvae.viz.molecules import Panel, save_panels

Array = NDArray[np.float64]
PATHS = ("spherical", "linear")
LEAST = 0.01
"""What a similarity counts at least: a molecule that shares nothing with one end may be much like the other."""


def interpolate(
    generator: Generator,
    start: str,
    end: str,
    *,
    steps: int = 20,
    path: str = "spherical",
    samples_per_latent: int = 16,
    seed: int = 0,
) -> pd.DataFrame:
    """The molecules on the way from `start` to `end`, in order; neighbors that are the same molecule are one row.

    `steps` latents, the ends counted, are spread evenly over a great-circle arc ("spherical": keeps the length that
    latents have, White 2016) or a straight line ("linear"). Of each the likeliest string is decoded, which is mostly
    one of the ends, and `samples_per_latent` are drawn at the model's temperature. What is taken lies best on the way: its
    similarities to both ends, weighted by how near they are, have the greatest geometric mean; an end only where there
    is nothing else. With 0 decodes the likeliest strings are all, and holes stay where these are no molecules.

    Columns: position (0 to 1, of the first of the merged points), points (how many were merged), smiles,
    similarity_start and similarity_end (Tanimoto), log_likelihood (nats, of the string given its latent; NaN for the
    ends, which are not decoded). `attrs["summary"]` counts points, holes and distinct molecules. Raises
    `MoleculeError` for an end that cannot be encoded, `InputError` for fewer than 2 steps or an unknown path.
    """
    if steps < 2:
        raise InputError(f"a path has its two ends and so 2 steps or more, got {steps}")
    if path not in PATHS:
        raise InputError(f"a path is {' or '.join(PATHS)}, got {path!r}")
    position = np.linspace(0, 1, steps)
    arc = _arc if path == "spherical" else _line
    first, last = latent_of(generator, start), latent_of(generator, end)
    z = arc(first, last, position[1:-1, None])
    both = [canonical(start), canonical(end)]
    if both[0] == both[1]:
        samples_per_latent = 0  # there is nothing between a molecule and itself
    found = _decoded(generator, z, _noise_level(position[1:-1], _angle(first, last)), samples_per_latent, seed)
    ends = pd.DataFrame({"smiles": both, "log_likelihood": np.nan})
    table = pd.concat([ends.iloc[:1], _on_the_way(found, both, position[1:-1]), ends.iloc[1:]], ignore_index=True)
    table.insert(0, "position", position)
    merged = _merged(table[table["smiles"] != ""])
    merged.attrs["summary"] = [_summary(table)]
    return merged


def draw_path(frame: pd.DataFrame, picture: str | Path) -> Path:
    """The molecules of `interpolate`, the ends in blue, each with its similarity to both, as .png or .svg."""
    columns = zip(frame["smiles"], frame["similarity_start"], frame["similarity_end"], strict=True)
    panels = [Panel.of(smiles, f"{start:.2f} | {end:.2f}") for smiles, start, end in columns]
    panels[0], panels[-1] = (replace(panel, seed=True) for panel in (panels[0], panels[-1]))
    return save_panels(panels, picture)


def _line(a: Array, b: Array, t: Array) -> Array:
    return (1 - t) * a + t * b


def _arc(a: Array, b: Array, t: Array) -> Array:
    """Points t (N x 1) of the great circle through a and b (D); a line where they point the same way."""
    angle = _angle(a, b)
    if np.sin(angle) < 1e-6:
        return _line(a, b, t)
    points: Array = (np.sin((1 - t) * angle) * a + np.sin(t * angle) * b) / np.sin(angle)
    return points


def _angle(a: Array, b: Array) -> float:
    """Between two latents, in radians: 0 for the same one, about a right angle for unrelated molecules."""
    lengths = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(np.arccos(np.clip(a @ b / lengths, -1, 1))) if lengths else 0.0


def _noise_level(t: Array, angle: float) -> Array:
    """How much noise the decoder is told: the other end is noise to the nearer one, the more the less alike they are.

    cos(a) z1 + sin(a) z2 is z1 moved by a noise level of sin(a), as of `models.latents.perturb`; halfway between unrelated
    molecules that is 0.71.
    """
    return np.sin(np.minimum(np.minimum(t, 1 - t) * angle, np.pi / 2))


def _decoded(generator: Generator, z: Array, noise_level: Array, samples_per_latent: int, seed: int) -> pd.DataFrame:
    """The different molecules of each latent, the likeliest string's first: point, smiles, log_likelihood."""
    tables = [proposed(generator, z, noise_level=noise_level).assign(point=range(len(z)))]
    if samples_per_latent and len(z):
        point = np.repeat(np.arange(len(z)), samples_per_latent)
        temperature = generator.checkpoint.defaults.temperature
        drawn = proposed(generator, z[point], noise_level=noise_level[point], temperature=temperature, seed=seed)
        tables.append(drawn.assign(point=point))
    table = pd.concat(tables, ignore_index=True)
    return table[table["smiles"] != ""].drop_duplicates(["point", "smiles"])[["point", "smiles", "log_likelihood"]]


def _on_the_way(found: pd.DataFrame, ends: list[str], position: Array) -> pd.DataFrame:
    """A molecule for each position, or an empty string: smiles, log_likelihood."""
    prints = [morgan(parse(smiles)) for smiles in found["smiles"]]
    start, end = (np.maximum(tanimoto(morgan(parse(smiles)), prints), LEAST) for smiles in ends)
    t = position[found["point"]]
    ranked = found.assign(end=found["smiles"].isin(ends), worth=start ** (1 - t) * end**t)
    ranked = ranked.sort_values(["end", "worth"], ascending=[True, False], kind="stable").drop_duplicates("point")
    table = pd.DataFrame({"smiles": "", "log_likelihood": np.nan}, index=range(len(position)))
    table.loc[ranked["point"], ["smiles", "log_likelihood"]] = ranked[["smiles", "log_likelihood"]].to_numpy()
    return table


def _merged(table: pd.DataFrame) -> pd.DataFrame:
    """Runs of the same molecule as one row each; the first row is the start, the last the end."""
    starts = table["smiles"] != table["smiles"].shift()
    merged = table[starts].assign(points=starts.cumsum().value_counts(sort=False).to_numpy()).reset_index(drop=True)
    fingerprints = [morgan(parse(smiles)) for smiles in merged["smiles"]]
    merged["similarity_start"] = tanimoto(fingerprints[0], fingerprints)
    merged["similarity_end"] = tanimoto(fingerprints[-1], fingerprints)
    columns = ["position", "points", "smiles", "similarity_start", "similarity_end", "log_likelihood"]
    return merged[columns]


def _summary(table: pd.DataFrame) -> str:
    holes = int((table["smiles"] == "").sum())
    distinct = table.loc[table["smiles"] != "", "smiles"].nunique()
    return f"{len(table)} points: {distinct} distinct molecules, {holes} points that decode to none"
