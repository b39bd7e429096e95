"""Constraints on analogs: filters, core, scaffold, plausibility, isomers, stereo, alerts, training set and scores."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rdkit.SimDivFilters.rdSimDivPickers import MaxMinPicker

from molvae.chem.expressions import PropertyFilter
from molvae.chem.filters import Filters, alerts
from molvae.chem.fingerprints import morgan
from molvae.chem.isomers import skeleton_key
from molvae.chem.plausibility import PlausibilityChecker
from molvae.chem.precedence import cached_table
from molvae.chem.sample_parsing import SampleParser
from molvae.chem.scaffolds import murcko_smiles
from molvae.chem.scoring_functions import ScoringFunction
from molvae.chem.smiles import parse, silence_rdkit
from molvae.chem.stereo_transfer import StereoTemplate
from molvae.data.parallel import SERIAL, WorkerPool
from molvae.errors import InputError
from molvae.generation.constraint_checker import CheckedMolecule, ConstraintChecker
from molvae.generation.proposal_rules import ProposalRules

CRASHED = "worker process crashed"
"""Reason for rejecting a molecule that crashes each worker process that checks it."""

IN_TRAINING_SET = "in the training set"

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
    keep_scaffold, change_scaffold
        Keep, or do not keep, the Bemis-Murcko scaffold of the seed.
    plausible
        Reject molecules that are not plausible (`molvae.chem.plausibility`).
    precedence_file
        File of the `PrecedenceTable` for `plausible`; None: the table that ships with the package.
    one_per_isomer
        Accept one molecule of those that are stereoisomers, tautomers, protonation states or isotopologues of each
        other (`molvae.chem.isomers`), and none that is an isomer of the seed.
    keep_stereo
        Give stereocenters whose surroundings are those of the seed the configuration that they have in the seed.
    alerts
        Sets of structural alerts, as of `molvae.chem.filters.alerts`; alerts that the seed has are allowed.
    known
        Function that tells which molecules are in the training set; these are rejected.
    scores
        Scoring functions that `property_filters` can name. They are evaluated last, in the calling process.
    replacements
        Function that proposes other molecules, as SMILES, for those that a filter on a score rejects.
    """

    property_filters: tuple[PropertyFilter, ...] = ()
    include_smarts: tuple[str, ...] = ()
    exclude_smarts: tuple[str, ...] = ()
    core: str | None = None
    keep_scaffold: bool = False
    change_scaffold: bool = False
    plausible: bool = False
    precedence_file: Path | None = None
    one_per_isomer: bool = False
    keep_stereo: bool = False
    alerts: tuple[str, ...] = ()
    known: ContainsFunction | None = None
    scores: Mapping[str, ScoringFunction] = field(default_factory=dict)
    replacements: Callable[[Sequence[str]], list[str]] | None = None

    def __post_init__(self) -> None:
        _ = self.filters  # invalid patterns and, below, unknown sets of alerts raise here
        alerts(parse("C"), self.alerts)
        if self.keep_scaffold and self.change_scaffold:
            raise InputError("keep_scaffold and change_scaffold contradict each other: choose one")
        if self.precedence_file is not None:
            cached_table(self.precedence_file)

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
            or self.change_scaffold
            or self.plausible
            or self.one_per_isomer
            or self.keep_stereo
            or self.alerts
            or self.known
        )

    def accepted(self, seed: str, molecules: Sequence[str]) -> list[str]:
        """The molecules that satisfy all constraints on single molecules."""
        checked = self.submit(seed, molecules, SERIAL)()
        return [result.smiles for result in checked.values() if not result.reason]

    def submit(
        self, seed: str, molecules: Sequence[str], workers: WorkerPool
    ) -> Callable[[], dict[str, CheckedMolecule]]:
        """Start to check distinct molecules in worker processes, for all constraints but those of `proposal_rules`.

        Returns
        -------
        callable
            Waits for the result of each molecule.
        """
        is_known = self.known(molecules) if self.known and molecules else [False] * len(molecules)
        known = {
            m: CheckedMolecule(m, IN_TRAINING_SET) for m, rejected in zip(molecules, is_known, strict=True) if rejected
        }
        remaining = [molecule for molecule in molecules if molecule not in known]
        checker = self._checker(seed)
        pending = workers.submit(checker, remaining) if checker else None

        def results() -> dict[str, CheckedMolecule]:
            checked = zip(remaining, pending.result() if pending else map(CheckedMolecule, remaining), strict=True)
            found = {m: CheckedMolecule(m, CRASHED) if result is None else result for m, result in checked}
            for property_filter in self.score_filters:
                passed = [molecule for molecule, result in found.items() if not result.reason]
                values = self.scores[property_filter.name]([found[molecule].smiles for molecule in passed]).tolist()
                found |= {
                    m: found[m]._replace(reason=str(property_filter))
                    for m, value in zip(passed, values, strict=True)
                    if not property_filter.accepts(value)
                }
            return known | found

        return results

    def _checker(self, seed: str) -> ConstraintChecker:
        mol = parse(seed) if seed else None
        with silence_rdkit():
            scaffold = murcko_smiles(mol) if mol and (self.keep_scaffold or self.change_scaffold) else None
            return ConstraintChecker(
                self.filters,
                kept_scaffold=scaffold if self.keep_scaffold else None,
                excluded_scaffold=scaffold if self.change_scaffold else None,
                stereo=(StereoTemplate(mol) or None) if self.keep_stereo and mol else None,
                alerts=self.alerts,
                seed_alerts=frozenset(alerts(mol, self.alerts)) if self.alerts and mol else frozenset(),
                core_seed=seed if self.core is not None else "",
            )

    def sample_parser(self) -> SampleParser:
        """Parser of decoder samples that finds what `proposal_rules` needs."""
        plausibility = PlausibilityChecker(table_file=self.precedence_file) if self.plausible else None
        return SampleParser(plausibility, self.one_per_isomer)

    def proposal_rules(self, seed: str) -> ProposalRules:
        """The rules for the samples around a seed; the seed's own flaws are allowed."""
        mol = parse(seed) if seed else None
        with silence_rdkit():
            plausibility = None
            if self.plausible:
                no_seed = PlausibilityChecker(table_file=self.precedence_file)
                plausibility = no_seed.for_seed(mol, self.precedence_file) if mol else no_seed
            return ProposalRules(plausibility, skeleton_key(mol) if mol and self.one_per_isomer else "", seed)


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
