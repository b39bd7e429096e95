"""Analogs by synthesis: searches whose candidates are products of the seed's routes with other building blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from math import nan

from molvae.data.parallel import SERIAL, WorkerPool
from molvae.generation.analogs import SearchOptions, SeedSearch, apply_constraints
from molvae.generation.constraints import Constraints
from molvae.generation.strategies import STRATEGIES
from molvae.synthesis.projection import block_library
from molvae.synthesis.route_score import RouteScore
from molvae.synthesis.route_search import RouteLimits, find_routes
from molvae.synthesis.routes import Route
from molvae.synthesis.stock import IncompleteStock, stock_smiles
from molvae.synthesis.variation import BlockLibrary, variations

N_ROUTES = 8
"""Routes of the seed whose building blocks are exchanged."""

SEED_EXPANSIONS = 200
"""Molecules that are expanded to find the routes of the seed."""

ROUND = 100
"""Products of a round, after which the constraints are checked."""

NO_PRODUCTS = "no product of the seed's routes can be made: try another stock, or more steps"


def search_by_synthesis(
    seeds: Sequence[str],
    options: SearchOptions,
    constraints: Constraints,
    score: RouteScore,
    workers: WorkerPool = SERIAL,
    progress: Callable[[int], None] | None = None,
) -> list[SeedSearch]:
    """Search around each seed until it has all molecules, or there are no more products.

    Parameters
    ----------
    seeds : sequence of str
        Canonical SMILES.
    options : SearchOptions
        How many molecules to find, and their similarity. At most `max_samples` products are made.
    constraints : Constraints
    score : RouteScore
        Receives the routes of the products.
    workers : WorkerPool
        Processes that check constraints.
    progress : callable, optional
        Receives the number of molecules found so far.

    Returns
    -------
    list of SeedSearch
        One finished search per seed. Its samples are products, and their log-likelihood is NaN.
    """
    library, n_found = block_library(score.settings.stock), 0
    searches = list[SeedSearch]()
    for seed in seeds:
        search = SeedSearch(seed, options, rules=constraints.proposal_rules(seed))
        products = _products(seed, score, library)
        while (size := min(search.round_size(), ROUND)) and (routes := list(islice(products, size))):
            _add_round(search, routes, constraints, score, workers)
            if progress:
                progress(n_found + min(len(search.molecules), options.n_molecules))
        if not search.n_samples:
            search.problem = NO_PRODUCTS
        search.finish()
        n_found += min(len(search.molecules), options.n_molecules)
        searches.append(search)
    return searches


def _products(seed: str, score: RouteScore, library: BlockLibrary) -> Iterator[Route]:
    """Routes to products that are similar to the seed."""
    planner = score.planner
    limits = RouteLimits(planner.limits.max_steps, N_ROUTES, SEED_EXPANSIONS)
    target = stock_smiles(seed)
    routes = find_routes(target, planner.disconnector, IncompleteStock(planner.stock, target), limits).routes
    return variations(routes, planner.disconnector, library)


def _add_round(
    search: SeedSearch, routes: list[Route], constraints: Constraints, score: RouteScore, workers: WorkerPool
) -> None:
    """Add the products of some routes to a search."""
    parse = constraints.sample_parser()
    parsed = workers.submit(parse, [route.target for route in routes]).result()
    samples = [(molecule, nan) for molecule in parsed]
    made = {molecule.smiles: route for molecule, route in zip(parsed, routes, strict=True) if molecule is not None}
    score.learn(replace(route, target=smiles) for smiles, route in made.items())
    (accepted,) = apply_constraints([search], [search.new_candidates(samples)], constraints, workers)
    search.add_round(samples, [STRATEGIES[0]] * len(samples), accepted)
