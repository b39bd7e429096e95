"""Structural alerts, substructure search and combined filters."""

from __future__ import annotations

import random
import time
from functools import cache

import pytest
from molecules import DRUGS
from rdkit import Chem
from rdkit.Chem.FilterCatalog import FilterCatalog, FilterCatalogParams

from molvae.chem.expressions import PropertyFilter
from molvae.chem.filters import (
    ALERT_SETS,
    SCORED_ALERT_SETS,
    Filters,
    _catalog,
    alert_sets,
    alerts,
    has_substructure,
)
from molvae.chem.smiles import parse
from molvae.chem.substructures import pattern_fingerprint
from molvae.data.datasets import sample_library_path
from molvae.errors import InputError


def test_pains_alert_of_a_quinone():
    assert "PAINS_A: quinone_A(370)" in alerts(parse("O=C1C=CC(=O)c2ccccc12"))


def test_brenk_alert_of_a_nitro_group():
    assert "Brenk: nitro_group" in alerts(parse(DRUGS["metronidazole"]))


@pytest.mark.parametrize("drug", ["caffeine", "celecoxib"])
def test_molecules_without_alerts(drug):
    assert alerts(parse(DRUGS[drug])) == []


@pytest.mark.parametrize(("name", "min_entries"), [("PAINS", 480), ("BRENK", 100), ("NIH", 150)])
def test_catalogs_are_cached(name, min_entries):
    assert _catalog(name) is _catalog(name)
    assert _catalog(name).GetNumEntries() >= min_entries


@cache
def rdkit_catalog(name):
    params = FilterCatalogParams()
    params.AddCatalog(getattr(FilterCatalogParams.FilterCatalogs, name))
    return FilterCatalog(params)


def rdkit_alerts(mol, name):
    return [f"{hit.GetProp('FilterSet')}: {hit.GetDescription()}" for hit in rdkit_catalog(name).GetMatches(mol)]


@pytest.mark.parametrize("name", ["PAINS", "BRENK", "NIH"])
def test_alerts_equal_rdkit(name):
    sample_library = [line.split()[0] for line in sample_library_path().read_text(encoding="utf-8").splitlines()]
    found = set()
    for mol in map(parse, [*sample_library, "O=C1C=CC(=O)c2ccccc12", "CN=[N+]=[N-]", "CC(=O)Cl"]):
        assert alerts(mol, [name]) == rdkit_alerts(mol, name) == alerts(mol, [name], pattern_fingerprint(mol))
        found |= set(alerts(mol, [name]))
    assert len(found) >= 10


@pytest.mark.parametrize(
    ("drug", "name"),
    [("zidovudine", "azide"), ("amoxicillin", "betalactam"), ("bortezomib", "boron_warhead"), ("tretinoin", "polyene")],
)
def test_nih_alerts(drug, name):
    assert alerts(parse(DRUGS[drug]), ["NIH"]) == [f"NIH: {name}"]


def test_nih_is_not_a_default_set():
    sets = set()
    for smiles in DRUGS.values():
        mol = parse(smiles)
        assert alerts(mol) == alerts(mol, ("PAINS", "BRENK")) == alerts(mol, ["PAINS"]) + alerts(mol, ["BRENK"])
        assert alerts(mol, SCORED_ALERT_SETS) == alerts(mol) + alerts(mol, ["NIH"])
        sets |= {alert.partition(":")[0] for alert in alerts(mol)}
    assert sets <= {"PAINS_A", "PAINS_B", "PAINS_C", "Brenk"}


def test_no_sets_no_alerts():
    assert alerts(parse(DRUGS["nitroglycerin"]), []) == []


@pytest.mark.parametrize("name", ["PAIN", "CHEMBL", "", "FilterCatalogs"])
def test_unknown_alert_set_is_rejected(name):
    with pytest.raises(InputError, match="unknown set of alerts") as caught:
        alerts(parse("C"), ["PAINS", name])
    assert repr(name) in str(caught.value)
    assert all(known.lower() in str(caught.value) for known in ALERT_SETS)


