"""Core matching, against molecules that differ from a drug at a known atom."""

from __future__ import annotations

import time

import pytest
from molecules import DRUGS
from rdkit import Chem

from molvae.chem.cores import atoms_outside_core, has_core, keeps_core_stereo
from molvae.chem.smiles import parse
from molvae.errors import InputError


@pytest.mark.parametrize(
    ("core", "smiles", "expected"),
    [
        ("*c1ccccc1", "Cc1ccccc1", True),
        ("*c1ccccc1", "c1ccccc1", False),  # no group at the attachment point
        ("*c1ccccc1", "Cc1ccc(C)cc1", False),  # a group at a position without attachment point
        ("*c1ccc(*)cc1", "Cc1ccc(C)cc1", True),
        ("*C1=CC=CC=C1", "Cc1ccccc1", True),
        ("*C=O", "CC(C)=O", False),
        ("*CCO", "CCCOC", False),
        ("*=CC", "O=CC", True),
        ("*CC", "O=CC", False),
        ("*CC(=O)O", "CCC(=O)O", True),
        ("*CC(=O)O", "CCC(=O)[O-]", False),
        ("*C[NH3+]", "CC[NH3+]", True),
        ("*C[NH3+]", "CCN", False),
        ("*[C@H](C)N", "CC[C@H](C)N", True),
        ("*[C@H](C)N", "CC[C@@H](C)N", False),
        ("*C(C)N", "CC[C@@H](C)N", True),
        ("*/C=C/C", "F/C=C/C", True),
        ("*/C=C/C", "F/C=C\\C", False),
        ("[*:1]C#N", "CC#N", True),
        ("[7*]C#N", "CC#N", True),
        ("*c1ccccc1.*N1CCOCC1", "c1ccccc1CCN1CCOCC1", True),
        ("*c1ccccc1.*N1CCOCC1", "Cc1ccccc1CCN1CCOCC1", False),
        ("*N.*N", "NN", True),
        ("*C.*C", "CC", True),
        ("*C.*C.*C", "CC", False),
    ],
)
def test_has_core(core, smiles, expected):
    assert has_core(parse(smiles), core) == expected


def fragments(mol):
    """All fragments from cutting one acyclic single bond, with * for the other fragment."""
    bonds = [bond for bond in mol.GetBonds() if bond.GetBondType() == Chem.BondType.SINGLE and not bond.IsInRing()]
    cuts = (Chem.FragmentOnBonds(mol, [bond.GetIdx()], dummyLabels=[(0, 0)]) for bond in bonds)
    return {fragment for cut in cuts for fragment in Chem.MolToSmiles(cut).split(".")}


def without_stereo(name):
    mol = parse(DRUGS[name])
    Chem.RemoveStereochemistry(mol)
    return mol


@pytest.mark.parametrize("name", ["imatinib", "aspirin", "(E)-tamoxifen", "levocarnitine", "sildenafil", "warfarin"])
def test_fragments_of_a_molecule_are_its_cores(name):
    """The fragments of a drug, searched for in the drug and in all its fluorinated analogs."""
    mol = without_stereo(name)
    others = [mol]
    for atom in (atom for atom in mol.GetAtoms() if atom.GetTotalNumHs()):
        changed = Chem.RWMol(mol)
        changed.AddBond(atom.GetIdx(), changed.AddAtom(Chem.Atom("F")), Chem.BondType.SINGLE)
        changed.GetAtomWithIdx(atom.GetIdx()).SetNumExplicitHs(0)
        if Chem.SanitizeMol(changed, catchErrors=True) == Chem.SanitizeFlags.SANITIZE_NONE:
            others.append(changed.GetMol())
    cores, n_found = fragments(mol), 0
    for other in others:
        expected_cores = fragments(other)
        for core in cores:
            assert has_core(other, core) == (core in expected_cores), (Chem.MolToSmiles(other), core)
            n_found += core in expected_cores
    assert len(cores) < n_found < len(cores) * len(others)


