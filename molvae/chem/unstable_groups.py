"""Unstable and reactive functional groups that a medicinal chemist would not propose.

The groups are in unstable_groups.toml, each with a SMARTS pattern, a level, the reason and a reference.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from rdkit import Chem

LEVELS = ("never", "seed")


@dataclass(frozen=True)
class UnstableGroup:
    """A functional group.

    Attributes
    ----------
    name, smarts : str
    family : str
        Family of groups, "" for none. Only molecules that match the pattern of the family can have the group.
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
    family: str = ""


@cache
def unstable_groups() -> dict[str, UnstableGroup]:
    """The groups by name, in the order of the file."""
    groups = [UnstableGroup(**entry | {"examples": tuple(entry["examples"])}) for entry in _document()["group"]]
    return {group.name: group for group in groups}


def find_unstable_groups(mol: Chem.Mol) -> list[str]:
    """Names of the unstable groups of a molecule, in the order of the file.

    It takes about 0.1 ms. Without families, which exclude most groups at once, it would take 0.7 ms, most of it the
    overhead of one call of RDKit for each of the 90 groups.

    Examples
    --------
    >>> find_unstable_groups(Chem.MolFromSmiles("CN1CCN(F)CC1"))
    ['N-halogen']
    """
    found = set(_search(mol))
    return [name for name in unstable_groups() if name in found] if found else []


def _search(mol: Chem.Mol) -> Iterator[str]:
    for family, groups in _queries():
        if family is None or mol.HasSubstructMatch(family):
            yield from (name for name, query in groups if mol.HasSubstructMatch(query))


@cache
def _queries() -> list[tuple[Chem.Mol | None, list[tuple[str, Chem.Mol]]]]:
    """The pattern of each family, None for groups without a family, and the names and patterns of its groups."""
    families = {"": None} | {name: Chem.MolFromSmarts(smarts) for name, smarts in _document()["family"].items()}
    groups = unstable_groups().values()
    return [
        (query, [(group.name, Chem.MolFromSmarts(group.smarts)) for group in groups if group.family == family])
        for family, query in families.items()
    ]


@cache
def _document() -> dict[str, Any]:
    return tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
