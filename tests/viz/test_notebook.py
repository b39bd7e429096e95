"""Molecule grids in a notebook."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from molecules import DRUGS

import molvae
from molvae.errors import InputError
from molvae.viz import notebook
from molvae.viz.notebook import MAX_VALUES, show

SMILES = list(DRUGS.values())
ANALOGS = pd.DataFrame(
    {
        "seed": ["CCO"] * 2 + ["c1ccccc1"],
        "smiles": SMILES[:3],
        "similarity": [0.72, 0.5, 0.25],
        "qed": 0.612,
        "not_in_training": [True, False, None],
    }
)


def html_of(table, **options):
    return show(table, **options)._repr_html_()


def test_show_is_a_public_function():
    assert molvae.show is show


def test_every_molecule_and_seed_is_drawn():
    html = html_of(ANALOGS)
    assert html.count("<svg") == html.count("</svg>") == 3 + 2
    assert html.count("molvae-card molvae-seed") == 2
    assert html.index(">CCO</code>") < html.index(f">{SMILES[0]}</code>")
    assert "similarity <b>0.72</b>" in html
    assert "not in training <b>yes</b>" in html


def test_page_needs_no_network_and_no_script():
    html = html_of(ANALOGS)
    assert "<script" not in html
    assert "src=" not in html


def test_text_is_escaped():
    hostile = "<script>alert(1)</script>"
    frame = pd.DataFrame(
        {"smiles": ["CCO"], "name": [hostile], hostile: [hostile], "error": [hostile], "seed": [hostile]}
    )
    html = html_of(frame)
    assert "<script" not in html
    assert html.count("&lt;script&gt;") >= 5  # the seed, name, column, value and error, and alternatives of drawings


def test_invalid_smiles_are_shown_with_their_error():
    html = html_of(pd.DataFrame({"smiles": ["CCO", "C1CC", "CCN"], "error": ["", "ring 1 opened", ""]}))
    assert html.count("<svg") == 2
    assert html.count('<div class="molvae-card"') == 3
    assert html.index(">CCO</code>") < html.index(">C1CC</code>") < html.index(">CCN</code>")
    assert html.index(">C1CC</code>") < html.index('"molvae-error">ring 1 opened')


def test_number_of_rows_is_limited_with_a_note():
    frame = pd.DataFrame({"smiles": SMILES})
    assert f"Showing 5 of {len(SMILES)} rows." in html_of(frame, n=5)
    assert "Showing" not in html_of(frame)
    assert repr(show(frame, n=5)) == f"MoleculeGrid(5 of {len(SMILES)} molecules)"


def test_reconstructions_are_drawn_beside_their_inputs():
    frame = pd.DataFrame({"smiles": ["OCC", "CCN"], "reconstruction": ["CCO", ""], "exact": [True, False]})
    assert html_of(frame).count("<svg") == 3
    assert html_of(frame, smiles_columns=["reconstruction"]).count("<svg") == 1


def test_default_columns_omit_latents_and_missing_values():
    latents = {f"z{i}": [0.123] for i in range(20)}
    properties = {f"property_{i}": [1.5] for i in range(20)}
    html = html_of(pd.DataFrame({"smiles": ["CCO"], "unknown": [np.nan], **latents, **properties, "qed": [0.4]}))
    assert html.count('class="molvae-value"') == MAX_VALUES
    assert html.index("QED <b>") < html.index("property 0 <b>")
    assert "z0" not in html
    assert "unknown" not in html


def test_columns_can_be_chosen():
    html = html_of(ANALOGS, columns=["qed"])
    assert "QED <b>0.61</b> (+" in html
    assert "similarity <b>" not in html


@pytest.mark.parametrize("attribute", ["table", "molecules"])
def test_results_with_a_table_of_molecules(attribute):
    assert html_of(SimpleNamespace(**{attribute: ANALOGS})).count("<svg") == 5


def test_empty_table():
    assert "<svg" not in html_of(ANALOGS.iloc[:0])


@pytest.mark.parametrize(
    ("table", "options", "message"),
    [
        (pd.DataFrame({"x": [1]}), {}, "no column 'smiles'"),
        (ANALOGS, {"columns": ["qde"]}, "no column 'qde'"),
        (ANALOGS, {"smiles_columns": ["SMILES"]}, "no column 'SMILES'"),
        (["CCO"], {}, "got list"),
    ],
)
def test_unusable_tables_and_columns_are_rejected(table, options, message):
    with pytest.raises(InputError, match=message):
        show(table, **options)


def test_grid_is_displayed_in_a_notebook(monkeypatch):
    displayed = []
    ipython = SimpleNamespace(get_ipython=lambda: SimpleNamespace(kernel=True))
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", SimpleNamespace(display=displayed.append))
    assert notebook.in_notebook()
    assert show(ANALOGS) is None
    assert displayed[0]._repr_html_().count("<svg") == 5


def test_terminal_is_not_a_notebook(monkeypatch):
    for ipython in (None, SimpleNamespace(get_ipython=lambda: None), SimpleNamespace(get_ipython=lambda: object())):
        monkeypatch.setitem(sys.modules, "IPython", ipython)
        assert not notebook.in_notebook()
