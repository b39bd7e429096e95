"""Table of molecules: values compared with RDKit, invalid rows, and columns that cannot be computed."""

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
from molvae.metrics import molecules as molecules_module
from molvae.metrics.molecules import COLUMNS, describe, packed_fingerprints, select_columns

FIXED = ["smiles", "error", "note", "canonical"]
INVALID = {
    "C1CC": "ring 1 opened but not closed",
    "": "it is empty",
    "CQ": "unexpected 'Q'",
    "C(C)(C)(C)(C)C": "valence",
}
SUBSET = list(DRUGS.values())[::3]


@pytest.fixture(scope="module")
def table():
    return describe(list(DRUGS.values()), select_columns(None))


def column(name, function):
    return pytest.param(name, function, id=name)


def alerts(mol):
    params = FilterCatalogParams()
    for name in ("PAINS", "BRENK", "NIH"):
        params.AddCatalog(getattr(FilterCatalogParams.FilterCatalogs, name))
    return {f"{hit.GetProp('FilterSet')}: {hit.GetDescription()}" for hit in FilterCatalog(params).GetMatches(mol)}


@pytest.mark.parametrize(
    ("name", "function"),
    [
        column("qed", QED.qed),
        column("logp", Crippen.MolLogP),
        column("tpsa", Descriptors.TPSA),
        column("mw", Descriptors.MolWt),
        column("hbd", Lipinski.NumHDonors),
        column("hba", Lipinski.NumHAcceptors),
        column("rings", Lipinski.RingCount),
        column("rotatable_bonds", Lipinski.NumRotatableBonds),
        column("scaffold", lambda mol: MurckoScaffold.MurckoScaffoldSmiles(mol=mol, includeChirality=False)),
    ],
)
def test_column_matches_rdkit(table, name, function):
    assert list(table[name]) == [function(Chem.MolFromSmiles(smiles)) for smiles in DRUGS.values()]


def test_sa_and_np_match_rdkit_contrib(table):
    from rdkit.Contrib.NP_Score import npscorer
    from rdkit.Contrib.SA_Score import sascorer

    mols = [Chem.MolFromSmiles(smiles) for smiles in DRUGS.values()]
    model = npscorer.readNPModel()
    assert list(table["sa"]) == [sascorer.calculateScore(mol) for mol in mols]
    assert list(table["np"]) == [npscorer.scoreMol(mol, model) for mol in mols]


def test_alerts_match_rdkit_filter_catalog(table):
    for smiles, cell in zip(SUBSET, table["alerts"][::3], strict=True):
        found = cell.split("; ") if cell else []
        assert len(found) == len(set(found))
        assert set(found) == alerts(Chem.MolFromSmiles(smiles))


def test_rules_of_drugs(table):
    rows = dict(zip(DRUGS, table.to_dict("records"), strict=True))
    for name in ("lipinski", "veber", "moses_filters"):
        assert {type(row[name]) for row in rows.values()} == {bool}
    for row in rows.values():
        n_violations = [row["mw"] > 500, row["logp"] > 5, row["hbd"] > 5, row["hba"] > 10].count(True)
        assert row["lipinski"] == (n_violations <= 1)
        assert row["veber"] == (row["rotatable_bonds"] <= 10 and row["tpsa"] <= 140)
    assert rows["celecoxib"]["moses_filters"]
    assert not rows["betaine"]["moses_filters"]
    assert not rows["amiodarone"]["lipinski"]  # 645 g/mol, logP 6.9
    assert rows["simvastatin"]["lipinski"]
    assert rows["atorvastatin"]["mw"] > 500
    assert not rows["atorvastatin"]["veber"]


@pytest.mark.parametrize(
    ("values", "passes"),
    [
        ((500, 5, 5, 10), True),  # limits are inclusive
        ((500.1, 5, 5, 10), True),  # one violation is allowed
        ((500.1, 5.1, 5, 10), False),
        ((500, 5.1, 6, 10), False),
        ((500, 5, 6, 11), False),
        ((500.1, 5, 5, 11), False),
        ((900, 9, 9, 20), False),
    ],
)
def test_lipinski_limits(values, passes):
    row = dict(zip(("mw", "logp", "hbd", "hba"), values, strict=True))
    assert COLUMNS["lipinski"].function(Chem.MolFromSmiles("C"), row) is passes


@pytest.mark.parametrize(("bonds", "tpsa", "passes"), [(10, 140, True), (11, 140, False), (10, 140.1, False)])
def test_veber_limits(bonds, tpsa, passes):
    assert COLUMNS["veber"].function(Chem.MolFromSmiles("C"), {"rotatable_bonds": bonds, "tpsa": tpsa}) is passes


def test_fixed_columns(table):
    assert list(table) == FIXED + list(COLUMNS)
    assert list(table["smiles"]) == list(DRUGS.values())
    assert list(table["canonical"]) == [canonical(smiles) for smiles in DRUGS.values()]
    assert set(table["error"]) == {""}


@given(st.lists(st.sampled_from([*SUBSET, *INVALID]), max_size=8))
@settings(max_examples=40, deadline=None)
def test_one_output_row_per_input_row(texts):
    frame = describe(texts, ("mw", "scaffold"))
    assert list(frame["smiles"]) == texts
    assert list(frame.index) == list(range(len(texts)))
    for text, row in zip(texts, frame.to_dict("records"), strict=True):
        if text in INVALID:
            assert INVALID[text] in row["error"]
            assert row["canonical"] == ""
            assert math.isnan(row["mw"])
            assert row["scaffold"] is None or pd.isna(row["scaffold"])
        else:
            assert row["error"] == ""
            assert row["canonical"] == canonical(text)
            assert row["mw"] == Descriptors.MolWt(Chem.MolFromSmiles(text))


