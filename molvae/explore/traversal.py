"""Latent traversal: a grid of molecules around one, along two directions of the latent space."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from molvae.chem.fingerprints import morgan, tanimoto
from molvae.chem.properties import compute_properties, get_property
from molvae.chem.smiles import parse
from molvae.chem.standardization import prepare
from molvae.chem.tokenizer import tokenize
from molvae.data.arguments import as_smiles
from molvae.data.checked_arguments import checked_arguments
from molvae.errors import InputError, import_extra
from molvae.explore.anomaly_detection import ANOMALY_PERCENTILE
from molvae.explore.latent_points import (
    Array,
    EncodedMolecules,
    decode_molecules,
    encode_reference,
    optimized_latent,
)
from molvae.explore.projection import principal_components
from molvae.generator import Generator
from molvae.nn.likelihood_reference import LikelihoodReference
from molvae.viz.comparison import Stopwatch
from molvae.viz.formatting import format_name
from molvae.viz.grid import Panel, save_panels
from molvae.viz.molecules import COMPARISON_SECONDS

MIN_REFERENCE = 20
"""Minimum number of reference molecules for a direction."""

INVERSION_STEPS = 4
"""Latent inversion steps per grid point. With 4, all 49 points of a 7 x 7 grid gave a valid molecule; without, 46."""

FAR_PERCENTILE = ANOMALY_PERCENTILE
"""Points whose likelihood per token is below this percentile of the training molecules are far from the data."""

_COLUMNS = ["x", "y", "smiles", "similarity", "log_likelihood", "percentile"]


@dataclass(frozen=True)
class Direction:
    """A direction of the latent space; the length of `step` (D,) is the standard deviation of the latents along it."""

    label: str
    step: Array
    property: str = ""  # name of the property that increases along it, if any


@checked_arguments
def traverse(
    generator: Generator,
    seed: str,
    *,
    axes: tuple[int, int] = (0, 1),
    directions: str = "latent",
    reference: Iterable[str] | None = None,
    steps: int = 7,
    span: float | None = None,
    keep_salts: bool = False,
) -> pd.DataFrame:
    """Decode a grid of latents around the latent of a molecule.

    Parameters
    ----------
    generator : Generator
        The model.
    seed : str
        SMILES of the molecule at the center.
    axes : tuple of two int
        Indices of the two latent dimensions or principal components, from 0.
    directions : str
        "latent": dimensions of the latent space. "principal": principal components of the reference molecules'
        latents. Otherwise one or two properties such as "qed" or "logp,tpsa": the direction with the largest
        covariance between latents and property, which is the first component of partial least squares. With one
        property, the second direction is the first principal component. The second is made orthogonal to the first.
    reference : iterable of str, optional
        At least 20 molecules that principal components and property directions are computed from; 1,000 samples from
        the prior by default.
    steps : int
        Grid points per side.
    span : float, optional
        Extent of the grid to either side in standard deviations: 5 by default, 15 for latent dimensions, because a
        single dimension has little effect.
    keep_salts : bool
        Keep salts and solvents, which few models can represent; otherwise the largest fragment is used.

    Returns
    -------
    DataFrame
        `steps` x `steps` rows, from the top row to the bottom, with the columns `x`, `y` (standard deviations),
        `smiles` ("" if the sample is invalid), `similarity` (Tanimoto to the seed), `log_likelihood` (nats), if the
        model has a likelihood reference `percentile` (0 to 100: the share of training molecules with a lower likelihood
        per token; points below 1 are far from the data, and the decoder is not reliable there), and the named
        properties. `attrs`: notes (SMILES to what was changed), seed, axes (labels of both directions), statistics
        (points, valid, distinct, and with a reference far), summary.

    Raises
    ------
    MoleculeError
        If the seed cannot be encoded.
    InputError
        For invalid grid options, unknown directions, or too few reference molecules.

    Examples
    --------
    >>> from molvae import explore, load
    >>> grid = explore.traverse(load(), "CC(=O)Nc1ccc(O)cc1", steps=3)
    >>> grid["smiles"][4], grid.attrs["axes"]
    ('CC(=O)Nc1ccc(O)cc1', ('z0', 'z1'))
    """
    if span is None:
        span = 15.0 if directions == "latent" else 5.0
    if steps < 1 or not 0 < span < np.inf:
        raise InputError(f"a grid needs steps >= 1 and a positive, finite span, got steps={steps} and span={span:g}")
    if not isinstance(axes, Sequence) or not all(isinstance(axis, Integral) for axis in axes):
        raise InputError(f"axes must be two whole numbers such as (0, 1), got {axes!r}")
    if len(axes) != 2 or axes[0] == axes[1] or min(axes) < 0:
        raise InputError(f"axes must be two different indices >= 0 such as 0,1, got {','.join(map(str, axes))}")
    if directions == "latent" and reference is not None:
        raise InputError('directions="latent" uses no reference: leave it out, or use "principal" or properties')
    if directions not in ("latent", "principal") and tuple(axes) != (0, 1):
        raise InputError(f"axes select latent dimensions or principal components; directions={directions!r} has none")
    seed = as_smiles(seed)
    molecule = prepare(seed, keep_salts=keep_salts, keep_isotopes=False)
    notes, seed = {seed: molecule.note} if molecule.notes else {}, molecule.smiles
    center = optimized_latent(generator, seed)  # (D,)
    first, second = _directions(generator, axes, directions, reference)
    offsets = np.linspace(-span, span, steps) if steps > 1 else np.zeros(1)
    if steps % 2:
        offsets[steps // 2] = 0.0  # linspace may give 1e-16
    x, y = (side.ravel() for side in np.meshgrid(offsets, offsets[::-1]))  # (steps ** 2,)
    latents = center + x[:, None] * first.step + y[:, None] * second.step
    # no noise level is passed: with one, the decoder relies more on its prior, and the properties hardly change
    table = decode_molecules(generator, latents, inversion_steps=INVERSION_STEPS)
    middle, columns = (x == 0) & (y == 0), ["smiles", "log_likelihood"]
    if middle.any():  # the optimized latent decodes to the seed, while inversion moves to the nearest posterior mean
        table.loc[middle, columns] = decode_molecules(generator, latents[middle])[columns].to_numpy()
    frame = _grid_table(table, x, y, seed, (first, second), generator.checkpoint.likelihood_reference)
    frame.attrs["notes"] = notes
    return frame


def draw_traversal(frame: pd.DataFrame, path: str | Path) -> Path:
    """Save a `traverse` table as a grid of molecules.

    The seed is highlighted, and what differs from it is marked. Cells that are far from the data are grey, and invalid
    samples have no structure.

    Parameters
    ----------
    frame : DataFrame
        Result of `traverse`.
    path : str or Path
        Output file, .png or .svg; replaced atomically.

    Returns
    -------
    Path
        The path of the file.
    """
    n_columns = int((frame["y"] == frame["y"].iloc[0]).sum())
    properties = [name for name in frame.columns if name not in _COLUMNS]
    seed, stopwatch = frame.attrs.get("seed", ""), Stopwatch(COMPARISON_SECONDS)
    panels = [
        Panel.from_smiles(
            row["smiles"],
            _legend(row, properties),
            title=f"{row['x']:+.1f}, {row['y']:+.1f}",
            highlight=row["x"] == row["y"] == 0,
            shade=_is_far(row),
            align_to=seed,
            stopwatch=stopwatch,
        )
        for _, row in frame.iterrows()
    ]
    return save_panels(panels, path, n_columns)


def _legend(row: pd.Series[Any], properties: Sequence[str]) -> str:
    """Text such as "similarity 0.62   logP 1.9   far from the data"."""
    if not row["smiles"]:
        return "no valid molecule"
    values = [f"similarity {row['similarity']:.2f}", *(f"{format_name(name)} {row[name]:.3g}" for name in properties)]
    return "   ".join([*values, *["far from the data"] * _is_far(row)])


def _is_far(row: pd.Series[Any]) -> bool:
    """Whether a cell is far from the data; False without a likelihood reference."""
    return bool(row.get("percentile", np.nan) < FAR_PERCENTILE)


def _directions(
    generator: Generator, axes: tuple[int, int], directions: str, reference: Iterable[str] | None
) -> tuple[Direction, Direction]:
    """The two directions of the grid."""
    if directions == "latent":
        n_dims = generator.checkpoint.config.latent_dim
        if max(axes) >= n_dims:
            raise InputError(f"this model has latent dimensions 0 to {n_dims - 1}, got {max(axes)}")
        unit = np.eye(n_dims)  # each dimension has unit variance over encoded molecules
        return Direction(f"z{axes[0]}", unit[axes[0]]), Direction(f"z{axes[1]}", unit[axes[1]])
    names = [] if directions == "principal" else [get_property(name.strip()).name for name in directions.split(",")]
    if len(names) > 2:
        raise InputError(f"a grid has two directions, got {len(names)}: {', '.join(names)}")
    if len(set(names)) < len(names):
        raise InputError(f"a grid needs two different directions, got {names[0]} twice")
    molecules = encode_reference(generator, reference, MIN_REFERENCE)
    if not names:
        return _principal_direction(molecules, axes[0]), _principal_direction(molecules, axes[1])
    candidates = [_property_direction(molecules, name) for name in names]
    first, second = (*candidates, _principal_direction(molecules, 0))[:2]
    return first, _orthogonalize(second, first, molecules)


def _principal_direction(molecules: EncodedMolecules, component: int) -> Direction:
    pca = principal_components().fit(molecules.latents)
    if component >= len(pca.components_):
        raise InputError(
            f"{len(molecules.latents)} molecules have {len(pca.components_)} principal components, "
            f"got component {component}"
        )
    share = pca.explained_variance_ratio_[component]
    return Direction(
        f"component {component} ({share:.0%} of the variance)", _scaled(pca.components_[component], molecules)
    )


def _property_direction(molecules: EncodedMolecules, name: str) -> Direction:
    """First partial least squares component of a property; the label reports its cross-validated R².

    The gradient of a regression is unsuitable: it points in directions in which latents hardly vary.
    """
    latents = molecules.latents
    values = compute_properties([parse(smiles) for smiles in molecules.smiles], [name])[name]
    known = np.isfinite(values)
    if known.sum() < MIN_REFERENCE:
        raise InputError(f"{name} can be computed for {known.sum()} reference molecules, fewer than {MIN_REFERENCE}")
    latents, values = latents[known], values[known]
    covariance = (latents - latents.mean(0)).T @ (values - values.mean())
    if np.ptp(values) == 0 or not np.linalg.norm(covariance):
        raise InputError(f"{name} is the same for all reference molecules, so it defines no direction")
    regression = import_extra("sklearn.cross_decomposition").PLSRegression(1, scale=False)
    r2 = import_extra("sklearn.model_selection").cross_val_score(regression, latents, values, cv=5).mean()
    return Direction(f"{name} (R² {r2:.2f})", _scaled(covariance / np.linalg.norm(covariance), molecules), name)


def _orthogonalize(direction: Direction, first: Direction, molecules: EncodedMolecules) -> Direction:
    """Remove the component of `first` from a direction."""
    unit = first.step / np.linalg.norm(first.step)
    rest = direction.step - (direction.step @ unit) * unit
    if np.linalg.norm(rest) < 1e-6 * np.linalg.norm(direction.step):
        raise InputError(f"{first.label} and {direction.label} are the same direction: choose two different ones")
    return replace(direction, step=_scaled(rest / np.linalg.norm(rest), molecules))


def _scaled(unit: Array, molecules: EncodedMolecules) -> Array:
    """A unit vector scaled to the standard deviation of the latents along it."""
    step: Array = unit * (molecules.latents @ unit).std()
    return step


def _grid_table(
    table: pd.DataFrame,
    x: Array,
    y: Array,
    seed: str,
    directions: tuple[Direction, Direction],
    reference: LikelihoodReference | None,
) -> pd.DataFrame:
    """The table of `traverse` from decoded samples and their offsets."""
    valid = (table["smiles"] != "").to_numpy()
    mols = [parse(smiles) for smiles in table["smiles"][valid]]
    frame = pd.DataFrame({"x": x, "y": y, "smiles": table["smiles"], "similarity": np.nan})
    frame.loc[valid, "similarity"] = tanimoto(morgan(parse(seed)), [morgan(mol) for mol in mols])
    frame["log_likelihood"] = table["log_likelihood"]
    if reference is not None:
        n_tokens = np.array([len(tokenize(smiles)) + 1 for smiles in frame["smiles"]])  # with the end of the string
        percentile = reference.percentile(frame["log_likelihood"].to_numpy(dtype=np.float64) / n_tokens)
        frame["percentile"] = np.where(valid, percentile, np.nan)
    for name, values in compute_properties(mols, [d.property for d in directions if d.property]).items():
        frame.loc[valid, name] = values
    statistics = {
        "points": len(frame),
        "valid": int(valid.sum()),
        "distinct": frame.loc[valid, "smiles"].nunique(),
    }
    x_label, y_label = (direction.label for direction in directions)
    counts = f"{len(frame)} points, {statistics['valid']} valid molecules, {statistics['distinct']} distinct"
    if reference is not None:
        statistics["far"] = int((frame["percentile"] < FAR_PERCENTILE).sum())
        counts += f", {statistics['far']} far from the data (percentile below {FAR_PERCENTILE})"
    frame.attrs = {
        "seed": seed,
        "axes": (x_label, y_label),
        "statistics": statistics,
        "summary": [f"{counts}; x: {x_label}, y: {y_label}"],
    }
    return frame
