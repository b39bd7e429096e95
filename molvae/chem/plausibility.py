"""Plausibility of a molecule: whether its ring systems, atom environments and functional groups are those of real ones.

A molecule is plausible if real molecules have each of its ring systems and atom environments of radius 1, and if it has
no unstable group. What the seed of an analog has is allowed in the analog.
"""

from __future__ import annotations

from typing import NamedTuple

from rdkit import Chem

from molvae.chem.precedence import PrecedenceTable, shipped_table
from molvae.chem.substructures import PatternFingerprint
from molvae.chem.unstable_groups import find_unstable_groups, has_unstable_group

ENVIRONMENT = "unprecedented atom environment"
RING = "unprecedented ring system"
GROUP = "unstable group"
FLAWS = (ENVIRONMENT, RING, GROUP)
"""Kinds of flaws, in the order in which they are looked for: the fastest first."""


class PlausibilityChecker:
    """Checks molecules for ring systems, atom environments and groups that neither real molecules nor the seed have.

    Parameters
    ----------
    seed : rdkit.Chem.Mol, optional
        Molecule whose own ring systems, environments and groups are allowed.
    table : PrecedenceTable, optional
        Default: the table that ships with the package.

    Examples
    --------
    >>> from molvae.chem.smiles import parse
    >>> checker = PlausibilityChecker(parse("CN1CCNCC1"))
    >>> checker.first_flaw(parse("CN1CCN(F)CC1")), checker.first_flaw(parse("CN1CCN(C)CC1"))
    ('unstable group', '')
    """

    def __init__(self, seed: Chem.Mol | None = None, table: PrecedenceTable | None = None) -> None:
        self._table = table or shipped_table()
        self._allowed = _Flaws() if seed is None else self._find(seed)

    def first_flaw(self, mol: Chem.Mol) -> str:
        """The first kind of `FLAWS` that a molecule has, or "". It takes about as long as parsing two molecules.

        Call it in a `silence_rdkit` block.
        """
        allowed, table = self._allowed, self._table
        if table.unprecedented_environments(mol) - allowed.environments:
            return ENVIRONMENT
        if table.unprecedented_rings(mol) - allowed.rings:
            return RING
        if has_unstable_group(mol, except_for=allowed.groups):
            return GROUP
        return ""

    def flaws(self, mol: Chem.Mol, fingerprint: PatternFingerprint | None = None) -> tuple[str, ...]:
        """All kinds of `FLAWS` that a molecule has. `fingerprint` is the molecule's, if already computed."""
        found = self._find(mol, fingerprint)
        kinds = zip(FLAWS, found, self._allowed, strict=True)
        return tuple(kind for kind, own, allowed in kinds if own - allowed)

    def _find(self, mol: Chem.Mol, fingerprint: PatternFingerprint | None = None) -> _Flaws:
        return _Flaws(
            self._table.unprecedented_environments(mol),
            self._table.unprecedented_rings(mol),
            frozenset(find_unstable_groups(mol, fingerprint)),
        )


class _Flaws(NamedTuple):
    """The flaws of a molecule, in the order of `FLAWS`."""

    environments: frozenset[int] = frozenset()
    rings: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()
