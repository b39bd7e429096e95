"""`prepare`: one identity for all spellings of a molecule, and notes of what was changed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from molecules import DRUGS
from rdkit import Chem

from molvae.chem.smiles import parse, without_stereo
from molvae.chem.standardization import prepare
from molvae.errors import MoleculeError

MOLECULES = {
    **DRUGS,
    "sulforaphane": "C[S@](=O)CCCCN=C=S",
    "esomeprazole sodium": "COc1ccc2[n-]c([S@@](=O)Cc3ncc(C)c(OC)c3C)nc2c1.[Na+]",
    "tenofovir": "C[C@H](Cn1cnc2c(N)ncnc21)OCP(=O)(O)O",
    "minoxidil": "Nc1cc(N2CCCCC2)nc(N)[n+]1[O-]",
    "zidovudine": "Cc1cn([C@H]2C[C@H](N=[N+]=[N-])[C@@H](CO)O2)c(=O)[nH]c1=O",
}

PAIRS = [
    ("C[S+]([O-])c1ccccc1", "CS(=O)c1ccccc1"),
    ("C[S@+]([O-])c1ccccc1", "C[S@](=O)c1ccccc1"),
    ("[O-][S@@+](C)c1ccccc1", "C[S@](=O)c1ccccc1"),
    ("C[S+2]([O-])([O-])C", "CS(C)(=O)=O"),
    ("C[P+](C)(C)[O-]", "CP(C)(C)=O"),
    ("C[Se+]([O-])C", "C[Se](C)=O"),
    ("C[S+](C)[CH2-]", "C=S(C)C"),
    ("CN(=O)=O", "C[N+](=O)[O-]"),
    ("O=n1ccccc1", "[O-][n+]1ccccc1"),
    ("C[N-][N+]#N", "CN=[N+]=[N-]"),
    ("CN=N#N", "CN=[N+]=[N-]"),
    ("[CH2-][N+]#N", "C=[N+]=[N-]"),
    ("C[C-]=[N+]=O", "CC#[N+][O-]"),
    ("CC([O-])=[NH2+]", "CC(N)=O"),
    ("[O-]c1cccc[nH+]1", "O=c1cccc[nH]1"),
    ("[O-]c1cc[nH+]cc1", "O=c1cc[nH]cc1"),
    ("[H]/N=C(/N)c1ccccc1", "N=C(N)c1ccccc1"),
    ("CC/C=C/[H]", "C=CCC"),
    ("[CH3:1][OH:2]", "CO"),
    ("CC(=O)[O-].[Na+]", "CC(=O)[O-]"),
    ("O=C1c2ccccc2C(=O)N1C(=O)c1ccccc1C(=O)N1C(=O)c2ccccc2C1=O",
     "O=C(c1ccccc1C(=O)N1C(=O)c2ccccc2C1=O)N1C(=O)c2ccccc2C1=O"),
]  # fmt: skip


@pytest.mark.parametrize(("spelling", "identity"), PAIRS)
def test_two_spellings_are_one_molecule(spelling, identity):
    assert prepare(spelling).smiles == prepare(identity).smiles == identity


@pytest.mark.parametrize("smiles", ["C[n+]1cccc(C(=O)[O-])c1", "C[N+](C)(C)CC(=O)[O-]", "[NH3+]CC(=O)[O-]", "[H][H]"])
def test_charges_that_belong_to_the_molecule_stay(smiles):
    mol = prepare(smiles)
    assert mol.smiles == Chem.CanonSmiles(smiles)
    assert mol.notes == ()


@pytest.mark.parametrize("smiles", MOLECULES.values(), ids=MOLECULES)
def test_every_spelling_of_a_molecule_has_one_identity(smiles):
    """Random orders, explicit hydrogens, atom maps, Kekule form, charge-separated groups."""
    identity = prepare(smiles).smiles
    assert prepare(identity).smiles == identity
    mol = Chem.MolFromSmiles(smiles)
    mapped = Chem.Mol(mol)
    for atom in mapped.GetAtoms():
        atom.SetAtomMapNum(atom.GetIdx() + 1)
    kekulized = Chem.Mol(mol)
    Chem.Kekulize(kekulized)
    spellings = [
        *Chem.MolToRandomSmilesVect(mol, 10, 7),
        Chem.MolToSmiles(Chem.AddHs(mol)),
        Chem.MolToSmiles(mapped),
        Chem.MolToSmiles(kekulized, kekuleSmiles=True),
        Chem.MolToSmiles(separated(mol)),
    ]
    assert {prepare(text).smiles for text in spellings} == {identity}


def separated(mol):
    """The molecule with each S=O and P=O written [S+][O-] and [P+][O-]."""
    mol = Chem.RWMol(mol)
    for bond in mol.GetBonds():
        ends = sorted((bond.GetBeginAtom(), bond.GetEndAtom()), key=lambda atom: atom.GetAtomicNum())
        if bond.GetBondType() == Chem.BondType.DOUBLE and [end.GetAtomicNum() for end in ends] in ([8, 16], [8, 15]):
            bond.SetBondType(Chem.BondType.SINGLE)
            ends[0].SetFormalCharge(-1)
            ends[1].SetFormalCharge(ends[1].GetFormalCharge() + 1)
    Chem.SanitizeMol(mol)
    return mol


@pytest.mark.parametrize(
    "smiles", ["O[C@H]1[C@@H](O)[C@H](O)[C@H](O)[C@@H](O)[C@@H]1O", "C[C@]12C[C@]3(C)C[C@](C)(C1)C[C@@](C)(C2)C3"]
)
def test_symmetric_rings_with_many_centers_have_one_identity(smiles):
    orders = Chem.MolToRandomSmilesVect(Chem.MolFromSmiles(smiles), 30, 3)
    assert len({Chem.CanonSmiles(text) for text in orders}) > 1  # RDKit itself writes several
    identities = {prepare(text).smiles for text in orders}
    assert len(identities) == 1
    assert prepare(*identities).smiles in identities


NOTES = [
    ("CC(=O)[O-].[Na+]", "salt removed: [Na+]"),
    (".".join(["CCO", *["O"] * 491]), "salt removed: O x491"),
    ("[CH3:1][OH:2]", "atom map numbers removed"),
    ("CC=[C@]=CC", "stereo of an allene cannot be represented"),
    ("C[C@H](O)F |&1:1|", "enhanced stereo: 1 racemic (&) center left unspecified"),
    ("C[C@H](O)[C@@H](Cl)F |a:1,o1:3|", "enhanced stereo: 1 relative (o) center left unspecified"),
    ("[H]/N=C(/N)c1ccccc1", "E/Z of =NH removed"),
]


@pytest.mark.parametrize(("smiles", "note"), NOTES)
def test_changes_are_told(smiles, note):
    assert prepare(smiles).notes == (note,)


def test_racemate_and_enantiomers_are_three_molecules():
    assert len({prepare(text).smiles for text in ("C[C@H](O)F", "C[C@@H](O)F", "C[C@H](O)F |&1:1|")}) == 3


QUININE = "C=C[C@H]1C[{}]2CC[C@H]1C[C@H]2[C@H](O)c1ccnc2ccc(OC)cc12"


@pytest.mark.parametrize("nitrogen", ["N@", "N@@"])
def test_stereo_of_a_bridgehead_nitrogen_is_implied(nitrogen):
    molecule = prepare(QUININE.format(nitrogen))
    assert "@]2" not in molecule.smiles
    assert molecule.smiles == prepare("C=C[C@H]1CN2CC[C@H]1C[C@H]2[C@H](O)c1ccnc2ccc(OC)cc12").smiles
    assert "bridgehead" in molecule.note


@pytest.mark.parametrize("smiles", ["C[N@]1C[C@@H]1C", "CC[N@+](C)(CO)c1ccccc1"])
def test_stereo_of_other_nitrogens_stays(smiles):
    assert "[N@" in prepare(smiles).smiles


@pytest.mark.parametrize("labelled", ["[2H]C([2H])([2H])OC", "[13CH3]OC"])
def test_isotopes_are_set_aside(labelled):
    assert prepare(labelled).smiles != "COC"
    assert prepare(labelled, keep_isotopes=False)[1:] == ("COC", ("isotope labels removed",))
    assert without_stereo(parse(labelled)) == "COC"


def test_standardize_keeps_the_spelling_of_the_training_data():
    assert prepare("C[S@](=O)CCCCN=C=S", standardize=True).smiles == "C[S@](=O)CCCCN=C=S"


def test_keep_salts():
    assert prepare("CC(=O)[O-].[Na+]", keep_salts=True)[1:] == ("CC(=O)[O-].[Na+]", ())


@given(st.integers(0, 2**31 - 1), st.sampled_from([*MOLECULES.values(), *(text for pair in PAIRS for text in pair)]))
def test_identity_is_a_fixed_point(random_state, smiles):
    order = Chem.MolToRandomSmilesVect(Chem.MolFromSmiles(smiles), 1, random_state)[0]
    identity = prepare(order).smiles
    assert prepare(identity).smiles == identity == prepare(smiles).smiles


@pytest.mark.parametrize(
    "smiles",
    [
        "Cc1ccc(-c=2nc3cccc3s2)cc1F",
        "c1%(43)c2c5c6c%(18)c4c%(31)c%(39)c%(14)c1c%(40)c%(21)c%(22)c3c2c7c%(44)c%(19)c3c4c9c5c6c(c8c7c%(16)c%(41)c%(27)c%(26)c%(10)c%(42)c%(13)c8c%(37)c%(32)c%(24)c%(38)c%(12)c%(15)c%(11)c%(17)c%(28)c%(29)c%(36)c(c(c9%(10))c%(11)c%(12)%(13))c(c%(14)c(c%(15)%(16))c%(17)%(18))c%(35)c%(23)c%(20)c%(25)c%(19)c%(20)c%(21)c(c(c(c%(34)c%(22)ccc%(33)c%(23)c%(24)c%(25)c%(26)c%(27)c(c%(30)c(c%(28)c%(29)%(30))c%(31)%(32))c%(33)%(34))c%(35)%(36))c%(37)%(38))c(c%(39)%(40))c%(41)%(42))c%(43)%(44)",
    ],
)
def test_unreadable_canonical_smiles_is_rejected(smiles):
    """RDKit reads rings of these as aromatic, and cannot read what it writes."""
    assert Chem.MolFromSmiles(Chem.MolToSmiles(Chem.MolFromSmiles(smiles))) is None
    with pytest.raises(MoleculeError, match="its canonical SMILES cannot be parsed"):
        prepare(smiles)


@pytest.mark.parametrize(
    "smiles",
    [
        "CC(=O)S[C@@H]1CC2=CC(=O)CC[C@]2(C)[C@H]2CC[C@@]3(C)[C@@H](CC[C@@]34CC[0s@+](=O)O4)[C@H]12",
        "CCN1CCC[C@H]1CNC(=O)c1c(OC)bcc(Br)c1OC.CC(C)OC(=O)CCC/C=C\\C[C@@H]1[C@@H](/C=C/C(F)(F)COc2cccc~c2)[C@H](O)C[C@@H]1O",
        "NC(N)=Nc1nc(CSCC/C(:N)=N/S(N)(=O)=O)cs1",
        "C:C",
    ],
    ids=["stereo of a cation", "unspecified bond in a ring", "aromatic bonds outside of a ring", "C:C"],
)
def test_identity_of_unusual_molecules_is_a_fixed_point(smiles):
    assert prepare(prepare(smiles).smiles).smiles == prepare(smiles).smiles
