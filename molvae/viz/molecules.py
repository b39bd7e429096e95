"""Drawings of single molecules, which never fail: a molecule that cannot be drawn has a reason instead."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from rdkit import Chem
from rdkit.Chem.Draw import rdMolDraw2D

from molvae.chem.rdkit_guard import rdkit_guard
from molvae.chem.smiles import parse
from molvae.errors import MoleculeError, one_line
from molvae.viz.comparison import Comparison, Stopwatch, compare
from molvae.viz.layout import MAX_DRAWN_ATOMS, align_coordinates, compute_coordinates

CHANGE_COLOR = (1.0, 0xDB / 255, 0x85 / 255)
"""Color behind atoms and bonds that differ from the seed: a light amber."""

COMPARISON_SECONDS = 20.0
"""Time for the comparisons with the seed of one image, page or notebook cell; later molecules are not compared."""

_BOND_PIXELS = 30  # length of a bond of a molecule that is smaller than its cell
_MAX_PROBLEM = 120  # characters


@dataclass(frozen=True)
class Depiction:
    """A molecule that is ready to be drawn, or why it cannot be.

    Attributes
    ----------
    mol : Mol or None
        With coordinates and wedged bonds.
    problem : str
        Why the molecule cannot be drawn; "" if it can.
    atoms, bonds : tuple of int
        Those that are marked: they differ from the seed, or were given to `depict`.
    """

    mol: Chem.Mol | None
    problem: str = ""
    atoms: tuple[int, ...] = ()
    bonds: tuple[int, ...] = ()


def depict(
    smiles: str, *, align_to: str = "", stopwatch: Stopwatch | None = None, marked: Sequence[int] = ()
) -> Depiction:
    """Prepare a molecule for drawing. Never raises an exception for a molecule.

    Parameters
    ----------
    smiles : str
        The molecule.
    align_to : str
        SMILES of another molecule, such as the seed: what both have in common is drawn in the same place, and what
        differs is marked.
    stopwatch : Stopwatch, optional
        Limit of the time for comparisons; without one, each is limited on its own.
    marked : sequence of int
        Atoms to mark, with the bonds between them, if the molecule is not compared with another one.
    """
    try:
        mol = _with_coordinates(smiles)
        comparison = None if not align_to else _compare(mol, align_to, stopwatch)
        with rdkit_guard("cannot be drawn"):
            if comparison is not None:
                align_coordinates(mol, _reference(align_to), comparison.matches)
            prepared = rdMolDraw2D.PrepareMolForDrawing(mol, kekulize=_can_kekulize(mol))
    except MoleculeError as error:
        return Depiction(None, one_line(str(error), _MAX_PROBLEM))
    if comparison is None:
        atoms = tuple(atom for atom in marked if atom < mol.GetNumAtoms())
        return Depiction(prepared, "", atoms, _bonds_between(mol, atoms))
    return Depiction(prepared, "", comparison.atoms, comparison.bonds)


def molecule_svg(
    smiles: str, width: int = 220, height: int = 160, *, align_to: str = "", stopwatch: Stopwatch | None = None
) -> str:
    """Draw one molecule as an <svg> element for embedding in HTML.

    Parameters
    ----------
    smiles : str
        The molecule.
    width, height : int
        Size in pixels; the molecule is scaled to it.
    align_to : str
        SMILES of another molecule: what both have in common is drawn in the same place, and what differs is marked.
    stopwatch : Stopwatch, optional
        Limit of the time for comparisons.

    Returns
    -------
    str
        The element; "" for a molecule that cannot be drawn: it is invalid, or has more than 200 atoms.

    Examples
    --------
    >>> molecule_svg("CCO").startswith("<svg")
    True
    >>> molecule_svg("C1CC")
    ''
    """
    return depiction_svg(depict(smiles, align_to=align_to, stopwatch=stopwatch), width, height)[0]


def depiction_svg(depiction: Depiction, width: int, height: int) -> tuple[str, str]:
    """The <svg> element of a depiction, "" if it cannot be drawn, and the reason."""
    if depiction.mol is None:
        return "", depiction.problem
    try:
        canvas = rdMolDraw2D.MolDraw2DSVG(width, height)
        canvas.drawOptions().clearBackground = False  # type: ignore[assignment]
        draw_on(canvas, depiction)
        canvas.FinishDrawing()
        text: str = canvas.GetDrawingText()
    except MoleculeError as error:
        return "", one_line(str(error), _MAX_PROBLEM)
    text = text[text.index("<svg") :]  # without the XML declaration, which is invalid inside a page
    text = re.sub(r"<!--.*?-->\n?", "", text, flags=re.DOTALL).replace("<svg ", '<svg aria-hidden="true" ', 1)
    return re.sub(r" class='(?:bond|atom)-[^']*'", "", text), ""


def draw_on(canvas: rdMolDraw2D.MolDraw2D, depiction: Depiction) -> None:
    """Draw a molecule on an RDKit canvas, scaled to its panel. Raises `MoleculeError` if RDKit fails."""
    options = canvas.drawOptions()
    options.padding = 0.04  # type: ignore[assignment]
    options.fixedBondLength = _BOND_PIXELS  # type: ignore[assignment]
    options.minFontSize = -1  # type: ignore[assignment]
    options.highlightBondWidthMultiplier = 12  # type: ignore[assignment]
    options.highlightRadius = 0.32  # type: ignore[assignment]
    atoms, bonds = list(depiction.atoms), list(depiction.bonds)
    with rdkit_guard("cannot be drawn"):
        canvas.DrawMolecule(
            depiction.mol,
            highlightAtoms=atoms,
            highlightBonds=bonds,
            highlightAtomColors=dict.fromkeys(atoms, CHANGE_COLOR),
            highlightBondColors=dict.fromkeys(bonds, CHANGE_COLOR),
        )


def _with_coordinates(smiles: str) -> Chem.Mol:
    """Parse a molecule and lay it out. Raises `MoleculeError`, also for more than `MAX_DRAWN_ATOMS` atoms."""
    mol = parse(smiles)
    n_atoms = mol.GetNumAtoms()
    if not n_atoms:
        raise MoleculeError("no atoms")
    if n_atoms > MAX_DRAWN_ATOMS:
        raise MoleculeError(f"not drawn: {n_atoms:,} atoms, the limit is {MAX_DRAWN_ATOMS}")
    compute_coordinates(mol)
    return mol


def _bonds_between(mol: Chem.Mol, atoms: Sequence[int]) -> tuple[int, ...]:
    """The bonds whose two atoms are both in a list."""
    found = set(atoms)
    return tuple(bond.GetIdx() for bond in mol.GetBonds() if {bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()} <= found)


def _compare(mol: Chem.Mol, reference: str, stopwatch: Stopwatch | None) -> Comparison | None:
    """Compare with a reference molecule, unless that cannot be drawn itself or the time is over."""
    try:
        other = _reference(reference)
    except MoleculeError:
        return None
    if stopwatch is None:
        return compare(mol, other)
    if stopwatch.is_over:
        return None
    with stopwatch:
        return compare(mol, other)


@lru_cache(maxsize=64)
def _reference(smiles: str) -> Chem.Mol:
    """A molecule with coordinates to align others to."""
    return _with_coordinates(smiles)


def _can_kekulize(mol: Chem.Mol) -> bool:
    """Whether aromatic rings can be drawn with single and double bonds."""
    try:
        with rdkit_guard("cannot kekulize"):
            Chem.Kekulize(Chem.Mol(mol))
    except MoleculeError:
        return False
    return True
