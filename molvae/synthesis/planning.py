"""`molvae.routes`: routes of many molecules to building blocks, as a table."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from molvae.chem.rdkit_guard import RDKIT_ERRORS, molecule_error
from molvae.chem.standardization import prepare
from molvae.data.arguments import as_smiles_iterable, with_index_of
from molvae.data.checked_arguments import checked_arguments
from molvae.data.parallel import chunked, map_chunks
from molvae.data.rows import escape_surrogates
from molvae.errors import InputError, MoleculeError
from molvae.synthesis.disconnections import Disconnector
from molvae.synthesis.reactions import ReactionSet, shipped_reactions
from molvae.synthesis.route_search import RouteLimits, RouteSearchResult, find_routes
from molvae.synthesis.routes import Route
from molvae.synthesis.stock import Stock, neutral_smiles, open_stock
from molvae.viz.progress import progress_bar

ROUTE_COLUMNS = (
    "route_number", "n_steps", "n_linear_steps", "cost", "stereo", "building_blocks", "route", "search", "n_expanded",
)  # fmt: skip
COLUMNS = ("smiles", *ROUTE_COLUMNS, "canonical", "error", "note")
"""Columns of the table, before those of the stock."""

BLOCK_PREFIX = "block_"
"""Prefix of the columns of the stock: a value for each building block, separated by semicolons."""

MAX_STEPS = 10
"""Upper limit of the steps of a route."""

_RESULT = "result"  # of the table with one row per molecule
_CHUNK = 4  # molecules per task of a worker process


class PlannedMolecule(NamedTuple):
    """The result of a search for one molecule.

    Attributes
    ----------
    target : str
        The molecule as it is compared with the stock: the largest fragment, neutral.
    result : RouteSearchResult
    note : str
        What was changed, such as salts that were stripped.
    """

    target: str
    result: RouteSearchResult
    note: str = ""

    @property
    def routes(self) -> tuple[Route, ...]:
        """The routes, cheapest first."""
        return self.result.routes


class RoutePlanner:
    """Searches routes from building blocks of a stock to molecules.

    Parameters
    ----------
    stock : str or Path, optional
        A file that `molvae stock build` wrote; "zinc" for molbloom's filter of in-stock molecules; default: an estimate
        from how many real molecules contain a building block.
    reactions : str or Path, optional
        A file of reactions, in the format of molvae/synthesis/reactions.toml; default: that file.
    max_steps, n_routes, max_expansions, time_limit
        See `routes`.

    Raises
    ------
    InputError
        For a file that cannot be read, or a number out of range.
    """

    def __init__(
        self,
        stock: str | Path | None = None,
        *,
        reactions: str | Path | None = None,
        max_steps: int = 4,
        n_routes: int = 3,
        max_expansions: int = 100,
        time_limit: float = 10.0,
    ) -> None:
        if not 1 <= max_steps <= MAX_STEPS:
            raise InputError(f"max_steps must be from 1 to {MAX_STEPS}, got {max_steps}")
        if n_routes < 1 or max_expansions < 1 or time_limit <= 0:
            raise InputError("n_routes, max_expansions and time_limit must be positive")
        self.limits = RouteLimits(max_steps, n_routes, max_expansions, time_limit)
        self.stock: Stock = open_stock(stock)
        self.disconnector = Disconnector(shipped_reactions() if reactions is None else ReactionSet.load(reactions))

    def plan(self, smiles: str) -> PlannedMolecule:
        """Search the routes of one molecule.

        Raises
        ------
        MoleculeError
            If the SMILES is invalid, or RDKit cannot handle the molecule.
        """
        molecule = prepare(smiles, keep_isotopes=False)
        target = neutral_smiles(molecule)
        try:
            result = find_routes(target, self.disconnector, self.stock, self.limits)
        except RDKIT_ERRORS as error:
            raise molecule_error(error, "cannot search routes") from None
        return PlannedMolecule(target, result, molecule.note)

    def table(
        self, texts: Sequence[Any], workers: int | None = 0, progress: Callable[[int], None] | None = None
    ) -> pd.DataFrame:
        """A table with one row per molecule; `expand` makes it one row per route.

        Parameters
        ----------
        texts : sequence of str
        workers : int, optional
            Number of worker processes; None uses all cores, 0 only this process. The result does not depend on it.
        progress : callable, optional
            Receives the number of molecules that are finished.
        """
        rows = list[dict[str, Any]]()
        for part in map_chunks(_rows, chunked(texts, _CHUNK), workers, shared=self):
            rows += part
            if progress:
                progress(len(rows))
        return pd.DataFrame(rows, columns=["smiles", _RESULT, "canonical", "error", "note"], dtype=object)

    def expand(self, molecules: pd.DataFrame) -> pd.DataFrame:
        """One row per route of a table of `table`, which may have further columns."""
        results: list[RouteSearchResult | None] = list(molecules[_RESULT])
        repeats = [max(1, len(result.routes)) if result is not None else 1 for result in results]
        table = molecules.drop(columns=_RESULT).iloc[np.repeat(np.arange(len(molecules)), repeats)]
        rows = [row for result in results for row in _route_rows(result)]
        columns = pd.DataFrame(rows, columns=list(ROUTE_COLUMNS), dtype=object, index=table.index)
        columns = columns.astype(dict.fromkeys(("route_number", "n_steps", "n_linear_steps", "n_expanded"), "Int64"))
        columns["cost"] = columns["cost"].astype(float)
        position = 2 if "name" in table.columns[1:2] else 1
        expanded = pd.concat([table.iloc[:, :position], columns, table.iloc[:, position:]], axis=1)
        return pd.concat([expanded, self._stock_columns(results, table.index)], axis=1)

    def _stock_columns(self, results: list[RouteSearchResult | None], index: pd.Index) -> pd.DataFrame:
        """What the stock says of the building blocks of each route."""
        routes = [route for result in results for route in (result.routes if result else ()) or (None,)]
        blocks = list(dict.fromkeys(block for route in routes if route for block in route.building_blocks))
        known = dict(zip(blocks, self.stock.columns(blocks), strict=True))
        columns = {
            f"{BLOCK_PREFIX}{name}": [
                "; ".join(str(known[block].get(name, "")) for block in route.building_blocks) if route else ""
                for route in routes
            ]
            for name in self.stock.column_names
        }
        return pd.DataFrame(columns, index=index, dtype=object)


@checked_arguments
def routes(
    molecules: str | Path | Iterable[Any],
    *,
    stock: str | Path | None = None,
    reactions: str | Path | None = None,
    max_steps: int = 4,
    n_routes: int = 3,
    max_expansions: int = 100,
    time_limit: float = 10.0,
    workers: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> pd.DataFrame:
    """Search routes of synthesis from building blocks to molecules.

    The search is a best-first search in the tree of all reactions of a file of templates. Every step is verified: the
    forward template makes its product from its reactants.

    Parameters
    ----------
    molecules : str, Mol, Path, DataFrame or iterable
        SMILES, RDKit molecules, a table with a column of SMILES, or the path of a file.
    stock : str or Path, optional
        A file that `molvae stock build` wrote; "zinc" for ZINC's in-stock molecules as a Bloom filter, which accepts
        about 7 % of other molecules too (extra `stock`). Default: an estimate, not a supplier's list: building blocks
        that at least 3 real molecules contain.
    reactions : str or Path, optional
        A file of reactions, in the format of molvae/synthesis/reactions.toml; default: that file.
    max_steps : int
        Reactions of a route, those of all branches: 1 to 10.
    n_routes : int
        Routes of a molecule at most.
    max_expansions : int
        Molecules that are expanded in the search for one molecule.
    time_limit : float
        Seconds for one molecule. The result depends on the speed of the machine only if this limit is reached, which
        the column `search` says.
    workers : int, optional
        Number of worker processes; None uses all cores, 0 only this process.
    progress : callable, optional
        Receives the number of molecules that are finished, instead of a progress bar.

    Returns
    -------
    DataFrame
        One row per route, the cheapest first; a molecule without routes has one row. The index is that of the
        molecule. Columns:

        - smiles: as passed.
        - route_number: 1 for the cheapest route; missing without a route.
        - n_steps: number of reactions; 0 if the molecule is a building block itself.
        - n_linear_steps: number of reactions in the longest branch.
        - cost: about 1 for each reaction (see `molvae.synthesis.route_search`), 0 to 0.3 for each building block.
        - stereo: "kept", or "open" if a step makes a mixture of stereoisomers, of which its product is one.
        - building_blocks: SMILES, separated by dots.
        - route: the steps in the order of the synthesis, each as "reaction: reactants>>product".
        - search: how the search ended: "found", "exhausted" (no further routes exist), "expansions" or "time".
        - n_expanded: number of molecules that the search expanded.
        - canonical: the molecule as it is compared with the stock: the largest fragment, neutral.
        - error, note: why the molecule is invalid, and what was changed, such as salts that were stripped.
        - block_*: the columns of the stock, such as a price, for each building block.

    Raises
    ------
    InputError
        For a file that cannot be read, or a number out of range.

    References
    ----------
    Chen et al., Retro*: Learning Retrosynthetic Planning with Neural Guided A* Search, ICML 2020.

    Examples
    --------
    >>> table = routes("CC(=O)Nc1ccc(O)cc1", max_steps=1, workers=0)
    >>> table["route"].iloc[0]
    'amide coupling: CC(=O)O.Nc1ccc(O)cc1>>CC(=O)Nc1ccc(O)cc1'
    """
    planner = RoutePlanner(
        stock, reactions=reactions, max_steps=max_steps, n_routes=n_routes, max_expansions=max_expansions,
        time_limit=time_limit,
    )  # fmt: skip
    texts = list(as_smiles_iterable(molecules))
    with progress_bar(len(texts), "molecules", progress) as advance:
        molecule_table = planner.table(texts, workers, advance)
    table = with_index_of(molecule_table, None if isinstance(molecules, str) else molecules)
    return planner.expand(table)


def _rows(planner: RoutePlanner, texts: list[Any]) -> list[dict[str, Any]]:
    return [_row(planner, text) for text in texts]


def _row(planner: RoutePlanner, text: Any) -> dict[str, Any]:
    if not isinstance(text, str):
        return _invalid(str(text), f"the SMILES is {type(text).__name__}, not text")
    text = escape_surrogates(text)
    try:
        planned = planner.plan(text)
    except MoleculeError as error:
        return _invalid(text, str(error))
    return {"smiles": text, _RESULT: planned.result, "canonical": planned.target, "error": "", "note": planned.note}


def _invalid(text: str, error: str) -> dict[str, Any]:
    return {"smiles": text, _RESULT: None, "canonical": "", "error": error, "note": ""}


def _route_rows(result: RouteSearchResult | None) -> Iterator[dict[str, Any]]:
    empty = {**dict.fromkeys(ROUTE_COLUMNS), "stereo": "", "building_blocks": "", "route": "", "search": ""}
    if result is None:
        yield empty
        return
    search = {"search": result.ended_by, "n_expanded": result.n_expanded}
    if not result.routes:
        yield {**empty, **search}
    for number, route in enumerate(result.routes, start=1):
        yield {
            "route_number": number, "n_steps": route.n_steps, "n_linear_steps": route.n_linear_steps,
            "cost": round(route.cost, 3), "stereo": route.stereo, "building_blocks": ".".join(route.building_blocks),
            "route": str(route), **search,
        }  # fmt: skip