def test_atoms_outside_core():
    mol = parse("Cc1ccc(CN2CCOCC2)cc1")
    assert atoms_outside_core(mol, "Cc1ccc(*)cc1") == set(range(5, 12))
    assert atoms_outside_core(mol, "*c1ccc(CN2CCOCC2)cc1") == {0}
    assert atoms_outside_core(mol, "*c1ccc(*)cc1") == {0, *range(5, 12)}
    assert atoms_outside_core(mol, "Cc1ccc(*)cc1.*N1CCOCC1") == {5}
    assert atoms_outside_core(mol, "*c1ccc(C)cc1.*N1CCOCC1") == atoms_outside_core(mol, "*N1CCOCC1.*c1ccc(C)cc1") == {5}
    assert atoms_outside_core(mol, "*c1ccc(C)cc1.*N1CCOCC1.*N1CCOCC1") == atoms_outside_core(mol, "*c1ccccc1") == set()
    assert atoms_outside_core(parse("c1ccccc1N1CCOCC1"), "*c1ccccc1.*N1CCOCC1") == set()


FLAT_OR_EQUAL_ENDS = ["FCC(O)CCl", "FC[C@H](F)CCl", "FCC(O)CF"]
LIPID = "CCCCCCCCCCCCCCCCCC(=O)OCC(COP(=O)([O-])OCC[N+](C)(C)C)OC(=O)CCCCCCCCCCCCCCCCC"


@pytest.mark.parametrize("core", ["*C[C@H](O)C*", "[*:1]C[C@H](O)C[*:2]", "[2*]C[C@H](O)C[1*]", "*C[C@]([H])(O)C*"])
def test_stereo_between_interchangeable_attachment_points(core):
    """RDKit removes the stereo of such a center, because its neighbors are alike."""
    seed, mirror_image = "FC[C@H](O)CCl", "FC[C@@H](O)CCl"
    assert has_core(parse(seed), core)
    assert not any(has_core(parse(smiles), core) for smiles in FLAT_OR_EQUAL_ENDS)
    for same, other in [(seed, mirror_image), ("BrC[C@H](O)CCl", "BrC[C@@H](O)CCl"), ("FC[C@H](O)CN", "NC[C@H](O)CF")]:
        assert keeps_core_stereo(parse(same), core, seed)
        assert not keeps_core_stereo(parse(other), core, seed)
        assert not keeps_core_stereo(parse(same), core, mirror_image)


@pytest.mark.parametrize(
    ("core", "same", "others"),
    [
        ("*[C@](*)(N)O", "F[C@](Cl)(N)O", ["F[C@@](Cl)(N)O", "FC(Cl)(N)O"]),
        ("*/C(*)=C/C", "F/C(Cl)=C/C", ["F/C(Cl)=C\\C", "FC(Cl)=CC"]),
        ("*C[S@](=O)C*", "FC[S@](=O)CCl", ["FC[S@@](=O)CCl", "FCS(=O)CCl"]),
        ("*[C@@H]1CC[C@H](*)CC1", "F[C@@H]1CC[C@H](Cl)CC1", ["F[C@@H]1CC[C@@H](Cl)CC1", "FC1CCC(Cl)CC1"]),
        ("*[C@H](C)N.*C[C@H](O)C*", "C[C@H](N)OC[C@H](O)CF", ["C[C@H](N)OC[C@@H](O)CF", "C[C@@H](N)OC[C@H](O)CF"]),
    ],
)
def test_stereo_of_the_seed_is_kept(core, same, others):
    def accepted(smiles):
        return has_core(parse(smiles), core) and keeps_core_stereo(parse(smiles), core, same)

    assert accepted(same)
    assert not any(map(accepted, others))


@pytest.mark.parametrize(
    ("core", "expected"),
    [
        ("*C*.*C*.*C*.*C*.*C*.*P*", False),  # phosphorus has four neighbors
        ("*C*.*C*.*C*.*C*.*C*.*P(=O)([O-])O*", True),
        (".".join(["*CCCCCC*"] * 5), False),  # a chain has room for two
        (".".join(["*CCCCC*"] * 4 + ["*C[N+](*)(C)C"]), True),
        (".".join(["*CCC*"] * 6), True),
    ],
)
def test_several_small_fragments_on_a_lipid(core, expected):
    begin = time.monotonic()
    assert has_core(parse(LIPID), core) == expected
    assert time.monotonic() - begin < 5


def test_invalid_core_is_rejected():
    for core in ("C(", "", "xyz", "*C(C)(C)(C)C"):
        with pytest.raises(InputError, match="cannot read the core"):
            has_core(parse("C"), core)
    with pytest.raises(InputError, match="at most 6 fragments, got 7"):
        has_core(parse("C"), ".".join(["*C"] * 7))
    with pytest.raises(InputError, match="without an attachment point"):
        has_core(parse("C"), "c1ccccc1")
    with pytest.raises(InputError, match="without an attachment point"):
        has_core(parse("C"), "*c1ccccc1.CC")
