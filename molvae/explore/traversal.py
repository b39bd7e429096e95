"""A grid of molecules around one, along two directions of the latent space."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from molvae.chem.fingerprints import morgan, tanimoto
from molvae.chem.properties import compute, lookup
from molvae.chem.smiles import parse
from molvae.errors import InputError, import_extra
from molvae.explore.latent_points import Points, latent_of, proposed, reference_points
from molvae.generator import Generator
from molvae.viz.molecules import Panel, save_panels

Vector = NDArray[np.float64]
LEAST_REFERENCE = 20

CORRECTIONS = 4
"""Of a place no molecule may be found at once; with these there is one at 49 of 49 and not at 46."""


@dataclass(frozen=True)
class Direction:
    """One way through a latent space: `step` (D) is as long as the latents are spread along it."""

    name: str
    step: Vector
    property: str = ""  # that rises along it


def traverse(
    generator: Generator,
    seed: str,
    *,
    axes: tuple[int, int] = (0, 1),
    directions: str = "latent",
    reference: Iterable[str] | None = None,
    steps: int = 7,
    span: float | None = None,
) -> pd.DataFrame:
    """The molecules on a grid of `steps` x `steps` latents around the seed's, row by row, as near as they are written.

    `directions` are "latent" (dimensions of the latent space, those numbered `axes`), "principal" (principal components
    `axes` of the reference molecules' latents) or one or two properties such as "qed" or "logp,tpsa": the direction in
    which the latents vary most together with each, the first component of partial least squares (with one property, the
    second direction is the first principal component; it is made orthogonal to the first). `reference` are SMILES;
    without them, molecules drawn from the prior. The grid reaches `span` standard deviations to either side: 5 by
    default, and 15 along single dimensions, each of which is little among so many.

    Columns: x, y (in standard deviations), smiles ("" where nothing valid was written), similarity (Tanimoto to the
    seed), log_likelihood (nats), and the properties named. `attrs`: seed, axes (two names) and summary. Raises
    `MoleculeError` for a seed that cannot be encoded, `InputError` for what cannot be a direction or a grid.
    """
    if span is None:
        span = 15.0 if directions == "latent" else 5.0
    if steps < 1 or not 0 < span < np.inf:
        raise InputError(f"a grid has 1 step or more and a span above 0, got {steps} and {span:g}")
    if len(axes) != 2 or axes[0] == axes[1] or min(axes) < 0:
        raise InputError(f"axes are two different numbers from 0 on, such as 0,1, got {','.join(map(str, axes))}")
    if directions == "latent" and reference is not None:
        raise InputError('a reference is for directions="principal" or properties: latent dimensions need none')
    if directions not in ("latent", "principal") and tuple(axes) != (0, 1):
        raise InputError(f"axes are numbers of latent dimensions or principal components, not of {directions}")
    center = latent_of(generator, seed)
    first, second = _directions(generator, axes, directions, reference)
    offsets = np.linspace(-span, span, steps) if steps > 1 else np.zeros(1)
    if steps % 2:
        offsets[steps // 2] = 0.0  # of which there are else some 1e-16
    x, y = (side.ravel() for side in np.meshgrid(offsets, offsets[::-1]))
    z = center + x[:, None] * first.step + y[:, None] * second.step
    # a step is no noise: a decoder told so would lean on what molecules look like, and the properties hardly rise
    table = proposed(generator, z, inversion_steps=CORRECTIONS)
    middle, told = (x == 0) & (y == 0), ["smiles", "log_likelihood"]
    if middle.any():  # from the seed's latent, which is refined, the seed is written; its own lies a little beside it
        table.loc[middle, told] = proposed(generator, z[middle])[told].to_numpy()
    return _described(table, x, y, seed, (first, second))


def draw_traversal(frame: pd.DataFrame, picture: str | Path) -> Path:
    """The grid of `traverse` as .png or .svg, the seed's own place in blue, where nothing is written an empty one."""
    columns = int((frame["y"] == frame["y"].iloc[0]).sum())
    numbers = list(frame.columns[5:])
    panels = [
        Panel.of(row["smiles"], _legend(row, numbers), seed=row["x"] == row["y"] == 0) for _, row in frame.iterrows()
    ]
    return save_panels(panels, picture, columns)


def _legend(row: pd.Series[Any], numbers: Sequence[str]) -> str:
    """Such as "+1.0 -2.0   0.62   logp 1.9"."""
    if not row["smiles"]:
        return f"{row['x']:+.1f} {row['y']:+.1f}"
    figures = [f"{name} {row[name]:.3g}" for name in numbers]
    return "   ".join([f"{row['x']:+.1f} {row['y']:+.1f}", f"{row['similarity']:.2f}", *figures])


def _directions(
    generator: Generator, axes: tuple[int, int], directions: str, reference: Iterable[str] | None
) -> tuple[Direction, Direction]:
    if directions == "latent":
        size = generator.checkpoint.config.latent_dim
        if max(axes) >= size:
            raise InputError(f"this model's latents have the axes 0 to {size - 1}, got {max(axes)}")
        unit = np.eye(size)  # each dimension of an encoded molecule has spread 1 (models/latents.py)
        return Direction(f"z{axes[0]}", unit[axes[0]]), Direction(f"z{axes[1]}", unit[axes[1]])
    names = [] if directions == "principal" else [lookup(name.strip()).name for name in directions.split(",")]
    if len(names) > 2:
        raise InputError(f"a grid has two directions, got {len(names)}: {', '.join(names)}")
    if len(set(names)) < len(names):
        raise InputError(f"a grid has two different directions, got {names[0]} twice")
    points = reference_points(generator, reference, LEAST_REFERENCE)
    if not names:
        return _principal(points, axes[0]), _principal(points, axes[1])
    properties = [_along(points, name) for name in names]
    first, second = (*properties, _principal(points, 0))[:2]
    return first, _orthogonal(second, first, points)


def _principal(points: Points, component: int) -> Direction:
    pca = import_extra("sklearn.decomposition").PCA(svd_solver="full").fit(points.z)
    if component >= len(pca.components_):
        raise InputError(f"{len(points.z)} molecules have {len(pca.components_)} principal components, got {component}")
    share = pca.explained_variance_ratio_[component]
    name = f"component {component} ({share:.0%} of the variance)"
    return Direction(name, _as_spread(pca.components_[component], points))


def _along(points: Points, name: str) -> Direction:
    """The direction along which the property rises, by partial least squares.

    Its quality on molecules left out is in the name.
    The gradient of a regression would not do: it points where latents hardly vary, and no molecules lie there.
    """
    values = compute([parse(smiles) for smiles in points.smiles], [name])[name]
    slope = (points.z - points.z.mean(0)).T @ (values - values.mean())
    if np.ptp(values) == 0 or not np.linalg.norm(slope):
        raise InputError(f"{name} does not differ among the reference molecules: it has no direction")
    squares = import_extra("sklearn.cross_decomposition").PLSRegression(1, scale=False)
    quality = import_extra("sklearn.model_selection").cross_val_score(squares, points.z, values, cv=5).mean()
    return Direction(f"{name} (R² {quality:.2f})", _as_spread(slope / np.linalg.norm(slope), points), name)


def _orthogonal(other: Direction, first: Direction, points: Points) -> Direction:
    """What is left of a direction beside the first."""
    unit = first.step / np.linalg.norm(first.step)
    rest = other.step - (other.step @ unit) * unit
    if np.linalg.norm(rest) < 1e-6 * np.linalg.norm(other.step):
        raise InputError(f"{first.name} and {other.name} are one direction: name two different ones")
    return replace(other, step=_as_spread(rest / np.linalg.norm(rest), points))


def _as_spread(unit: Vector, points: Points) -> Vector:
    """A unit vector made as long as the standard deviation of the points along it."""
    step: Vector = unit * (points.z @ unit).std()
    return step


def _described(
    table: pd.DataFrame, x: Vector, y: Vector, seed: str, directions: tuple[Direction, Direction]
) -> pd.DataFrame:
    good = (table["smiles"] != "").to_numpy()
    molecules = [parse(smiles) for smiles in table["smiles"][good]]
    frame = pd.DataFrame({"x": x, "y": y, "smiles": table["smiles"], "similarity": np.nan})
    frame.loc[good, "similarity"] = tanimoto(morgan(parse(seed)), [morgan(mol) for mol in molecules])
    frame["log_likelihood"] = table["log_likelihood"]
    for name, values in compute(molecules, [d.property for d in directions if d.property]).items():
        frame.loc[good, name] = values
    distinct = frame.loc[good, "smiles"].nunique()
    across, up = (direction.name for direction in directions)
    frame.attrs = {
        "seed": seed,
        "axes": (across, up),
        "summary": [f"{len(frame)} places, across {across}, up {up}: {good.sum()} molecules, {distinct} distinct"],
    }
    return frame
