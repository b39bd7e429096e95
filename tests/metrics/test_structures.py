"""Fragments, scaffolds and fingerprints: those of straightforward RDKit code, chunk by chunk and in any process."""

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

from molvae.data.parallel import CHUNK_SIZE
from molvae.errors import MoleculeError
from molvae.metrics.structures import structures

SMILES = [*DRUGS.values(), "C", "[Na+].CC(=O)[O-]", "c1ccccc1-c1ccccc1", "C1CC2CCC1C2", "CCN(CC)CC", "[2H]c1ccccc1"]
FEW = [DRUGS["aspirin"], DRUGS["morphine"], DRUGS["imatinib"], DRUGS["aspirin"], "C", DRUGS["simvastatin"]]


def fragments_of(smiles):
    """Each BRICS bond found, cut, and capped with atoms that tell its kind; the pieces written one by one."""
    cut = BRICS.BreakBRICSBonds(Chem.MolFromSmiles(smiles))
    return Counter(Chem.MolToSmiles(piece) for piece in Chem.GetMolFrags(cut, asMols=True))


def scaffold_of(smiles):
    scaffold = MurckoScaffold.MurckoScaffoldSmiles(smiles, includeChirality=True)
    return scaffold if len(Chem.GetSSSR(Chem.MolFromSmiles(scaffold))) >= 2 else None


@pytest.mark.parametrize("smiles", SMILES)
def test_fragments_of_one_molecule(smiles):
    assert structures([smiles], 0).fragments == fragments_of(smiles)


@pytest.mark.parametrize("smiles", SMILES)
def test_the_scaffold_of_one_molecule(smiles):
    scaffold = scaffold_of(smiles)
    assert structures([smiles], 0).scaffolds == (Counter([scaffold]) if scaffold else Counter())


@pytest.mark.parametrize(
    ("smiles", "fragments"),
    [
        ("CCOc1ccccc1", {"[16*]c1ccccc1": 1, "[4*]CC": 1, "[3*]O[3*]": 1}),
        ("CC(=O)Nc1ccccc1", {"[1*]C(C)=O": 1, "[5*]N[5*]": 1, "[16*]c1ccccc1": 1}),
        ("c1ccccc1", {"c1ccccc1": 1}),
        ("CCCC", {"CCCC": 1}),
    ],
)
def test_fragments_by_hand(smiles, fragments):
    assert structures([smiles], 0).fragments == Counter(fragments)


@pytest.mark.parametrize(
    ("smiles", "scaffold"),
    [
        ("CCOc1ccccc1", None),  # one ring is none to MOSES
        ("CCCC", None),
        ("Cc1ccc2ccccc2c1", "c1ccc2ccccc2c1"),
        ("CC(=O)Nc1ccccc1Cc1ccncc1", "c1ccc(Cc2ccncc2)cc1"),
        ("O=C(c1ccccc1)c1ccccc1", "O=C(c1ccccc1)c1ccccc1"),
    ],
)
def test_scaffolds_by_hand(smiles, scaffold):
    assert structures([smiles], 0).scaffolds == (Counter([scaffold]) if scaffold else Counter())


def test_stereoisomers_have_scaffolds_of_their_own():
    one, other = "C[C@H]1C[C@@H]2CCCN2[C@@H](c2ccccc2)C1", "C[C@H]1C[C@H]2CCCN2[C@@H](c2ccccc2)C1"
    found = structures([one, other, one], 0).scaffolds
    assert sorted(found.values()) == [1, 2]


def test_fingerprints_are_rdkits_in_the_order_of_the_molecules():
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=1024)
    found = structures(SMILES, 0).fingerprints
    assert (found.dtype, found.shape) == (np.uint8, (len(SMILES), 128))
    for smiles, bits in zip(SMILES, np.unpackbits(found, axis=1, bitorder="little"), strict=True):
        assert list(np.flatnonzero(bits)) == list(generator.GetFingerprint(Chem.MolFromSmiles(smiles)).GetOnBits())


@given(st.lists(st.sampled_from(FEW), max_size=8))
@settings(max_examples=25, deadline=None)
def test_a_set_is_the_sum_of_its_molecules_repeats_included(smiles):
    found = structures(smiles, 0)
    assert found.fragments == sum((fragments_of(text) for text in smiles), Counter())
    assert found.scaffolds == Counter(scaffold for text in smiles if (scaffold := scaffold_of(text)))
    assert found.fingerprints.shape == (len(smiles), 128)
    for text, bits in zip(smiles, found.fingerprints, strict=True):
        np.testing.assert_array_equal(bits, structures([text], 0).fingerprints[0])


def test_workers_make_no_difference():
    many = (SMILES * (CHUNK_SIZE // len(SMILES) + 1))[: CHUNK_SIZE + 11]  # two chunks
    here, there = structures(many, 0), structures(iter(many), 2)
    assert len(here.fingerprints) == CHUNK_SIZE + 11
    assert sum(here.fragments.values()) > CHUNK_SIZE + 11
    assert here.fragments == there.fragments
    assert here.scaffolds == there.scaffolds
    np.testing.assert_array_equal(here.fingerprints, there.fingerprints)


def test_an_invalid_molecule_is_an_error(capfd):
    with pytest.raises(MoleculeError, match="ring 1"):
        structures(["CC", "C1CC"], 0)
    structures(SMILES, 0)
    assert capfd.readouterr().err == ""


def test_of_nothing_there_is_nothing():
    found = structures([], 0)
    assert (found.fragments, found.scaffolds, found.fingerprints.shape) == (Counter(), Counter(), (0, 128))
