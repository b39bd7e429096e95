"""Grids of molecules as PNG and SVG, and drawings of single molecules."""

from __future__ import annotations

import struct

import numpy as np
import pandas as pd
import pytest
from molecules import DRUGS

from molvae.chem.scaffolds import murcko_scaffold
from molvae.chem.smiles import parse
from molvae.errors import InputError
from molvae.viz.molecules import (
    MAX_PANELS,
    PANELS_PER_ROW,
    Panel,
    molecule_svg,
    render_table,
    save_table_image,
    table_panels,
)

SMILES = list(DRUGS.values())
HIGHLIGHT = "#CCE5FF"
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


def png_size(png: bytes) -> tuple[int, int]:
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", png[16:24])
    return width, height


def grid_size(n_molecules: int) -> tuple[int, int]:
    return png_size(render_table(pd.DataFrame({"smiles": SMILES[:n_molecules]})))


@pytest.mark.parametrize(("count", "rows"), [(1, 1), (5, 1), (6, 2), (40, 8)])
def test_one_panel_per_molecule(count, rows):
    panel_width, panel_height = grid_size(1)
    assert grid_size(count) == (panel_width * min(count, PANELS_PER_ROW), panel_height * rows)


def test_every_seed_starts_a_row():
    """Seed and three analogs, a blank panel, then the other seed and its analog."""
    panel_width, panel_height = grid_size(1)
    assert png_size(render_table(ANALOGS)) == (panel_width * PANELS_PER_ROW, panel_height * 2)


def test_seeds_are_highlighted():
    assert HIGHLIGHT in render_table(ANALOGS, ".svg").decode()
    assert HIGHLIGHT not in render_table(ANALOGS.drop(columns="seed"), ".svg").decode()


def test_legends():
    panels = list(table_panels(ANALOGS))
    assert [panel.legend for panel in panels[:2]] == ["seed", "0.72   QED 0.61   SA 2.3   logP 0.0"]
    assert [panel.highlight for panel in panels] == [True] + [False] * 4 + [True, False]


def test_number_of_panels_is_limited():
    many = pd.DataFrame({"smiles": ["C" * (1 + i % 5) for i in range(MAX_PANELS + 100)]})
    assert png_size(render_table(many))[1] == png_size(render_table(many.head(MAX_PANELS)))[1]


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_saved_file_contains_the_rendered_image(tmp_path, suffix):
    assert save_table_image(ANALOGS, tmp_path / f"a{suffix}").read_bytes() == render_table(ANALOGS, suffix)


def test_reconstructions_are_drawn_instead_of_inputs():
    frame = pd.DataFrame({"smiles": ["CCO", "CCN"], "reconstruction": ["c1ccccc1", ""]})
    assert render_table(frame, ".svg") == render_table(pd.DataFrame({"smiles": ["c1ccccc1"]}), ".svg")


def test_empty_table_is_rejected():
    with pytest.raises(InputError, match="table is empty"):
        render_table(ANALOGS.iloc[:0])


def test_unknown_format_is_rejected():
    with pytest.raises(InputError, match=r"\.gif"):
        render_table(ANALOGS, ".gif")


@pytest.mark.parametrize("smiles", SMILES)
def test_svg_of_a_molecule(smiles):
    text = molecule_svg(smiles)
    assert text.startswith("<svg")
    assert text.rstrip().endswith("</svg>")


@pytest.mark.parametrize("smiles", ["", "C1CC", "nothing"])
def test_invalid_smiles_have_no_svg(smiles):
    assert molecule_svg(smiles) == ""


def test_analogs_are_aligned_to_the_scaffold_of_their_seed():
    """Molecules without that scaffold keep their own coordinates, and no molecule is aligned to an invalid seed."""
    seed, other_scaffold = DRUGS["imatinib"], "CCc1ccc(NC(=O)c2ccc(CN3CCOCC3)cc2)cc1Nc1nccc(-c2cccnc2)n1"
    longer_chain = "Cc1cc(NC(=O)c2ccc(CN3CCN(CCC)CC3)c(C)c2)ccc1Nc1nccc(-c2cccnc2)n1"
    same_scaffold = other_scaffold.replace("CN3CCOCC3", "CN3CCN(CC)CC3")
    seed_positions = Panel.from_smiles(seed, highlight=True).mol.GetConformer().GetPositions()
    scaffold = murcko_scaffold(parse(seed))
    for smiles, aligned in ((same_scaffold, True), (longer_chain, False), (other_scaffold, False)):
        mol = parse(smiles)
        positions = Panel.from_smiles(smiles, align_to=seed).mol.GetConformer().GetPositions()
        assert mol.HasSubstructMatch(scaffold) == aligned
        if aligned:
            atoms, seed_atoms = mol.GetSubstructMatch(scaffold), parse(seed).GetSubstructMatch(scaffold)
            np.testing.assert_allclose(positions[list(atoms)], seed_positions[list(seed_atoms)], atol=1e-3)
        else:
            np.testing.assert_allclose(positions, Panel.from_smiles(smiles).mol.GetConformer().GetPositions())
    assert Panel.from_smiles("C1CC", align_to=seed).mol is None
    assert Panel.from_smiles("CCO", align_to="C1CC").mol is not None
