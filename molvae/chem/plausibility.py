"""Plausibility of a molecule: whether its ring systems, atom environments and functional groups are those of real ones.

A molecule is plausible if real molecules have each of its ring systems and atom environments of radius 1, and if it has
no unstable group. What the seed of an analog has is allowed in the analog.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from rdkit import Chem

from molvae.chem.precedence import SHIPPED_FILE, PrecedenceTable, cached_table
from molvae.chem.unstable_groups import find_unstable_groups

ENVIRONMENT = "unprecedented atom environment"
RING = "unprecedented ring system"
GROUP = "unstable group"
FLAWS = (ENVIRONMENT, RING, GROUP)
"""Kinds of flaws."""


class Flaws(NamedTuple):
    """What a molecule has and real molecules do not, in the order of `FLAWS`."""

    environments: frozenset[int] = frozenset()
    rings: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()


NO_FLAWS = Flaws()
"""The flaws of a plausible molecule."""


@dataclass(frozen=True)
class PlausibilityChecker:
    """Checks molecules for ring systems, atom environments and groups that neither real molecules nor the seed have.

    It can be pickled for worker processes: they load the table themselves.

    Attributes
    ----------
    allowed : Flaws
        Those of the seed, which are allowed.
    table_file : Path, optional
        File of a `PrecedenceTable`; default: the table that ships with the package.

    Examples
    --------
    >>> from molvae.chem.smiles import parse
    >>> checker = PlausibilityChecker.for_seed(parse("CN1CCNCC1"))
    >>> checker.first_flaw(parse("CN1CCN(F)CC1")), checker.first_flaw(parse("CN1CCN(C)CC1"))
    ('unprecedented atom environment', '')
    """

    allowed: Flaws = NO_FLAWS
    table_file: Path | None = None

    @classmethod
    def for_seed(cls, seed: Chem.Mol, table_file: Path | None = None) -> PlausibilityChecker:
        """The checker of the analogs of a seed."""
        return cls(cls(table_file=table_file).find(seed), table_file)

    def first_flaw(self, mol: Chem.Mol) -> str:
        """The first kind of `FLAWS` that a molecule has, or "". Call it in a `silence_rdkit` block."""
        return next(iter(self.flaws(mol)), "")

    def flaws(self, mol: Chem.Mol) -> tuple[str, ...]:
        """All kinds of `FLAWS` that a molecule has. Call it in a `silence_rdkit` block."""
        return self.new_flaws(self.find(mol))

    def new_flaws(self, found: Flaws) -> tuple[str, ...]:
        """The kinds of `FLAWS` of a molecule that the seed does not have."""
        if found == NO_FLAWS:
            return ()
        return tuple(kind for kind, own, allowed in zip(FLAWS, found, self.allowed, strict=True) if own - allowed)

    def find(self, mol: Chem.Mol) -> Flaws:
        """The flaws of a molecule, those of the seed included. It takes about twice as long as parsing."""
        return Flaws(
            self._table.unprecedented_environments(mol),
            self._table.unprecedented_rings(mol),
            frozenset(find_unstable_groups(mol)),
        )

    @property
    def _table(self) -> PrecedenceTable:
        return cached_table(self.table_file or SHIPPED_FILE)
