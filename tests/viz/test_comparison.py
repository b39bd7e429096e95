"""The change from the seed: which atoms and bonds of an analog are marked."""

from __future__ import annotations

import pytest
from molecules import DRUGS

from molvae.chem.smiles import parse
from molvae.viz.comparison import MAX_COMPARED_ATOMS, Stopwatch, compare


def changed(smiles, seed):
    """Symbols of the changed atoms, sorted."""
    mol = parse(smiles)
    comparison = compare(mol, parse(seed))
    return sorted(mol.GetAtomWithIdx(atom).GetSymbol() for atom in comparison.atoms)


@pytest.mark.parametrize(
    ("smiles", "seed", "symbols"),
    [
        ("Cc1ccccc1", "Cc1ccccc1", []),
        ("Cc1ccc(F)cc1", "Cc1ccccc1", ["F"]),  # added
        ("Cc1ccncc1", "Cc1ccccc1", ["N"]),  # another element in a ring
        ("c1ccccc1C(=O)O", "c1ccccc1C(=O)N", ["O"]),
        ("c1ccccc1", "Cc1ccccc1", ["C"]),  # the atom that has lost its methyl
        ("C[C@@H](N)C(=O)O", "C[C@H](N)C(=O)O", ["C"]),  # the other enantiomer
        ("CC(N)C(=O)O", "C[C@H](N)C(=O)O", ["C"]),  # no stereo
        ("N[C@@H](C)C(=O)O", "C[C@H](N)C(=O)O", []),  # the same molecule, written in another order
        ("C1CC[C@H]1[C@@H](O)CCCl", "C1CC[C@H]1[C@@H](O)CCBr", ["Cl"]),
        ("CC(=O)[O-].[K+]", "CC(=O)[O-].[Na+]", ["K"]),
        ("CC(=O)[O-].[Na+]", "CC(=O)[O-].[Na+]", []),
    ],
)
def test_changed_atoms(smiles, seed, symbols):
    assert changed(smiles, seed) == symbols


def test_changed_bonds():
    mol = parse("CCCC=CCO")
    comparison = compare(mol, parse("CCCCCCO"))
    assert [mol.GetBondWithIdx(bond).GetBondTypeAsDouble() for bond in comparison.bonds] == [2.0]


def test_replaced_atom_matches_the_atom_in_its_place():
    comparison = compare(parse("Cc1ccncc1"), parse("Cc1ccccc1"))
    assert len(comparison.matches) == 7
    assert len(set(comparison.matches.values())) == 7


def test_matches_are_atoms_of_the_same_kind_or_in_the_same_place():
    seed, mol = parse(DRUGS["imatinib"]), parse("Cc1ccc(NC(=O)c2ccc(CN3CCOCC3)cc2)cc1Nc1nccc(-c2cccnc2)n1")
    comparison = compare(mol, seed)
    for atom, other in comparison.matches.items():
        if atom not in comparison.atoms:
            assert mol.GetAtomWithIdx(atom).GetSymbol() == seed.GetAtomWithIdx(other).GetSymbol()
    assert len(set(comparison.matches.values())) == len(comparison.matches)


@pytest.mark.parametrize(
    ("smiles", "seed"),
    [("C", "CC"), ("CCO", "c1ccc2ccccc2c1"), ("C" * (MAX_COMPARED_ATOMS + 1), "CCCC"), ("CCCC", "C" * 500)],
)
def test_molecules_that_are_not_compared(smiles, seed):
    assert compare(parse(smiles), parse(seed)) is None


def test_peptides_are_compared():
    """Rascal gives up on repetitive molecules."""
    peptide = "N[C@@H](CC(C)C)C(=O)" * 10 + "O"
    comparison = compare(parse(peptide[:-1] + "N"), parse(peptide))
    assert comparison is not None
    assert len(comparison.atoms) <= 2


def test_stopwatch():
    stopwatch = Stopwatch(0.0)
    assert stopwatch.is_over
    stopwatch = Stopwatch(1e-9)
    assert not stopwatch.is_over
    with stopwatch:
        pass
    assert stopwatch.is_over