def test_alert_sets_by_name():
    assert alert_sets("pains") == ("PAINS",)
    assert alert_sets(["Brenk", "brenk", " NIH"]) == ("BRENK", "NIH")
    assert alert_sets("all") == ALERT_SETS
    assert alert_sets("none") == alert_sets([]) == ()
    quinone = parse("O=C1C=CC(=O)C=C1")
    assert alerts(quinone, ["pains"]) == alerts(quinone, ["PAINS"])
    with pytest.raises(InputError, match=r"did you mean 'pains'\?"):
        alert_sets(["PAIN"])
    with pytest.raises(InputError, match="cannot be combined"):
        alert_sets(["none", "pains"])


@pytest.mark.parametrize(
    ("smarts", "found"), [("C(=O)[OX2H1]", True), ("c1ccccc1", True), ("[#7]", False), ("[$([CX3]=O)]", True)]
)
def test_substructures_of_aspirin(smarts, found):
    assert has_substructure(parse(DRUGS["aspirin"]), smarts) is found


def test_stereo_in_a_pattern_must_match():
    levodopa, smarts = parse(DRUGS["levodopa"]), "N[C@@H](C)C(=O)O"
    assert has_substructure(levodopa, smarts) != has_substructure(levodopa, smarts.replace("@@", "@"))
    assert has_substructure(levodopa, "NC(C)C(=O)O")


@pytest.mark.parametrize(
    ("smarts", "reason"), [("C(", "not valid"), ("[Qq]", "not valid"), ("", "empty"), (" ", "empty")]
)
def test_invalid_smarts_is_quoted(smarts, reason, capfd):
    with pytest.raises(InputError, match=reason) as caught:
        has_substructure(parse("C"), smarts)
    assert repr(smarts) in str(caught.value)
    assert capfd.readouterr().err == ""


PARTS = ["CC", "CO", "C=O", "[C@H](N)C", "c", "N", "[#6]", "C/C=C/C", "O", "[OX2H1]", "N[C@@H](C)C=O"]


@pytest.mark.parametrize("random_state", range(60))
def test_smarts_of_several_parts_equal_rdkit(random_state):
    smarts = ".".join(random.Random(random_state).choices(PARTS, k=3))
    pattern = Chem.MolFromSmarts(smarts)
    for smiles in ["CC(=O)N[C@@H](C)C(=O)O", "CCO", "c1ccccc1O", "C/C=C/C(N)=O", "N[C@H](C)CO", "OCCO", "C/C=C\\CN"]:
        mol = parse(smiles)
        assert has_substructure(mol, smarts) == mol.HasSubstructMatch(pattern, useChirality=True), smiles


@pytest.mark.parametrize(("smarts", "found"), [("CC.CC.CC.CC.CC.N", False), ("CC.CC.CC.CC.CC.P", True)])
def test_smarts_of_several_parts_on_a_long_chain(smarts, found):
    """RDKit alone takes hours for these."""
    begin = time.monotonic()
    assert has_substructure(parse("C" * 40 + "P"), smarts) is found
    assert time.monotonic() - begin < 5


def test_filters_print_nothing(capfd):
    """QED fails for this molecule, which therefore does not pass, and RDKit prints the valence of an atom."""
    mol = parse("C=CC(=O)Nc1cc(Nc2ncc(C(=O)OC(C)C)c(-c3cn(C)c4ccccc34)~n2)c(OC)cc1N(C)CCN(C)C")
    assert Filters(properties=(PropertyFilter.from_text("qed>=0"),)).first_failed(mol) == "qed>=0"
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("name", "prefix"),
    [("BMS", "BMS"), ("DUNDEE", "Dundee"), ("GLAXO", "Glaxo"), ("INPHARMATICA", "Inpharmatica"), ("LINT", "LINT"),
     ("MLSMR", "MLSMR"), ("SURECHEMBL", "SureChEMBL")],
)  # fmt: skip
def test_chembl_sets(name, prefix):
    found = (
        alerts(parse("CC(=O)Cl"), [name]) + alerts(parse("CN=[N+]=[N-]"), [name]) + alerts(parse("CC(=O)C=C"), [name])
    )
    assert found
    assert all(f"ChEMBL23_{prefix}: " in alert for alert in found)


def test_unstable_groups_are_alerts():
    assert alerts(parse("CN1CCN(F)CC1"), ["unstable"]) == ["Unstable: N-halogen"]
