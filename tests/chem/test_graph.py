"""Graphs from SMILES tokens equal RDKit's features, for unusual molecules and any input SMILES."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from molecules import DRUGS
from rdkit import Chem
from rdkit.Chem import rdCIPLabeler

from molvae.chem.graph import (
    ATOM_FEATURES,
    BOND_FEATURES,
    BOND_STEREO,
    BOND_TYPES,
    CHARGE_ZERO,
    DIRECTIONS,
    LARGEST_RING,
    MAX_ATOMS,
    PARITIES,
    STEREO_LABELS,
    mol_to_graph,
    smiles_to_graph,
)
from molvae.chem.smiles import canonical, parse
from molvae.chem.standardization import prepare
from molvae.chem.tokenizer import Vocabulary, tokenize
from molvae.data.featurize import featurize_chunk
from molvae.errors import MoleculeError

DRUGLIKE = Path(__file__).parents[3] / "shared" / "data" / "druglike_test.smi.gz"
needs_data = pytest.mark.skipif(not DRUGLIKE.exists(), reason="the druglike test set is not next to the checkout")

# unusual atoms, aromaticity, valences, rings and stereo
UNUSUAL = """
C N O P S F Cl Br I B * [H][H] [H+] [CH3] [C] [U+6] [Na+].[Cl-] C.C* C1CC1.C1CCCCCCCCC1
b1ccccc1 c1cc[se]c1 c1cc[te]c1 p1ccccc1 c1cc[pH]c1 c1cc[as]cc1 c1c[nH]cc1 c1cc[o+]cc1 [cH-]1cccc1
*1ccccc1 c1cc*cc1 *c1ccccc1 *=C [se]1cc[nH]c1=O O=c1cc[nH]cc1 C=c1cccc1 O=c1ccn(C)cc1 O=s1cccc1 O=n1ccccc1
CS(C)(=O)=O FS(F)(F)(F)(F)F FP(F)(F)(F)F OCl(=O)(=O)=O FI(F)(F)(F)F C[SH2]C C[PH3]C CN(C)(C)=O C[N+](C)(C)C
[Rh-](Cl)(Cl)(Cl)(Cl)$[Rh-](Cl)(Cl)(Cl)Cl N#N [N-]=[N+]=[N-] [C-]#[O+] [BH4-] [SiH4] C[Hg]C C1=CC=CC=CC=C1
C12C3C4C1C5C2C3C45 C1CC2CCC1C2 C1CC12CC2 C1CCCCCCC1 C1CCCCCCCC1 c1ccc(cc1)-c1ccccc1 C1=CC2=CC=CC=CC2=C1
C/1=C/CCCCCCCCCC1 C/C1=C(/F)CCCCCCCCCC1 F/C=C/F F/C=C\\F F/N=N/F C/C=N/O C/C=C/C=C\\C CC=C=CC c1ccc(/N=N/c2ccccc2)cc1
C[C@H](F)Cl C[C@H]1CC[C@@H](C)CC1 O[C@H](C)[C@@H](C)O F[P@](Cl)(Br)I C[S@](=O)CC C[N@@+](CC)(CCC)c1ccccc1
c12c3c4c5c1c6c7c8c2c9c1c3c2c3c4c4c%10c5c5c6c6c7c7c%11c8c9c8c9c1c2c1c2c3c4c3c4c%10c5c5c6c6c7c7c%11c8c8c9c1c1c2c3c2c4c5c6c3c7c8c1c23
"""
ATOM = re.compile(r"\[[^]]*\]|Br|Cl|[BCNOPSFIbcnops*]")
ORDERS = (
    Chem.BondType.SINGLE,
    Chem.BondType.DOUBLE,
    Chem.BondType.TRIPLE,
    Chem.BondType.AROMATIC,
    Chem.BondType.QUADRUPLE,
)


def druglike():
    with gzip.open(DRUGLIKE, "rt") as lines:
        return [line.split("\t")[0] for line in lines]


def check(smiles):
    """Compare every feature of the graph with RDKit's value for the canonical SMILES."""
    graph = smiles_to_graph(smiles)
    assert graph.smiles == canonical(smiles)
    mol = Chem.MolFromSmiles(graph.smiles)
    assert (graph.atoms.dtype, graph.bonds.dtype, graph.bond_index.dtype) == (np.uint8, np.uint8, np.uint16)
    parities = [atom.count("@") for atom in ATOM.findall(graph.smiles)]  # `mol` has the atom order of the SMILES
    assert graph.atoms.tolist() == [[*atom_row(atom), parities[atom.GetIdx()]] for atom in mol.GetAtoms()]
    bonds = [mol.GetBondBetweenAtoms(*ends) for ends in graph.bond_index.tolist()]
    assert sorted(bond.GetIdx() for bond in bonds) == list(range(mol.GetNumBonds()))
    directions = bond_directions(graph.smiles)
    assert graph.bonds.tolist() == [[*bond_row(bond), directions[bond.GetIdx()]] for bond in bonds]


