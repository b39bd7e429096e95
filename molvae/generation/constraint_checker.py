"""Check of single molecules against the constraints of one seed, in worker processes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from rdkit import Chem

from molvae.chem.canonical_smiles import stable_smiles
from molvae.chem.cores import keeps_core_stereo
from molvae.chem.filters import Filters, alerts
from molvae.chem.rdkit_guard import rdkit_guard
from molvae.chem.scaffolds import murcko_smiles
from molvae.chem.smiles import parse, silence_rdkit
from molvae.chem.stereo_transfer import StereoTemplate
from molvae.errors import MoleculeError


class CheckedMolecule(NamedTuple):
    """Result of a check.

    Attributes
    ----------
    smiles
        Canonical SMILES; it differs from that of the input if stereocenters got the configuration of the seed.
    reason
        The first constraint that the molecule violates, "" if it satisfies all.
    """

    smiles: str
    reason: str = ""


@dataclass(frozen=True)
class ConstraintChecker:
    """Checks the constraints for one seed; can be pickled for worker processes.

    Attributes
    ----------
    filters
        The constraints that do not depend on the seed.
    kept_scaffold, excluded_scaffold
        Scaffold that molecules must, or must not, have, or None.
    stereo
        Stereocenters of the seed whose configuration is kept, or None.
    alerts, seed_alerts
        Sets of alerts to check, and the alerts of the seed, which are allowed.
    core_seed
        SMILES of the seed whose stereo at the core is kept, or "".
    """

    filters: Filters
    kept_scaffold: str | None = None
    excluded_scaffold: str | None = None
    stereo: StereoTemplate | None = None
    alerts: tuple[str, ...] = ()
    seed_alerts: frozenset[str] = frozenset()
    core_seed: str = ""

    def __bool__(self) -> bool:
        """Whether there is anything to check."""
        return self != ConstraintChecker(Filters())

    def __call__(self, molecules: Sequence[str]) -> list[CheckedMolecule]:
        """Check molecules, given as canonical SMILES. A constraint that cannot be computed is violated."""
        with silence_rdkit():
            return [self._check(molecule) for molecule in molecules]

    def _check(self, molecule: str) -> CheckedMolecule:
        try:
            mol = parse(molecule)
            with rdkit_guard("cannot check the constraints"):
                if self.stereo is not None:
                    mol, comparison = self.stereo.transfer(mol)
                    molecule = stable_smiles(mol)[1] if comparison.changed else molecule
                return CheckedMolecule(molecule, self._first_violated(mol))
        except MoleculeError as error:
            return CheckedMolecule(molecule, str(error))

    def _first_violated(self, mol: Chem.Mol) -> str:
        """The first constraint that a molecule violates, or "": those that take least time are checked first."""
        if reason := self.filters.first_failed(mol):
            return reason
        core = self.filters.core
        if core is not None and self.core_seed and not keeps_core_stereo(mol, core, self.core_seed):
            return f"core {core}"
        if self.kept_scaffold is not None and murcko_smiles(mol) != self.kept_scaffold:
            return "another scaffold"
        if self.excluded_scaffold is not None and murcko_smiles(mol) == self.excluded_scaffold:
            return "scaffold of the seed"
        if self.alerts and set(alerts(mol, self.alerts)) - self.seed_alerts:
            return f"alerts {', '.join(self.alerts)}"
        return ""
