"""Analogs by synthesis: the routes of a molecule with other building blocks of a stock.

Each building block of a route is exchanged for similar ones that react in the same way, and the reactions are run
forward. Every product therefore has a route. Variations are made in the order of how similar their building blocks are
to those of the seed, so that the first products are the most similar ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from heapq import heappop, heappush

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem

from molvae.chem.fingerprints import morgan_bits, tanimoto_to
from molvae.chem.rdkit_guard import silence_rdkit
from molvae.data.parallel import chunked, map_chunks
from molvae.synthesis.disconnections import Disconnector
from molvae.synthesis.routes import Route, RouteStep

FINGERPRINT_BITS = 1024
"""Bits of the Morgan fingerprints by which building blocks are compared."""

N_NEIGHBORS = 100
"""Similar building blocks for each building block of a route."""

_N_SEARCHED = 4000  # of the most similar molecules of the stock, to find `N_NEIGHBORS` that react
_CHUNK = 4096


class BlockLibrary:
    """The building blocks of a stock, for the search of similar ones.

    Parameters
    ----------
    smiles : sequence of str
        Canonical SMILES. The fingerprints take 128 bytes each.
    workers : int, optional
        Processes that compute the fingerprints; None uses all cores, 0 only this process.
    """

    def __init__(self, smiles: Sequence[str], workers: int | None = None) -> None:
        self.smiles = list(smiles)
        self._known = frozenset(self.smiles)
        parts = list(map_chunks(_fingerprints, chunked(self.smiles, _CHUNK), workers))
        self._fingerprints = np.concatenate(parts) if parts else np.zeros((0, FINGERPRINT_BITS // 8), np.uint8)

    def __contains__(self, smiles: str) -> bool:
        return smiles in self._known

    def neighbors(self, smiles: str, pattern: Chem.Mol, n: int = N_NEIGHBORS) -> list[tuple[float, str]]:
        """The building blocks that match a pattern and are most similar to a molecule.

        Parameters
        ----------
        smiles : str
            The molecule; not one of the results.
        pattern : rdkit.Chem.Mol
            Query that a building block matches, such as the template of a reactant.
        n : int
            Number of building blocks at most.

        Returns
        -------
        list of (float, str)
            Tanimoto similarity and SMILES, the most similar first.
        """
        similarity = tanimoto_to(_fingerprints([smiles])[0], self._fingerprints)
        nearest = np.argsort(-similarity, kind="stable")[:_N_SEARCHED]
        found = list[tuple[float, str]]()
        with silence_rdkit():
            for index in nearest:
                mol = Chem.MolFromSmiles(self.smiles[index]) if self.smiles[index] != smiles else None
                if mol is not None and mol.HasSubstructMatch(pattern):
                    found.append((float(similarity[index]), self.smiles[index]))
                    if len(found) == n:
                        break
        return found


def _fingerprints(smiles: list[str]) -> NDArray[np.uint8]:
    with silence_rdkit():
        mols = [Chem.MolFromSmiles(text) or Chem.Mol() for text in smiles]
        return morgan_bits(mols, FINGERPRINT_BITS)


def variations(
    routes: Sequence[Route], disconnector: Disconnector, library: BlockLibrary, n_neighbors: int = N_NEIGHBORS
) -> Iterator[Route]:
    """Routes with one or more other building blocks, without end if there are many.

    Parameters
    ----------
    routes : sequence of Route
        Routes of the seed. Those without steps are ignored. Building blocks that are not in the library are replaced
        in all variations.
    disconnector : Disconnector
        With the reactions of the routes.
    library : BlockLibrary
    n_neighbors : int
        Similar building blocks for each building block.

    Yields
    ------
    Route
        Routes whose steps were run forward, those with the most similar building blocks first. Each target is made
        once.
    """
    plans = [_Plan(route, disconnector, library, n_neighbors) for route in routes if route.steps]
    queue = list[tuple[float, int, tuple[int, ...]]]()
    for number, plan in enumerate(plans):
        if all(plan.options):
            first = (0,) * len(plan.options)
            heappush(queue, (plan.distance(first), number, first))
    seen = {route.target for route in routes}
    waiting = {(number, choice) for _, number, choice in queue}
    while queue:
        _, number, choice = heappop(queue)
        plan = plans[number]
        for following in plan.following(choice):
            if (number, following) not in waiting:
                waiting.add((number, following))
                heappush(queue, (plan.distance(following), number, following))
        route = plan.run(choice)
        if route is not None and route.target not in seen:
            seen.add(route.target)
            yield route


@dataclass
class _Plan:
    """A route, and the building blocks that can replace each of its own.

    A choice is the position of each building block in its list of options.
    """

    route: Route
    disconnector: Disconnector
    library: BlockLibrary
    n_neighbors: int

    @cached_property
    def options(self) -> list[list[tuple[float, str]]]:
        """For each building block the distances and SMILES of itself, if it is in the library, and of similar ones."""
        return [
            [
                *([(0.0, block)] if block in self.library else []),
                *((1 - similarity, smiles) for similarity, smiles in self._neighbors(block)),
            ]
            for block in self.route.building_blocks
        ]

    def _neighbors(self, block: str) -> list[tuple[float, str]]:
        step = next(step for step in self.route.steps if block in step.reactants)
        pattern = self.disconnector.reactions[step.reaction].reactant_patterns[step.reactants.index(block)]
        return self.library.neighbors(block, pattern, self.n_neighbors)

    def following(self, choice: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
        """The choices with the next building block in one place."""
        for place, position in enumerate(choice):
            if position + 1 < len(self.options[place]):
                yield (*choice[:place], position + 1, *choice[place + 1 :])

    def distance(self, choice: tuple[int, ...]) -> float:
        """Sum of the distances of the building blocks."""
        return sum(self.options[place][position][0] for place, position in enumerate(choice))

    def run(self, choice: tuple[int, ...]) -> Route | None:
        """The route with other building blocks; None if a reaction does not work with them."""
        chosen = zip(self.route.building_blocks, choice, self.options, strict=True)
        return run_forward(
            self.route, {block: options[position][1] for block, position, options in chosen}, self.disconnector
        )


def run_forward(route: Route, blocks: Mapping[str, str], disconnector: Disconnector) -> Route | None:
    """Run the reactions of a route with other building blocks.

    Parameters
    ----------
    route : Route
    blocks : mapping of str to str
        The new building block for each one of the route that changes.
    disconnector : Disconnector
        With the reactions of the route.

    Returns
    -------
    Route or None
        None if a reaction does not make a product, or one from which the reactants would not be found: with a group
        that it does not tolerate, for instance. If a reaction makes several products, the one that is most similar to
        the product of the route is used.
    """
    made, steps = dict(blocks), list[RouteStep]()
    with silence_rdkit():
        for step in route.steps:
            reactants = tuple(made.get(reactant, reactant) for reactant in step.reactants)
            reaction = disconnector.reactions[step.reaction]
            products = reaction.products([Chem.MolFromSmiles(smiles) for smiles in reactants])
            if not products:
                return None
            product = _most_similar(step.product, sorted(products))
            verified = disconnector.step(step.reaction, product, reactants)
            if verified is None:
                return None
            steps.append(verified)
            made[step.product] = product
    target = steps[-1].product
    return Route(target, tuple(steps), sum(step.cost for step in steps))


def _most_similar(smiles: str, others: Sequence[str]) -> str:
    if len(others) == 1:
        return others[0]
    similarity = tanimoto_to(_fingerprints([smiles])[0], _fingerprints(list(others)))
    return others[int(np.argmax(similarity))]
