"""Assignment of molecules to splits, by a hash of the SMILES or by scaffold."""

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
    """Return the split of a molecule, by a hash of its SMILES.

    The assignment is reproducible and does not depend on the other molecules.

    Parameters
    ----------
    smiles : str
        Canonical SMILES. Different SMILES of a molecule may be assigned to different splits.
    fractions : mapping
        Probability of each split; they must sum to 1.
    random_state : int
        Random number seed.

    Raises
    ------
    InputError
        If a fraction is negative or the sum is not 1.
    """
    _check(fractions)
    position = int.from_bytes(hash_text(f"{random_state} {smiles}")) / 2**64  # uniform in [0, 1)
    chosen = ""
    for name, fraction in fractions.items():
        if fraction > 0:  # rounding errors must not put molecules into an empty split
            chosen = name
            position -= fraction
            if position < 0:
                break
    return chosen


def scaffold_group(smiles: str) -> str:
    """Return the group of a molecule in a scaffold split: its Bemis-Murcko scaffold.

    An acyclic molecule has no scaffold; its group is its SMILES without stereochemistry. A common group of all acyclic
    molecules would put them into one split. Raises `MoleculeError` for an invalid SMILES.

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
