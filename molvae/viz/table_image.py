"""Images of tables: a panel per molecule with its rank, name and properties, and what changed from the seed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from molvae.chem.properties import PROPERTIES, compute_properties
from molvae.chem.rdkit_guard import RDKIT_ERRORS
from molvae.chem.smiles import parse
from molvae.data.files import atomic_write
from molvae.errors import MolvaeError
from molvae.viz.comparison import Stopwatch
from molvae.viz.formatting import format_change, format_text
from molvae.viz.grid import PANELS_PER_ROW, Panel, render_panels
from molvae.viz.molecules import COMPARISON_SECONDS

_LEGEND_VALUES = {
    "score": ("score", 2), "similarity": ("similarity", 2), "tanimoto": ("similarity", 2),
    "distance": ("distance", 2), "qed": ("QED", 2), "sa": ("SA", 1), "logp": ("logP", 1), "mw": ("MW", 0),
}  # fmt: skip
"""Column to its label and number of decimals in a legend."""


def save_table_image(frame: pd.DataFrame, path: str | Path) -> Path:
    """Save the molecules of a table as an image.

    Parameters
    ----------
    frame : DataFrame
        See `render_table`.
    path : str or Path
        Output file, .png or .svg; replaced atomically.

    Returns
    -------
    Path
        The path of the file.

    Raises
    ------
    InputError
        For another format or an empty table.
    """
    path = Path(path)
    with atomic_write(path) as draft:
        draft.write_bytes(render_table(frame, path.suffix))
    return path


def render_table(frame: pd.DataFrame, suffix: str = ".png") -> bytes:
    """Draw the molecules of a table as a grid.

    Each seed starts a row and is highlighted; its analogs follow in the order of the table with their rank and name.
    What an analog shares with its seed is drawn in the same place, what differs is marked, and changes of properties
    are in parentheses. A molecule that cannot be drawn has the reason in its place: it has more than 200 atoms, or
    RDKit fails. At most `MAX_PANELS` molecules are drawn.

    Parameters
    ----------
    frame : DataFrame
        With the column `smiles` (or `reconstruction`) and optionally seed, id, name, similarity, distance, score, qed,
        sa, logp and mw.
    suffix : {".png", ".svg"}
        Image format.

    Raises
    ------
    InputError
        For another format or an empty table.
    """
    return render_panels(list(table_panels(frame)), suffix)


def table_panels(frame: pd.DataFrame) -> Iterator[Panel]:
    """The panels of a table: every seed followed by its analogs, padded to whole rows; without seeds the molecules."""
    column, stopwatch = molecule_column(frame), Stopwatch(COMPARISON_SECONDS)
    if "seed" not in frame.columns:
        for rank, (_, row) in enumerate(frame[frame[column].map(bool)].iterrows(), start=1):
            smiles, marked = marked_atoms(row, format_text(row[column]))
            legend, title = _legend(row) or _finding_legend(row), _title(rank, molecule_name(row))
            yield Panel.from_smiles(smiles, legend, title=title, marked=marked)
        return
    groups = [group for _, group in frame.groupby("seed", sort=False)]
    for number, group in enumerate(groups):
        seed = format_text(group["seed"].iloc[0])
        values = seed_properties(seed, [name for name in _LEGEND_VALUES if name in frame.columns])
        title = " ".join(["Seed", seed_name(group.iloc[0])]).strip()
        yield Panel.from_smiles(seed, _legend(values), title=title, highlight=True)
        for rank, (_, row) in enumerate(group.iterrows(), start=1):
            legend, title = _legend(row, values), _title(rank, molecule_name(row))
            smiles = format_text(row[column])
            yield Panel.from_smiles(smiles, legend, title=title, align_to=seed, stopwatch=stopwatch)
        if number + 1 < len(groups):
            yield from [Panel(None)] * (-(1 + len(group)) % PANELS_PER_ROW)


def molecule_column(frame: pd.DataFrame) -> str:
    """The column with a table's resulting molecules: `reconstruction` if there is one, else `smiles`."""
    return "reconstruction" if "reconstruction" in frame.columns else "smiles"


def molecule_name(row: Mapping[Any, Any] | pd.Series[Any]) -> str:
    """The name of a row's molecule: its ID, or its name if the table has no IDs."""
    return format_text(row.get("id")) if "id" in row else format_text(row.get("name"))


def marked_atoms(row: Mapping[Any, Any] | pd.Series[Any], smiles: str) -> tuple[str, tuple[int, ...]]:
    """The SMILES to draw and its atoms to mark: in a table of `molvae.explain` `canonical` and `atoms`."""
    atoms = format_text(row.get("atoms"))
    if not atoms or not all(text.isdecimal() for text in atoms.split()):
        return smiles, ()
    return format_text(row.get("canonical")) or smiles, tuple(map(int, atoms.split()))


def seed_name(row: Mapping[Any, Any] | pd.Series[Any]) -> str:
    """The name of a row's seed; in tables without IDs the name is that of the molecule."""
    return format_text(row.get("name")) if "id" in row else ""


def seed_properties(seed: str, columns: list[str]) -> dict[str, float]:
    """The properties of a seed among some columns; without those that cannot be computed."""
    values: dict[str, float] = {}
    try:
        mol = parse(seed)
    except MolvaeError:
        return values
    for name in (name for name in columns if name in PROPERTIES):
        try:
            values[name] = float(compute_properties([mol], [name])[name][0])
        except (MolvaeError, *RDKIT_ERRORS):
            continue
    return values


def _title(rank: int, name: str) -> str:
    return f"{rank}  {name}".strip()


def _finding_legend(row: Mapping[Any, Any] | pd.Series[Any]) -> str:
    """Text such as "unstable group   N-halogen" in a table of `molvae.explain`."""
    return "   ".join(filter(None, (format_text(row.get(name)) for name in ("kind", "fragment"))))


def _legend(row: Mapping[Any, Any] | pd.Series[Any], seed: Mapping[str, float] | None = None) -> str:
    """Text such as "similarity 0.72   QED 0.61 (+0.05)   SA 2.3 (-0.1)   logP 1.9 (+0.4)"."""
    parts = []
    for name, (label, decimals) in _LEGEND_VALUES.items():
        try:
            value = float(row.get(name))  # type: ignore[arg-type]
        except (TypeError, ValueError):
            continue
        if value == value:
            change = format_change(value, (seed or {}).get(name), decimals)
            parts.append(f"{label} {round(value, decimals) + 0.0:.{decimals}f}{change}")  # + 0.0 avoids "-0.0"
    return "   ".join(parts)
