"""Grids of molecules: one panel each, the seed first, in PNG and SVG."""

from __future__ import annotations

import struct

import numpy as np
import pandas as pd
import pytest
from molecules import DRUGS

from molvae.chem.scaffolds import scaffold_of
from molvae.chem.smiles import parse
from molvae.errors import InputError
from molvae.viz.molecules import COLUMNS, MOST_PANELS, Panel, grid, save_grid, svg

SMILES = list(DRUGS.values())
ANALOGS = pd.DataFrame(
    {
        "seed": ["CCO"] * 3 + ["c1ccccc1"],
        "smiles": SMILES[:4],
        "similarity": [0.72, 0.5, 0.25, 0.1],
        "qed": 0.612,
        "sa": 2.34,
        "logp": -0.04,
    }
)


def _size(png: bytes) -> tuple[int, int]:
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", png[16:24])
    return width, height


@pytest.mark.parametrize(("count", "rows"), [(1, 1), (5, 1), (6, 2), (40, 8)])
def test_a_panel_for_each_molecule(count, rows):
    width, height = _size(grid(pd.DataFrame({"smiles": SMILES[:count]})))
    one = _size(grid(pd.DataFrame({"smiles": SMILES[:1]})))
    assert (width, height) == (one[0] * min(count, COLUMNS), one[1] * rows)


def test_every_seed_starts_a_row():
    """Seed and three analogs, an empty panel, then the other seed and its analog."""
    one = _size(grid(pd.DataFrame({"smiles": SMILES[:1]})))
    assert _size(grid(ANALOGS)) == (one[0] * COLUMNS, one[1] * 2)


def test_the_seed_is_blue():
    color = "#CCE5FF"
    assert color in grid(ANALOGS, ".svg").decode()
    assert color not in grid(ANALOGS.drop(columns="seed"), ".svg").decode()


def test_legends():
    from molvae.viz.molecules import _panels

    legends = [panel.legend for panel in _panels(ANALOGS)]
    assert legends[:2] == ["seed", "0.72   QED 0.61   SA 2.3   logP 0.0"]
    assert [panel.seed for panel in _panels(ANALOGS)] == [True] + [False] * 4 + [True, False]


def test_no_more_than_viewers_open():
    many = pd.DataFrame({"smiles": ["C" * (1 + i % 5) for i in range(MOST_PANELS + 100)]})
    assert _size(grid(many))[1] == _size(grid(many.head(MOST_PANELS)))[1]


def test_same_table_same_picture(tmp_path):
    assert save_grid(ANALOGS, tmp_path / "a.png").read_bytes() == grid(ANALOGS, ".png")
    assert save_grid(ANALOGS, tmp_path / "a.svg").read_bytes() == grid(ANALOGS, ".svg")


def test_reconstructions_are_drawn_not_their_inputs():
    frame = pd.DataFrame({"smiles": ["CCO", "CCN"], "reconstruction": ["c1ccccc1", ""]})
    assert grid(frame, ".svg") == grid(pd.DataFrame({"smiles": ["c1ccccc1"]}), ".svg")


def test_nothing_to_draw():
    with pytest.raises(InputError, match="no molecules to draw"):
        grid(ANALOGS.iloc[:0])


def test_another_format():
    with pytest.raises(InputError, match=r"\.png or \.svg, got '\.gif'"):
        grid(ANALOGS, ".gif")


@pytest.mark.parametrize("smiles", SMILES)
def test_one_molecule_for_a_page(smiles):
    text = svg(smiles)
    assert text.startswith("<svg")
    assert text.rstrip().endswith("</svg>")


@pytest.mark.parametrize("smiles", ["", "C1CC", "nothing"])
def test_what_is_no_molecule_is_no_drawing(smiles):
    assert svg(smiles) == ""


def test_an_analog_lies_as_its_seed_does():
    """The scaffold, atom by atom; one without it is drawn in its own way, what cannot be read has an empty place."""
    seed, analog = DRUGS["imatinib"], "CCc1ccc(NC(=O)c2ccc(CN3CCOCC3)cc2)cc1Nc1nccc(-c2cccnc2)n1"
    other = "Cc1cc(NC(=O)c2ccc(CN3CCN(CCC)CC3)c(C)c2)ccc1Nc1nccc(-c2cccnc2)n1"
    alike = analog.replace("CN3CCOCC3", "CN3CCN(CC)CC3")
    drawn = Panel.of(seed, seed=True).mol.GetConformer().GetPositions()
    scaffold = scaffold_of(parse(seed))
    for smiles, same in ((alike, True), (other, False), (analog, False)):
        mol = parse(smiles)
        positions = Panel.of(smiles, like=seed).mol.GetConformer().GetPositions()
        assert mol.HasSubstructMatch(scaffold) == same
        if same:
            at, seeds = mol.GetSubstructMatch(scaffold), parse(seed).GetSubstructMatch(scaffold)
            np.testing.assert_allclose(positions[list(at)], drawn[list(seeds)], atol=1e-3)
        else:
            np.testing.assert_allclose(positions, Panel.of(smiles).mol.GetConformer().GetPositions())
    assert Panel.of("C1CC", like=seed).mol is None
    assert Panel.of("CCO", like="C1CC").mol is not None
