"""Transfer of configurations from a seed to its analogs."""

from __future__ import annotations

import pytest
from molecules import DRUGS
from rdkit import Chem

from molvae.chem.stereo_transfer import StereoTemplate
from molvae.data.datasets import sample_library_path


def transferred(seed, analog):
    mol, comparison = StereoTemplate(Chem.MolFromSmiles(seed)).transfer(Chem.MolFromSmiles(analog))
    return Chem.CanonSmiles(Chem.MolToSmiles(mol)), comparison


ALANINE_ANILIDE = "C[C@H](N)C(=O)Nc1ccccc1"


@pytest.mark.parametrize(
    ("analog", "expected"),
    [
        ("CC(N)C(=O)Nc1ccc(F)cc1", "C[C@H](N)C(=O)Nc1ccc(F)cc1"),
        ("C[C@@H](N)C(=O)Nc1ccc(F)cc1", "C[C@H](N)C(=O)Nc1ccc(F)cc1"),
        ("C[C@H](N)C(=O)Nc1ccc(F)cc1", "C[C@H](N)C(=O)Nc1ccc(F)cc1"),
        ("O=C(Nc1ccc(F)cc1)C(C)N", "C[C@H](N)C(=O)Nc1ccc(F)cc1"),
    ],
)
def test_center_with_equal_surroundings(analog, expected):
    assert transferred(ALANINE_ANILIDE, analog)[0] == Chem.CanonSmiles(expected)


def test_comparison():
    assert transferred(ALANINE_ANILIDE, "CC(N)C(=O)Nc1ccncc1")[1].undefined == 1
    assert transferred(ALANINE_ANILIDE, "C[C@@H](N)C(=O)Nc1ccncc1")[1].inverted == 1
    assert transferred(ALANINE_ANILIDE, "C[C@H](N)C(=O)Nc1ccncc1")[1].kept == 1


def test_center_with_other_surroundings_stays():
    analog = "CC(O)C(=O)Nc1ccccc1"
    text, comparison = transferred(ALANINE_ANILIDE, analog)
    assert text == Chem.CanonSmiles(analog)
    assert not comparison.changed


def test_flat_seed_has_no_template():
    assert not StereoTemplate(Chem.MolFromSmiles("CC(N)C(=O)Nc1ccccc1"))


def seeds_with_stereo():
    lines = sample_library_path().read_text(encoding="utf-8").splitlines()
    return [smiles for smiles in (line.split()[0] for line in lines) if "@" in smiles and "." not in smiles]


def test_own_stereo_is_restored():
    """All centers of a molecule are removed or inverted; those that the transfer sets are the molecule's own."""
    n_centers = n_set = 0
    for smiles in [*DRUGS.values(), *seeds_with_stereo()[:100]]:
        mol = Chem.MolFromSmiles(smiles)
        template = StereoTemplate(mol)
        shuffled = Chem.MolFromSmiles(Chem.MolToRandomSmilesVect(mol, 1, randomSeed=1)[0])
        tags = [atom.GetChiralTag() for atom in shuffled.GetAtoms()]
        for atom in shuffled.GetAtoms():
            atom.SetChiralTag(Chem.ChiralType.CHI_UNSPECIFIED)
        result, _ = template.transfer(shuffled)
        for tag, atom in zip(tags, result.GetAtoms(), strict=True):
            n_centers += tag != Chem.ChiralType.CHI_UNSPECIFIED
            if atom.GetChiralTag() != Chem.ChiralType.CHI_UNSPECIFIED:
                n_set += 1
                assert atom.GetChiralTag() == tag
    assert n_set > 0.93 * n_centers > 100
