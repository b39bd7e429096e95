"""Molecular properties: one table with the function, unit, range and source of each.

>>> compute_properties([Chem.MolFromSmiles("CC(=O)Oc1ccccc1C(=O)O")], ["mw", "logp"])
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
from math import inf, isfinite, log, log10, nan
from pathlib import Path
from types import ModuleType

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem, RDConfig
from rdkit.Chem import QED, Crippen, Descriptors, rdFingerprintGenerator, rdMolDescriptors

from molvae.chem.precedence import shipped_table
from molvae.chem.rdkit_guard import RDKIT_ERRORS, silence_rdkit
from molvae.chem.substructures import PatternFingerprint, PatternSet
from molvae.errors import InputError, MoleculeError, MolvaeError, did_you_mean


@cache
def import_contrib(folder: str, module: str) -> ModuleType:
    """Import a module of RDKit's Contrib, which is a package in the wheel and a plain file in the conda build.

    `sys.path` is not changed. Raises `InputError` if the module is not installed.
    """
    try:
        return importlib.import_module(f"rdkit.Contrib.{folder}.{module}")
    except ImportError:
        path = Path(RDConfig.RDContribDir) / folder / f"{module}.py"
        spec = importlib.util.spec_from_file_location(f"molvae_{module}", path)
        if spec is None or spec.loader is None or not path.exists():
            raise InputError(
                f"this property needs {folder} of RDKit's Contrib, which is not installed at {path}"
            ) from None
        loaded = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(loaded)
        return loaded


_UNKNOWN_ENVIRONMENT = -4.0  # score of an atom environment that is missing from RDKit's table


def sa_score(mol: Chem.Mol) -> float:
    """Synthetic accessibility score [1]_, 1 (easy) to 10 (hard); equal to `sascorer.calculateScore` of RDKit's Contrib.

    The mean frequency of the atom environments of radius 2 among synthesized molecules, minus penalties for size,
    stereocenters, spiro and bridgehead atoms and large rings, plus a bonus for symmetry. Raises `InputError` if RDKit's
    table of environments is not installed.

    References
    ----------
    .. [1] Ertl and Schuffenhauer 2009, J. Cheminform. 1, 8.
    """
    environments = _morgan_generator().GetSparseCountFingerprint(mol).GetNonzeroElements()
    scores, atoms = _fragment_scores(), mol.GetNumAtoms()
    fragment_score = sum(scores.get(name, _UNKNOWN_ENVIRONMENT) * count for name, count in environments.items()) / sum(
        environments.values()
    )
    complexity = (
        atoms**1.005 - atoms
        + log10(_stereocenters(mol) + 1)
        + log10(rdMolDescriptors.CalcNumSpiroAtoms(mol) + 1)
        + log10(rdMolDescriptors.CalcNumBridgeheadAtoms(mol) + 1)
        + (log10(2) if any(len(ring) > 8 for ring in mol.GetRingInfo().AtomRings()) else 0)
    )  # fmt: skip
    symmetry = log(atoms / len(environments)) / 2 if atoms > len(environments) else 0
    score = 11 - (fragment_score - complexity + symmetry + 5) / 6.5 * 9  # -4 to 2.5 becomes 10 to 1
    return float(min(max(score if score <= 8 else 8 + log(score - 8), 1), 10))


def _stereocenters(mol: Chem.Mol) -> int:
    """Number of stereocenters, specified or not."""
    Chem.AssignStereochemistry(mol, force=True, flagPossibleStereoCenters=True)
    return int(rdMolDescriptors.CalcNumAtomStereoCenters(mol))


@cache
def _morgan_generator() -> rdFingerprintGenerator.FingerprintGenerator64:
    return rdFingerprintGenerator.GetMorganGenerator(radius=2)


@cache
def _fragment_scores() -> dict[int, float]:
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
    fingerprint: PatternFingerprint | None = None,
) -> float:
    """Quantitative estimate of drug-likeness [1]_, 0 to 1; exactly equal to `rdkit.Chem.QED.qed`.

    It is faster, because it takes descriptors that the caller has computed already: `mw` to `rotatable_bonds` as in
    `PROPERTIES`, and optionally `fingerprint`, the molecule's `pattern_fingerprint`. Acceptors, aromatic rings and
    alerts are counted with QED's own patterns.

    References
    ----------
    .. [1] Bickerton et al. 2012, Nature Chemistry 4, 90.
    """
    without_aliphatic_rings = Chem.DeleteSubstructs(mol, QED.AliphaticRings)  # a copy
    descriptors = QED.QEDproperties(  # type: ignore[no-untyped-call]
        MW=mw,
        ALOGP=logp,
        HBA=sum(len(mol.GetSubstructMatches(pattern)) for pattern in _acceptors()),
        HBD=hbd,
        PSA=tpsa,
        ROTB=rotatable_bonds,
        AROM=len(Chem.GetSSSR(without_aliphatic_rings)),
        ALERTS=len(_qed_alerts().matches(mol, fingerprint)),
    )
    return float(QED.qed(mol, qedProperties=descriptors))  # type: ignore[no-untyped-call]


@cache
def _acceptors() -> list[Chem.Mol]:
    """QED's acceptor patterns, each of one atom, merged into two SMARTS; no atom matches two patterns of one SMARTS."""
    charged = [smarts for smarts in QED.AcceptorSmarts if "-" in smarts]
    others = [smarts for smarts in QED.AcceptorSmarts if smarts not in charged]
    alternatives = (",".join(f"$({smarts})" for smarts in group) for group in (charged, others))
    return [Chem.MolFromSmarts(f"[{text}]") for text in alternatives]


