"""Reactions of medicinal chemistry as templates, read from a file.

The reactions that ship with the package are in reactions.toml. A reaction has a template in both directions: `forward`
makes the product from reactants, `retro` finds the reactants of a product. A step of a route is believed only if the
forward template makes the product of the step from its precursors.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from pathlib import Path
from typing import Any

from rdkit import Chem
from rdkit.Chem import rdChemReactions

from molvae.chem.rdkit_guard import RDKIT_ERRORS, silence_rdkit
from molvae.chem.smiles import write
from molvae.chem.substructures import PatternFingerprint, PatternSet, pattern_fingerprint
from molvae.errors import InputError

SHIPPED_FILE = Path(__file__).with_name("reactions.toml")

MAX_OUTCOMES = 200
"""Outcomes of a template for one molecule; only molecules with many equal groups have more."""

MIN_COST, MAX_COST = 0.5, 3.0
"""Limits of the cost of a reaction."""

_FIELDS = {"name": str, "class": str, "forward": str, "retro": str, "reference": str}
_OPTIONAL = {"incompatible": list, "cost": float}
N_EXAMPLES = 2
"""Examples that a reaction has at least."""


@dataclass(frozen=True)
class Reaction:
    """A reaction.

    Attributes
    ----------
    name, reaction_class : str
        Such as "Suzuki coupling" and "C-C coupling".
    forward : str
        Reaction SMARTS from one or more reactants to one product.
    retro : str
        Reaction SMARTS from the product to the reactants, in the same order.
    reference : str
        A source.
    examples : tuple of str
        Reaction SMILES.
    incompatible : tuple of str
        Names of groups that the reaction does not tolerate: a product with such a group is not made by it, because
        the group was there during the reaction.
    cost : float
        1 for a reaction that works for most reactants, more for less reliable ones.
    """

    name: str
    reaction_class: str
    forward: str
    retro: str
    reference: str
    examples: tuple[str, ...]
    incompatible: tuple[str, ...] = ()
    cost: float = 1.0

    @cached_property
    def n_reactants(self) -> int:
        """Number of reactants."""
        return int(self._forward.GetNumReactantTemplates())

    @cached_property
    def reactant_patterns(self) -> list[Chem.Mol]:
        """The query that each reactant matches."""
        return [self._forward.GetReactantTemplate(number) for number in range(self.n_reactants)]

    @cached_property
    def _forward(self) -> rdChemReactions.ChemicalReaction:
        return _compiled(self.forward)

    @cached_property
    def _retro(self) -> rdChemReactions.ChemicalReaction:
        return _compiled(self.retro)

    def products(self, reactants: Sequence[Chem.Mol]) -> set[str]:
        """Canonical SMILES of the products that reactants give. Call it in a `silence_rdkit` block.

        Parameters
        ----------
        reactants : sequence of rdkit.Chem.Mol
            As many as the reaction has, in its order.

        Examples
        --------
        >>> amide = shipped_reactions()["amide coupling"]
        >>> sorted(amide.products([Chem.MolFromSmiles("CC(=O)O"), Chem.MolFromSmiles("CN")]))
        ['CNC(C)=O']
        """
        return {smiles[0] for smiles in _outcomes(self._forward, reactants) if len(smiles) == 1}

    def precursors(self, product: Chem.Mol) -> list[tuple[str, ...]]:
        """Canonical SMILES of the sets of reactants of a product, sorted. Call it in a `silence_rdkit` block.

        They are not verified: see `products`.

        Examples
        --------
        >>> shipped_reactions()["amide coupling"].precursors(Chem.MolFromSmiles("CNC(C)=O"))
        [('CC(=O)O', 'CN')]
        """
        return sorted({smiles for smiles in _outcomes(self._retro, [product]) if len(smiles) == self.n_reactants})


class ReactionSet(Mapping[str, Reaction]):
    """Reactions by name, and the functional groups that some of them do not tolerate.

    Parameters
    ----------
    reactions : sequence of Reaction
    groups : mapping of str to str
        SMARTS of functional groups by name.
    source : str
        Where the reactions come from, for messages.
    """

    def __init__(self, reactions: Sequence[Reaction], groups: Mapping[str, str], source: str = "") -> None:
        self._reactions = {reaction.name: reaction for reaction in reactions}
        self._groups = PatternSet(groups) if groups else None
        self.source = source

    def __getitem__(self, name: str) -> Reaction:
        return self._reactions[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._reactions)

    def __len__(self) -> int:
        return len(self._reactions)

    @cached_property
    def _products(self) -> PatternSet:
        return PatternSet({name: reaction.retro.partition(">>")[0] for name, reaction in self._reactions.items()})

    def groups(self, mol: Chem.Mol, fingerprint: PatternFingerprint | None = None) -> set[str]:
        """Names of the functional groups that a molecule has."""
        return set(self._groups.matches(mol, fingerprint)) if self._groups is not None else set()

    def making(self, product: Chem.Mol) -> Iterator[Reaction]:
        """The reactions that may make a product: it matches their template and has none of their incompatible groups.

        Call it in a `silence_rdkit` block.
        """
        fingerprint = pattern_fingerprint(product)
        groups = self.groups(product, fingerprint)
        for name in self._products.matches(product, fingerprint):
            if groups.isdisjoint(self[name].incompatible):
                yield self[name]

    @classmethod
    def load(cls, path: str | Path) -> ReactionSet:
        """Read a file of reactions; its format is that of reactions.toml.

        Raises
        ------
        InputError
            If the file cannot be read, or a reaction in it is not valid; the message names the reaction and the rule.
        """
        try:
            document = tomllib.loads(Path(path).read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise InputError(f"the file of reactions {str(path)!r} does not exist") from None
        except IsADirectoryError:
            raise InputError(f"the file of reactions {str(path)!r} is a directory") from None
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise InputError(f"{path}: cannot read the reactions: {error}") from None
        groups = _read_groups(path, document.get("groups", {}))
        entries = document.get("reaction", [])
        if not isinstance(entries, list) or not entries:
            raise InputError(f"{path}: no reactions; each begins with [[reaction]]")
        reactions = [_read_reaction(path, number, entry, groups) for number, entry in enumerate(entries, start=1)]
        names = [reaction.name for reaction in reactions]
        if duplicates := sorted({name for name in names if names.count(name) > 1}):
            raise InputError(f"{path}: two reactions with the name {duplicates[0]!r}")
        return cls(reactions, groups, str(path))


@cache
def shipped_reactions() -> ReactionSet:
    """The reactions that ship with the package."""
    return ReactionSet.load(SHIPPED_FILE)


def _outcomes(reaction: rdChemReactions.ChemicalReaction, mols: Sequence[Chem.Mol]) -> set[tuple[str, ...]]:
    """The canonical SMILES of the molecules of each outcome. Outcomes that are not valid molecules are left out."""
    try:
        outcomes = reaction.RunReactants(tuple(mols), MAX_OUTCOMES)
        # symmetric molecules have many equal outcomes, which are recognized before they are sanitized
        texts = {tuple(Chem.MolToSmiles(mol) for mol in outcome) for outcome in outcomes}
    except RDKIT_ERRORS:
        return set()
    found = (tuple(map(_canonical, outcome)) for outcome in texts)
    return {smiles for smiles in found if all(smiles)}


@lru_cache(maxsize=100_000)
def _canonical(smiles: str) -> str:
    """The canonical SMILES of a molecule that a template made; "" if it is not valid, or in several fragments."""
    try:
        mol = Chem.MolFromSmiles(smiles) if "." not in smiles else None
        return write(mol) if mol is not None else ""
    except RDKIT_ERRORS:
        return ""


def _compiled(smarts: str) -> rdChemReactions.ChemicalReaction:
    reaction = rdChemReactions.ReactionFromSmarts(smarts)
    reaction.Initialize()
    return reaction


# --- reading a file ---


def _read_groups(path: str | Path, groups: Any) -> dict[str, str]:
    if not isinstance(groups, dict):
        raise InputError(f"{path}: [groups] must be a table of SMARTS by name")
    for name, smarts in groups.items():
        with silence_rdkit():
            if not isinstance(smarts, str) or Chem.MolFromSmarts(smarts) is None:
                raise InputError(f"{path}: group {name!r}: cannot read SMARTS {smarts!r}")
    return groups


def _read_reaction(path: str | Path, number: int, entry: Any, groups: Mapping[str, str]) -> Reaction:
    """Validate one entry of the file."""
    name = entry.get("name") if isinstance(entry, dict) else None
    where = f"{path}: reaction {name!r}" if isinstance(name, str) and name else f"{path}: reaction number {number}"
    if not isinstance(entry, dict):
        raise InputError(f"{where}: not a table")
    for field, kind in _FIELDS.items():
        if not isinstance(entry.get(field), kind) or not entry[field]:
            raise InputError(f"{where}: {field!r} is missing, or not a text")
    if unknown := sorted(set(entry) - {*_FIELDS, *_OPTIONAL, "examples"}):
        raise InputError(f"{where}: unknown field {unknown[0]!r}")
    incompatible = _texts(where, entry, "incompatible")
    for group in incompatible:
        if group not in groups:
            raise InputError(f"{where}: the incompatible group {group!r} is not in [groups]")
    cost = entry.get("cost", 1.0)
    if not isinstance(cost, int | float) or not MIN_COST <= cost <= MAX_COST:
        raise InputError(f"{where}: 'cost' must be a number from {MIN_COST:g} to {MAX_COST:g}, got {cost!r}")
    n_reactants = _check_template(where, "forward", entry["forward"], None)
    _check_template(where, "retro", entry["retro"], n_reactants)
    return Reaction(
        entry["name"], entry["class"], entry["forward"], entry["retro"], entry["reference"],
        _texts(where, entry, "examples"), incompatible, float(cost),
    )  # fmt: skip


def _texts(where: str, entry: Mapping[str, Any], field: str) -> tuple[str, ...]:
    value = entry.get(field, [])
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise InputError(f"{where}: {field!r} must be a list of texts")
    return tuple(value)


def _check_template(where: str, field: str, smarts: str, n_precursors: int | None) -> int:
    """Validate a template, and that it has one product, or as many as given. Returns the number of its reactants."""
    with silence_rdkit():
        try:
            reaction = rdChemReactions.ReactionFromSmarts(smarts)
            reaction.Initialize()
            _, n_errors = reaction.Validate(silent=True)
        except RDKIT_ERRORS as error:
            reason = " ".join(str(error).split())
            raise InputError(f"{where}: cannot read {field!r} {smarts!r}: {reason}") from None
    if n_errors:
        raise InputError(f"{where}: {field!r} {smarts!r} is not a valid reaction: check its atom maps")
    n_reactants, n_products = reaction.GetNumReactantTemplates(), reaction.GetNumProductTemplates()
    if n_precursors is None and n_products != 1:
        raise InputError(f"{where}: 'forward' must have one product, got {n_products}")
    if n_precursors is not None and (n_reactants, n_products) != (1, n_precursors):
        raise InputError(
            f"{where}: 'retro' must go from one product to the {n_precursors} reactants of 'forward', got "
            f"{n_reactants} to {n_products}"
        )
    return int(n_reactants)
