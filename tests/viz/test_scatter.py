"""Scatter plots of molecules: static images and the page with structures on hover."""

from __future__ import annotations

import base64
import json
import re
import zlib

import numpy as np
import pandas as pd
import pytest
from molecules import DRUGS

from molvae.errors import InputError
from molvae.viz.molecules import molecule_svg
from molvae.viz.scatter import MAX_CLASSES, OTHERS, _figure, _groups, save_scatter

SMILES = list(DRUGS.values())
FRAME = pd.DataFrame(
    {
        "smiles": SMILES,
        "x": np.linspace(-1, 1, len(SMILES)),
        "y": np.linspace(0, 1, len(SMILES)) ** 2,
        "value": np.arange(len(SMILES), dtype=float),
        "kind": ["<b>" if "1" in smiles else "chain" for smiles in SMILES],
    }
)


@pytest.mark.parametrize("suffix", [".png", ".svg"])
@pytest.mark.parametrize("color", [None, "value", "kind"])
def test_static_image(tmp_path, suffix, color):
    assert save_scatter(FRAME, tmp_path / f"map{suffix}", color).stat().st_size > 5000


def test_molecules_without_a_value_are_drawn_in_grey():
    frame = FRAME.assign(value=FRAME["value"].where(FRAME["value"] > 0))
    collections = _figure({"": frame}, "value").axes[0].collections
    assert [np.ma.count(points.get_offsets()[:, 0]) for points in collections] == [1, len(SMILES) - 1]
    assert collections[0].get_label() == "missing (1)"


def test_page_contains_all_structures_and_loads_nothing(tmp_path):
    text = save_scatter(FRAME, tmp_path / "map.html", "value").read_text(encoding="utf-8")
    data = json.loads(re.search(r'Plotly\.newPlot\(\s*"[^"]+",\s*(\[.*?\]),\s*\{', text, flags=re.S)[1])
    (trace,) = data
    drawings = [zlib.decompress(base64.b64decode(packed)).decode() for packed in trace["customdata"]]
    assert drawings == [molecule_svg(smiles) for smiles in SMILES]
    assert [label.split("<br>")[0] for label in trace["text"]] == SMILES
    assert "plotly_hover" in text
    assert not re.search(r"<(script|link|img)[^>]+(src|href)=", text)
    assert text.count("Plotly.newPlot") == 1


def test_rare_classes_share_one_group():
    names = [f"c{i}" for i in range(MAX_CLASSES + 5) for _ in range(MAX_CLASSES + 10 - i)]
    frame = pd.DataFrame({"smiles": "C", "x": 0.0, "y": 0.0, "kind": names})
    groups = _groups(frame, "kind")
    assert len(groups) == MAX_CLASSES
    assert len(groups[OTHERS]) == sum(sorted(frame["kind"].value_counts())[:6])
    assert sum(map(len, groups.values())) == len(frame)


def test_unknown_format_and_empty_table_are_rejected(tmp_path):
    with pytest.raises(InputError, match=r"map\.gif"):
        save_scatter(FRAME, tmp_path / "map.gif")
    with pytest.raises(InputError, match="table is empty"):
        save_scatter(FRAME.iloc[:0], tmp_path / "map.png")
    assert not list(tmp_path.iterdir())
