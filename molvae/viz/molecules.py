"""Molecules as pictures: one as SVG, a table's as a grid with the seed first."""

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

from molvae.chem.scaffolds import scaffold_of
from molvae.chem.smiles import parse, quiet
from molvae.data.files import whole_file
from molvae.errors import InputError, MoleculeError

COLUMNS = 5
MOST_PANELS = 250
"""More make an image that viewers reject to open."""

_PANEL = (240, 210)
_SEED_COLOR = (0.80, 0.90, 1.0)
_LEGENDS = {"score": ("score", 2), "qed": ("QED", 2), "sa": ("SA", 1), "logp": ("logP", 1)}  # with their decimals
FORMATS = (".png", ".svg")


PAGE_HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>TITLE</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
body { font: 15px/1.45 system-ui, sans-serif; color: #1c2733; background: #f4f6f8; margin: 2rem auto; max-width: 84rem;
       padding: 0 1.5rem; }
"""
"""Where a page of pictures begins, up to the styles that are its own; TITLE is to be put in."""


@dataclass(frozen=True)
class Panel:
    """One place of a grid; `mol` None leaves it empty."""

    mol: Chem.Mol | None
    legend: str = ""
    seed: bool = False

    @classmethod
    def of(cls, smiles: str, legend: str = "", *, seed: bool = False, like: str = "") -> Self:
        """A molecule by its SMILES, which lies as the one `like` does; what cannot be read leaves its place empty."""
        try:
            mol = parse(smiles)
            _lay(mol, like)
        except MoleculeError:
            return cls(None, legend, seed)
        return cls(rdMolDraw2D.PrepareMolForDrawing(mol), legend, seed)


def svg(smiles: str, width: int = 220, height: int = 160) -> str:
    """One molecule as an <svg> element for a page; an empty string for what cannot be drawn."""
    try:
        mol = parse(smiles)
    except MoleculeError:
        return ""
    canvas = rdMolDraw2D.MolDraw2DSVG(width, height)
    canvas.drawOptions().clearBackground = False  # type: ignore[assignment]
    rdMolDraw2D.PrepareAndDrawMolecule(canvas, mol)
    canvas.FinishDrawing()
    text: str = canvas.GetDrawingText()
    return text[text.index("<svg") :]  # without the XML declaration, which a page must not hold twice


def save_grid(frame: pd.DataFrame, path: str | Path) -> Path:
    """Draw a table's molecules to a .png or .svg, which appears whole or not at all. Returns the path."""
    path = Path(path)
    with whole_file(path) as draft:
        draft.write_bytes(grid(frame, path.suffix))
    return path


def grid(frame: pd.DataFrame, suffix: str = ".png") -> bytes:
    """The molecules of a table (`smiles`, and where there are any seed, similarity, qed, sa, logp) as an image.

    Each seed starts a row, in blue; its analogs follow in the table's order, those with its scaffold lie as it does.
    At most `MOST_PANELS` are drawn.
    Raises `InputError` for an unknown format or an empty table.
    """
    return draw_panels(list(_panels(frame)), suffix)


def save_panels(panels: list[Panel], path: str | Path, columns: int = COLUMNS) -> Path:
    """Draw molecules, row by row, to a .png or .svg, which appears whole or not at all. Returns the path."""
    path = Path(path)
    with whole_file(path) as draft:
        draft.write_bytes(draw_panels(panels, path.suffix, columns))
    return path


