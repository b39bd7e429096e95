"""Projection: the nearest molecule that can be made."""

from molvae.data.rows import ARGUMENT, Record
from molvae.synthesis.planning import RoutePlanner
from molvae.synthesis.projection import project, project_all
from molvae.synthesis.route_score import RouteSettings
from molvae.synthesis.stock import MoleculeStock
from molvae.synthesis.stock_build import build_stock
from molvae.synthesis.variation import BlockLibrary

BLOCKS = ["NCc1ccccc1", "O=C(O)c1ccccc1", "O=C(O)c1ccncc1", "CC(=O)O", "CCN"]


def stock_file(tmp_path):
    path = tmp_path / "own.stock"
    build_stock([Record(text, "", ARGUMENT, row) for row, text in enumerate(BLOCKS)], path, workers=0)
    return path


def test_nearest_product_is_taken(tmp_path):
    """The 4-fluorobenzoic acid is missing; benzoic acid is the most similar one."""
    planner = RoutePlanner(stock_file(tmp_path))
    assert planner.plan("O=C(NCc1ccccc1)c1ccc(F)cc1").routes == ()
    library = BlockLibrary(MoleculeStock(planner.stock.path).smiles(), workers=0)
    route = project("O=C(NCc1ccccc1)c1ccc(F)cc1", planner, library)
    assert route.target == "O=C(NCc1ccccc1)c1ccccc1"
    assert set(route.building_blocks) <= set(BLOCKS)


def test_molecules_that_cannot_be_projected(tmp_path):
    settings = RouteSettings(str(stock_file(tmp_path)))
    found = project_all(["C1CCC2CCC2C1", "not a molecule", "CCNC(=O)c1ccccc1F"], settings, workers=0)
    assert found[:2] == [None, None]
    assert found[2].target == "CCNC(=O)c1ccccc1"
