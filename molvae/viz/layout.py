"""2D coordinates of molecules: their own layout, or one that follows another molecule where both agree."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem
from rdkit.Chem import rdCoordGen, rdDepictor, rdMolTransforms
from rdkit.Geometry import Point2D

from molvae.chem.rdkit_guard import RDKIT_ERRORS, rdkit_guard
from molvae.errors import MoleculeError

Floats = NDArray[np.float64]

MAX_COORDINATE_ATOMS = 400
"""Larger molecules get no coordinates: RDKit's time grows with the cube of the size. 400 atoms take up to 1.1 s."""

MAX_DRAWN_ATOMS = 200
"""Larger molecules are not drawn: 200 atoms take up to 0.4 s, and more are not readable in a cell."""

BOND_LENGTH = 1.5
"""RDKit's bond length in a layout."""

_OVERLAP = 0.4 * BOND_LENGTH  # atoms closer than this are on top of each other
_OVERLAP_WEIGHT = 3  # bridged rings cannot be drawn without crossings, but without overlaps
_MAX_STRETCH = 1.6  # times the bond length
_MAX_COORDGEN_ATOMS, _MAX_COORDGEN_RING = 60, 20
_MAX_SAMPLED_ATOMS = 120


def compute_coordinates(mol: Chem.Mol) -> None:
    """Add 2D coordinates to a molecule, with as few overlaps as possible.

    Parameters
    ----------
    mol : Mol
        Sanitized; changed in place.

    Raises
    ------
    MoleculeError
        For more than `MAX_COORDINATE_ATOMS` atoms, or if RDKit fails.
    """
    n_atoms = mol.GetNumAtoms()
    if n_atoms > MAX_COORDINATE_ATOMS:
        raise MoleculeError(f"no 2D coordinates: {n_atoms:,} atoms, the limit is {MAX_COORDINATE_ATOMS}")
    with rdkit_guard("no 2D coordinates"):
        rdDepictor.Compute2DCoords(mol)
        n_faults = count_faults(mol)
        if not n_faults or n_atoms > _MAX_SAMPLED_ATOMS:
            return
        for compute in (_with_ring_templates, _with_coordgen, _with_samples):
            other = Chem.Mol(mol)
            compute(other)
            if (n_other := count_faults(other)) < n_faults:
                n_faults = n_other
                _copy_coordinates(other, mol)
            if not n_faults:
                return


def _with_ring_templates(mol: Chem.Mol) -> None:
    rdDepictor.Compute2DCoords(mol, useRingTemplates=True)


def _with_coordgen(mol: Chem.Mol) -> None:
    """CoordGen draws bridged rings, such as those of morphine, without overlaps; it hangs for rings of 100 atoms."""
    rings = mol.GetRingInfo().AtomRings()
    if mol.GetNumAtoms() <= _MAX_COORDGEN_ATOMS and max(map(len, rings), default=0) <= _MAX_COORDGEN_RING:
        rdCoordGen.AddCoords(mol)


def _with_samples(mol: Chem.Mol) -> None:
    rdDepictor.Compute2DCoords(mol, nSample=40, nFlipsPerSample=3, sampleSeed=42, permuteDeg4Nodes=True)


def zero_coordinates(mol: Chem.Mol) -> None:
    """Place all atoms at the origin: without coordinates, RDKit's writer of SDF files would compute them."""
    mol.RemoveAllConformers()
    mol.AddConformer(Chem.Conformer(mol.GetNumAtoms()), assignId=True)


def align_coordinates(mol: Chem.Mol, reference: Chem.Mol, matches: Mapping[int, int]) -> None:
    """Lay out a molecule that already has coordinates as another one, as far as that causes no overlaps.

    Atoms that match take the positions of the reference. If atoms or bonds would then be on top of each other more
    often than in the molecule's own layout, that one is kept and only turned as a whole.

    Parameters
    ----------
    mol : Mol
        With coordinates; changed in place.
    reference : Mol
        With coordinates.
    matches : mapping of int to int
        Atom of `mol` to atom of `reference`.
    """
    if len(matches) < 2:
        return
    positions = reference.GetConformer().GetPositions()[:, :2]
    forced = Chem.Mol(mol)
    try:
        with rdkit_guard("no alignment"):
            points = {atom: Point2D(*map(float, positions[other])) for atom, other in matches.items()}
            rdDepictor.Compute2DCoords(forced, canonOrient=False, coordMap=points)
    except MoleculeError:
        forced = mol
    # small differences of angles are no reason to give up the alignment, atoms on top of each other are
    if forced is not mol and count_faults(forced) <= count_faults(mol):
        _copy_coordinates(forced, mol)
    elif len(matches) >= mol.GetNumAtoms() / 2:  # a layout is wide, as cells are, so it is turned with reason only
        _turn(mol, positions, matches)


