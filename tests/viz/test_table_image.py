"""Images of tables: order, titles, values and changes from the seed."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from molecules import DRUGS
from rdkit.Chem import QED

from molvae.chem.smiles import parse
from molvae.errors import InputError
from molvae.viz.grid import PANELS_PER_ROW
from molvae.viz.table_image import render_table, save_table_image, seed_properties, table_panels

SMILES = list(DRUGS.values())
ANALOGS = pd.DataFrame(
    {
        "seed": ["CCO"] * 3 + ["c1ccccc1"],
        "id": ["ethanol_a01", "ethanol_a02", "ethanol_a03", "benzene_a01"],
        "name": ["ethanol"] * 3 + ["benzene"],
        "smiles": SMILES[:4],
        "similarity": [0.72, 0.5, 0.25, 0.1],
        "qed": 0.612,
        "sa": 2.34,
        "logp": -0.04,
    }
)


def test_titles_are_ranks_and_names():
    titles = [panel.title for panel in table_panels(ANALOGS)]
    assert titles == [
        "Seed ethanol", "1  ethanol_a01", "2  ethanol_a02", "3  ethanol_a03", "", "Seed benzene", "1  benzene_a01",
    ]  # fmt: skip


def test_names_without_ids_are_those_of_the_molecules():
    frame = ANALOGS.drop(columns="id").assign(name=["a", "b", None, np.nan])
    titles = [panel.title for panel in table_panels(frame)]
    assert titles == ["Seed", "1  a", "2  b", "3", "", "Seed", "1"]
    assert [panel.title for panel in table_panels(frame.drop(columns="seed"))] == ["1  a", "2  b", "3", "4"]


def test_every_seed_starts_a_row_and_is_highlighted():
    panels = list(table_panels(ANALOGS))
    assert [panel.highlight for panel in panels] == [True] + [False] * 4 + [True, False]
    assert panels[PANELS_PER_ROW].highlight
    assert panels[4].depiction is None


def test_values_and_changes_from_the_seed():
    seed, first = list(table_panels(ANALOGS))[:2]
    qed = QED.qed(parse("CCO"))
    assert seed.legend.startswith(f"QED {qed:.2f}   SA ")
    assert first.legend.startswith(f"similarity 0.72   QED 0.61 ({0.61 - round(qed, 2):+.2f})   SA 2.3 (")
    assert "logP 0.0" in first.legend  # never -0.0


def test_missing_values_are_omitted():
    frame = pd.DataFrame({"smiles": ["CCO"], "qed": [np.nan], "sa": [None], "logp": ["text"], "mw": [46.07]})
    assert [panel.legend for panel in table_panels(frame)] == ["MW 46"]


def test_changes_are_marked():
    frame = pd.DataFrame({"seed": "Cc1ccccc1", "smiles": ["Cc1ccc(F)cc1", "Cc1ccccc1"]})
    assert [bool(panel.depiction.atoms) for panel in table_panels(frame)] == [False, True, False]


def test_rows_that_cannot_be_drawn_keep_their_place():
    frame = pd.DataFrame({"seed": "CCO", "smiles": ["C1CC", "C" * 1000, "CCN"]})
    problems = [panel.depiction.problem for panel in table_panels(frame)]
    assert problems[0] == problems[3] == ""
    assert "ring 1" in problems[1]
    assert "1,000 atoms" in problems[2]


def test_seed_that_cannot_be_drawn():
    frame = pd.DataFrame({"seed": "C1CC", "smiles": ["CCN"], "qed": 0.4})
    seed, analog = table_panels(frame)
    assert "ring 1" in seed.depiction.problem
    assert analog.depiction.mol is not None
    assert analog.legend == "QED 0.40"


def test_property_that_fails_is_missing():
    values = seed_properties(".".join("O" * 491), ["qed", "mw", "similarity"])  # QED overflows
    assert "mw" in values
    assert "similarity" not in values


def test_reconstructions_are_drawn_instead_of_inputs():
    frame = pd.DataFrame({"smiles": ["CCO", "CCN"], "reconstruction": ["c1ccccc1", ""]})
    assert render_table(frame, ".svg") == render_table(pd.DataFrame({"smiles": ["c1ccccc1"]}), ".svg")


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_saved_file_contains_the_rendered_image(tmp_path, suffix):
    assert save_table_image(ANALOGS, tmp_path / f"a{suffix}").read_bytes() == render_table(ANALOGS, suffix)


def test_empty_table_is_rejected():
    with pytest.raises(InputError, match="table is empty"):
        render_table(ANALOGS.iloc[:0])
