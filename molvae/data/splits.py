"""Which split a molecule belongs to, by a hash: the same on every machine, whatever the order of the rows."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from types import MappingProxyType

from rdkit import Chem
from rdkit.Chem.Scaffolds import MurckoScaffold

from molvae.chem.smiles import parse, quiet, write
from molvae.errors import InputError

FRACTIONS: Mapping[str, float] = MappingProxyType({"train": 0.98, "valid": 0.01, "test": 0.01})


def assign_split(smiles: str, fractions: Mapping[str, float] = FRACTIONS, seed: int = 0) -> str:
    """The split of one canonical SMILES: a name drawn with the probabilities `fractions`, the same at each
    call.

    The string is hashed as it stands: make it canonical first, or one molecule may be in two splits. Raises
    `InputError` for fractions that are negative or do not sum to 1.
    """
    _check(fractions)
    digest = hashlib.blake2b(f"{seed} {smiles}".encode(), digest_size=8).digest()
    place = int.from_bytes(digest) / 2**64  # uniform in [0, 1)
    chosen = ""
    for name, fraction in fractions.items():
        if fraction > 0:  # a split of nothing gets nothing, even when rounding leaves a little over
            chosen = name
            place -= fraction
            if place < 0:
                break
    return chosen


def assign_scaffold_split(smiles: str, fractions: Mapping[str, float] = FRACTIONS, seed: int = 0) -> str:
    """`assign_split` of the scaffold: no scaffold is in two splits. Raises `MoleculeError`."""
    return assign_split(scaffold_key(smiles), fractions, seed)


def scaffold_key(smiles: str) -> str:
    """The Bemis-Murcko scaffold (J. Med. Chem. 1996, 39, 2887) as canonical SMILES without stereo.

    A molecule without rings has no scaffold and is its own key; one common empty key would put all of them
    into a single split. Raises `MoleculeError`.
    """
    mol = Chem.Mol(parse(smiles))
    with quiet():
        Chem.RemoveStereochemistry(mol)
        scaffold = MurckoScaffold.GetScaffoldForMol(mol)  # type: ignore[no-untyped-call]
        return write(scaffold if scaffold.GetNumAtoms() else mol)


def _check(fractions: Mapping[str, float]) -> None:
    total = math.fsum(fractions.values())
    if not math.isclose(total, 1.0, abs_tol=1e-6) or min(fractions.values()) < 0:
        given = ", ".join(f"{name} {fraction}" for name, fraction in fractions.items()) or "none"
        raise InputError(f"the fractions of a split must be 0 or more and sum to 1, got {given}")