def draw_panels(panels: list[Panel], suffix: str = ".png", columns: int = COLUMNS) -> bytes:
    """Molecules in rows of `columns` as an image; of more than `MOST_PANELS` the first. Errors as for `grid`."""
    panels = panels[:MOST_PANELS]
    if not panels:
        raise InputError("no molecules to draw: the table is empty")
    rows = -(-len(panels) // columns)
    width, height = _PANEL
    size = (min(columns, len(panels)) * width, rows * height, width, height)
    if suffix.lower() == ".png":
        canvas = rdMolDraw2D.MolDraw2DCairo(*size)
    elif suffix.lower() == ".svg":
        canvas = rdMolDraw2D.MolDraw2DSVG(*size)
    else:
        raise InputError(f"a picture is .png or .svg, got {suffix!r}")
    _draw(canvas, panels)
    content = canvas.GetDrawingText()
    return content.encode() if isinstance(content, str) else bytes(content)


def _draw(canvas: rdMolDraw2D.MolDraw2D, panels: list[Panel]) -> None:
    options = canvas.drawOptions()
    options.legendFontSize = 15  # type: ignore[assignment]
    options.padding = 0.08  # type: ignore[assignment]
    seeds = [panel.mol if panel.seed else None for panel in panels]
    atoms = [list(range(seed.GetNumAtoms())) if seed else [] for seed in seeds]
    bonds = [list(range(seed.GetNumBonds())) if seed else [] for seed in seeds]
    canvas.DrawMolecules(
        [panel.mol for panel in panels],
        legends=[panel.legend for panel in panels],
        highlightAtoms=atoms,
        highlightBonds=bonds,
        highlightAtomColors=[dict.fromkeys(indices, _SEED_COLOR) for indices in atoms],
        highlightBondColors=[dict.fromkeys(indices, _SEED_COLOR) for indices in bonds],
    )
    canvas.FinishDrawing()


def _panels(frame: pd.DataFrame) -> Iterator[Panel]:
    """Every seed followed by its analogs, filled up to whole rows; without seeds the molecules alone."""
    column = molecule_column(frame)
    if "seed" not in frame.columns:
        yield from (Panel.of(row[column], _legend(row)) for _, row in frame.iterrows() if row[column])
        return
    groups = [group for _, group in frame.groupby("seed", sort=False)]
    for number, group in enumerate(groups):
        seed = group["seed"].iloc[0]
        yield Panel.of(seed, "seed", seed=True)
        yield from (Panel.of(row[column], _legend(row), like=seed) for _, row in group.iterrows())
        if number + 1 < len(groups):
            yield from [Panel(None)] * (-(1 + len(group)) % COLUMNS)


def _lay(mol: Chem.Mol, like: str) -> None:
    """Gives a molecule coordinates in which the scaffold lies as it does in another, so that the eye meets the change.

    Where it lacks that scaffold it gets none: they are found when it is drawn.
    """
    if not like:
        return
    template, scaffold = _template(like)
    if scaffold.GetNumAtoms() and mol.HasSubstructMatch(scaffold):
        with quiet():
            rdDepictor.GenerateDepictionMatching2DStructure(mol, template, refPatt=scaffold, acceptFailure=True)


@lru_cache(maxsize=64)
def _template(smiles: str) -> tuple[Chem.Mol, Chem.Mol]:
    """A molecule as it is drawn, and its scaffold; neither has an atom where it cannot be read."""
    try:
        mol = parse(smiles)
    except MoleculeError:
        return Chem.Mol(), Chem.Mol()
    rdDepictor.Compute2DCoords(mol)
    with quiet():
        return mol, scaffold_of(mol)


def molecule_column(frame: pd.DataFrame) -> str:
    """The column that holds a table's result: what was reconstructed, where it is a table of reconstructions."""
    return "reconstruction" if "reconstruction" in frame.columns else "smiles"


def _legend(row: pd.Series[Any]) -> str:
    """Such as "0.72   QED 0.61   SA 2.3   logP 1.9"."""
    parts = [f"{row['similarity']:.2f}"] if "similarity" in row.index else []
    for name, (label, decimals) in _LEGENDS.items():
        if name in row.index:
            parts.append(f"{label} {round(row[name], decimals) + 0.0:.{decimals}f}")  # + 0.0: no "-0.0"
    return "   ".join(parts)