def bond_directions(smiles):
    """For each bond, the direction that RDKit parses; sanitization would remove it."""
    params = Chem.SmilesParserParams()
    params.sanitize, params.removeHs = False, False
    signs = {Chem.BondDir.ENDUPRIGHT: "/", Chem.BondDir.ENDDOWNRIGHT: "\\"}
    return [
        DIRECTIONS.index(signs.get(bond.GetBondDir(), "")) for bond in Chem.MolFromSmiles(smiles, params).GetBonds()
    ]


def labeled(mol):
    for atom in mol.GetAtoms():
        atom.ClearProp("_CIPCode")
    rdCIPLabeler.AssignCIPLabels(mol)
    return mol


def atom_row(atom):
    mol = labeled(Chem.Mol(atom.GetOwningMol())) if "@" in Chem.MolToSmiles(atom.GetOwningMol()) else None
    label = mol.GetAtomWithIdx(atom.GetIdx()) if mol else atom
    return [
        atom.GetAtomicNum(),
        atom.GetFormalCharge() + CHARGE_ZERO,
        atom.GetTotalNumHs(),
        int(atom.GetIsAromatic()),
        STEREO_LABELS.index(label.GetProp("_CIPCode") if label.HasProp("_CIPCode") else ""),
        min(LARGEST_RING, atom.GetOwningMol().GetRingInfo().MinAtomRingSize(atom.GetIdx())),
    ]


def bond_row(bond):
    mol = bond.GetOwningMol()
    code = labeled(Chem.Mol(mol)).GetBondWithIdx(bond.GetIdx())
    return [
        ORDERS.index(bond.GetBondType()),
        BOND_STEREO.index(code.GetProp("_CIPCode") if code.HasProp("_CIPCode") else ""),
        min(LARGEST_RING, mol.GetRingInfo().MinBondRingSize(bond.GetIdx())),
    ]


@pytest.mark.parametrize("smiles", [*DRUGS.values(), *UNUSUAL.split()])
def test_features_equal_rdkit(smiles):
    check(smiles)


@needs_data
def test_features_of_the_druglike_test_set():
    for smiles in druglike()[::50]:
        check(smiles)


@pytest.mark.parametrize("smiles", ["C/C=C/C", "C/C=C\\C", "C[C@H](F)Cl", "C[C@@H](F)Cl"])
def test_parity_and_direction_as_in_the_smiles(smiles):
    """The parity and direction features are those written in the canonical SMILES."""
    graph = smiles_to_graph(smiles)
    assert "".join(PARITIES[p] for p in graph.atoms[:, 6]) == "".join(c for c in graph.smiles if c == "@")
    assert [DIRECTIONS[d] for d in graph.bonds[:, 3] if d] == [c for c in graph.smiles if c in "/\\"]


def test_bond_orders():
    assert len(BOND_TYPES) == len(ORDERS)


def test_values_are_below_the_feature_sizes():
    for smiles in [*DRUGS.values(), *UNUSUAL.split()]:
        graph = smiles_to_graph(smiles)
        assert (graph.atoms < [f.size for f in ATOM_FEATURES]).all()
        assert (graph.bonds < [f.size for f in BOND_FEATURES]).all()
        assert (graph.bond_index < len(graph.atoms)).all()


@given(st.sampled_from([*DRUGS.values(), *UNUSUAL.split()]), st.integers(0, 2**31 - 1))
@settings(max_examples=150, deadline=None)
def test_graph_is_independent_of_the_input_smiles(smiles, random_state):
    mol = parse(canonical(smiles))
    variant = Chem.MolToRandomSmilesVect(mol, 1, randomSeed=random_state)[0]
    expected, graph = mol_to_graph(mol), smiles_to_graph(variant)
    assert graph.smiles == expected.smiles
    for name in ("atoms", "bonds", "bond_index"):
        np.testing.assert_array_equal(getattr(graph, name), getattr(expected, name))


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("COc1ccc2cc([C@H](C)C(=O)O)ccc2c1", "COc1ccc2cc([C@@H](C)C(=O)O)ccc2c1"),
        ("COc1ccc2cc([C@H](C)C(=O)O)ccc2c1", "COc1ccc2cc(C(C)C(=O)O)ccc2c1"),
        ("C[C@H]1CC[C@@H](C)CC1", "C[C@H]1CC[C@H](C)CC1"),
        ("O[C@H](C)[C@@H](C)O", "O[C@H](C)[C@H](C)O"),
        ("O[C@@H](C)[C@H](C)O", "O[C@H](C)[C@@H](C)O"),
        ("F/C=C/F", "F/C=C\\F"),
        ("F/C=C/F", "FC=CF"),
        ("C", "[CH3]"),
        ("CC(=O)O", "CC(=O)[O-]"),
        ("C1CCCCC1C1CCCCC1", "C1CCCC1C1CCCCCC1"),
    ],
)
def test_different_molecules_have_different_graphs(a, b):
    assert graph_bytes(smiles_to_graph(a)) != graph_bytes(smiles_to_graph(b))