def count_faults(mol: Chem.Mol) -> int:
    """Faults of a layout: atoms on top of each other (3 each), bonds that cross, atoms on bonds, stretched bonds.

    >>> mol = Chem.MolFromSmiles("CCO")
    >>> _ = rdDepictor.Compute2DCoords(mol)
    >>> count_faults(mol)
    0
    """
    xy = mol.GetConformer().GetPositions()[:, :2]
    if not np.isfinite(xy).all():
        return 1_000_000
    bonds = np.array([(b.GetBeginAtomIdx(), b.GetEndAtomIdx()) for b in mol.GetBonds()], dtype=np.int64).reshape(-1, 2)
    distance = np.linalg.norm(xy[:, None] - xy[None], axis=2)  # (atoms, atoms)
    np.fill_diagonal(distance, np.inf)
    n_overlaps = _OVERLAP_WEIGHT * int((distance < _OVERLAP).sum()) // 2
    if not len(bonds):
        return n_overlaps
    lengths = distance[bonds[:, 0], bonds[:, 1]]
    n_stretched = int(((lengths > _MAX_STRETCH * BOND_LENGTH) | (lengths < BOND_LENGTH / _MAX_STRETCH)).sum())
    return n_overlaps + n_stretched + _crossings(xy, bonds) + _atoms_on_bonds(xy, bonds)


def _crossings(xy: Floats, bonds: NDArray[np.int64]) -> int:
    """Number of pairs of bonds without a common atom that cross."""
    first, second = np.triu_indices(len(bonds), 1)
    (a, b), (c, d) = bonds[first].T, bonds[second].T
    apart = (a != c) & (a != d) & (b != c) & (b != d)
    a, b, c, d = a[apart], b[apart], c[apart], d[apart]

    def side(start: NDArray[np.int64], end: NDArray[np.int64], point: NDArray[np.int64]) -> Floats:
        along, to = xy[end] - xy[start], xy[point] - xy[start]
        return np.asarray(along[:, 0] * to[:, 1] - along[:, 1] * to[:, 0])

    return int(((side(a, b, c) * side(a, b, d) < 0) & (side(c, d, a) * side(c, d, b) < 0)).sum())


def _atoms_on_bonds(xy: Floats, bonds: NDArray[np.int64]) -> int:
    """Number of atoms that are on a bond of other atoms."""
    start, end = xy[bonds[:, 0]], xy[bonds[:, 1]]
    along = end - start  # (bonds, 2)
    to = xy[None] - start[:, None]  # (bonds, atoms, 2)
    length = np.maximum((along**2).sum(axis=1), 1e-9)[:, None]
    share = (to * along[:, None]).sum(axis=2) / length
    distance = np.abs(along[:, None, 0] * to[..., 1] - along[:, None, 1] * to[..., 0]) / np.sqrt(length)
    on_bond = (share > 0.15) & (share < 0.85) & (distance < _OVERLAP / 2)
    on_bond[np.arange(len(bonds))[:, None], bonds] = False
    return int(on_bond.sum())


def _copy_coordinates(source: Chem.Mol, target: Chem.Mol) -> None:
    target.RemoveAllConformers()
    target.AddConformer(source.GetConformer(), assignId=True)


def _turn(mol: Chem.Mol, positions: Floats, matches: Mapping[int, int]) -> None:
    """Rotate or reflect a layout as a whole so that the matching atoms are as close to those positions as possible."""
    atoms, others = list(matches), list(matches.values())
    own = mol.GetConformer().GetPositions()[:, :2]
    target = positions[others] - positions[others].mean(axis=0)
    center = own[atoms].mean(axis=0)
    left, _, right = np.linalg.svd((own[atoms] - center).T @ target)
    matrix = np.eye(4)
    matrix[:2, :2] = (left @ right).T
    if np.linalg.det(matrix) < 0:
        matrix[2, 2] = -1.0  # a reflection in the plane is a rotation by 180 degrees in space
    moved = np.eye(4)
    moved[:2, 3] = -center
    try:
        rdMolTransforms.TransformConformer(mol.GetConformer(), matrix @ moved)
    except RDKIT_ERRORS:
        return
