"""Drawings of single molecules: well-formed, never an exception, with a reason for what is not drawn."""

from __future__ import annotations

import time
from xml.etree import ElementTree

import pytest
from molecules import DRUGS
from rdkit.Chem.Draw import rdMolDraw2D

from molvae.viz import molecules
from molvae.viz.comparison import Stopwatch
from molvae.viz.layout import MAX_DRAWN_ATOMS
from molvae.viz.molecules import depict, depiction_svg, molecule_svg

SMILES = list(DRUGS.values())
CHANGE = "#FFDB85"


@pytest.mark.parametrize(
    "smiles", [*SMILES, "[Na+].[Cl-]", "[Pt+2]", "C~C", "*c1ccccc1", "[13CH3:1]O", "F[P-](F)(F)(F)(F)F"]
)
def test_svg_of_a_molecule(smiles):
    text = molecule_svg(smiles)
    assert ElementTree.fromstring(text).tag == "{http://www.w3.org/2000/svg}svg"


@pytest.mark.parametrize("smiles", ["", "C1CC", "nothing", "C\x00C", "\ud800", "CC(=O)\N{CYRILLIC CAPITAL LETTER O}"])
def test_invalid_smiles_have_a_reason_and_no_svg(smiles):
    assert molecule_svg(smiles) == ""
    assert depict(smiles).problem
    assert depict(smiles).problem.isprintable()


def test_huge_molecules_are_not_drawn():
    start = time.monotonic()
    for n_atoms in (MAX_DRAWN_ATOMS + 1, 1000, 4000):
        depiction = depict("C" * n_atoms)
        assert depiction.problem == f"not drawn: {n_atoms:,} atoms, the limit is {MAX_DRAWN_ATOMS}"
    assert time.monotonic() - start < 2
    assert depict("C" * MAX_DRAWN_ATOMS).mol is not None


@pytest.mark.parametrize("error", [RuntimeError("Invariant Violation"), ValueError("kekulize"), OverflowError("int")])
def test_failure_of_rdkit_is_the_reason(monkeypatch, error):
    def fail(*_args, **_options):
        raise error

    monkeypatch.setattr(rdMolDraw2D, "PrepareMolForDrawing", fail)
    assert depict("CCO").problem == f"cannot be drawn: {error}"
    assert molecule_svg("CCO") == ""


def divide_by_zero(*_args, **_options):
    return 1 / 0


def test_failure_while_drawing_is_the_reason(monkeypatch):
    depiction = depict("CCO")
    monkeypatch.setattr(rdMolDraw2D.MolDraw2D, "DrawMolecule", divide_by_zero)
    monkeypatch.setattr(rdMolDraw2D.MolDraw2DSVG, "DrawMolecule", divide_by_zero)
    assert depiction_svg(depiction, 100, 100) == ("", "cannot be drawn: division by zero")


def test_change_from_the_seed_is_marked():
    assert CHANGE in molecule_svg("Cc1ccc(F)cc1", align_to="Cc1ccccc1")
    assert CHANGE not in molecule_svg("Cc1ccccc1", align_to="Cc1ccccc1")
    assert CHANGE not in molecule_svg("Cc1ccc(F)cc1")


@pytest.mark.parametrize("seed", ["C1CC", "", "C" * 1000, "CCO"])
def test_molecule_is_drawn_whatever_its_seed(seed):
    assert molecule_svg(DRUGS["imatinib"], align_to=seed).startswith("<svg")


def test_molecules_are_not_compared_when_the_time_is_over():
    depiction = depict("Cc1ccc(F)cc1", align_to="Cc1ccccc1", stopwatch=Stopwatch(0))
    assert depiction.mol is not None
    assert (depiction.atoms, depiction.bonds) == ((), ())


def test_rings_that_cannot_be_kekulized_are_drawn(monkeypatch):
    monkeypatch.setattr(molecules, "_can_kekulize", lambda _: False)
    assert molecule_svg("c1ccccc1").startswith("<svg")
