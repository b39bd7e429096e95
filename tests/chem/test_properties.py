"""Properties against RDKit, published values and the ranges of the table."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest
from molecules import DRUGS
from rdkit import Chem
from rdkit.Chem import QED, Crippen, Descriptors, Lipinski

from molvae.chem.expressions import PropertyFilter
from molvae.chem.filters import Filters
from molvae.chem.properties import PROPERTIES, _natural_products, compute_properties, get_property
from molvae.chem.smiles import parse
from molvae.errors import InputError

MORE_DRUGS = """
CC(C)NCC(O)COc1cccc2ccccc12 CC(C)NCC(O)c1ccc(O)c(O)c1 CN(C)CCCN1c2ccccc2CCc2ccccc21
CN1CCN(CC1)C1=Nc2cc(Cl)ccc2Nc2ccccc12 CC(C)(C)NCC(O)c1ccc(O)c(CO)c1 CN1CCC(=C2c3ccccc3CCc3cccnc32)CC1
CCN(CC)CC(=O)Nc1c(C)cccc1C CCN(CC)CCNC(=O)c1ccc(N)cc1 Nc1ccc(S(N)(=O)=O)cc1 Cc1cc(NS(=O)(=O)c2ccc(N)cc2)no1
NS(=O)(=O)c1cc2c(cc1Cl)NCNS2(=O)=O NS(=O)(=O)c1cc(C(=O)O)c(NCc2ccco2)cc1Cl
Clc1ccccc1C(c1ccccc1)(c1ccccc1)n1ccnc1 OC(Cn1cncn1)(Cn1cncn1)c1ccc(F)cc1F Nc1nc(N)c(-c2ccc(Cl)cc2)c(CC)n1
COc1cc(Cc2cnc(N)nc2N)cc(OC)c1OC NC(=O)c1cnccn1 NNC(=O)c1ccncc1 CCc1cc(C(N)=S)ccn1 CN1CCCC1c1cccnc1
OC(=O)c1cccnc1 Cn1c(=O)c2[nH]cnc2n(C)c1=O O=c1[nH]cnc2[nH]ncc12 Sc1ncnc2nc[nH]c12
Nc1nc(=O)c2ncn(COCCO)c2[nH]1 O=c1[nH]cc(F)c(=O)[nH]1 CCCC(C)C1(CC)C(=O)NC(=O)NC1=O
O=C1NC(=O)C(c2ccccc2)(c2ccccc2)N1 NC(=O)N1c2ccccc2C=Cc2ccccc21 NCC1(CC(=O)O)CCCCC1
CCCCCc1cc(O)c2C3C=C(C)CCC3C(C)(C)Oc2c1 CC(C)c1cccc(C(C)C)c1O COc1ccc(CCN(C)C)cc1 OC1(CCN(C)CC1)c1ccc(Cl)cc1
O=C(CCCN1CCC(O)(c2ccc(Cl)cc2)CC1)c1ccc(F)cc1 Cc1nc2n(c(=O)c1CCN1CCC(CC1)c1noc3cc(F)ccc13)CCCC2
CCCCC1C(=O)N(N(C1=O)c1ccccc1)c1ccccc1 OC(=O)Cc1ccccc1Nc1c(Cl)cccc1Cl CC(C(=O)O)c1cccc(C(=O)c2ccccc2)c1
COc1ccc2n(C(=O)c3ccc(Cl)cc3)c(C)c(CC(=O)O)c2c1 CN1C(C(=O)Nc2ccccn2)=C(O)c2ccccc2S1(=O)=O
CCOC(=O)C1=C(C)NC(C)=C(C1c1ccccc1[N+](=O)[O-])C(=O)OC COC(=O)C1=C(C)NC(C)=C(C1c1cccc(Cl)c1Cl)C(=O)OCC
CC(C)NCC(O)COc1ccc(CC(N)=O)cc1 CC(C)NCC(O)COc1ccc(CCOC)cc1
CCCCc1nc(Cl)c(CO)n1Cc1ccc(cc1)-c1ccccc1-c1nnn[nH]1 NC(N)=NCc1ccccc1 CN(C)CCOC(c1ccccc1)c1ccccc1
OCCN1CCN(CC1)CCCN1c2ccccc2Sc2ccc(C(F)(F)F)cc12 CCN1CCCC1CNC(=O)c1cc(ccc1OC)S(N)(=O)=O
CNC(=C[N+](=O)[O-])NCCSCc1ccc(CN(C)C)o1 CN=C(NCCSCc1nc[nH]c1C)NC#N FC(F)OC(F)(F)C(F)Cl
CCC(=O)N(c1ccccc1)C1CCN(CCc2ccccc2)CC1
"""


@pytest.fixture(scope="module")
def mols():
    return [parse(smiles) for smiles in [*DRUGS.values(), *MORE_DRUGS.split()]]


@pytest.mark.parametrize(
    ("drug", "name", "value", "tolerance"),
    [
        ("aspirin", "mw", 180.16, 0.005),
        ("aspirin", "tpsa", 63.6, 0.005),
        ("aspirin", "logp", 1.31, 0.005),
        ("aspirin", "qed", 0.55, 0.005),
        ("aspirin", "hbd", 1, 0),
        ("aspirin", "heavy_atoms", 13, 0),
        ("caffeine", "mw", 194.19, 0.005),
        ("caffeine", "hbd", 0, 0),
        ("imatinib", "mw", 493.62, 0.02),
        ("upadacitinib", "mw", 380.37, 0.01),
        ("atorvastatin", "mw", 558.65, 0.01),
        ("morphine", "rings", 5, 0),
        ("acetylcholine", "charge", 1, 0),
        ("betaine", "charge", 0, 0),
        ("valproic acid", "fsp3", 7 / 8, 1e-9),
        ("paracetamol", "rotatable_bonds", 1, 0),
    ],
)
def test_known_values(drug, name, value, tolerance):
    assert compute_properties([parse(DRUGS[drug])], [name])[name][0] == pytest.approx(value, abs=tolerance)


def test_values_equal_rdkit(mols):
    direct = {
        "qed": QED.qed,
        "logp": Crippen.MolLogP,
        "mw": Descriptors.MolWt,
        "tpsa": Descriptors.TPSA,
        "hbd": Lipinski.NumHDonors,
        "hba": Lipinski.NumHAcceptors,
        "rings": Lipinski.RingCount,
        "fsp3": Lipinski.FractionCSP3,
        "rotatable_bonds": Lipinski.NumRotatableBonds,
        "heavy_atoms": Lipinski.HeavyAtomCount,
    }
    values = compute_properties(mols[:20], list(direct))
    for name, function in direct.items():
        np.testing.assert_array_equal(values[name], [function(mol) for mol in mols[:20]])


def test_values_are_in_range(mols):
    assert len(mols) >= 100
    values = compute_properties(mols, list(PROPERTIES))
    assert list(values) == list(PROPERTIES)
    for name, column in values.items():
        low, high = PROPERTIES[name].range
        assert column.dtype == np.float64
        assert column.shape == (len(mols),)
        assert np.isfinite(column).all()
        assert ((column >= low) & (column <= high)).all(), name


@pytest.mark.parametrize(
    ("smiles", "count"),
    [("CC(O)C(N)C", 2), ("C[C@H](O)C(N)C", 1), ("C[C@H](O)[C@@H](N)C", 0), ("CCO", 0)],
)
def test_open_stereocenters(smiles, count):
    mol = parse(smiles)
    assert compute_properties([mol], ["open_stereocenters"])["open_stereocenters"][0] == count
    centers = Chem.FindMolChiralCenters(mol, includeUnassigned=True, useLegacyImplementation=False)
    assert sum(label == "?" for _, label in centers) == count


def test_sa_score_of_a_natural_product():
    aspirin, morphine = compute_properties([parse(DRUGS["aspirin"]), parse(DRUGS["morphine"])], ["sa"])["sa"]
    assert 1 < aspirin < 2 < 4 < morphine < 10


def test_natural_product_likeness_equals_rdkit(mols):
    from rdkit.Contrib.NP_Score import npscorer

    model = npscorer.readNPModel()
    np.testing.assert_array_equal(
        compute_properties(mols, ["np"])["np"], [npscorer.scoreMol(mol, model) for mol in mols]
    )


def test_natural_product_likeness_of_known_drugs():
    morphine, simvastatin, celecoxib, sildenafil = compute_properties(
        [parse(DRUGS[drug]) for drug in ("morphine", "simvastatin", "celecoxib", "sildenafil")], ["np"]
    )["np"]
    assert min(morphine, simvastatin) > 1 > -1 > max(celecoxib, sildenafil)


def test_natural_product_model_is_loaded_once(capfd):
    _natural_products.cache_clear()  # as in a new process
    values = [compute_properties([parse(DRUGS["morphine"])], ["np"])["np"][0] for _ in range(2)]
    print("after", file=sys.stderr)
    written = capfd.readouterr()
    assert (written.out, written.err) == ("", "after\n")
    assert _natural_products.cache_info().misses == 1
    assert values[0] == values[1]


def test_properties_of_tiny_molecules():
    values = compute_properties([parse(smiles) for smiles in ("C", "[Na+]", "*", "[H][H]")], list(PROPERTIES))
    assert all(np.isfinite(column).all() for column in values.values())


def test_no_molecules_and_no_names():
    assert compute_properties([], ["mw"])["mw"].shape == (0,)
    assert compute_properties([parse("C")], []) == {}


def test_unknown_property_gives_a_hint():
    with pytest.raises(InputError, match=r"unknown property 'QEDs' \(did you mean 'qed'"):
        compute_properties([], ["mw", "QEDs"])


def test_every_property_has_a_source_and_a_range():
    for name in PROPERTIES:
        row = get_property(name)
        assert row.source
        assert row.range[0] < row.range[1]


def test_property_that_overflows_is_nan():
    """QED raises an OverflowError for hundreds of molecules of water; other properties and molecules have values."""
    values = compute_properties([parse("CCO"), parse(".".join(["O"] * 491))], ["qed", "mw"])
    assert np.isfinite(values["qed"]).tolist() == [True, False]
    assert values["mw"].tolist() == pytest.approx([46.069, 491 * 18.015])
    assert not Filters(properties=(PropertyFilter.from_text("qed<2"),)).accept(parse(".".join(["O"] * 491)))


def test_missing_installation_is_not_a_missing_value(monkeypatch):
    def absent(_):
        raise InputError("not installed")

    monkeypatch.setitem(PROPERTIES, "sa", replace(PROPERTIES["sa"], function=absent))
    with pytest.raises(InputError, match="not installed"):
        compute_properties([parse("CCO")], ["sa"])
