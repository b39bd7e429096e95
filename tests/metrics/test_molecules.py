"""A row of figures per molecule: RDKit's own values, and whatever comes in stays in its place."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from molecules import DRUGS
from rdkit import Chem
from rdkit.Chem import QED, Crippen, Descriptors, Lipinski, rdFingerprintGenerator
from rdkit.Chem.FilterCatalog import FilterCatalog, FilterCatalogParams
from rdkit.Chem.Scaffolds import MurckoScaffold

from molvae.chem.smiles import canonical
from molvae.errors import InputError
from molvae.metrics import molecules as module
from molvae.metrics.molecules import COLUMNS, chosen, describe, fingerprints

FIRST = ["smiles", "error", "canonical"]
BAD = {"C1CC": "ring 1 opened but not closed", "": "it is empty", "CQ": "unexpected 'Q'", "C(C)(C)(C)(C)C": "valence"}
SOME = list(DRUGS.values())[::3]


@pytest.fixture(scope="module")
def table():
    return describe(list(DRUGS.values()), chosen(None))


def by_rdkit(name, function):
    return pytest.param(name, function, id=name)


def alerts(mol):
    params = FilterCatalogParams()
    for name in ("PAINS", "BRENK", "NIH"):
        params.AddCatalog(getattr(FilterCatalogParams.FilterCatalogs, name))
    return {f"{hit.GetProp('FilterSet')}: {hit.GetDescription()}" for hit in FilterCatalog(params).GetMatches(mol)}


@pytest.mark.parametrize(
    ("name", "function"),
    [
        by_rdkit("qed", QED.qed),
        by_rdkit("logp", Crippen.MolLogP),
        by_rdkit("tpsa", Descriptors.TPSA),
        by_rdkit("mw", Descriptors.MolWt),
        by_rdkit("hbd", Lipinski.NumHDonors),
        by_rdkit("hba", Lipinski.NumHAcceptors),
        by_rdkit("rings", Lipinski.RingCount),
        by_rdkit("rotatable_bonds", Lipinski.NumRotatableBonds),
        by_rdkit("scaffold", lambda mol: MurckoScaffold.MurckoScaffoldSmiles(mol=mol, includeChirality=False)),
    ],
)
def test_a_column_is_that_of_rdkit(table, name, function):
    assert list(table[name]) == [function(Chem.MolFromSmiles(smiles)) for smiles in DRUGS.values()]


def test_the_scores_of_rdkits_contrib(table):
    from rdkit.Contrib.NP_Score import npscorer
    from rdkit.Contrib.SA_Score import sascorer

    mols = [Chem.MolFromSmiles(smiles) for smiles in DRUGS.values()]
    model = npscorer.readNPModel()
    assert list(table["sa"]) == [sascorer.calculateScore(mol) for mol in mols]
    assert list(table["np"]) == [npscorer.scoreMol(mol, model) for mol in mols]


def test_alerts_of_all_three_sets(table):
    for smiles, cell in zip(SOME, table["alerts"][::3], strict=True):
        found = cell.split("; ") if cell else []
        assert len(found) == len(set(found))
        assert set(found) == alerts(Chem.MolFromSmiles(smiles))


def test_the_rules(table):
    rows = dict(zip(DRUGS, table.to_dict("records"), strict=True))
    for name in ("lipinski", "veber", "moses_filters"):
        assert {type(row[name]) for row in rows.values()} == {bool}
    for row in rows.values():
        broken = [row["mw"] > 500, row["logp"] > 5, row["hbd"] > 5, row["hba"] > 10].count(True)
        assert row["lipinski"] == (broken <= 1)
        assert row["veber"] == (row["rotatable_bonds"] <= 10 and row["tpsa"] <= 140)
    assert rows["celecoxib"]["moses_filters"]
    assert not rows["betaine"]["moses_filters"]
    assert not rows["amiodarone"]["lipinski"]  # 645 g/mol, logP 6.9
    assert rows["simvastatin"]["lipinski"]
    assert rows["atorvastatin"]["mw"] > 500
    assert not rows["atorvastatin"]["veber"]


@pytest.mark.parametrize(
    ("values", "holds"),
    [
        ((500, 5, 5, 10), True),  # the limits themselves are within
        ((500.1, 5, 5, 10), True),  # one may be broken
        ((500.1, 5.1, 5, 10), False),
        ((500, 5.1, 6, 10), False),
        ((500, 5, 6, 11), False),
        ((500.1, 5, 5, 11), False),
        ((900, 9, 9, 20), False),
    ],
)
def test_the_rule_of_five(values, holds):
    row = dict(zip(("mw", "logp", "hbd", "hba"), values, strict=True))
    assert COLUMNS["lipinski"].function(Chem.MolFromSmiles("C"), row) is holds


@pytest.mark.parametrize(("bonds", "tpsa", "holds"), [(10, 140, True), (11, 140, False), (10, 140.1, False)])
def test_vebers_rule(bonds, tpsa, holds):
    assert COLUMNS["veber"].function(Chem.MolFromSmiles("C"), {"rotatable_bonds": bonds, "tpsa": tpsa}) is holds


def test_the_first_columns(table):
    assert list(table) == FIRST + list(COLUMNS)
    assert list(table["smiles"]) == list(DRUGS.values())
    assert list(table["canonical"]) == [canonical(smiles) for smiles in DRUGS.values()]
    assert set(table["error"]) == {""}


@given(st.lists(st.sampled_from([*SOME, *BAD]), max_size=8))
@settings(max_examples=40, deadline=None)
def test_a_row_for_every_row(texts):
    frame = describe(texts, ("mw", "scaffold"))
    assert list(frame["smiles"]) == texts
    assert list(frame.index) == list(range(len(texts)))
    for text, row in zip(texts, frame.to_dict("records"), strict=True):
        if text in BAD:
            assert BAD[text] in row["error"]
            assert row["canonical"] == ""
            assert math.isnan(row["mw"])
            assert row["scaffold"] is None or pd.isna(row["scaffold"])
        else:
            assert row["error"] == ""
            assert row["canonical"] == canonical(text)
            assert row["mw"] == Descriptors.MolWt(Chem.MolFromSmiles(text))


def test_how_a_molecule_is_written_changes_nothing_but_the_first_column():
    aspirin, other = describe([DRUGS["aspirin"], " OC(=O)c1ccccc1OC(C)=O"], chosen(None)).to_dict("records")
    assert other.pop("smiles") == " OC(=O)c1ccccc1OC(C)=O"
    assert aspirin.pop("smiles") == DRUGS["aspirin"]
    assert other == pytest.approx(aspirin)


def test_no_rows_make_an_empty_table_with_the_columns():
    for columns in ((), ("mw", "alerts"), chosen(None)):
        frame = describe([], columns)
        assert frame.shape == (0, 3 + len(columns))
        assert list(frame) == [*FIRST, *columns]


def test_rdkit_says_nothing(capfd):
    describe([*SOME, *BAD], chosen(None))
    fingerprints(["", *SOME])
    assert capfd.readouterr().err == ""


# --- the choice of columns ---


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (None, tuple(COLUMNS)),
        ([], ()),
        (["mw"], ("mw",)),
        (["scaffold", "mw", "sa", "mw"], ("mw", "sa", "scaffold")),
        (["lipinski"], ("mw", "logp", "hbd", "hba", "lipinski")),
        (["veber"], ("tpsa", "rotatable_bonds", "veber")),
        (["qed"], ("mw", "logp", "tpsa", "hbd", "rotatable_bonds", "qed")),
        (["veber", "lipinski"], ("mw", "logp", "tpsa", "hbd", "hba", "rotatable_bonds", "lipinski", "veber")),
    ],
)
def test_columns_come_with_what_they_need_in_the_order_of_the_table(names, expected):
    assert chosen(names) == expected


@given(st.sets(st.sampled_from(list(COLUMNS))))
@settings(max_examples=50, deadline=None)
def test_any_choice_is_complete_and_enough(names):
    columns = chosen(names)
    assert chosen(columns) == columns
    assert names <= set(columns)
    for place, name in enumerate(columns):
        assert set(COLUMNS[name].needs) & set(COLUMNS) <= set(columns[:place])
    assert set(describe(["CCO"], columns)["error"]) == {""}


def test_columns_without_what_they_need_have_the_same_figures():
    texts = [DRUGS["imatinib"], "C1CC"]
    whole = describe(texts, tuple(COLUMNS))
    for names in [*([name] for name in COLUMNS), ["veber", "qed", "mw"], list(reversed(COLUMNS))]:
        frame = describe(texts, names)
        assert list(frame) == [*FIRST, *names]
        pd.testing.assert_frame_equal(frame, whole[[*FIRST, *names]])


def test_an_unknown_column_has_no_figures():
    with pytest.raises(InputError, match="did you mean 'mw'"):
        describe([], ["mww"])


@pytest.mark.parametrize(
    ("unknown", "nearest"),
    [("QEDs", "qed"), ("lipinsky", "lipinski"), ("moses_filter", "moses_filters"), ("alert", "alerts")],
)
def test_an_unknown_column_is_rejected_with_the_nearest(unknown, nearest):
    with pytest.raises(InputError, match=rf"unknown column '{unknown}' \(did you mean '{nearest}'") as caught:
        chosen(["mw", unknown])
    assert all(name in str(caught.value) for name in COLUMNS)


# --- what cannot be computed ---


def failing(monkeypatch, name, error):
    def fail(*_):
        raise error

    monkeypatch.setitem(module.COLUMNS, name, replace(COLUMNS[name], function=fail))


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ValueError("too large\nand more"), "too large"),
        (RuntimeError("no ring information"), "no ring information"),
        (ZeroDivisionError("division by zero"), "division by zero"),
        (ValueError(), "ValueError()"),
        (ValueError(" \n"), "ValueError(' \\n')"),
    ],
)
@pytest.mark.parametrize("name", ["qed", "alerts", "scaffold"])
def test_a_column_that_fails_leaves_the_others(monkeypatch, table, name, error, reason):
    failing(monkeypatch, name, error)
    frame = describe([*SOME, "C1CC"], chosen(None))
    expected = table[::3].reset_index(drop=True)
    assert list(frame["error"][:-1]) == [f"no {name}: {reason}"] * len(SOME)
    assert "ring 1" in frame["error"].iloc[-1]
    assert frame[name].isna().all()
    for other in (*FIRST[::2], *(column for column in COLUMNS if column != name)):
        assert list(frame[other][:-1]) == list(expected[other]), other


def test_what_needs_a_missing_figure_is_missing_too(monkeypatch):
    """Never a verdict on NaN: that MW > 500 is false of it would let any molecule pass."""
    failing(monkeypatch, "mw", ValueError("no weight"))
    (row,) = describe([DRUGS["amiodarone"]], chosen(["lipinski", "veber"])).to_dict("records")
    assert row["error"] == "no mw: no weight"
    assert math.isnan(row["mw"])
    assert row["lipinski"] is None
    assert row["veber"] is False  # needs no weight


def test_a_mistake_in_the_code_is_not_hidden(monkeypatch):
    failing(monkeypatch, "qed", TypeError("wrong argument"))
    with pytest.raises(TypeError, match="wrong argument"):
        describe(["C"], ("qed",))


# --- fingerprints ---


def test_fingerprints_are_rdkits_and_zero_where_there_is_no_molecule():
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)
    texts = ["", *SOME[:5], "", *SOME[5:], ""]
    packed = fingerprints(texts)
    assert (packed.dtype, packed.shape) == (np.uint8, (len(texts), 256))
    for text, bits in zip(texts, np.unpackbits(packed, axis=1, bitorder="little"), strict=True):
        on = list(generator.GetFingerprint(Chem.MolFromSmiles(text)).GetOnBits()) if text else []
        assert list(np.flatnonzero(bits)) == on
        assert bool(on) == bool(text)


def test_fingerprints_of_nothing():
    assert fingerprints([]).shape == (0, 256)
