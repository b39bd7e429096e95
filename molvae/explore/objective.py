"""The objective of an optimization: a score to maximize and filters as constraints."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem

from molvae.chem.expressions import PropertyFilter, RankExpression
from molvae.chem.fingerprints import morgan, tanimoto
from molvae.chem.plausibility import PlausibilityChecker
from molvae.chem.precedence import cached_table
from molvae.chem.properties import PROPERTIES, compute_properties
from molvae.chem.rdkit_guard import RDKIT_ERRORS, silence_rdkit
from molvae.chem.scoring_functions import ScoringFunction, as_scoring_function, as_scoring_functions
from molvae.chem.smiles import parse
from molvae.generation.options import ScoresLike
from molvae.qsar.property_model import PropertyModel

Floats = NDArray[np.float64]
UserFunction = Callable[[list[str]], Iterable[float]] | Callable[[Chem.Mol], float]
"""A score to be maximized, of a list of SMILES or of an RDKit molecule; NaN or an exception where it is undefined."""

ObjectiveLike = str | Path | UserFunction | PropertyModel | RankExpression
"""What `Objective.parse` accepts."""

SIMILARITY = "similarity"

IMPLAUSIBLE = 1.0
"""Constraint violation of a molecule that is not plausible."""


@dataclass(frozen=True)
class Evaluation:
    """K molecules evaluated for one seed.

    Attributes
    ----------
    properties : dict of str to ndarray of shape (K,)
        Values by property name; NaN where a value was not needed.
    violation : ndarray of shape (K,)
        Constraint violation: the distance to the first violated filter, relative to its bound; 1 for a molecule that is
        not plausible. 0 is feasible.
    score : ndarray of shape (K,)
        Objective of the feasible molecules, NaN for the others.
    implausible : ndarray of bool, shape (K,)
        Which molecules are infeasible because they are not plausible.
    """

    properties: dict[str, Floats]
    violation: Floats
    score: Floats
    implausible: NDArray[np.bool_]


@dataclass(frozen=True)
class Objective:
    """A score to maximize, subject to filters.

    Attributes
    ----------
    name : str
        Name of the score, for messages.
    expression : RankExpression
        Weighted sum of properties; empty if there is a `function`.
    function : callable or None
        From a list of canonical SMILES to an array of scores, instead of an expression.
    filters : tuple of PropertyFilter
        Constraints on properties, scores or the similarity to the seed.
    scores : mapping of str to callable
        User-defined scores that the expression and the filters may name.
    plausible : bool
        Whether molecules that are not plausible (`molvae.chem.plausibility`) are infeasible; what the seed has is
        allowed.
    precedence_file : Path or None
        File of the `PrecedenceTable`; None: the table that ships with the package.
    """

    name: str
    expression: RankExpression
    function: Callable[[list[str]], Floats] | None
    filters: tuple[PropertyFilter, ...]
    scores: Mapping[str, ScoringFunction] = field(default_factory=dict)
    plausible: bool = False
    precedence_file: Path | None = None

    def __post_init__(self) -> None:
        if self.precedence_file is not None:
            cached_table(self.precedence_file)

    @classmethod
    def parse(
        cls,
        objective: ObjectiveLike,
        filters: Iterable[str] = (),
        scores: ScoresLike = None,
        *,
        plausible: bool = False,
        precedence_file: Path | None = None,
    ) -> Self:
        """Create an objective from "qed", "qed - 0.1*sa", "FILE.py:FUNCTION", a function, or a property model.

        Parameters
        ----------
        objective : str, Path, callable, PropertyModel or RankExpression
            The score; a path may be the directory of a property model. Text is read as an expression unless it names a
            file or a directory; a `RankExpression` is never a path.
        filters : iterable of str
            Expressions such as "mw<500" or "similarity>=0.4".
        scores : mapping of str to callable, optional
            User-defined scores, which objective and filters may name, as in "qed - hERG".
        plausible, precedence_file
            As the attributes.

        Raises
        ------
        InputError
            If an expression cannot be parsed or names an unknown property.
        """
        functions = as_scoring_functions(scores)
        known = (SIMILARITY, *functions)
        property_filters = tuple(PropertyFilter.from_text(text, known) for text in filters)
        named_function = None if isinstance(objective, RankExpression) else _as_function(objective)
        if isinstance(objective, RankExpression):
            name, function, expression = str(objective), None, objective
        elif named_function is None:
            name, function = str(objective), None
            expression = RankExpression.from_text(name, known)
        else:
            name, function = named_function
            expression = RankExpression(())
        return cls(name, expression, function, property_filters, functions, plausible, precedence_file)

    @property
    def property_names(self) -> tuple[str, ...]:
        """Names of all values that are computed, each once, the similarity first."""
        filtered = (property_filter.name for property_filter in self.filters)
        return tuple(dict.fromkeys((SIMILARITY, *self.expression.names, *filtered)))

    def evaluate(self, seed: str, smiles: Sequence[str]) -> Evaluation:
        """Evaluate molecules.

        The score, which may be expensive, is computed for feasible molecules only.

        Parameters
        ----------
        seed : str
            SMILES of the molecule to which the similarity is computed.
        smiles : sequence of str
            K canonical SMILES.

        Returns
        -------
        Evaluation
            Properties, constraint violations and scores of the K molecules.
        """
        mols = np.array([parse(text) for text in smiles], dtype=object)
        values = {name: np.full(len(mols), np.nan) for name in self.property_names}
        values[SIMILARITY] = tanimoto(morgan(parse(seed)), [morgan(mol) for mol in mols])
        violation, implausible = np.zeros(len(mols)), np.zeros(len(mols), bool)
        is_checked = not self.plausible
        for property_filter in sorted(self.filters, key=lambda f: self._cost_rank(f.name)):
            if not is_checked and property_filter.name != SIMILARITY:
                implausible = self._implausible(seed, mols, violation == 0)
                violation[implausible], is_checked = IMPLAUSIBLE, True
            name = property_filter.name
            column = self._fill(values[name], name, smiles, mols, violation == 0)
            violation[violation == 0] = [_violation(property_filter, value) for value in column[violation == 0]]
        if not is_checked:
            implausible = self._implausible(seed, mols, violation == 0)
            violation[implausible] = IMPLAUSIBLE
        feasible, score = violation == 0, np.full(len(mols), np.nan)
        if self.function is not None:
            score[feasible] = self.function([text for text, ok in zip(smiles, feasible, strict=True) if ok])
        else:
            columns = {
                name: self._fill(values[name], name, smiles, mols, feasible)[feasible] for name in self.expression.names
            }
            score[feasible] = self.expression.evaluate(columns)
        return Evaluation(values, violation, score, implausible)

    def _implausible(self, seed: str, mols: NDArray[np.object_], rows: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Which of the selected molecules have a flaw that the seed does not have; one that RDKit fails on has."""
        found = np.zeros(len(mols), bool)
        with silence_rdkit():
            checker = PlausibilityChecker.for_seed(parse(seed), self.precedence_file)
            for row in np.flatnonzero(rows).tolist():
                try:
                    found[row] = bool(checker.first_flaw(mols[row]))
                except RDKIT_ERRORS:
                    found[row] = True
        return found

    def _cost_rank(self, name: str) -> int:
        """Filters on the cheapest values are applied first: similarity, properties, user-defined scores.

        Plausibility, which takes about as long as parsing, is checked after the similarity.
        """
        return 0 if name == SIMILARITY else 2 if name in self.scores else 1

    def _fill(
        self, values: Floats, name: str, smiles: Sequence[str], mols: NDArray[np.object_], rows: NDArray[np.bool_]
    ) -> Floats:
        """Compute the missing values of the selected rows in place; returns the array."""
        missing = np.flatnonzero(rows & np.isnan(values))
        if len(missing) and name in self.scores:
            values[missing] = self.scores[name]([smiles[row] for row in missing.tolist()])
        elif len(missing):
            values[missing] = compute_properties(list(mols[missing]), [name])[name]
        return values


def _as_function(objective: ObjectiveLike) -> tuple[str, Callable[[list[str]], Floats]] | None:
    """Name and function of SMILES of an objective that is not an expression, else None."""
    text = str(objective)
    if isinstance(objective, str | Path) and Path(objective).is_dir() and text not in PROPERTIES:
        objective = PropertyModel.load(objective)
    if isinstance(objective, PropertyModel):
        return objective.target, objective
    if isinstance(objective, str | Path) and ".py:" not in text:
        return None
    function = as_scoring_function(objective if callable(objective) else text)
    return function.name, function


def _violation(property_filter: PropertyFilter, value: float) -> float:
    """Distance of a value to a filter's bound, relative to the bound; positive whenever the filter rejects it."""
    if property_filter.accepts(value):
        return 0.0
    bound = property_filter.high if value >= property_filter.high else property_filter.low
    return max(abs(value - bound) / max(abs(bound), 1.0), 1e-9) if np.isfinite(value) else np.inf
