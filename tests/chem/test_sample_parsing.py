"""Parsing of decoder samples gives the same molecules as RDKit."""

from __future__ import annotations

import numpy as np
import pytest
from molecules import DRUGS
from rdkit import Chem, DataStructs
from rdkit.Chem import QED, Descriptors, rdFingerprintGenerator

from molvae.chem import canonical_smiles
from molvae.chem.sample_parsing import parse_samples, property_rows
from molvae.chem.smiles import MAX_SMILES_LENGTH
from molvae.chem.standardization import identity_or_none, prepare
from molvae.errors import MoleculeError

GENERATOR = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)


def test_smiles_and_fingerprints_equal_rdkit():
    samples = [
        *DRUGS.values(),
        "",
        "C1CC",
        "c1cccc1",
        "C(C)(C)(C)(C)C",
        "OCC",
        "C" * (MAX_SMILES_LENGTH + 1),
        "not a molecule",
    ]
    parsed_samples = parse_samples(samples)
    assert len(parsed_samples) == len(samples)
    for sample, parsed in zip(samples, parsed_samples, strict=True):
        mol = Chem.MolFromSmiles(sample) if sample and len(sample) <= MAX_SMILES_LENGTH else None
        assert (parsed is None) == (mol is None)
        if parsed and mol:
            assert parsed.smiles == Chem.MolToSmiles(mol)
            assert parsed.fingerprint == DataStructs.BitVectToBinaryText(GENERATOR.GetFingerprint(mol))


@pytest.mark.parametrize("radical", ["C[CH]C", "[CH2]c1ccccc1", "CC1(C)CCCC(C)(C)N1[O]", "C[N+][N+]C", "[Cl]"])
def test_radicals_are_rejected(radical):
    assert parse_samples([radical]) == [None]


@pytest.mark.parametrize(
    "molecule", ["C[Si](C)(C)C", "c1cc[nH]c1", "C[C@H](N)C(=O)O", "[NH4+]", "C[N+](=O)[O-]", "C[SiH2]C", "[13CH4]"]
)
def test_bracket_atoms_are_accepted(molecule):
    assert parse_samples([molecule])[0] is not None


def test_unparsable_canonical_smiles_is_rejected(monkeypatch):
    """RDKit writes some molecules with aromatic sulfur in a form that it cannot parse."""
    monkeypatch.setattr(canonical_smiles, "write", lambda _: "C=c1[nH]c2ccccc2s1C(=N)N")
    assert parse_samples(["CCO"]) == [None]
    assert identity_or_none("CCO") is None
    with pytest.raises(MoleculeError, match="its canonical SMILES cannot be parsed"):
        prepare("CCO")


def test_property_rows_equal_rdkit():
    smiles = list(DRUGS.values())[:20]
    rows = property_rows(smiles, ["mw", "qed"])
    mols = [Chem.MolFromSmiles(text) for text in smiles]
    np.testing.assert_allclose(rows, [(Descriptors.MolWt(m), QED.qed(m)) for m in mols])
    assert property_rows(smiles[:3], []) == [(), (), ()]
    assert property_rows([], ["mw"]) == []
