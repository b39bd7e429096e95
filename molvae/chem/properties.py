"""Molecular properties as a table: one row a property, with its unit, its range and its source.

>>> compute([parse("CC(=O)Oc1ccccc1C(=O)O")], ["mw", "logp"])
{'mw': array([180.159]), 'logp': array([1.3101])}
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import redirect_stderr
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from io import StringIO
from math import inf

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem
from rdkit.Chem import QED, Crippen, Descriptors, rdMolDescriptors

from molvae.chem.accessibility import accessibility
from molvae.chem.contrib import contrib
from molvae.chem.smiles import quiet
from molvae.errors import InputError


@dataclass(frozen=True)
class Property:
    """One row of the table. `range` is inclusive and holds for every molecule; `source` says what it is."""

    name: str
    function: Callable[[Chem.Mol], float]
    unit: str
    range: tuple[float, float]
    source: str


@cache
def _natural_products() -> object:
    with redirect_stderr(StringIO()):  # where the reader tells that it reads
        return contrib("NP_Score", "npscorer").readNPModel()


def _natural_product_likeness(mol: Chem.Mol) -> float:
    return float(contrib("NP_Score", "npscorer").scoreMol(mol, _natural_products()))


_ROWS = (
    Property("qed", QED.qed, "", (0, 1),
             "quantitative estimate of drug-likeness, 1 is best; Bickerton et al. 2012"),
    Property("sa", accessibility, "", (1, 10),
             "synthetic accessibility, 1 easy to 10 hard; Ertl and Schuffenhauer 2009"),
    Property("np", _natural_product_likeness, "", (-5, 5),
             "natural-product likeness, 5 is most like one; Ertl, Roggo and Schuffenhauer 2008"),
    Property("logp", Crippen.MolLogP, "log10", (-inf, inf),  # type: ignore[attr-defined]
             "octanol-water partition from atom contributions; Wildman and Crippen 1999"),
    Property("mw", Descriptors.MolWt, "g/mol", (0, inf), "average weight"),  # type: ignore[attr-defined]
    Property("tpsa", rdMolDescriptors.CalcTPSA, "Å²", (0, inf),
             "topological polar surface of N and O; Ertl et al. 2000"),
    Property("hbd", rdMolDescriptors.CalcNumHBD, "count", (0, inf), "hydrogen-bond donors; RDKit's patterns"),
    Property("hba", rdMolDescriptors.CalcNumHBA, "count", (0, inf), "hydrogen-bond acceptors; same"),
    Property("rotatable_bonds", rdMolDescriptors.CalcNumRotatableBonds, "count", (0, inf),
             "single bonds free to turn, amides left out; RDKit's strict pattern"),
    Property("rings", rdMolDescriptors.CalcNumRings, "count", (0, inf), "smallest set of smallest rings"),
    Property("heavy_atoms", Chem.Mol.GetNumHeavyAtoms, "count", (0, inf), "atoms other than hydrogen"),
    Property("charge", Chem.GetFormalCharge, "e", (-inf, inf), "sum of formal charges"),
    Property("fsp3", rdMolDescriptors.CalcFractionCSP3, "", (0, 1),
             "share of carbons that are sp3; Lovering et al. 2009"),
)  # fmt: skip

PROPERTIES: dict[str, Property] = {row.name: row for row in _ROWS}
"""Every property by its name, in the order of the table."""


COSTLY = ("qed", "sa", "np")
"""Properties that take longer than a substructure or a fingerprint does."""


def lookup(name: str) -> Property:
    """The property called `name`. Raises `InputError` naming the nearest known one."""
    if name in PROPERTIES:
        return PROPERTIES[name]
    nearest = get_close_matches(name.lower(), PROPERTIES, n=1, cutoff=0.0)[0]
    raise InputError(f"unknown property {name!r}: did you mean {nearest!r}? Known: {', '.join(PROPERTIES)}")


def compute(mols: Sequence[Chem.Mol], names: Sequence[str]) -> dict[str, NDArray[np.float64]]:
    """Each named property of each molecule: name -> array of shape (molecules,), units as in `PROPERTIES`.

    All names are looked up before anything is computed. Raises `InputError` for an unknown one.
    """
    rows = [lookup(name) for name in names]
    with quiet():
        return {row.name: np.array([row.function(mol) for mol in mols], dtype=np.float64) for row in rows}
