"""Precedence of ring systems and atom environments."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from molecules import DRUGS
from rdkit import Chem

from molvae.chem import precedence
from molvae.chem.precedence import (
    PrecedenceTable,
    environments,
    ring_systems,
    shipped_table,
)
from molvae.chem.properties import compute_properties
from molvae.errors import InputError

FLUOROPIPERAZINE = "Cc1ccc(NC(=O)c2ccc(CN3CCN(F)CC3)cc2)cc1"
UNUSUAL_RING = "C1=NC2SC=CC2P1"
MOLS = [Chem.MolFromSmiles(smiles) for smiles in DRUGS.values()]


def reference_ring_systems(mol):
    """Ring systems by merging rings and cutting the molecule atom by atom."""
    systems = []
    for ring in map(set, mol.GetRingInfo().AtomRings()):
        touching = [system for system in systems if system & ring]
        systems = [system for system in systems if not system & ring] + [ring.union(*touching)]
    found = set()
    for system in systems:
        bonds = [
            bond.GetIdx()
            for bond in mol.GetBonds()
            if (bond.GetBeginAtomIdx() in system) != (bond.GetEndAtomIdx() in system)
            and bond.GetBondType() != Chem.BondType.DOUBLE
        ]
        cut = Chem.FragmentOnBonds(mol, bonds, addDummies=False) if bonds else mol
        for atoms, fragment in zip(Chem.GetMolFrags(cut), Chem.GetMolFrags(cut, asMols=True), strict=True):
            if system & set(atoms):
                found.add(Chem.MolToSmiles(Chem.MolFromSmiles(Chem.MolToSmiles(fragment)), isomericSmiles=False))
    return found


@pytest.mark.parametrize("drug", ["imatinib", "caffeine", "ibuprofen", "diazepam"])
def test_ring_systems_by_hand(drug):
    expected = {
        "imatinib": {"c1ccccc1", "C1CNCCN1", "c1ccncc1", "c1cncnc1"},
        "caffeine": {"O=c1[nH]c(=O)c2[nH]cnc2[nH]1"},
        "ibuprofen": {"c1ccccc1"},
        "diazepam": {"O=C1CN=Cc2ccccc2N1", "c1ccccc1"},
    }
    assert ring_systems(Chem.MolFromSmiles(DRUGS[drug])) == expected[drug]


def test_ring_systems_equal_a_direct_computation():
    for mol in MOLS:
        assert ring_systems(mol) == reference_ring_systems(mol)


def test_ring_systems_do_not_depend_on_the_spelling():
    for mol in MOLS:
        for text in Chem.MolToRandomSmilesVect(mol, 3, randomSeed=5):
            assert ring_systems(Chem.MolFromSmiles(text)) == ring_systems(mol)


def test_counts_equal_a_loop():
    table = PrecedenceTable.from_molecules(DRUGS.values())
    assert table.n_molecules == len(MOLS)
    rings = Counter(system for mol in MOLS for system in ring_systems(mol))
    narrow = Counter(key for mol in MOLS for key in environments(mol, 1))
    for mol in MOLS:
        assert table.ring_precedence(mol) == min((rings[s] for s in ring_systems(mol)), default=len(MOLS))
        assert table.environment_precedence(mol) == min(narrow[key] for key in environments(mol, 1))
        assert not table.unprecedented_rings(mol)
        assert not table.unprecedented_environments(mol, 2)


def test_unprecedented_environment_of_the_n_fluoropiperazine():
    """Radius 1 around fluorine on nitrogen: no real molecule has it."""
    mol = Chem.MolFromSmiles(FLUOROPIPERAZINE)
    table = shipped_table()
    assert not table.unprecedented_rings(mol)
    assert table.unprecedented_environments(mol)
    rarest = table.explain(mol)[0]
    assert rarest.kind == "environment of radius 1"
    assert "F" in rarest.smiles
    assert rarest.n_molecules == 0


def test_unprecedented_ring_is_named():
    mol = Chem.MolFromSmiles(UNUSUAL_RING)
    table = shipped_table()
    assert table.unprecedented_rings(mol) == {Chem.CanonSmiles(UNUSUAL_RING)}
    assert table.ring_precedence(mol) == 0
    assert any(rarity.kind == "ring system" and rarity.n_molecules == 0 for rarity in table.explain(mol))


def test_drugs_are_precedented():
    table = shipped_table()
    rare = [mol for mol in MOLS if table.unprecedented_rings(mol) or table.unprecedented_environments(mol)]
    assert len(rare) < 0.1 * len(MOLS)


def test_save_and_load(tmp_path):
    table = PrecedenceTable.from_molecules(DRUGS.values())
    table.save(tmp_path / "table")
    loaded = PrecedenceTable.load(tmp_path / "table")
    assert loaded.n_molecules == table.n_molecules
    np.testing.assert_array_equal(loaded.ring_systems.keys, table.ring_systems.keys)
    for mol in MOLS:
        assert loaded.environment_precedence(mol, 2) == table.environment_precedence(mol, 2)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x93NUMPY", b"x" * 1000])
def test_damaged_file(tmp_path, content):
    path = tmp_path / "table.npz"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"table\.npz"):
        PrecedenceTable.load(path)


def test_missing_file(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        PrecedenceTable.load(tmp_path / "none.npz")


def test_properties():
    mol = Chem.MolFromSmiles("CC(=O)Nc1ccc(O)cc1")
    values = compute_properties(
        [mol, Chem.MolFromSmiles(FLUOROPIPERAZINE)], ["ring_precedence", "environment_precedence"]
    )
    assert values["ring_precedence"].min() > 1000
    assert values["environment_precedence"][0] > 100
    assert values["environment_precedence"][1] == 0


def test_macrocycles_count_as_linkers():
    """A macrocycle has the ring systems of the chain that is left when one of its linker bonds is cut."""
    pacritinib = Chem.MolFromSmiles("C1CCN(C1)CCOc1ccc2cc1COC/C=C/COCc1cccc(c1)-c1ccnc(n1)N2")
    bond = pacritinib.GetBondBetweenAtoms(*pacritinib.GetSubstructMatch(Chem.MolFromSmarts("[CH2][OX2;r18]"))[:2])
    opened = Chem.FragmentOnBonds(pacritinib, [bond.GetIdx()], addDummies=False)
    Chem.SanitizeMol(opened)
    assert ring_systems(pacritinib) == ring_systems(opened) == {"c1ccccc1", "c1cncnc1", "C1CCNC1"}
    assert ring_systems(Chem.MolFromSmiles("O=C1CCCCCCCCCCCCCCO1")) == frozenset()
    assert ring_systems(Chem.MolFromSmiles("C1CCCCCCCC1")) == {"C1CCCCCCCC1"}


def test_environment_of_many_atoms_is_written_once(monkeypatch):
    """A cage of 200 equal atoms: to write the environment of each of them took 3 s."""
    atoms = [f"[Si]%({100 + i})%({100 + (i + 1) % 200})%({300 + i % 100})" for i in range(200)]
    mol = Chem.MolFromSmiles(".".join(atoms))
    written, write = [], precedence._environment_smiles
    monkeypatch.setattr(precedence, "_environment_smiles", lambda *args: written.append(args) or write(*args))
    assert shipped_table().environment_smiles(mol, environments(mol, 1)) == ["[Si]([Si])([Si])[Si]"]
    assert len(written) == 1
