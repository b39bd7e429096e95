"""Unstable and reactive functional groups that a medicinal chemist would not propose.

The groups are in unstable_groups.toml, each with a SMARTS pattern, a level, the reason and a reference.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from rdkit import Chem

from molvae.chem.substructures import PatternFingerprint, PatternSet

LEVELS = ("never", "seed")


@dataclass(frozen=True)
class UnstableGroup:
    """A functional group.

    Attributes
    ----------
    name, smarts : str
    level : str
        "never": such a compound cannot be kept; "seed": it can, but only a seed that has the group justifies it.
    reason, reference : str
        Why it is unstable or reactive, and a source.
    examples : tuple of str
        SMILES of molecules with the group.
    """

    name: str
    level: str
    smarts: str
    reason: str
    reference: str
    examples: tuple[str, ...] = ()


@cache
def unstable_groups() -> dict[str, UnstableGroup]:
    """The groups by name, in the order of the file."""
    text = Path(__file__).with_suffix(".toml").read_text(encoding="utf-8")
    groups = [UnstableGroup(**entry | {"examples": tuple(entry["examples"])}) for entry in tomllib.loads(text)["group"]]
    return {group.name: group for group in groups}


def find_unstable_groups(mol: Chem.Mol, fingerprint: PatternFingerprint | None = None) -> list[str]:
    """Names of the unstable groups of a molecule.

    Parameters
    ----------
    mol : rdkit.Chem.Mol
    fingerprint : PatternFingerprint, optional
        The molecule's `pattern_fingerprint`, if already computed.

    Examples
    --------
    >>> find_unstable_groups(Chem.MolFromSmiles("CN1CCN(F)CC1"))
    ['N-halogen']
    """
    return _patterns().matches(mol, fingerprint)


def has_unstable_group(mol: Chem.Mol, except_for: frozenset[str] = frozenset()) -> bool:
    """Whether a molecule has an unstable group other than those named.

    The patterns are searched without a fingerprint, which takes as long for them as the searches that it saves.
    """
    return any(mol.HasSubstructMatch(query) for name, query in _queries().items() if name not in except_for)


@cache
def _queries() -> dict[str, Chem.Mol]:
    return {name: Chem.MolFromSmarts(group.smarts) for name, group in unstable_groups().items()}


@cache
def _patterns() -> PatternSet:
    return PatternSet({name: group.smarts for name, group in unstable_groups().items()})
