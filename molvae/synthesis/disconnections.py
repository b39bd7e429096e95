"""Disconnections: the reactions that make a molecule, with their reactants, and whether they really make it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

from rdkit import Chem

from molvae.chem.rdkit_guard import silence_rdkit
from molvae.synthesis.reactions import Reaction, ReactionSet
from molvae.synthesis.routes import KEPT, OPEN, RouteStep

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")

_CACHE_SIZE = 50_000  # molecules; a search of one molecule expands some hundreds


class Disconnection(NamedTuple):
    """A reaction that may make a molecule, and its reactants."""

    reaction: Reaction
    reactants: tuple[str, ...]


class Disconnector:
    """Finds the disconnections of molecules, and verifies them. It remembers both, because searches repeat molecules.

    Parameters
    ----------
    reactions : ReactionSet

    Examples
    --------
    >>> from molvae.synthesis.reactions import shipped_reactions
    >>> disconnector = Disconnector(shipped_reactions())
    >>> [(found.reaction.name, found.reactants) for found in disconnector.disconnect("CNC(C)=O")][:1]
    [('amide coupling', ('CC(=O)O', 'CN'))]
    """

    def __init__(self, reactions: ReactionSet) -> None:
        self.reactions = reactions
        self._found = _Cache[str, list[Disconnection]](_CACHE_SIZE)
        self._verified = _Cache[tuple[str, str, tuple[str, ...]], RouteStep | None](_CACHE_SIZE)

    def disconnect(self, product: str) -> list[Disconnection]:
        """The disconnections of a molecule, in the order of the reactions. They are not verified.

        Parameters
        ----------
        product : str
            Canonical SMILES.
        """
        found = self._found.get(product)
        if found is None:
            found = self._disconnect(product)
            self._found.put(product, found)
        return found

    def _disconnect(self, product: str) -> list[Disconnection]:
        with silence_rdkit():
            mol = Chem.MolFromSmiles(product)
            if mol is None:
                return []
            # a symmetric reaction, such as a urea from two amines, finds its reactants in both orders
            found = {
                (reaction.name, frozenset(reactants)): Disconnection(reaction, reactants)
                for reaction in self.reactions.making(mol)
                for reactants in reaction.precursors(mol)
                if product not in reactants
            }
            return list(found.values())

    def verify(self, product: str, disconnection: Disconnection) -> RouteStep | None:
        """The step of a disconnection; None if its reaction does not make the product from the reactants."""
        key = (product, disconnection.reaction.name, disconnection.reactants)
        if key not in self._verified:
            self._verified.put(key, _verify(product, disconnection))
        return self._verified.get(key)

    def step(self, reaction: str, product: str, reactants: tuple[str, ...]) -> RouteStep | None:
        """The verified step of a reaction that is known to make a product from reactants.

        None if `disconnect` does not find it, because the forward template is wider than the retro template or the
        product has a group that the reaction does not tolerate.
        """
        for found in self.disconnect(product):
            if found.reaction.name == reaction and set(found.reactants) == set(reactants):
                return self.verify(product, found)
        return None


@dataclass
class _Cache(Generic[Key, Value]):
    """The values that were used last."""

    size: int

    def __post_init__(self) -> None:
        self._values = OrderedDict[Key, Value]()

    def __contains__(self, key: Key) -> bool:
        return key in self._values

    def get(self, key: Key) -> Value | None:
        value = self._values.get(key)
        if value is not None:
            self._values.move_to_end(key)
        return value

    def put(self, key: Key, value: Value) -> None:
        self._values[key] = value
        if len(self._values) > self.size:
            self._values.popitem(last=False)


def _verify(product: str, disconnection: Disconnection) -> RouteStep | None:
    reaction, reactants = disconnection
    with silence_rdkit():
        products = reaction.products([Chem.MolFromSmiles(smiles) for smiles in reactants])
        stereo = KEPT if product in products else _stereo(product, products)
    if stereo is None:
        return None
    return RouteStep(
        reaction.name, reaction.reaction_class, product, reactants, stereo, len(products), reaction.cost
    )  # fmt: skip


def _stereo(product: str, products: set[str]) -> str | None:
    """Whether a reaction makes a product, although it writes its stereo in another way.

    `KEPT` if the product leaves stereo open that the reaction controls, `OPEN` if the reaction leaves stereo open that
    the product has, None if it makes another molecule or another stereoisomer.
    """
    mol, flat = Chem.MolFromSmiles(product), _without_stereo(product)
    made = [Chem.MolFromSmiles(other) for other in sorted(products) if _without_stereo(other) == flat]
    # as a query, a molecule matches those that have its stereo, and perhaps more
    if any(other.HasSubstructMatch(mol, useChirality=True) for other in made):
        return KEPT
    if any(mol.HasSubstructMatch(other, useChirality=True) for other in made):
        return OPEN
    return None


def _without_stereo(smiles: str) -> str:
    if not any(mark in smiles for mark in "@/\\"):
        return smiles
    mol = Chem.MolFromSmiles(smiles)
    Chem.RemoveStereochemistry(mol)
    return str(Chem.MolToSmiles(mol))
