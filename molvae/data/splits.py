"""Which split a molecule belongs to, by a hash: the same on every machine, whatever the order of the rows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType

from molvae.chem.scaffolds import murcko_smiles
from molvae.chem.smiles import parse, without_stereo
from molvae.data.hashing import hash_text
from molvae.errors import InputError

FRACTIONS: Mapping[str, float] = MappingProxyType({"train": 0.98, "valid": 0.01, "test": 0.01})


def assign_split(smiles: str, fractions: Mapping[str, float] = FRACTIONS, seed: int = 0) -> str:
    """The split of one canonical SMILES: a name drawn with the probabilities `fractions`, the same at each
    call.

    The string is hashed as it stands: make it canonical first, or one molecule may be in two splits. Raises
    `InputError` for fractions that are negative or do not sum to 1.
    """
    _check(fractions)
    place = int.from_bytes(hash_text(f"{seed} {smiles}")) / 2**64  # uniform in [0, 1)
    chosen = ""
    for name, fraction in fractions.items():
        if fraction > 0:  # a split of nothing gets nothing, even when rounding leaves a little over
            chosen = name
            place -= fraction
            if place < 0:
                break
    return chosen


def scaffold_group(smiles: str) -> str:
    """The Bemis-Murcko scaffold, as of `chem.scaffolds`, by which molecules are kept together.

    A molecule without rings has no scaffold and is its own key, without stereo; one common empty key would put all of
    them into a single split. Raises `MoleculeError`.
    """
    mol = parse(smiles)
    return murcko_smiles(mol) or without_stereo(mol)


def _check(fractions: Mapping[str, float]) -> None:
    total = math.fsum(fractions.values())
    if not math.isclose(total, 1.0, abs_tol=1e-6) or min(fractions.values()) < 0:
        given = ", ".join(f"{name} {fraction}" for name, fraction in fractions.items()) or "none"
        raise InputError(f"the fractions of a split must be 0 or more and sum to 1, got {given}")