@cache
def _qed_alerts() -> PatternSet:
    return PatternSet({str(number): smarts for number, smarts in enumerate(QED.StructuralAlertSmarts)})


@dataclass(frozen=True)
class Property:
    """A property: its function of a molecule, unit, range (inclusive, for every molecule), and definition."""

    name: str
    function: Callable[[Chem.Mol], float]
    unit: str
    range: tuple[float, float]
    source: str

    def value(self, mol: Chem.Mol) -> float:
        """The property of a molecule; NaN if RDKit cannot compute it.

        Call it inside a `silence_rdkit` block. Any property can fail: QED overflows for 500 molecules of water.
        """
        try:
            value = float(self.function(mol))
        except RDKIT_ERRORS as error:
            if isinstance(error, MolvaeError) and not isinstance(error, MoleculeError):
                raise
            return nan
        return value if isfinite(value) else nan


def _open_stereocenters(mol: Chem.Mol) -> float:
    Chem.AssignStereochemistry(mol, force=True, flagPossibleStereoCenters=True)
    return float(rdMolDescriptors.CalcNumUnspecifiedAtomStereoCenters(mol))


@cache
def _natural_products() -> object:
    with redirect_stderr(StringIO()):  # the reader prints a message
        return import_contrib("NP_Score", "npscorer").readNPModel()


def _natural_product_likeness(mol: Chem.Mol) -> float:
    return float(import_contrib("NP_Score", "npscorer").scoreMol(mol, _natural_products()))


def _ring_precedence(mol: Chem.Mol) -> float:
    return float(shipped_table().ring_precedence(mol))


def _environment_precedence(mol: Chem.Mol) -> float:
    return float(shipped_table().environment_precedence(mol))


_ROWS = (
    Property("qed", QED.qed, "", (0, 1),
             "quantitative estimate of drug-likeness, 1 is best; Bickerton et al. 2012"),
    Property("sa", sa_score, "", (1, 10),
             "synthetic accessibility, 1 easy to 10 hard; Ertl and Schuffenhauer 2009"),
    Property("np", _natural_product_likeness, "", (-5, 5),
             "natural-product likeness, 5 for the most similar; Ertl, Roggo and Schuffenhauer 2008"),
    Property("logp", Crippen.MolLogP, "log10", (-inf, inf),  # type: ignore[attr-defined]
             "octanol-water partition from atom contributions; Wildman and Crippen 1999"),
    Property("mw", Descriptors.MolWt, "g/mol", (0, inf), "average molecular weight"),  # type: ignore[attr-defined]
    Property("tpsa", rdMolDescriptors.CalcTPSA, "Å²", (0, inf),
             "topological polar surface area of N and O; Ertl et al. 2000"),
    Property("hbd", rdMolDescriptors.CalcNumHBD, "count", (0, inf), "hydrogen-bond donors; RDKit's patterns"),
    Property("hba", rdMolDescriptors.CalcNumHBA, "count", (0, inf), "hydrogen-bond acceptors; RDKit's patterns"),
    Property("rotatable_bonds", rdMolDescriptors.CalcNumRotatableBonds, "count", (0, inf),
             "rotatable bonds without amides; RDKit's strict pattern"),
    Property("rings", rdMolDescriptors.CalcNumRings, "count", (0, inf), "rings in the smallest set of smallest rings"),
    Property("heavy_atoms", Chem.Mol.GetNumHeavyAtoms, "count", (0, inf), "atoms other than hydrogen"),
    Property("charge", Chem.GetFormalCharge, "e", (-inf, inf), "sum of formal charges"),
    Property("fsp3", rdMolDescriptors.CalcFractionCSP3, "", (0, 1),
             "fraction of carbons that are sp3; Lovering et al. 2009"),
    Property("open_stereocenters", _open_stereocenters, "count", (0, inf),
             "tetrahedral stereocenters without a configuration"),
    Property("ring_precedence", _ring_precedence, "count", (0, inf),
             "real molecules with the rarest ring system, of 601,323; 0: no real molecule has it"),
    Property("environment_precedence", _environment_precedence, "count", (0, inf),
             "real molecules with the rarest atom environment of radius 1, of 601,323; 0: no real molecule has it"),
)  # fmt: skip

