"""Search of routes: a best-first search in a tree of molecules (OR) and reactions (AND), as in Retro*.

The cost of a route is the sum of the costs of its reactions, about 1 each, and of its building blocks, which depends on
how common they are and is much less than 1. In each round the search expands the molecule at the end of the cheapest
unfinished route: all reactions that may make it are found. The cost of a molecule that has not been expanded is
estimated from its size. A step counts only once the forward template has made its product from its reactants.

References
----------
Chen et al., Retro*: Learning Retrosynthetic Planning with Neural Guided A* Search, ICML 2020.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from heapq import nsmallest
from itertools import product
from math import inf
from typing import NamedTuple

from molvae.synthesis.disconnections import Disconnection, Disconnector
from molvae.synthesis.routes import OPEN, Route, RouteStep
from molvae.synthesis.stock import Stock, n_heavy_atoms

OPEN_STEREO_COST = 0.5
"""Cost of a step that leaves stereocenters of its product open."""

SELECTIVITY_COST = 0.2
"""Cost of a step whose reactants can react in several places."""

SIZE_WITHOUT_COST, ATOMS_PER_COST = 14, 14.0
"""The estimated cost of a molecule is 1, and 1 more for each 14 heavy atoms beyond 14."""

_MAX_COMBINATIONS = 200  # combinations of routes of the reactants of a step that are compared


class RouteLimits(NamedTuple):
    """Limits of a search.

    Attributes
    ----------
    max_steps : int
        Reactions of a route, those of all branches.
    n_routes : int
        The search ends when no better routes than so many found ones are left.
    max_expansions : int
        Molecules that are expanded.
    time_limit : float
        Seconds. The result depends on the machine only if this limit is reached.
    """

    max_steps: int = 4
    n_routes: int = 3
    max_expansions: int = 100
    time_limit: float = 10.0


class RouteSearchResult(NamedTuple):
    """Routes to a molecule, cheapest first, and how the search ended.

    Attributes
    ----------
    routes : tuple of Route
    n_expanded : int
        Molecules that were expanded.
    ended_by : str
        "found": no better routes are left; "exhausted": no further route of so many steps exists; "expansions" or
        "time": a limit.
    """

    routes: tuple[Route, ...]
    n_expanded: int
    ended_by: str


def find_routes(
    target: str, disconnector: Disconnector, stock: Stock, limits: RouteLimits = RouteLimits()
) -> RouteSearchResult:
    """Search routes from building blocks of a stock to a molecule.

    Parameters
    ----------
    target : str
        The identity of the molecule as of `stock_smiles`.
    disconnector : Disconnector
    stock : Stock
    limits : RouteLimits

    Returns
    -------
    RouteSearchResult
        At most `limits.n_routes` routes. A target in the stock has a route without steps, and then others.
    """
    tree = _Tree(disconnector, stock, limits)
    root = tree.root(target)
    deadline = time.monotonic() + limits.time_limit
    n_expanded, ended_by = 0, "exhausted"
    routes = tree.routes(root)
    while root.open_cost < inf:
        if len(routes) == limits.n_routes and root.open_cost >= routes[-1].cost:
            ended_by = "found"
            break
        if n_expanded >= limits.max_expansions or time.monotonic() > deadline:
            ended_by = "time" if n_expanded < limits.max_expansions else "expansions"
            break
        leaf = tree.next_leaf(root)
        if leaf is None:  # a step on the way was not what it seemed
            continue
        solved = root.cost
        tree.expand(leaf)
        n_expanded += 1
        if root.cost < inf and (root.cost < solved or len(routes) < limits.n_routes):
            routes = tree.routes(root)
    return RouteSearchResult(tuple(tree.routes(root)), n_expanded, ended_by)


@dataclass(slots=True, eq=False)
class _Molecule:
    """A molecule of the tree.

    Attributes
    ----------
    budget : int
        Reactions that may be used to make it.
    stock_cost : float
        Its cost in the stock.
    cost : float
        Cost of the cheapest complete route to it; infinite without one.
    open_cost : float
        Estimated cost of the cheapest route with a molecule that has not been expanded; infinite without one.
    """

    smiles: str
    budget: int
    parent: _Step | None
    stock_cost: float = inf
    cost: float = inf
    open_cost: float = inf
    steps: list[_Step] | None = None

    @property
    def bound(self) -> float:
        return min(self.cost, self.open_cost)

    def ancestors(self) -> Iterator[str]:
        """The molecule and those that are made from it."""
        node: _Molecule | None = self
        while node is not None:
            yield node.smiles
            node = node.parent.molecule if node.parent is not None else None

    def update(self) -> None:
        """Costs from those of the steps."""
        self.cost = min(self.stock_cost, *(step.complete_cost() for step in self.steps or ()), inf)
        self.open_cost = min((step.open_cost() for step in self.steps or ()), default=inf)


@dataclass(slots=True, eq=False)
class _Step:
    """A disconnection of a molecule of the tree."""

    molecule: _Molecule
    disconnection: Disconnection
    reactants: list[_Molecule]
    cost: float
    verified: RouteStep | None = None
    is_rejected: bool = False

    def complete_cost(self) -> float:
        if self.is_rejected or self.verified is None:
            return inf
        return self.cost + sum(reactant.cost for reactant in self.reactants)

    def open_cost(self) -> float:
        """The cheapest way in which at least one reactant is not complete, or the step is not verified."""
        if self.is_rejected:
            return inf
        bound = sum(reactant.bound for reactant in self.reactants)
        if self.verified is None or bound == inf:
            return self.cost + bound
        extra = min(reactant.open_cost - reactant.bound for reactant in self.reactants)
        return self.cost + bound + extra


class _Tree:
    """The tree of a search."""

    def __init__(self, disconnector: Disconnector, stock: Stock, limits: RouteLimits) -> None:
        self._disconnector = disconnector
        self._stock = stock
        self._limits = limits

    def root(self, smiles: str) -> _Molecule:
        """The target, which is expanded even if it is in the stock."""
        (cost,) = self._stock.costs([smiles])
        return _Molecule(smiles, self._limits.max_steps, None, cost, cost, _estimated_cost(smiles))

    def _molecule(self, smiles: str, budget: int, parent: _Step | None, cost: float) -> _Molecule:
        is_open = cost == inf and budget > 0
        return _Molecule(smiles, budget, parent, cost, cost, _estimated_cost(smiles) if is_open else inf)

    def next_leaf(self, root: _Molecule) -> _Molecule | None:
        """The molecule to expand: the end of the cheapest unfinished route.

        None if a step on the way had to be verified first; the costs have then changed.
        """
        node = root
        while node.steps is not None:
            step = min(node.steps, key=_Step.open_cost)
            if step.verified is None:
                self._verify(step)
                return None
            node = min(step.reactants, key=lambda reactant: reactant.open_cost - reactant.bound)
        return node

    def _verify(self, step: _Step) -> None:
        verified = self._disconnector.verify(step.molecule.smiles, step.disconnection)
        if verified is None:
            step.is_rejected = True
        else:
            step.verified = verified
            step.cost += OPEN_STEREO_COST * (verified.stereo == OPEN) + SELECTIVITY_COST * (verified.n_products > 1)
        self._update(step.molecule)

    def expand(self, node: _Molecule) -> None:
        """Find the steps that make a molecule."""
        ancestors = set(node.ancestors())
        found = [
            disconnection for disconnection in self._disconnector.disconnect(node.smiles)
            if ancestors.isdisjoint(disconnection.reactants)
        ]  # fmt: skip
        smiles = list(dict.fromkeys(reactant for disconnection in found for reactant in disconnection.reactants))
        costs = dict(zip(smiles, self._stock.costs(smiles), strict=True))
        node.steps = []
        for disconnection in found:
            n_missing = sum(costs[reactant] == inf for reactant in disconnection.reactants)
            budget = node.budget - 1 - n_missing  # for one reactant more than the one reaction that each needs
            if budget < 0:
                continue
            step = _Step(node, disconnection, [], disconnection.reaction.cost)
            step.reactants = [
                self._molecule(reactant, budget + 1, step, costs[reactant]) for reactant in disconnection.reactants
            ]
            node.steps.append(step)
        self._update(node)

    def _update(self, node: _Molecule | None) -> None:
        """Update the costs of a molecule and of those that are made from it."""
        while node is not None:
            before = node.cost, node.open_cost
            node.update()
            if before == (node.cost, node.open_cost):
                return
            node = node.parent.molecule if node.parent is not None else None

    def routes(self, root: _Molecule) -> list[Route]:
        """The cheapest complete routes, without repetition."""
        found = dict[frozenset[RouteStep], Route]()
        for cost, steps in self._complete(root, 4 * self._limits.n_routes):
            if len(steps) <= self._limits.max_steps:
                found.setdefault(frozenset(steps), Route(root.smiles, steps, cost))
        return list(found.values())[: self._limits.n_routes]

    def _complete(self, node: _Molecule, n: int) -> list[tuple[float, tuple[RouteStep, ...]]]:
        """The cheapest ways to make a molecule: the cost and the steps of each."""
        ways = list[tuple[float, tuple[RouteStep, ...]]]()
        if node.stock_cost < inf:
            ways.append((node.stock_cost, ()))
        for step in node.steps or ():
            if step.complete_cost() == inf or step.verified is None:
                continue
            parts = [self._complete(reactant, n) for reactant in step.reactants]
            for number, combination in enumerate(product(*parts)):
                if number == _MAX_COMBINATIONS:
                    break
                steps = dict.fromkeys(own for _, part in combination for own in part)
                ways.append((step.cost + sum(cost for cost, _ in combination), (*steps, step.verified)))
        return nsmallest(n, ways, key=lambda way: (way[0], len(way[1]), str(way[1])))


def _estimated_cost(smiles: str) -> float:
    """The cost of a molecule that has not been expanded, from the number of its heavy atoms."""
    return 1.0 + max(0, n_heavy_atoms(smiles) - SIZE_WITHOUT_COST) / ATOMS_PER_COST
