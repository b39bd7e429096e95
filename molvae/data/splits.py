"""Assign molecules to splits by a hash of their SMILES: reproducible, and independent of the order of the rows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType

from molvae.chem.scaffolds import murcko_smiles
from molvae.chem.smiles import parse, without_stereo
from molvae.data.hashing import hash_text
from molvae.errors import InputError

FRACTIONS: Mapping[str, float] = MappingProxyType({"train": 0.98, "valid": 0.01, "test": 0.01})


def assign_split(smiles: str, fractions: Mapping[str, float] = FRACTIONS, random_state: int = 0) -> str:
    """Return the split of a molecule, a random choice that is the same in every call.

    Parameters
    ----------
    smiles : str
        Canonical SMILES. The text itself is hashed, so different SMILES of a molecule may be in different splits.
    fractions : mapping
        Probability of each split; they must sum to 1.
    random_state : int
        Seed of the choice.

    Raises
    ------
    InputError
        If a fraction is negative or the sum is not 1.
    """
    _check(fractions)
    position = int.from_bytes(hash_text(f"{random_state} {smiles}")) / 2**64  # uniform in [0, 1)
    chosen = ""
    for name, fraction in fractions.items():
        if fraction > 0:  # an empty split stays empty in spite of rounding errors
            chosen = name
            position -= fraction
            if position < 0:
                break
    return chosen


def scaffold_group(smiles: str) -> str:
    """Return the group of a molecule for a scaffold split: its Bemis-Murcko scaffold.

    Acyclic molecules have no scaffold. Each is a group of its own (its SMILES without stereo), because a common group
    would put all of them into one split. Raises `MoleculeError` for an invalid SMILES.

    >>> scaffold_group("CC(=O)Oc1ccccc1C(=O)O")
    'c1ccccc1'
    """
    mol = parse(smiles)
    return murcko_smiles(mol) or without_stereo(mol)


def _check(fractions: Mapping[str, float]) -> None:
    total = math.fsum(fractions.values())
    if not math.isclose(total, 1.0, abs_tol=1e-6) or min(fractions.values()) < 0:
        values = ", ".join(f"{name} {fraction}" for name, fraction in fractions.items()) or "none"
        raise InputError(f"the fractions of the splits must be 0 or more and sum to 1, got {values}")
