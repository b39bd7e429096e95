"""Projection: the nearest molecule that can be made, for a molecule without a route.

The molecule is disconnected as if its missing building blocks could be had. Each is then replaced by a similar one of
the stock, the reactions are run forward, and the product that is most similar to the molecule is taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache, partial
from itertools import islice

from molvae.chem.fingerprints import morgan, tanimoto
from molvae.chem.rdkit_guard import RDKIT_ERRORS
from molvae.chem.smiles import parse
from molvae.errors import InputError, MoleculeError
from molvae.synthesis.planning import RoutePlanner
from molvae.synthesis.route_score import MOLECULES_PER_TASK, RouteSettings, planner_of, pool_for
from molvae.synthesis.route_search import RouteLimits, find_routes
from molvae.synthesis.routes import Route
from molvae.synthesis.stock import IncompleteStock, MoleculeStock, stock_smiles
from molvae.synthesis.variation import BlockLibrary, variations

N_ROUTES = 3
"""Routes with missing building blocks that are tried."""

N_PRODUCTS = 40
"""Products of which the most similar one is taken."""

N_NEIGHBORS = 10
"""Similar building blocks for each building block."""

MAX_EXPANSIONS = 30
"""Molecules that are expanded to find the routes."""


def project(smiles: str, planner: RoutePlanner, library: BlockLibrary) -> Route | None:
    """The route to the most similar molecule that can be made from a stock.

    Parameters
    ----------
    smiles : str
        The molecule.
    planner : RoutePlanner
    library : BlockLibrary
        The building blocks of the planner's stock.

    Returns
    -------
    Route or None
        None if no product can be made, or the molecule is invalid.
    """
    try:
        target = stock_smiles(smiles)
        limits = RouteLimits(planner.limits.max_steps, N_ROUTES, MAX_EXPANSIONS)
        routes = find_routes(target, planner.disconnector, IncompleteStock(planner.stock, target), limits).routes
        products = list(islice(variations(routes, planner.disconnector, library, N_NEIGHBORS), N_PRODUCTS))
        if not products:
            return None
        similarity = tanimoto(morgan(parse(target)), [morgan(parse(route.target)) for route in products])
    except (MoleculeError, *RDKIT_ERRORS):
        return None
    return products[max(range(len(products)), key=lambda i: (similarity[i], -products[i].n_steps))]


def project_all(smiles: Sequence[str], settings: RouteSettings, workers: int | None = None) -> list[Route | None]:
    """`project` for many molecules, in worker processes.

    Parameters
    ----------
    smiles : sequence of str
    settings : RouteSettings
        The stock, the reactions and the number of steps.
    workers : int, optional
        Number of worker processes; None uses all cores, 0 only this process.

    Raises
    ------
    InputError
        For a stock whose molecules are not known, such as a Bloom filter.
    """
    pool = pool_for(len(smiles), workers)
    return list(pool.submit(partial(_project_chunk, settings), list(smiles), MOLECULES_PER_TASK).result())


def _project_chunk(settings: RouteSettings, smiles: list[str]) -> list[Route | None]:
    planner, library = planner_of(settings), block_library(settings.stock)
    return [project(text, planner, library) for text in smiles]


@lru_cache(maxsize=2)
def block_library(stock: str | None) -> BlockLibrary:
    """The building blocks of a stock with their fingerprints, computed on first use.

    Raises
    ------
    InputError
        For a stock whose molecules are not known, such as a Bloom filter.
    """
    molecules = planner_of(RouteSettings(stock)).stock
    if not isinstance(molecules, MoleculeStock):
        raise InputError(f"a stock of molecules is needed to exchange building blocks; {stock!r} has no list of them")
    return BlockLibrary(molecules.smiles(), workers=0)
