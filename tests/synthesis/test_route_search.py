"""The search of routes, against a search of all routes by recursion."""

from itertools import product
from math import inf

import pytest
from rdkit import Chem

from molvae.synthesis.disconnections import Disconnection, Disconnector
from molvae.synthesis.reactions import Reaction, ReactionSet, shipped_reactions
from molvae.synthesis.route_search import RouteLimits, find_routes

# reactions of letters: each atom of a chain is joined to its neighbor by the reaction of this bond
AMIDE = Reaction(
    "amide coupling", "acylation", "[C:1](=[O:2])[OH].[N;!H0;!$(NC=O):3]>>[C:1](=[O:2])[N:3]",
    "[C:1](=[O:2])-!@[N:3]>>[C:1](=[O:2])O.[N:3]", "", (),
)  # fmt: skip
ETHER = Reaction(
    "ether", "O-alkylation", "[c:1][OH:2].[CH2:3]Br>>[c:1][O:2][C:3]",
    "[c:1][O:2]-!@[CH2:3]>>[c:1][OH:2].[C:3]Br", "", (),
)  # fmt: skip
NEVER = Reaction("never", "none", "[c:1][F].[N:2]>>[c:1][N:2]", "[c:1]-!@[NH2:2]>>[c:1]Cl.[N:2]", "", ())
REACTIONS = ReactionSet([AMIDE, ETHER, NEVER], {})
TARGETS = [
    "CCNC(=O)c1ccc(OCC(=O)NCc2ccccc2)cc1",
    "O=C(Nc1ccc(OCC(=O)N2CCOCC2)cc1)c1ccccc1",
    "NC(=O)c1ccccc1",
    "CC(=O)NCC(=O)NCC(=O)NC",
    "C1CCCCC1",
]
STOCKS = [
    {"CCN", "NCc1ccccc1", "O=C(O)CBr", "O=C(O)c1ccc(O)cc1", "C1COCCN1", "Nc1ccc(O)cc1", "O=C(O)c1ccccc1", "N"},
    {"O=C(O)c1ccc(OCC(=O)O)cc1", "CCN", "NCc1ccccc1", "CC(=O)O", "NCC(=O)O", "CN", "CC(=O)NCC(=O)O"},
    {"CCNC(=O)c1ccc(O)cc1", "O=C(CBr)NCc1ccccc1", "C1CCCCC1"},
]


class Shelf:
    """A stock with a cost of 0.1 for each molecule."""

    description = "a shelf"
    column_names = ()

    def __init__(self, smiles):
        self.smiles = {Chem.CanonSmiles(text) for text in smiles}

    def costs(self, smiles):
        return [0.1 if text in self.smiles else inf for text in smiles]

    def columns(self, smiles):
        return [{} for _ in smiles]


def all_routes(target, disconnector, stock, max_steps, ancestors=()):
    """The cost and the reactions, as a set of texts, of every route: the slow way."""
    if stock.costs([target])[0] < inf:
        yield 0.1, frozenset()
        if ancestors:
            return
    if max_steps == 0:
        return
    for found in disconnector.disconnect(target):
        if {target, *ancestors} & set(found.reactants) or disconnector.verify(target, found) is None:
            continue
        parts = [
            list(all_routes(reactant, disconnector, stock, max_steps - 1, (target, *ancestors)))
            for reactant in found.reactants
        ]
        step = disconnector.verify(target, found)
        for combination in product(*parts):
            steps = frozenset({str(step)}).union(*(steps for _, steps in combination))
            if len(steps) <= max_steps:
                extra = 0.2 * (step.n_products > 1) + 0.5 * (step.stereo == "open")
                yield 1 + extra + sum(cost for cost, _ in combination), steps


@pytest.mark.parametrize("max_steps", [1, 2, 3])
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("shelf", STOCKS, ids=["small blocks", "acids", "intermediates"])
def test_finds_the_cheapest_routes(target, shelf, max_steps):
    target, stock, disconnector = Chem.CanonSmiles(target), Shelf(shelf), Disconnector(REACTIONS)
    expected = {}
    for cost, steps in all_routes(target, disconnector, stock, max_steps):
        expected[steps] = min(cost, expected.get(steps, inf))
    result = find_routes(target, disconnector, stock, RouteLimits(max_steps, 50, 500, 60))
    found = {frozenset(map(str, route.steps)): route.cost for route in result.routes}
    assert found == pytest.approx(expected)
    costs = [route.cost for route in result.routes]
    assert costs == sorted(costs)
    assert result.ended_by == "exhausted"
    best = find_routes(target, disconnector, stock, RouteLimits(max_steps, 1, 500, 60))
    assert [route.cost for route in best.routes] == pytest.approx(costs[:1])


