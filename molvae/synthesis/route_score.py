"""The number of steps of the shortest route to a molecule, as a score for filters, rankings and columns of tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache, partial
from math import nan
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem

from molvae.chem.scoring_functions import Floats, ScoringFunction
from molvae.chem.smiles import write
from molvae.data.parallel import WorkerPool, worker_count
from molvae.errors import MoleculeError
from molvae.synthesis.planning import RoutePlanner
from molvae.synthesis.routes import Route

N_STEPS = "n_steps"
"""Name of the score."""

COLUMNS = (N_STEPS, "building_blocks", "route")
"""Columns of a table of molecules with routes."""

MAX_EXPANSIONS = 40
"""Molecules that are expanded in the search for one molecule, fewer than in `molvae.routes`: many are scored."""

TIME_LIMIT = 5.0
"""Seconds for one molecule."""

_MIN_FOR_WORKERS = 8  # molecules; fewer are planned in this process
MOLECULES_PER_TASK = 4
"""Molecules per task of a worker process: the search for one takes long."""


class RouteSettings(NamedTuple):
    """What a route may consist of; see `molvae.routes`."""

    stock: str | None = None
    reactions: str | None = None
    max_steps: int = 4


class RouteScore(ScoringFunction):
    """Number of steps of the shortest route that is found to a molecule; NaN without one, 0 for a building block.

    Routes are remembered, so that the columns of a table cost nothing after a filter.

    Parameters
    ----------
    stock, reactions, max_steps
        See `molvae.routes`.
    workers : int, optional
        Worker processes for many molecules; None uses all cores, 0 only this process.

    Attributes
    ----------
    pool : WorkerPool or None
        A pool of the caller, instead of `workers`.

    Raises
    ------
    InputError
        For a file that cannot be read, or a number out of range.

    Examples
    --------
    >>> RouteScore(workers=0)(["CC(=O)Nc1ccc(O)cc1", "C1CC"])
    array([ 1., nan])
    """

    name = N_STEPS

    def __init__(
        self,
        stock: str | Path | None = None,
        reactions: str | Path | None = None,
        max_steps: int = 4,
        workers: int | None = None,
    ) -> None:
        self.settings = RouteSettings(_path(stock), _path(reactions), max_steps)
        self.workers = workers
        self.pool: WorkerPool | None = None
        self._routes = dict[str, Route | None]()
        _ = self.planner  # so that a file that cannot be read is reported here

    @property
    def planner(self) -> RoutePlanner:
        """The planner of this process."""
        return planner_of(self.settings)

    def learn(self, routes: Iterable[Route]) -> None:
        """Remember routes that are known from elsewhere, by their targets."""
        self._routes.update((route.target, route) for route in routes)

    @classmethod
    def from_text(cls, text: str) -> RouteScore | None:
        """The score of "n_steps", or with a stock of "n_steps:STOCK"; None for other texts.

        Raises
        ------
        InputError
            If the stock cannot be read.
        """
        name, colon, stock = text.partition(":")
        if name != N_STEPS:
            return None
        return cls(stock if colon else None)

    def routes(self, smiles: Sequence[str], workers: int | None = None) -> list[Route | None]:
        """The shortest route that is found to each molecule. `workers` replaces those of the score."""
        missing = [text for text in dict.fromkeys(smiles) if text not in self._routes]
        workers = self.workers if workers is None else workers
        pool = self.pool or pool_for(len(missing), workers)
        found = pool.submit(partial(_find, self.settings), missing, MOLECULES_PER_TASK).result()
        self._routes.update(zip(missing, found, strict=True))
        return [self._routes[text] for text in smiles]

    def __call__(self, smiles: Sequence[str]) -> Floats:
        """The number of steps of SMILES: (N,)."""
        return _steps(self.routes(smiles))

    def score_molecules(self, mols: Sequence[Chem.Mol]) -> Floats:
        """The number of steps of RDKit molecules: (N,). It is computed in this process, which may be a worker."""
        return _steps(self.routes([write(mol) for mol in mols], workers=0))

    @property
    def column_names(self) -> tuple[str, ...]:
        """Names of the columns of `columns`."""
        return COLUMNS

    def columns(self, smiles: Sequence[str]) -> dict[str, NDArray[Any]]:
        """The number of steps, the building blocks separated by dots, and the route as text: (N,) each."""
        routes = self.routes(smiles)
        blocks = [".".join(route.building_blocks) if route else "" for route in routes]
        texts = [str(route) if route else "" for route in routes]
        return {N_STEPS: _steps(routes), COLUMNS[1]: _texts(blocks), COLUMNS[2]: _texts(texts)}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_routes": {}, "pool": None}


def pool_for(n_molecules: int, workers: int | None) -> WorkerPool:
    """Worker processes for searches of many molecules; this process for few, or with one worker."""
    count = worker_count(workers) if n_molecules >= _MIN_FOR_WORKERS else 0
    return WorkerPool(count if count > 1 else 0, modules=(__name__,))


def _steps(routes: Sequence[Route | None]) -> Floats:
    return np.array([nan if route is None else route.n_steps for route in routes], dtype=np.float64)


def _path(path: str | Path | None) -> str | None:
    return None if path is None else str(path)


def _texts(values: list[str]) -> NDArray[Any]:
    return np.array(values, dtype=object)


@lru_cache(maxsize=2)
def planner_of(settings: RouteSettings) -> RoutePlanner:
    """The planner of this process for some settings, which remembers what it has disconnected."""
    return RoutePlanner(
        settings.stock, reactions=settings.reactions, max_steps=settings.max_steps, n_routes=1,
        max_expansions=MAX_EXPANSIONS, time_limit=TIME_LIMIT,
    )  # fmt: skip


def _find(settings: RouteSettings, smiles: list[str]) -> list[Route | None]:
    return [_route(planner_of(settings), text) for text in smiles]


def _route(planner: RoutePlanner, smiles: str) -> Route | None:
    try:
        routes = planner.plan(smiles).routes
    except MoleculeError:
        return None
    return routes[0] if routes else None