def test_smiles_form_changes_only_the_smiles_column():
    aspirin, other = describe([DRUGS["aspirin"], " OC(=O)c1ccccc1OC(C)=O"], select_columns(None)).to_dict("records")
    assert other.pop("smiles") == " OC(=O)c1ccccc1OC(C)=O"
    assert aspirin.pop("smiles") == DRUGS["aspirin"]
    assert other == pytest.approx(aspirin)


def test_empty_table_has_all_columns():
    for columns in ((), ("mw", "alerts"), select_columns(None)):
        frame = describe([], columns)
        assert frame.shape == (0, 4 + len(columns))
        assert list(frame) == [*FIXED, *columns]


def test_rdkit_writes_nothing_to_stderr(capfd):
    describe([*SUBSET, *INVALID], select_columns(None))
    packed_fingerprints(["", *SUBSET])
    assert capfd.readouterr().err == ""


# --- selection of columns ---


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
def test_select_columns_adds_required_columns_in_order(names, expected):
    assert select_columns(names) == expected


@given(st.sets(st.sampled_from(list(COLUMNS))))
@settings(max_examples=50, deadline=None)
def test_selected_columns_are_sufficient(names):
    columns = select_columns(names)
    assert select_columns(columns) == columns
    assert names <= set(columns)
    for index, name in enumerate(columns):
        assert set(COLUMNS[name].requires) & set(COLUMNS) <= set(columns[:index])
    assert set(describe(["CCO"], columns)["error"]) == {""}


def test_values_do_not_depend_on_selected_columns():
    texts = [DRUGS["imatinib"], "C1CC"]
    whole = describe(texts, tuple(COLUMNS))
    for names in [*([name] for name in COLUMNS), ["veber", "qed", "mw"], list(reversed(COLUMNS))]:
        frame = describe(texts, names)
        assert list(frame) == [*FIXED, *names]
        pd.testing.assert_frame_equal(frame, whole[[*FIXED, *names]])


def test_describe_unknown_column_raises():
    with pytest.raises(InputError, match="did you mean 'mw'"):
        describe([], ["mww"])


@pytest.mark.parametrize(
    ("unknown", "suggestion"),
    [("QEDs", "qed"), ("lipinsky", "lipinski"), ("moses_filter", "moses_filters"), ("alert", "alerts")],
)
def test_unknown_column_error_suggests_similar_name(unknown, suggestion):
    with pytest.raises(InputError, match=rf"unknown column '{unknown}' \(did you mean '{suggestion}'") as caught:
        select_columns(["mw", unknown])
    assert all(name in str(caught.value) for name in COLUMNS)


# --- columns that cannot be computed ---


def make_column_fail(monkeypatch, name, error):
    def fail(*_):
        raise error

    monkeypatch.setitem(molecules_module.COLUMNS, name, replace(COLUMNS[name], function=fail))


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ValueError("too large\nand more"), "too large: and more"),
        (RuntimeError("no ring information"), "no ring information"),
        (ZeroDivisionError("division by zero"), "division by zero"),
        (ValueError(), "ValueError"),
        (ValueError(" \n"), "ValueError"),
    ],
)
@pytest.mark.parametrize("name", ["qed", "alerts", "scaffold"])
def test_failing_column_does_not_affect_others(monkeypatch, table, name, error, reason):
    make_column_fail(monkeypatch, name, error)
    frame = describe([*SUBSET, "C1CC"], select_columns(None))
    expected = table[::3].reset_index(drop=True)
    assert list(frame["error"][:-1]) == [f"no {name}: {reason}"] * len(SUBSET)
    assert "ring 1" in frame["error"].iloc[-1]
    assert frame[name].isna().all()
    for other in (*FIXED[::2], *(column for column in COLUMNS if column != name)):
        assert list(frame[other][:-1]) == list(expected[other]), other


def test_column_with_missing_requirement_is_missing(monkeypatch):
    """A comparison of NaN with the limit would count as passed."""
    make_column_fail(monkeypatch, "mw", ValueError("no weight"))
    (row,) = describe([DRUGS["amiodarone"]], select_columns(["lipinski", "veber"])).to_dict("records")
    assert row["error"] == "no mw: no weight"
    assert math.isnan(row["mw"])
    assert row["lipinski"] is None
    assert row["veber"] is False  # does not require mw


def test_type_error_is_not_caught(monkeypatch):
    make_column_fail(monkeypatch, "qed", TypeError("wrong argument"))
    with pytest.raises(TypeError, match="wrong argument"):
        describe(["C"], ("qed",))


# --- fingerprints ---


def test_fingerprints_match_rdkit():
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)
    texts = ["", *SUBSET[:5], "", *SUBSET[5:], ""]
    packed = packed_fingerprints(texts)
    assert (packed.dtype, packed.shape) == (np.uint8, (len(texts), 256))
    for text, bits in zip(texts, np.unpackbits(packed, axis=1, bitorder="little"), strict=True):
        on = list(generator.GetFingerprint(Chem.MolFromSmiles(text)).GetOnBits()) if text else []
        assert list(np.flatnonzero(bits)) == on
        assert bool(on) == bool(text)


def test_fingerprints_of_empty_list():
    assert packed_fingerprints([]).shape == (0, 256)
