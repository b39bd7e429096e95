"""Findings: why a molecule is not plausible, each with the fragment, the reason and a reference."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import NamedTuple

from rdkit import Chem

from molvae.chem.plausibility import FLAWS, GROUP, PlausibilityChecker
from molvae.chem.precedence import SHIPPED_FILE, PrecedenceTable, Rarity, cached_table
from molvae.chem.unstable_groups import find_unstable_groups, unstable_groups

UNPRECEDENTED, RARE, INFORMATION = "unprecedented", "rare", "information"
FLAW_LEVELS = (UNPRECEDENTED, "never", "seed")
"""Levels of the findings that make a molecule implausible."""

_SHIPPED_SOURCE = "training molecules of the model druglike (ChEMBL, PubChem, ZINC)"


class Finding(NamedTuple):
    """A fragment of a molecule that real molecules do not have, or rarely, or that is unstable.

    Attributes
    ----------
    kind : str
        "ring system", "environment of radius 1", "environment of radius 2" or "unstable group".
    fragment : str
        SMILES of the ring system or environment, whose central atom comes first; the name of the group.
    n_molecules : int or None
        Number of real molecules with the ring system or environment; None for a group.
    level : str
        "unprecedented": no real molecule has it; "rare": few have it; "information": an environment of radius 2, which
        does not make a molecule implausible; "never" and "seed": the level of an unstable group.
    reason, reference : str
        What is wrong, and the source.
    atoms : tuple of int
        The atoms of the fragment in the molecule.
    """

    kind: str
    fragment: str
    n_molecules: int | None
    level: str
    reason: str
    reference: str
    atoms: tuple[int, ...]

    @property
    def is_flaw(self) -> bool:
        """Whether the finding makes the molecule implausible."""
        return self.level in FLAW_LEVELS


def find(
    mol: Chem.Mol, *, max_count: int = 0, seed: Chem.Mol | None = None, table_file: Path | None = None
) -> list[Finding]:
    """The findings of a molecule: flaws first, then rare fragments, then environments of radius 2.

    Call it in a `silence_rdkit` block.

    Parameters
    ----------
    mol : rdkit.Chem.Mol
    max_count : int
        Ring systems and environments in at most this many real molecules are listed; 0 lists the unprecedented ones.
    seed : rdkit.Chem.Mol, optional
        A molecule whose ring systems, environments and groups are not listed.
    table_file : Path, optional
        File of a `PrecedenceTable`; default: the table that ships with the package.

    Examples
    --------
    >>> from molvae.chem.smiles import parse
    >>> [(finding.kind, finding.fragment) for finding in find(parse("CN1CCN(F)CC1"))]
    [('environment of radius 1', 'N(F)(C)C'), ('unstable group', 'N-halogen')]
    """
    table = cached_table(table_file or SHIPPED_FILE)
    source = _SHIPPED_SOURCE if table_file is None else str(table_file)
    rare = [_of_rarity(rarity, table, source) for rarity in table.explain(mol, max_count + 1, seed)]
    found = [*rare, *_unstable_groups(mol, seed)]
    return sorted(found, key=lambda finding: (not finding.is_flaw, finding.level == INFORMATION))


def flaw_names(checker: PlausibilityChecker, mol: Chem.Mol) -> list[str]:
    """The flaws that a `PlausibilityChecker` finds, each as its kind and the fragment.

    Examples
    --------
    >>> from molvae.chem.smiles import parse
    >>> flaw_names(PlausibilityChecker(), parse("CN1CCN(F)CC1"))
    ['unprecedented atom environment N(F)(C)C', 'unstable group N-halogen']
    """
    found = checker.find(mol)
    if not checker.new_flaws(found):
        return []
    table = cached_table(checker.table_file or SHIPPED_FILE)
    environments = table.environment_smiles(mol, found.environments - checker.allowed.environments)
    names = (environments, found.rings - checker.allowed.rings, found.groups - checker.allowed.groups)
    return [f"{kind} {name}" for kind, own in zip(FLAWS, names, strict=True) for name in sorted(own)]


def _of_rarity(rarity: Rarity, table: PrecedenceTable, source: str) -> Finding:
    level = RARE if rarity.n_molecules else UNPRECEDENTED
    if rarity.kind == "environment of radius 2":
        level = INFORMATION
    who = f"{rarity.n_molecules:,}" if rarity.n_molecules else "none"
    verb = "has" if rarity.n_molecules in (0, 1) else "have"
    reason = f"{who} of {table.n_molecules:,} real molecules {verb} it"
    return Finding(rarity.kind, rarity.smiles, rarity.n_molecules, level, reason, source, rarity.atoms)


def _unstable_groups(mol: Chem.Mol, seed: Chem.Mol | None) -> list[Finding]:
    allowed = set(find_unstable_groups(seed)) if seed is not None else set[str]()
    found = []
    for name in find_unstable_groups(mol):
        if name not in allowed:
            group = unstable_groups()[name]
            atoms = sorted({atom for match in mol.GetSubstructMatches(_query(group.smarts)) for atom in match})
            found.append(Finding(GROUP, name, None, group.level, group.reason, group.reference, tuple(atoms)))
    return found


@cache
def _query(smarts: str) -> Chem.Mol:
    return Chem.MolFromSmarts(smarts)
