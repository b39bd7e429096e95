"""Analogs by synthesis: products of other building blocks, their order, and their routes."""

from itertools import islice

import pytest
from rdkit import Chem

from molvae.synthesis.disconnections import Disconnector
from molvae.synthesis.reactions import shipped_reactions
from molvae.synthesis.routes import Route, RouteStep
from molvae.synthesis.variation import BlockLibrary, run_forward, variations

DISCONNECTOR = Disconnector(shipped_reactions())
TARGET = Chem.CanonSmiles("O=C(NCc1ccccc1)c1ccccc1")
STEP = RouteStep("amide coupling", "acylation", TARGET, ("O=C(O)c1ccccc1", "NCc1ccccc1"))
ROUTE = Route(TARGET, (STEP,), 1.0)
BLOCKS = ["O=C(O)c1ccccc1", "NCc1ccccc1", "O=C(O)c1ccncc1", "Cc1ccc(CN)cc1", "CC(=O)O", "CN", "c1ccccc1", "Oc1ccccc1"]


def brute_force():
    """All pairs of an acid and an amine but those of the route."""
    acids = [text for text in BLOCKS if "C(=O)O" in text or "O=C(O)" in text]
    amines = [text for text in BLOCKS if "N" in text and "n" not in text]
    amide = shipped_reactions()["amide coupling"]
    products = {
        p for a in acids for b in amines for p in amide.products([Chem.MolFromSmiles(a), Chem.MolFromSmiles(b)])
    }
    return products - {TARGET}


def test_all_products_are_made_once_and_in_order():
    found = list(variations([ROUTE], DISCONNECTOR, BlockLibrary(BLOCKS, workers=0)))
    assert {route.target for route in found} == brute_force()
    assert len(found) == len(brute_force())
    n_changed = [len(set(route.building_blocks) - set(ROUTE.building_blocks)) for route in found]
    assert n_changed[0] == 1
    for route in found:
        assert set(route.building_blocks) <= set(BLOCKS)
        assert DISCONNECTOR.verify(route.target, _disconnection(route.steps[-1])) is not None


def _disconnection(step):
    return next(way for way in DISCONNECTOR.disconnect(step.product) if way.reactants == step.reactants)


def test_missing_building_block_is_replaced_in_all():
    library = BlockLibrary([text for text in BLOCKS if text != "NCc1ccccc1"], workers=0)
    found = list(variations([ROUTE], DISCONNECTOR, library))
    assert found
    assert all("NCc1ccccc1" not in route.building_blocks for route in found)


def test_reaction_that_does_not_work_with_a_block():
    assert run_forward(ROUTE, {"NCc1ccccc1": "CN(C)C"}, DISCONNECTOR) is None
    new = run_forward(ROUTE, {"NCc1ccccc1": "CN"}, DISCONNECTOR)
    assert (new.target, new.building_blocks) == ("CNC(=O)c1ccccc1", ("O=C(O)c1ccccc1", "CN"))


def test_group_that_the_reaction_does_not_tolerate():
    assert run_forward(ROUTE, {"NCc1ccccc1": "NCCCCCN"}, DISCONNECTOR) is None


def test_route_without_steps_has_no_variations():
    assert list(variations([Route("CCO", (), 0.0)], DISCONNECTOR, BlockLibrary(BLOCKS, workers=0))) == []


def test_nearest_blocks_equal_a_loop():
    library = BlockLibrary(BLOCKS, workers=0)
    pattern = Chem.MolFromSmarts("[NX3;H2]")
    found = library.neighbors("NCc1ccccc1", pattern, 5)
    assert {smiles for _, smiles in found} == {"Cc1ccc(CN)cc1", "CN"}
    assert [similarity for similarity, _ in found] == sorted((s for s, _ in found), reverse=True)
    assert found[0][1] == "Cc1ccc(CN)cc1"


def test_first_variations_of_many_do_not_need_all():
    library = BlockLibrary([f"{'C' * n}CN" for n in range(60)] + ["O=C(O)c1ccccc1", "NCc1ccccc1"], workers=0)
    assert len(list(islice(variations([ROUTE], DISCONNECTOR, library), 3))) == 3


@pytest.mark.parametrize("workers", [0, 2])
def test_fingerprints_do_not_depend_on_workers(workers):
    library = BlockLibrary(BLOCKS, workers=workers)
    assert library.neighbors("NCc1ccccc1", Chem.MolFromSmarts("N"))[0][1] == "Cc1ccc(CN)cc1"
