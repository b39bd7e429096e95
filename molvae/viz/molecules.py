"""Structure drawings: a molecule as SVG, and grids of molecules as PNG or SVG."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Self

import pandas as pd
from rdkit import Chem
from rdkit.Chem import rdDepictor
from rdkit.Chem.Draw import rdMolDraw2D

from molvae.chem.scaffolds import murcko_scaffold
from molvae.chem.smiles import parse, silence_rdkit
from molvae.data.files import atomic_write
from molvae.errors import InputError, MoleculeError

PANELS_PER_ROW = 5
MAX_PANELS = 250
"""Image viewers fail to open grids of more panels."""

IMAGE_FORMATS = (".png", ".svg")

_PANEL_SIZE = (240, 210)  # pixels: width, height
_HIGHLIGHT_COLOR = (0.80, 0.90, 1.0)  # light blue
_LEGEND_VALUES = {"score": ("score", 2), "qed": ("QED", 2), "sa": ("SA", 1), "logp": ("logP", 1)}
"""Column to its label and number of decimals in a legend."""


@dataclass(frozen=True)
class Panel:
    """One cell of a grid of molecules; `mol` None leaves it blank."""

    mol: Chem.Mol | None
    legend: str = ""
    highlight: bool = False

    @classmethod
    def from_smiles(cls, smiles: str, legend: str = "", *, highlight: bool = False, align_to: str = "") -> Self:
        """A panel for a SMILES, aligned to the scaffold of another one; blank if the SMILES is invalid."""
        try:
            mol = parse(smiles)
            _align(mol, align_to)
        except MoleculeError:
            return cls(None, legend, highlight)
        return cls(rdMolDraw2D.PrepareMolForDrawing(mol), legend, highlight)


def molecule_svg(smiles: str, width: int = 220, height: int = 160, *, align_to: str = "") -> str:
    """Draw one molecule as an <svg> element for embedding in HTML.

    Parameters
    ----------
    smiles : str
        The molecule.
    width, height : int
        Size in pixels.
    align_to : str
        SMILES of another molecule; the scaffold that both share is drawn in the same orientation.

    Returns
    -------
    str
        The element; "" for an invalid SMILES.

    Examples
    --------
    >>> molecule_svg("CCO").startswith("<svg")
    True
    >>> molecule_svg("C1CC")
    ''
    """
    try:
        mol = parse(smiles)
        _align(mol, align_to)
    except MoleculeError:
        return ""
    canvas = rdMolDraw2D.MolDraw2DSVG(width, height)
    canvas.drawOptions().clearBackground = False  # type: ignore[assignment]
    rdMolDraw2D.PrepareAndDrawMolecule(canvas, mol)
    canvas.FinishDrawing()
    text: str = canvas.GetDrawingText()
    return text[text.index("<svg") :]  # without the XML declaration, which is invalid inside a page


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

    Each seed starts a row and is highlighted; its analogs follow in the order of the table, and those with the seed's
    scaffold are drawn in the same orientation. At most `MAX_PANELS` molecules are drawn.

    Parameters
    ----------
    frame : DataFrame
        With the column `smiles` (or `reconstruction`) and optionally seed, similarity, score, qed, sa and logp.
    suffix : {".png", ".svg"}
        Image format.

    Raises
    ------
    InputError
        For another format or an empty table.
    """
    return render_panels(list(table_panels(frame)), suffix)


def save_panels(panels: list[Panel], path: str | Path, n_columns: int = PANELS_PER_ROW) -> Path:
    """Draw panels row by row to a .png or .svg file, which is replaced atomically. Returns the path."""
    path = Path(path)
    with atomic_write(path) as draft:
        draft.write_bytes(render_panels(panels, path.suffix, n_columns))
    return path


