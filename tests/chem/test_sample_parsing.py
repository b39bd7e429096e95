"""Strings as a decoder writes them, against RDKit alone."""

from __future__ import annotations

import numpy as np
import pytest
from molecules import DRUGS
from rdkit import Chem, DataStructs
from rdkit.Chem import QED, Descriptors, rdFingerprintGenerator

from molvae.chem.sample_parsing import parse_samples, property_rows
from molvae.chem.smiles import MAX_SMILES_LENGTH, canonical_or_none

GENERATOR = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)


def test_molecules_and_their_fingerprints():
    strings = [
        *DRUGS.values(),
        "",
        "C1CC",
        "c1cccc1",
        "C(C)(C)(C)(C)C",
        "OCC",
        "C" * (MAX_SMILES_LENGTH + 1),
        "not a molecule",
    ]
    readings = parse_samples(strings)
    assert len(readings) == len(strings)
    for string, reading in zip(strings, readings, strict=True):
        mol = Chem.MolFromSmiles(string) if string and len(string) <= MAX_SMILES_LENGTH else None
        assert (reading is None) == (mol is None)
        if reading and mol:
            assert reading.smiles == Chem.MolToSmiles(mol)
            assert reading.fingerprint == DataStructs.BitVectToBinaryText(GENERATOR.GetFingerprint(mol))


@pytest.mark.parametrize("radical", ["C[CH]C", "[CH2]c1ccccc1", "CC1(C)CCCC(C)(C)N1[O]", "C[N+][N+]C", "[Cl]"])
def test_radicals_are_no_molecules(radical):
    assert parse_samples([radical]) == [None]


@pytest.mark.parametrize(
    "molecule", ["C[Si](C)(C)C", "c1cc[nH]c1", "C[C@H](N)C(=O)O", "[NH4+]", "C[N+](=O)[O-]", "C[SiH2]C", "[13CH4]"]
)
def test_brackets_are_no_radicals(molecule):
    assert parse_samples([molecule])[0] is not None


def test_what_cannot_be_read_back_is_no_molecule(monkeypatch):
    """RDKit writes a few molecules, of aromatic sulfur, in a way that it does not read; nobody could use those."""
    monkeypatch.setattr("molvae.chem.smiles.write", lambda _: "C=c1[nH]c2ccccc2s1C(=N)N")
    assert parse_samples(["CCO"]) == [None]
    assert canonical_or_none("CCO") is None


def test_figures_are_rdkits():
    smiles = list(DRUGS.values())[:20]
    rows = property_rows(smiles, ["mw", "qed"])
    mols = [Chem.MolFromSmiles(text) for text in smiles]
    np.testing.assert_allclose(rows, [(Descriptors.MolWt(m), QED.qed(m)) for m in mols])
    assert property_rows(smiles[:3], []) == [(), (), ()]
    assert property_rows([], ["mw"]) == []
