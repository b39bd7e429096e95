"""Fragments, scaffolds and fingerprints of MOSES compared with direct RDKit calls."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from molecules import DRUGS
from rdkit import Chem
from rdkit.Chem import BRICS, rdFingerprintGenerator
from rdkit.Chem.Scaffolds import MurckoScaffold

from molvae.chem.smiles import parse
from molvae.data.parallel import CHUNK_SIZE
from molvae.errors import MoleculeError
from molvae.metrics.moses import compute_structures, structures_from_mols
from molvae.metrics.score import score

SMILES = [*DRUGS.values(), "C", "[Na+].CC(=O)[O-]", "c1ccccc1-c1ccccc1", "C1CC2CCC1C2", "CCN(CC)CC", "[2H]c1ccccc1"]
SUBSET = [DRUGS["aspirin"], DRUGS["morphine"], DRUGS["imatinib"], DRUGS["aspirin"], "C", DRUGS["simvastatin"]]


def rdkit_fragments(smiles):
    """Return BRICS fragments by the decomposition of RDKit, each written separately."""
    cut = BRICS.BreakBRICSBonds(Chem.MolFromSmiles(smiles))
    return Counter(Chem.MolToSmiles(fragment) for fragment in Chem.GetMolFrags(cut, asMols=True))


def rdkit_scaffold(smiles):
    scaffold = MurckoScaffold.MurckoScaffoldSmiles(smiles, includeChirality=True)
    return scaffold if len(Chem.GetSSSR(Chem.MolFromSmiles(scaffold))) >= 2 else None


@pytest.mark.parametrize("smiles", SMILES)
def test_fragments_of_one_molecule(smiles):
    assert compute_structures([smiles], 0).fragments == rdkit_fragments(smiles)


@pytest.mark.parametrize("smiles", SMILES)
def test_scaffold_of_one_molecule(smiles):
    scaffold = rdkit_scaffold(smiles)
    assert compute_structures([smiles], 0).scaffolds == (Counter([scaffold]) if scaffold else Counter())


@pytest.mark.parametrize(
    ("smiles", "fragments"),
    [
        ("CCOc1ccccc1", {"[16*]c1ccccc1": 1, "[4*]CC": 1, "[3*]O[3*]": 1}),
        ("CC(=O)Nc1ccccc1", {"[1*]C(C)=O": 1, "[5*]N[5*]": 1, "[16*]c1ccccc1": 1}),
        ("c1ccccc1", {"c1ccccc1": 1}),
        ("CCCC", {"CCCC": 1}),
    ],
)
def test_known_fragments(smiles, fragments):
    assert compute_structures([smiles], 0).fragments == Counter(fragments)


@pytest.mark.parametrize(
    ("smiles", "scaffold"),
    [
        ("CCOc1ccccc1", None),  # MOSES ignores scaffolds with one ring
        ("CCCC", None),
        ("Cc1ccc2ccccc2c1", "c1ccc2ccccc2c1"),
        ("CC(=O)Nc1ccccc1Cc1ccncc1", "c1ccc(Cc2ccncc2)cc1"),
        ("O=C(c1ccccc1)c1ccccc1", "O=C(c1ccccc1)c1ccccc1"),
    ],
)
def test_known_scaffolds(smiles, scaffold):
    assert compute_structures([smiles], 0).scaffolds == (Counter([scaffold]) if scaffold else Counter())


def test_stereoisomers_have_different_scaffolds():
    one, other = "C[C@H]1C[C@@H]2CCCN2[C@@H](c2ccccc2)C1", "C[C@H]1C[C@H]2CCCN2[C@@H](c2ccccc2)C1"
    structures = compute_structures([one, other, one], 0).scaffolds
    assert sorted(structures.values()) == [1, 2]


def test_fingerprints_match_rdkit():
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=1024)
    structures = compute_structures(SMILES, 0).fingerprints
    assert (structures.dtype, structures.shape) == (np.uint8, (len(SMILES), 128))
    for smiles, bits in zip(SMILES, np.unpackbits(structures, axis=1, bitorder="little"), strict=True):
        assert list(np.flatnonzero(bits)) == list(generator.GetFingerprint(Chem.MolFromSmiles(smiles)).GetOnBits())


@given(st.lists(st.sampled_from(SUBSET), max_size=8))
@settings(max_examples=25, deadline=None)
def test_structures_of_set_are_sum_over_molecules(smiles):
    structures = compute_structures(smiles, 0)
    assert structures.fragments == sum((rdkit_fragments(text) for text in smiles), Counter())
    assert structures.scaffolds == Counter(scaffold for text in smiles if (scaffold := rdkit_scaffold(text)))
    assert structures.fingerprints.shape == (len(smiles), 128)
    for text, bits in zip(smiles, structures.fingerprints, strict=True):
        np.testing.assert_array_equal(bits, compute_structures([text], 0).fingerprints[0])


def test_workers_do_not_change_structures():
    smiles = (SMILES * (CHUNK_SIZE // len(SMILES) + 1))[: CHUNK_SIZE + 11]  # two chunks
    serial, parallel = compute_structures(smiles, 0), compute_structures(iter(smiles), 2)
    assert len(serial.fingerprints) == CHUNK_SIZE + 11
    assert sum(serial.fragments.values()) > CHUNK_SIZE + 11
    assert serial.fragments == parallel.fragments
    assert serial.scaffolds == parallel.scaffolds
    np.testing.assert_array_equal(serial.fingerprints, parallel.fingerprints)


def test_invalid_molecule_raises(capfd):
    with pytest.raises(MoleculeError, match="ring 1"):
        compute_structures(["CC", "C1CC"], 0)
    compute_structures(SMILES, 0)
    assert capfd.readouterr().err == ""


def test_structures_of_empty_set():
    structures = compute_structures([], 0)
    assert (structures.fragments, structures.scaffolds, structures.fingerprints.shape) == (
        Counter(),
        Counter(),
        (0, 128),
    )


def test_molecule_that_rdkit_cannot_cut_ends_no_score():
    """RDKit raises an exception for the scaffold of a phosphorus atom with 8 charges."""
    smiles = ["CC(=O)OCC(CC[P@@+8:999]1cnc2cnc(N)nc21)COC(C)=O", "c1ccc2ccccc2c1"]
    structures = structures_from_mols([parse(text) for text in smiles])
    assert structures.scaffolds == {"c1ccc2ccccc2c1": 1}
    assert len(score(smiles, fcd=False, workers=0).molecules) == 2
