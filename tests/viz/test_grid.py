"""Grids of panels as PNG and SVG: sizes, text, and cells that cannot be drawn."""

from __future__ import annotations

import struct
from xml.etree import ElementTree

import pytest
from molecules import DRUGS
from rdkit.Chem.Draw import rdMolDraw2D

from molvae.errors import InputError
from molvae.viz.grid import (
    MAX_PANELS,
    PANELS_PER_ROW,
    Panel,
    cut_text,
    render_panels,
    save_panels,
    text_width,
    wrap_values,
)

SVG = "{http://www.w3.org/2000/svg}"
SMILES = list(DRUGS.values())
HOSTILE = "<script>alert('1')</script> \"&]]> \x00\x1b\u202eevil\ud800 <sub>x"


def png_size(png):
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    return struct.unpack(">II", png[16:24])


def svg_of(panels, n_columns=PANELS_PER_ROW):
    return ElementTree.fromstring(render_panels(panels, ".svg", n_columns))


def texts_of(panels):
    return ["".join(text.itertext()) for text in svg_of(panels).iter(f"{SVG}text")]


@pytest.mark.parametrize(("count", "rows"), [(1, 1), (5, 1), (6, 2), (40, 8)])
def test_size_of_a_grid(count, rows):
    panels = [Panel.from_smiles("CCO", "QED 0.41", title="ethanol")] * count
    (width, height), (panel_width, panel_height) = (
        png_size(render_panels(panels)),
        png_size(render_panels(panels[:1])),
    )
    margin = 8
    columns = min(count, PANELS_PER_ROW)
    assert (width - margin, height - margin) == (columns * (panel_width - margin), rows * (panel_height - margin))
    svg = svg_of(panels)
    assert (int(svg.get("width")), int(svg.get("height"))) == (width, height)
    assert len(svg.findall(f"{SVG}g")) == count


def test_text_of_a_panel():
    panel = Panel.from_smiles("CCO", "similarity 0.72   QED 0.41 (-0.05)   SA 2.0", title="1  Aspirin é 漢 µ")
    assert texts_of([panel]) == ["1  Aspirin é 漢 µ", "similarity 0.72   QED 0.41 (-0.05)", "SA 2.0"]


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_hostile_text(suffix):
    panels = [Panel.from_smiles(HOSTILE, HOSTILE, title=HOSTILE), Panel.from_smiles("CCO", HOSTILE, title=HOSTILE * 50)]
    assert render_panels(panels, suffix)
    if suffix == ".svg":
        svg = svg_of(panels)
        assert {element.tag for element in svg.iter()} <= {
            f"{SVG}{t}" for t in ("svg", "g", "title", "rect", "text", "path")
        }
        assert not any("\u202e" in "".join(text.itertext()) for text in svg.iter(f"{SVG}text"))
        assert "<script>alert('1')" in svg.find(f"{SVG}g/{SVG}title").text


def test_cell_that_cannot_be_drawn_says_why():
    panels = [Panel.from_smiles("CCO"), Panel.from_smiles("C1CC", title="2"), Panel.from_smiles("C" * 500), Panel(None)]
    texts = " ".join(texts_of(panels))
    assert "ring 1 opened but not closed" in texts
    assert "not drawn: 500 atoms" in texts
    assert len(svg_of(panels).findall(f"{SVG}g/{SVG}svg")) == 1
    assert len(svg_of(panels).findall(f"{SVG}g")) == 3


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_failure_of_one_molecule_does_not_end_the_image(monkeypatch, suffix):
    canvas_type = rdMolDraw2D.MolDraw2DCairo if suffix == ".png" else rdMolDraw2D.MolDraw2DSVG
    draw = rdMolDraw2D.MolDraw2D.DrawMolecule

    def fail_for_chlorine(canvas, mol, **options):
        if any(atom.GetSymbol() == "Cl" for atom in mol.GetAtoms()):
            raise RuntimeError("Invariant Violation")
        return draw(canvas, mol, **options)

    monkeypatch.setattr(canvas_type, "DrawMolecule", fail_for_chlorine)
    panels = [Panel.from_smiles(smiles) for smiles in ("CCO", "CCCl", "CCN")]
    content = render_panels(panels, suffix)
    if suffix == ".svg":
        assert content.decode().count("cannot be drawn: Invariant") == 1
        assert len(ElementTree.fromstring(content).findall(f"{SVG}g/{SVG}svg")) == 2


def test_each_molecule_is_scaled_to_its_panel():
    """A bond of ethanol is as long as the limit, and imatinib fills the width of its panel."""
    panels = [Panel.from_smiles("CCO"), Panel.from_smiles(DRUGS["imatinib"])]
    extents = []
    for structure in svg_of(panels).findall(f"{SVG}g/{SVG}svg"):
        points = [
            float(pair.split(",")[0])
            for path in structure.iter(f"{SVG}path") if path.get("class") is None
            for pair in path.get("d").split() if "," in pair
        ]  # fmt: skip
        extents.append(max(points) - min(points))
    assert extents[0] < 100
    assert extents[1] > 200


def test_backgrounds():
    colors = [
        group.find(f"{SVG}rect").get("fill")
        for group in svg_of(
            [Panel.from_smiles("C", highlight=True), Panel.from_smiles("C", shade=True), Panel.from_smiles("C")]
        ).findall(f"{SVG}g")
    ]
    assert len(set(colors)) == 3
    assert colors[2] == "#ffffff"


def test_number_of_panels_is_limited():
    panels = [Panel.from_smiles("CCO")]
    many, limit = render_panels(panels * (MAX_PANELS + 100), ".svg"), render_panels(panels * MAX_PANELS, ".svg")
    assert many == limit


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_saved_file_contains_the_rendered_image(tmp_path, suffix):
    panels = [Panel.from_smiles(smiles) for smiles in SMILES[:3]]
    assert save_panels(panels, tmp_path / f"a{suffix}").read_bytes() == render_panels(panels, suffix)


def test_no_panels_are_rejected():
    with pytest.raises(InputError, match="table is empty"):
        render_panels([])


def test_unknown_format_is_rejected():
    with pytest.raises(InputError, match=r"\.gif"):
        render_panels([Panel.from_smiles("C")], ".gif")


@pytest.mark.parametrize("text", ["short", "W" * 200, "a b " * 100, "漢" * 100, "é" * 100])
def test_text_is_cut_to_a_width(text):
    cut = cut_text(text, 150, 12)
    assert text_width(cut, 12) <= 150
    assert cut == text or (cut.endswith("...") and text.startswith(cut[:-3]))


def test_values_are_wrapped_and_limited():
    legend = "   ".join(f"property_{i} 0.12" for i in range(20))
    lines = wrap_values(legend, 240)
    assert len(lines) == 4
    assert all(text_width(line, 12) <= 240 for line in lines)
    assert wrap_values("", 240) == []
