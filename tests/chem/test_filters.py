"""Alerts and substructures."""

from __future__ import annotations

import pytest
from molecules import DRUGS

from molvae.chem.filters import _catalog, alerts, has_substructure
from molvae.chem.smiles import parse
from molvae.errors import InputError


def test_a_quinone_is_a_pains_alert():
    assert "PAINS_A: quinone_A(370)" in alerts(parse("O=C1C=CC(=O)c2ccccc12"))


def test_a_nitro_group_is_a_brenk_alert():
    assert "Brenk: nitro_group" in alerts(parse(DRUGS["metronidazole"]))


@pytest.mark.parametrize("drug", ["caffeine", "celecoxib"])
def test_clean_molecules_raise_none(drug):
    assert alerts(parse(DRUGS[drug])) == []


def test_the_catalog_is_built_once():
    assert _catalog() is _catalog()
    assert _catalog().GetNumEntries() > 500


@pytest.mark.parametrize(
    ("smarts", "found"), [("C(=O)[OX2H1]", True), ("c1ccccc1", True), ("[#7]", False), ("[$([CX3]=O)]", True)]
)
def test_substructures_of_aspirin(smarts, found):
    assert has_substructure(parse(DRUGS["aspirin"]), smarts) is found


def test_stereo_in_a_pattern_counts():
    levodopa, smarts = parse(DRUGS["levodopa"]), "N[C@@H](C)C(=O)O"
    assert has_substructure(levodopa, smarts) != has_substructure(levodopa, smarts.replace("@@", "@"))
    assert has_substructure(levodopa, "NC(C)C(=O)O")


@pytest.mark.parametrize(
    ("smarts", "reason"), [("C(", "not valid"), ("[Qq]", "not valid"), ("", "empty"), (" ", "empty")]
)
def test_bad_smarts_is_named(smarts, reason, capfd):
    with pytest.raises(InputError, match=reason) as caught:
        has_substructure(parse("C"), smarts)
    assert repr(smarts) in str(caught.value)
    assert capfd.readouterr().err == ""
