"""2D coordinates: overlaps are found and avoided, alignments are not forced, and huge molecules get none."""

from __future__ import annotations

import time

import numpy as np
import pytest
from molecules import DRUGS
from rdkit import Chem
from rdkit.Chem import rdDepictor

from molvae.chem.smiles import parse
from molvae.errors import MoleculeError
from molvae.viz.comparison import compare
from molvae.viz.layout import (
    BOND_LENGTH,
    MAX_COORDINATE_ATOMS,
    align_coordinates,
    compute_coordinates,
    count_faults,
    zero_coordinates,
)

SMILES = list(DRUGS.values())


def with_coordinates(smiles):
    mol = parse(smiles)
    compute_coordinates(mol)
    return mol


def positions(mol):
    return mol.GetConformer().GetPositions()[:, :2]


def n_overlaps(mol):
    """Pairs of atoms that are closer than 0.4 bonds, by a double loop."""
    xy = positions(mol)
    return sum(np.hypot(*(a - b)) < 0.4 * BOND_LENGTH for i, a in enumerate(xy) for b in xy[:i])


@pytest.mark.parametrize("smiles", SMILES)
def test_layouts_have_no_overlaps_and_no_more_faults_than_rdkit(smiles):
    mol, plain = with_coordinates(smiles), parse(smiles)
    rdDepictor.Compute2DCoords(plain)
    assert n_overlaps(mol) == 0
    assert count_faults(mol) <= count_faults(plain)


def test_faults_are_counted():
    mol = with_coordinates("CCCC")
    assert count_faults(mol) == 0
    conformer = mol.GetConformer()
    conformer.SetAtomPosition(3, conformer.GetAtomPosition(0))
    assert count_faults(mol) >= 3  # on top of each other
    conformer.SetAtomPosition(3, (20.0, 0.0, 0.0))
    assert count_faults(mol) == 1  # a long bond


def test_crossing_bonds_are_a_fault():
    mol = Chem.MolFromSmiles("CC.CC")
    rdDepictor.Compute2DCoords(mol)
    for atom, point in enumerate([(0, 0), (1.4, 0), (0.7, -0.7), (0.7, 0.7)]):
        mol.GetConformer().SetAtomPosition(atom, (*point, 0.0))
    assert count_faults(mol) == 1


def test_common_atoms_take_the_positions_of_the_reference():
    reference = with_coordinates(DRUGS["imatinib"])
    mol = with_coordinates("Cc1ccc(NC(=O)c2ccc(CN3CCN(CCO)CC3)cc2)cc1Nc1nccc(-c2cccnc2)n1")
    matches = compare(mol, reference).matches
    align_coordinates(mol, reference, matches)
    assert len(matches) == reference.GetNumAtoms()
    np.testing.assert_allclose(positions(mol)[list(matches)], positions(reference)[list(matches.values())], atol=1e-3)


def test_alignment_that_causes_overlaps_is_given_up():
    """All atoms of the reference at one place: the molecule keeps its own layout, turned as a whole."""
    reference = with_coordinates("c1ccc(CCN)cc1")
    for atom in range(reference.GetNumAtoms()):
        reference.GetConformer().SetAtomPosition(atom, (0.01 * atom, 0.0, 0.0))
    mol = with_coordinates("c1ccc(CCNC)cc1")
    before = Chem.Mol(mol)
    align_coordinates(mol, reference, {atom: atom for atom in range(reference.GetNumAtoms())})
    assert count_faults(mol) == 0

    def distances(m):
        return np.linalg.norm(positions(m)[:, None] - positions(m)[None], axis=2)

    np.testing.assert_allclose(distances(mol), distances(before), atol=1e-6)


@pytest.mark.parametrize("other", SMILES[:12])
def test_alignment_never_adds_faults(other):
    reference, mol = with_coordinates(DRUGS["imatinib"]), with_coordinates(other)
    n_faults, comparison = count_faults(mol), compare(mol, reference)
    if comparison is not None:
        align_coordinates(mol, reference, comparison.matches)
    assert count_faults(mol) <= n_faults
    assert Chem.MolToSmiles(Chem.MolFromMolBlock(Chem.MolToMolBlock(mol))) == Chem.MolToSmiles(parse(other))


def test_huge_molecules_get_no_coordinates():
    start = time.monotonic()
    for smiles in ("C" * 3000, "NCC(=O)" * 500 + "O", ".".join("O" * 491)):
        mol = parse(smiles)
        with pytest.raises(MoleculeError, match=f"atoms, the limit is {MAX_COORDINATE_ATOMS}"):
            compute_coordinates(mol)
        zero_coordinates(mol)
        assert not positions(mol).any()
    assert time.monotonic() - start < 5