def render_panels(panels: list[Panel], suffix: str = ".png", n_columns: int = PANELS_PER_ROW) -> bytes:
    """Draw the first `MAX_PANELS` panels in rows of `n_columns`. Raises the errors of `render_table`."""
    panels = panels[:MAX_PANELS]
    if not panels:
        raise InputError("no molecules to draw: the table is empty")
    n_rows = -(-len(panels) // n_columns)
    width, height = _PANEL_SIZE
    size = (min(n_columns, len(panels)) * width, n_rows * height, width, height)
    if suffix.lower() == ".png":
        canvas = rdMolDraw2D.MolDraw2DCairo(*size)
    elif suffix.lower() == ".svg":
        canvas = rdMolDraw2D.MolDraw2DSVG(*size)
    else:
        raise InputError(f"an image must be {' or '.join(IMAGE_FORMATS)}, got {suffix!r}")
    _draw(canvas, panels)
    content = canvas.GetDrawingText()
    return content.encode() if isinstance(content, str) else bytes(content)


def table_panels(frame: pd.DataFrame) -> Iterator[Panel]:
    """The panels of a table: every seed followed by its analogs, padded to whole rows; without seeds the molecules."""
    column = molecule_column(frame)
    if "seed" not in frame.columns:
        yield from (Panel.from_smiles(row[column], _legend(row)) for _, row in frame.iterrows() if row[column])
        return
    groups = [group for _, group in frame.groupby("seed", sort=False)]
    for number, group in enumerate(groups):
        seed = group["seed"].iloc[0]
        yield Panel.from_smiles(seed, "seed", highlight=True)
        yield from (Panel.from_smiles(row[column], _legend(row), align_to=seed) for _, row in group.iterrows())
        if number + 1 < len(groups):
            yield from [Panel(None)] * (-(1 + len(group)) % PANELS_PER_ROW)


def molecule_column(frame: pd.DataFrame) -> str:
    """The column with a table's resulting molecules: `reconstruction` if there is one, else `smiles`."""
    return "reconstruction" if "reconstruction" in frame.columns else "smiles"


def _draw(canvas: rdMolDraw2D.MolDraw2D, panels: list[Panel]) -> None:
    """Draw the panels on an RDKit canvas."""
    options = canvas.drawOptions()
    options.legendFontSize = 15  # type: ignore[assignment]
    options.padding = 0.08  # type: ignore[assignment]
    highlighted = [panel.mol if panel.highlight else None for panel in panels]
    atoms = [list(range(mol.GetNumAtoms())) if mol else [] for mol in highlighted]
    bonds = [list(range(mol.GetNumBonds())) if mol else [] for mol in highlighted]
    canvas.DrawMolecules(
        [panel.mol for panel in panels],
        legends=[panel.legend for panel in panels],
        highlightAtoms=atoms,
        highlightBonds=bonds,
        highlightAtomColors=[dict.fromkeys(indices, _HIGHLIGHT_COLOR) for indices in atoms],
        highlightBondColors=[dict.fromkeys(indices, _HIGHLIGHT_COLOR) for indices in bonds],
    )
    canvas.FinishDrawing()


def _align(mol: Chem.Mol, reference: str) -> None:
    """Compute coordinates that place the reference's scaffold as in the reference, so that differences are easy to see.

    Does nothing if the molecule lacks that scaffold: coordinates are then computed when it is drawn.
    """
    if not reference:
        return
    template, scaffold = _alignment_template(reference)
    if scaffold.GetNumAtoms() and mol.HasSubstructMatch(scaffold):
        with silence_rdkit():
            rdDepictor.GenerateDepictionMatching2DStructure(mol, template, refPatt=scaffold, acceptFailure=True)


@lru_cache(maxsize=64)
def _alignment_template(smiles: str) -> tuple[Chem.Mol, Chem.Mol]:
    """A molecule with 2D coordinates and its scaffold; both without atoms for an invalid SMILES."""
    try:
        mol = parse(smiles)
    except MoleculeError:
        return Chem.Mol(), Chem.Mol()
    rdDepictor.Compute2DCoords(mol)
    with silence_rdkit():
        return mol, murcko_scaffold(mol)


def _legend(row: pd.Series[Any]) -> str:
    """Text such as "0.72   QED 0.61   SA 2.3   logP 1.9"."""
    parts = [f"{row['similarity']:.2f}"] if "similarity" in row.index else []
    for name, (label, decimals) in _LEGEND_VALUES.items():
        if name in row.index:
            parts.append(f"{label} {round(row[name], decimals) + 0.0:.{decimals}f}")  # + 0.0 avoids "-0.0"
    return "   ".join(parts)