def graph_bytes(graph):
    """All input of the network as bytes; the number of atoms makes the concatenation unique."""
    return len(graph.atoms), graph.atoms.tobytes(), graph.bonds.tobytes(), graph.bond_index.tobytes()


@pytest.mark.parametrize(
    ("smiles", "reason"),
    [
        ("[13CH4]", r"\[13CH4\] has an isotope label, which a graph cannot represent; remove it first"),
        ("[2H]O", r"\[2H\] has an isotope label"),
        ("[1*]C", "has an isotope label"),
        ("C[CH3:7]", r"\[CH3:7\] has an atom map"),
        ("C[*:1]", "has an atom map"),
        ("[NH3]->[Cu]", "dative or unspecified bond"),
        ("C~C", "dative or unspecified bond"),
        ("[W+9]", r"\[W\+9\]: its charge or hydrogens are out of range"),
        ("[Pt@SP1](F)(Cl)(Br)I", r"cannot represent the atom \[Pt@SP1\]"),
        ("C" * (MAX_ATOMS + 1), "has 1000 atoms, more than 999"),
        ("C1CC", "ring 1 opened but not closed"),
        ("", "it is empty"),
    ],
)
def test_unsupported_molecules_are_rejected(smiles, reason):
    with pytest.raises(MoleculeError, match=reason):
        smiles_to_graph(smiles)


def test_largest_molecule():
    graph = smiles_to_graph("C" * MAX_ATOMS)
    assert len(graph.atoms) == MAX_ATOMS
    assert graph.bond_index[-1].tolist() == [MAX_ATOMS - 2, MAX_ATOMS - 1]


@pytest.mark.parametrize("smiles", ["C", "*", "[H+]", "[Cl-]"])
def test_single_atoms(smiles):
    graph = smiles_to_graph(smiles)
    assert (graph.atoms.shape, graph.bonds.shape, graph.bond_index.shape) == ((1, 7), (0, 4), (0, 2))


def test_parity_is_kept_without_cip_labels(monkeypatch):
    """RDKit's CIP labeler fails for some cages; two stereoisomers must still differ."""

    def fail(*_, **__):
        raise RuntimeError("Max Iterations Exceeded in CIP label calculation")

    monkeypatch.setattr(rdCIPLabeler, "AssignCIPLabels", fail)
    one, other = smiles_to_graph("C[C@H](F)Cl"), smiles_to_graph("C[C@@H](F)Cl")
    assert {STEREO_LABELS[one.atoms[1, 4]], STEREO_LABELS[other.atoms[1, 4]]} == {"@", "@@"}


def test_double_bond_stereo_is_kept_without_cip_labels(monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("Max Iterations Exceeded in CIP label calculation")

    monkeypatch.setattr(rdCIPLabeler, "AssignCIPLabels", fail)
    assert graph_bytes(smiles_to_graph("F/C=C/F")) != graph_bytes(smiles_to_graph("F/C=C\\F"))


@needs_data
def test_graphs_of_the_druglike_test_set():
    """All 10,000 are accepted, are restored from token ids, and have different graphs."""
    rejected, graphs = [], {}
    for smiles in druglike():
        try:
            identity = prepare(smiles).smiles
            graphs[identity] = smiles_to_graph(identity)
        except MoleculeError as error:
            rejected.append(f"{smiles}: {error}")
    assert rejected == []
    assert len(graphs) == 10_000
    assert all(graph.smiles == smiles for smiles, graph in graphs.items())
    vocabulary = Vocabulary.from_tokens(token for smiles in graphs for token in tokenize(smiles))
    assert all(vocabulary.decode(vocabulary.encode(smiles)) == smiles for smiles in graphs)
    assert len({graph_bytes(graph) for graph in graphs.values()}) == len(graphs)
    chunk = featurize_chunk(list(graphs))  # parses without conjugation
    assert chunk.atoms.tobytes() == b"".join(graph.atoms.tobytes() for graph in graphs.values())
    assert chunk.bonds.tobytes() == b"".join(graph.bonds.tobytes() for graph in graphs.values())