PROPERTIES: dict[str, Property] = {row.name: row for row in _ROWS}
"""All properties by name."""

EXPENSIVE = ("qed", "sa", "np")
"""Properties that take longer than a substructure search."""


ALIASES = {
    **dict.fromkeys(("mol_wt", "mol_weight", "molecular_weight", "weight", "avg_mw"), "mw"),
    **dict.fromkeys(("clogp", "alogp", "slogp", "mollogp", "mol_logp", "crippen_logp", "wlogp"), "logp"),
    **dict.fromkeys(("psa", "polar_surface_area"), "tpsa"),
    **dict.fromkeys(("donors", "h_donors", "n_hbd", "num_hbd", "num_h_donors", "h_bond_donors"), "hbd"),
    **dict.fromkeys(("acceptors", "h_acceptors", "n_hba", "num_hba", "num_h_acceptors", "h_bond_acceptors"), "hba"),
    **dict.fromkeys(("rotb", "rot_b", "rb", "n_rotb", "nrot", "rot_bonds", "n_rotatable_bonds", "num_rotatable_bonds"),
                    "rotatable_bonds"),
    **dict.fromkeys(("ring_count", "n_rings", "num_rings"), "rings"),
    **dict.fromkeys(("hac", "nha", "heavy_atom_count", "n_heavy_atoms", "num_heavy_atoms"), "heavy_atoms"),
    **dict.fromkeys(("formal_charge", "net_charge", "total_charge"), "charge"),
    **dict.fromkeys(("csp3", "frac_sp3", "fraction_csp3", "frac_csp3"), "fsp3"),
    **dict.fromkeys(("sa_score", "sascore", "synthetic_accessibility"), "sa"),
    **dict.fromkeys(("np_score", "npscore", "np_likeness"), "np"),
    "druglikeness": "qed",
}  # fmt: skip
"""Other common names of properties; case and the characters between words do not matter."""


def _key(name: str) -> str:
    """A name without case and separators."""
    return "".join(char for char in name.casefold() if char.isalnum())


_BY_KEY = {_key(alias): name for alias, name in ALIASES.items()} | {_key(name): name for name in PROPERTIES}


def property_name(name: object) -> str | None:
    """The name in `PROPERTIES` of a property written in any case or by a common alias; None if there is none.

    >>> property_name("MW"), property_name("RotB"), property_name("docking")
    ('mw', 'rotatable_bonds', None)
    """
    if not isinstance(name, str):
        return None
    return name if name in PROPERTIES else _BY_KEY.get(_key(name))


def get_property(name: str) -> Property:
    """Look up a property by name, in any case, or by a common alias. Raises `InputError` for an unknown name."""
    if (found := property_name(name)) is not None:
        return PROPERTIES[found]
    known = ", ".join(PROPERTIES)
    hint = did_you_mean(name, PROPERTIES) if isinstance(name, str) else ""
    raise InputError(f"unknown property {name!r}{hint}; known: {known}")


def compute_properties(mols: Sequence[Chem.Mol], names: Sequence[str]) -> dict[str, NDArray[np.float64]]:
    """Compute properties of molecules.

    Parameters
    ----------
    mols : sequence of rdkit.Chem.Mol
    names : sequence of str
        Names of `PROPERTIES`.

    Returns
    -------
    dict of str to array of float64, shape (N,)
        By the name in `PROPERTIES`, and in its unit; NaN where RDKit cannot compute a property.

    Raises
    ------
    InputError
        For an unknown name, before anything is computed.
    """
    rows = [get_property(name) for name in names]
    with silence_rdkit():
        return {row.name: np.array([row.value(mol) for mol in mols], dtype=np.float64) for row in rows}