def test_steps_are_in_the_order_of_the_synthesis():
    result = find_routes(Chem.CanonSmiles(TARGETS[0]), Disconnector(REACTIONS), Shelf(STOCKS[0]))
    route = result.routes[0]
    made = set()
    for step in route.steps:
        assert {reactant for reactant in step.reactants if reactant not in route.building_blocks} <= made
        made.add(step.product)
    assert route.steps[-1].product == route.target
    assert (route.n_steps, route.n_linear_steps) == (3, 2) or route.n_linear_steps == 3
    assert route.to_dict()["n_steps"] == route.n_steps == len(route.steps)


def test_target_in_the_stock_has_a_route_without_steps_and_others():
    stock = Shelf(["CCNC(C)=O", "CCN", "CC(=O)O"])
    first, second = find_routes("CCNC(C)=O", Disconnector(REACTIONS), stock).routes
    assert (first.n_steps, first.building_blocks) == (0, ("CCNC(C)=O",))
    assert (second.n_steps, second.building_blocks) == (1, ("CC(=O)O", "CCN"))
    result = find_routes("CCNC(C)=O", Disconnector(REACTIONS), stock, RouteLimits(n_routes=1))
    assert (len(result.routes), result.n_expanded, result.ended_by) == (1, 0, "found")


def test_step_that_the_forward_template_does_not_make_is_left_out():
    """The retro template of `never` gives a chloride, its forward template needs a fluoride."""
    disconnector = Disconnector(REACTIONS)
    (found,) = disconnector.disconnect("Nc1ccccc1")
    assert found.reactants == ("Clc1ccccc1", "N")
    assert disconnector.verify("Nc1ccccc1", found) is None
    assert find_routes("Nc1ccccc1", disconnector, Shelf(["Clc1ccccc1", "N"])).routes == ()


def test_limits():
    target = Chem.CanonSmiles(TARGETS[0])
    result = find_routes(target, Disconnector(REACTIONS), Shelf([]), RouteLimits(max_expansions=3))
    assert (result.routes, result.n_expanded, result.ended_by) == ((), 3, "expansions")
    assert find_routes(target, Disconnector(REACTIONS), Shelf([]), RouteLimits(time_limit=0)).ended_by == "time"


def disconnection(product, reactants):
    disconnector = Disconnector(shipped_reactions())
    found = [way for way in disconnector.disconnect(product) if set(way.reactants) == set(reactants)]
    return [disconnector.verify(product, way) for way in found]


def test_stereo_that_a_reaction_keeps():
    (step,) = disconnection("C[C@H](NC(=O)c1ccccc1)C(=O)OC", ("O=C(O)c1ccccc1", "COC(=O)[C@H](C)N"))
    assert step.stereo == "kept"


def test_stereo_that_a_reaction_leaves_open():
    """A Grignard reaction makes both enantiomers."""
    (step,) = disconnection("C[C@H](O)c1ccc2ccccc2c1", ("CC=O", "Brc1ccc2ccccc2c1"))
    assert step.stereo == "open"


def test_the_other_stereoisomer_is_not_made():
    """The reactants have the other configuration: the step is wrong, not open."""
    disconnector = Disconnector(REACTIONS)
    wrong = Disconnection(AMIDE, ("CC(=O)O", "C[C@@H](N)CC"))
    assert disconnector.verify("CC[C@@H](C)NC(C)=O", wrong) is not None
    assert disconnector.verify("CC[C@H](C)NC(C)=O", wrong) is None
    assert disconnector.verify("CCC(C)NC(C)=O", wrong).stereo == "kept"


@pytest.mark.parametrize(
    ("product", "expected"), [("C(=C/c1ccccc1)\\c1ccccc1", True), ("C(=C\\c1ccccc1)\\c1ccccc1", False)]
)
def test_double_bond_of_the_other_geometry_is_not_made(product, expected):
    """A Heck reaction makes the E isomer."""
    product = Chem.CanonSmiles(product)
    reaction = shipped_reactions()["Heck coupling"]
    found = Disconnection(reaction, ("Brc1ccccc1", "C=Cc1ccccc1"))
    assert (Disconnector(shipped_reactions()).verify(product, found) is not None) == expected
