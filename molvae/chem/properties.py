"""Molecular properties as a table: one row a property, with its unit, its range and its source.

>>> compute_properties([parse("CC(=O)Oc1ccccc1C(=O)O")], ["mw", "logp"])
{'mw': array([180.159]), 'logp': array([1.3101])}
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr
from dataclasses import dataclass
from functools import cache
from io import StringIO
from math import inf, log, log10
from pathlib import Path
from types import ModuleType

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem, RDConfig
from rdkit.Chem import QED, Crippen, Descriptors, rdFingerprintGenerator, rdMolDescriptors

from molvae.chem.smiles import silence_rdkit
from molvae.chem.substructures import Fingerprint, PatternSet
from molvae.errors import InputError, did_you_mean


@cache
def import_contrib(folder: str, module: str) -> ModuleType:
    """A scorer of RDKit's Contrib: a package in the wheel, a loose file in conda's build.

    Loaded on first use, because it reads a table of megabytes, and never through `sys.path`.
    """
    try:
        return importlib.import_module(f"rdkit.Contrib.{folder}.{module}")
    except ImportError:
        path = Path(RDConfig.RDContribDir) / folder / f"{module}.py"
        spec = importlib.util.spec_from_file_location(f"molvae_{module}", path)
        if spec is None or spec.loader is None or not path.exists():
            raise InputError(f"this property needs RDKit's {folder}; there is none at {path}") from None
        loaded = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(loaded)
        return loaded


_UNSEEN = -4.0
"""The score of an environment that is rare, or new, among the molecules people have made."""


def sa_score(mol: Chem.Mol) -> float:
    """1, easy to make, to 10, hard: Ertl and Schuffenhauer 2009, as in RDKit's Contrib (`sascorer.calculateScore`).

    How common its environments of radius 2 are in molecules that have been made, less penalties for size,
    stereocenters, spiro and bridgehead atoms and large rings, and a bonus for symmetry. Raises `InputError` where
    RDKit's table of environments is not installed.
    """
    environments = _generator().GetSparseCountFingerprint(mol).GetNonzeroElements()
    scores, atoms = _scores(), mol.GetNumAtoms()
    common = sum(scores.get(name, _UNSEEN) * count for name, count in environments.items()) / sum(environments.values())
    complexity = (
        atoms**1.005 - atoms
        + log10(_stereocenters(mol) + 1)
        + log10(rdMolDescriptors.CalcNumSpiroAtoms(mol) + 1)
        + log10(rdMolDescriptors.CalcNumBridgeheadAtoms(mol) + 1)
        + (log10(2) if any(len(ring) > 8 for ring in mol.GetRingInfo().AtomRings()) else 0)
    )  # fmt: skip
    symmetry = log(atoms / len(environments)) / 2 if atoms > len(environments) else 0
    score = 11 - (common - complexity + symmetry + 5) / 6.5 * 9  # -4 to 2.5 becomes 10 to 1
    return float(min(max(score if score <= 8 else 8 + log(score - 8), 1), 10))


def _stereocenters(mol: Chem.Mol) -> int:
    """Atoms that are one or could be, stated or not."""
    Chem.AssignStereochemistry(mol, force=True, flagPossibleStereoCenters=True)
    return int(rdMolDescriptors.CalcNumAtomStereoCenters(mol))


@cache
def _generator() -> rdFingerprintGenerator.FingerprintGenerator64:
    return rdFingerprintGenerator.GetMorganGenerator(radius=2)


@cache
def _scores() -> dict[int, float]:
    scorer = import_contrib("SA_Score", "sascorer")
    scorer.readFragmentScores()
    return dict(scorer._fscores)


def qed(
    mol: Chem.Mol,
    *,
    mw: float,
    logp: float,
    hbd: float,
    tpsa: float,
    rotatable_bonds: float,
    of: Fingerprint | None = None,
) -> float:
    """Quantitative estimate of drug-likeness, 0 to 1 (Bickerton et al. 2012): `rdkit.Chem.QED.qed` to the last digit.

    The descriptors are those of `properties.PROPERTIES`. Acceptors, aromatic rings and alerts are counted here by QED's
    own patterns. `of`: the molecule's `traits`, where they are there already.
    """
    rest = Chem.DeleteSubstructs(mol, QED.AliphaticRings)  # a copy
    counted = QED.QEDproperties(  # type: ignore[no-untyped-call]
        MW=mw,
        ALOGP=logp,
        HBA=sum(len(mol.GetSubstructMatches(pattern)) for pattern in _acceptors()),
        HBD=hbd,
        PSA=tpsa,
        ROTB=rotatable_bonds,
        AROM=len(Chem.GetSSSR(rest)),
        ALERTS=len(_alerts().found(mol, of)),
    )
    return float(QED.qed(mol, qedProperties=counted))  # type: ignore[no-untyped-call]


@cache
def _acceptors() -> list[Chem.Mol]:
    """QED's patterns of an atom each in two searches, for the charged and the others: no atom is in two of either."""
    charged = [smarts for smarts in QED.AcceptorSmarts if "-" in smarts]
    others = [smarts for smarts in QED.AcceptorSmarts if smarts not in charged]
    alternatives = (",".join(f"$({smarts})" for smarts in group) for group in (charged, others))
    return [Chem.MolFromSmarts(f"[{text}]") for text in alternatives]


@cache
def _alerts() -> PatternSet:
    return PatternSet({str(number): smarts for number, smarts in enumerate(QED.StructuralAlertSmarts)})


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
        return import_contrib("NP_Score", "npscorer").readNPModel()


def _natural_product_likeness(mol: Chem.Mol) -> float:
    return float(import_contrib("NP_Score", "npscorer").scoreMol(mol, _natural_products()))


_ROWS = (
    Property("qed", QED.qed, "", (0, 1),
             "quantitative estimate of drug-likeness, 1 is best; Bickerton et al. 2012"),
    Property("sa", sa_score, "", (1, 10),
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


EXPENSIVE = ("qed", "sa", "np")
"""Properties that take longer than a substructure or a fingerprint does."""


def get_property(name: str) -> Property:
    """The property called `name`. Raises `InputError` naming the nearest known one."""
    if name in PROPERTIES:
        return PROPERTIES[name]
    raise InputError(f"unknown property {name!r}{did_you_mean(name, PROPERTIES)}; known: {', '.join(PROPERTIES)}")


def compute_properties(mols: Sequence[Chem.Mol], names: Sequence[str]) -> dict[str, NDArray[np.float64]]:
    """Each named property of each molecule: name -> array of shape (molecules,), units as in `PROPERTIES`.

    All names are looked up before anything is computed. Raises `InputError` for an unknown one.
    """
    rows = [get_property(name) for name in names]
    with silence_rdkit():
        return {row.name: np.array([row.function(mol) for mol in mols], dtype=np.float64) for row in rows}
