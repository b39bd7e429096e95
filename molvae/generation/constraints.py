"""Constraints on analogs: property filters, SMARTS, core, scaffold, alerts, the training set and user scores."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from rdkit import Chem
from rdkit.SimDivFilters.rdSimDivPickers import MaxMinPicker

from molvae.chem.cores import keeps_core_stereo
from molvae.chem.expressions import PropertyFilter
from molvae.chem.filters import Filters, alerts
from molvae.chem.fingerprints import morgan
from molvae.chem.scaffolds import murcko_smiles
from molvae.chem.scoring_functions import ScoringFunction
from molvae.chem.smiles import parse, silence_rdkit, without_stereo
from molvae.data.parallel import SERIAL, WorkerPool
from molvae.errors import InputError, MoleculeError

CRASHED = "worker process crashed"
"""Reason for rejecting a molecule that crashes each worker process that checks it."""

ContainsFunction = Callable[[Sequence[str]], Iterable[bool]]
"""Which of the SMILES are in a set."""


@dataclass(frozen=True)
class Constraints:
    """Constraints that each molecule has to satisfy; the default accepts all molecules.

    Attributes
    ----------
    property_filters
        Ranges of properties and of `scores`.
    include_smarts, exclude_smarts
        SMARTS patterns, all of which must, or none of which may, occur.
    core
        Core that the molecules contain, as of `molvae.chem.cores.has_core`.
    keep_scaffold
        Keep the Bemis-Murcko scaffold of the seed.
    exclude_stereoisomers
        Reject stereoisomers of the seed.
    alerts
        Sets of structural alerts ("PAINS", "BRENK", "NIH"); alerts that the seed has are allowed.
    known
        Function that tells which molecules are in the training set; these are rejected.
    scores
        Scoring functions that `property_filters` can name. They are evaluated last, in the calling process.
    """

    property_filters: tuple[PropertyFilter, ...] = ()
    include_smarts: tuple[str, ...] = ()
    exclude_smarts: tuple[str, ...] = ()
    core: str | None = None
    keep_scaffold: bool = False
    exclude_stereoisomers: bool = False
    alerts: tuple[str, ...] = ()
    known: ContainsFunction | None = None
    scores: Mapping[str, ScoringFunction] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _ = self.filters  # invalid patterns and, below, unknown sets of alerts raise here
        alerts(parse("C"), self.alerts)

    @property
    def filters(self) -> Filters:
        """The constraints that do not depend on the seed."""
        property_filters = tuple(
            property_filter for property_filter in self.property_filters if property_filter.name not in self.scores
        )
        return Filters(property_filters, self.include_smarts, self.exclude_smarts, self.core)

    @property
    def score_filters(self) -> list[PropertyFilter]:
        """The filters on user scores."""
        return [property_filter for property_filter in self.property_filters if property_filter.name in self.scores]

    def __bool__(self) -> bool:
        """Whether there is any constraint."""
        return bool(
            self.property_filters
            or self.filters
            or self.keep_scaffold
            or self.exclude_stereoisomers
            or self.alerts
            or self.known
        )

    def accepted(self, seed: str, molecules: Sequence[str]) -> list[str]:
        """The molecules that satisfy all constraints."""
        return [molecule for molecule, reason in self.submit(seed, molecules, SERIAL)().items() if not reason]

    def submit(self, seed: str, molecules: Sequence[str], workers: WorkerPool) -> Callable[[], dict[str, str]]:
        """Start to check distinct molecules in worker processes.

        Returns
        -------
        callable
            Waits for the result: the first constraint that each molecule violates, "" for accepted molecules.
        """
        is_known = self.known(molecules) if self.known and molecules else [False] * len(molecules)
        known = {m: "exclude_training_set" for m, rejected in zip(molecules, is_known, strict=True) if rejected}
        remaining = [molecule for molecule in molecules if molecule not in known]
        pending = workers.submit(self._checker(seed), remaining)

        def reasons() -> dict[str, str]:
            checked = zip(remaining, pending.result(), strict=True)
            found = {molecule: CRASHED if reason is None else reason for molecule, reason in checked}
            for property_filter in self.score_filters:
                passed = [molecule for molecule, reason in found.items() if not reason]
                values = self.scores[property_filter.name](passed).tolist()
                found |= {
                    m: str(property_filter)
                    for m, value in zip(passed, values, strict=True)
                    if not property_filter.accepts(value)
                }
            return known | found

        return reasons

    def _checker(self, seed: str) -> ConstraintChecker:
        return ConstraintChecker(
            self.filters,
            scaffold=murcko_smiles(parse(seed)) if self.keep_scaffold else None,
            flat_seed=without_stereo(parse(seed)) if self.exclude_stereoisomers and seed else None,
            alerts=self.alerts,
            seed_alerts=frozenset(alerts(parse(seed), self.alerts)) if self.alerts and seed else frozenset(),
            core_seed=seed if self.core is not None else "",
        )


@dataclass(frozen=True)
class ConstraintChecker:
    """Checks the constraints for one seed; can be pickled for worker processes.

    Attributes
    ----------
    filters
        The constraints that do not depend on the seed.
    scaffold
        Scaffold to keep, or None.
    flat_seed
        SMILES of the seed without stereochemistry, to reject its stereoisomers, or None.
    alerts, seed_alerts
        Sets of alerts to check, and the alerts of the seed, which are allowed.
    core_seed
        SMILES of the seed whose stereo at the core is kept, or "".
    """

    filters: Filters
    scaffold: str | None
    flat_seed: str | None
    alerts: tuple[str, ...]
    seed_alerts: frozenset[str]
    core_seed: str = ""

    def __call__(self, molecules: Sequence[str]) -> list[str]:
        """The first constraint that each molecule violates, or ""; the reason if one cannot be computed."""
        with silence_rdkit():
            return [self._first_violated(molecule) for molecule in molecules]

    def _first_violated(self, molecule: str) -> str:
        try:
            return self._violation(parse(molecule))
        except MoleculeError as error:
            return str(error)

    def _violation(self, mol: Chem.Mol) -> str:
        if reason := self.filters.first_failed(mol):
            return reason
        core = self.filters.core
        if core is not None and self.core_seed and not keeps_core_stereo(mol, core, self.core_seed):
            return f"core {core}"
        if self.scaffold is not None and murcko_smiles(mol) != self.scaffold:
            return "keep_scaffold"
        if self.flat_seed is not None and without_stereo(mol) == self.flat_seed:
            return "exclude_stereoisomers"
        if self.alerts and set(alerts(mol, self.alerts)) - self.seed_alerts:
            return f"alerts {', '.join(self.alerts)}"
        return ""


def select_diverse(molecules: Sequence[str], count: int, pool_factor: int = 3) -> list[int]:
    """Select diverse molecules by the MaxMin algorithm [1]_, beginning with the first molecule.

    Each selected molecule is the one whose most similar selected molecule is the least similar (Tanimoto).

    Parameters
    ----------
    molecules
        SMILES, the best first.
    count
        Number of molecules to select.
    pool_factor
        Select from the first `pool_factor * count` molecules.

    Returns
    -------
    list of int
        Positions of the selected molecules, ascending.

    Raises
    ------
    InputError
        If `count` is less than 1.

    References
    ----------
    .. [1] Ashton et al. "Identification of diverse database subsets using property-based and fragment-based molecular
       descriptions." Quant. Struct.-Act. Relat. 21, 598-604 (2002).
    """
    if count < 1:
        raise InputError(f"the number of diverse molecules must be 1 or more, got {count}")
    pool = [morgan(parse(molecule)) for molecule in molecules[: pool_factor * count]]
    if len(pool) <= count:
        return list(range(len(pool)))
    return sorted(MaxMinPicker().LazyBitVectorPick(pool, len(pool), count, firstPicks=[0]))
