"""Structural alerts, substructure search, the MOSES filters, and filters that combine properties and SMARTS."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

import numpy as np
from rdkit import Chem, RDConfig
from rdkit.Chem.FilterCatalog import FilterCatalog, FilterCatalogEntry, FilterCatalogParams

from molvae.chem.cores import MAX_MATCHES, has_core
from molvae.chem.disjoint_matches import place_disjoint
from molvae.chem.expressions import PropertyFilter
from molvae.chem.properties import EXPENSIVE, PROPERTIES, compute_properties, get_property
from molvae.chem.rdkit_guard import RDKIT_ERRORS, molecule_error, rdkit_guard, silence_rdkit
from molvae.chem.smiles import parse, parse_or_none
from molvae.chem.substructures import PatternFingerprint, PatternSet
from molvae.chem.unstable_groups import find_unstable_groups
from molvae.errors import InputError, MoleculeError, did_you_mean, one_line

SCORED_ALERT_SETS = ("PAINS", "BRENK", "NIH")
"""Sets of the column `alerts` of `molvae score`."""

_CHEMBL_CATALOGS = {
    name.upper(): f"CHEMBL_{name}" for name in ("BMS", "Dundee", "Glaxo", "Inpharmatica", "LINT", "MLSMR", "SureChEMBL")
}

ALERT_SETS = (*SCORED_ALERT_SETS, "UNSTABLE", *_CHEMBL_CATALOGS)
BRENK = ("BRENK",)

MAX_SEARCHED = 1000
"""Atoms of the largest molecule that is searched for alerts. For larger ones the search may take seconds."""

MOSES_MAX_RING = 7
"""Largest ring size, in atoms, that the MOSES filters accept."""

_NOT_IN_MOSES = {"charge": "[!+0]", "element": "[!#1&!#6&!#7&!#8&!#9&!#16&!#17&!#35]"}


def alerts(
    mol: Chem.Mol, sets: Sequence[str] = ("PAINS", "BRENK"), fingerprint: PatternFingerprint | None = None
) -> list[str]:
    """Names of the structural alerts that a molecule contains.

    For a drug-like molecule PAINS, BRENK and NIH take 0.7, 0.3 and 1.2 ms, so filter by cheap properties first. The
    480 PAINS patterns are searched with `PatternSet`, which takes a third of the time of RDKit's FilterCatalog.

    Parameters
    ----------
    mol : rdkit.Chem.Mol
    sets : sequence of str
        In any case, or "all": "PAINS", frequent hitters in assays [1]_; "BRENK", groups unwanted in lead discovery
        [2]_; "NIH", groups that a screening collection excludes [3]_; "UNSTABLE", the unstable and reactive groups of
        molvae's own list (`molvae.chem.unstable_groups`); and the sets that ChEMBL collected: "BMS", "DUNDEE", "GLAXO",
        "INPHARMATICA", "LINT", "MLSMR", "SURECHEMBL" [4]_.
    fingerprint : PatternFingerprint, optional
        The molecule's `pattern_fingerprint`, if already computed.

    Returns
    -------
    list of str
        "set: name" of each alert, such as "PAINS_A: quinone_A(370)".

    Raises
    ------
    InputError
        For an unknown set.
    MoleculeError
        For a molecule of more than `MAX_SEARCHED` atoms.

    References
    ----------
    .. [1] Baell and Holloway 2010, J. Med. Chem. 53, 2719.
    .. [2] Brenk et al. 2008, ChemMedChem 3, 435.
    .. [3] Jadhav et al. 2010, J. Med. Chem. 53, 37.
    .. [4] The table structural_alert_sets of ChEMBL, as in RDKit's FilterCatalog.

    Examples
    --------
    >>> alerts(parse("O=C1C=CC(=O)C=C1"), ["PAINS"])
    ['PAINS_A: quinone_A(370)']
    """
    if set(sets) - set(ALERT_SETS):
        sets = alert_sets(sets)
    with rdkit_guard("cannot search for structural alerts"):
        _check_size(mol)
        return [name for alert_set in sets for name in _matches(mol, alert_set, fingerprint)]


def alert_sets(names: str | Sequence[str]) -> tuple[str, ...]:
    """The sets of alerts that are named, in any case, each once: "all" is every set, "none" no set.

    Raises `InputError` for an unknown name.

    >>> alert_sets(["pains", "Brenk"])
    ('PAINS', 'BRENK')
    """
    given = [str(name).strip() for name in ([names] if isinstance(names, str) else names)]
    found = list[str]()
    for name in given:
        if name.upper() == "ALL":
            found += ALERT_SETS
        elif name.upper() in ALERT_SETS:
            found.append(name.upper())
        elif name.lower() != "none":
            known = [*(known.lower() for known in ALERT_SETS), "all", "none"]
            raise InputError(
                f"unknown set of alerts {one_line(name)!r}{did_you_mean(name, known)}; known: {', '.join(known)}"
            )
    if found and any(name.lower() == "none" for name in given):
        raise InputError(f"alerts {', '.join(given)}: 'none' cannot be combined with a set of alerts")
    return tuple(dict.fromkeys(found))


def _check_size(mol: Chem.Mol) -> None:
    if (atoms := mol.GetNumAtoms()) > MAX_SEARCHED:
        raise MoleculeError(f"cannot search for structural alerts: {atoms:,} atoms, more than {MAX_SEARCHED:,}")


def _matches(mol: Chem.Mol, alert_set: str, fingerprint: PatternFingerprint | None) -> list[str]:
    if alert_set == "PAINS":
        return _pains().matches(mol, fingerprint)
    if alert_set == "UNSTABLE":
        return [f"Unstable: {name}" for name in find_unstable_groups(mol)]
    return [_alert_name(entry) for entry in _catalog(alert_set).GetMatches(mol)]


@cache
def _pains() -> PatternSet:
    """The PAINS patterns, named and ordered as in RDKit's FilterCatalog, which gives no access to its patterns."""
    smarts, catalog = _pains_smarts(), _catalog("PAINS")
    entries = [catalog.GetEntry(index) for index in range(catalog.GetNumEntries())]
    return PatternSet({_alert_name(entry): smarts[entry.GetDescription()] for entry in entries}, hydrogens=True)


def _pains_smarts() -> dict[str, str]:
    with (Path(RDConfig.RDDataDir) / "Pains" / "wehi_pains.csv").open(encoding="utf-8", newline="") as file:
        return {name.removeprefix("<regId=").removesuffix(">"): smarts.strip() for smarts, name in csv.reader(file)}


def _alert_name(entry: FilterCatalogEntry) -> str:
    return f"{entry.GetProp('FilterSet')}: {entry.GetDescription()}"


@cache
def _catalog(name: str) -> FilterCatalog:
    """The patterns of one alert set, compiled on first use."""
    params = FilterCatalogParams()
    params.AddCatalog(getattr(FilterCatalogParams.FilterCatalogs, _CHEMBL_CATALOGS.get(name, name)))
    return FilterCatalog(params)


def has_substructure(mol: Chem.Mol, smarts: str) -> bool:
    """Whether a molecule contains a SMARTS pattern, including the stereo that the pattern states.

    The parts of a pattern such as "CCO.CCN" must not share atoms. Each is searched for alone, because RDKit tries all
    combinations of their matches: five small parts on a lipid take it hours.

    Raises `InputError` for invalid SMARTS.
    """
    parts = _pattern(smarts)
    try:
        if not all(mol.HasSubstructMatch(part, useChirality=True) for part in parts):
            return False
        if len(parts) == 1:
            return True
        matches = [mol.GetSubstructMatches(part, useChirality=True, maxMatches=MAX_MATCHES) for part in parts]
    except RDKIT_ERRORS as error:
        raise molecule_error(error, f"cannot search for {smarts}") from error
    return place_disjoint([map(frozenset, found) for found in matches]) is not None


@lru_cache(maxsize=256)
def _pattern(smarts: str) -> tuple[Chem.Mol, ...]:
    """The connected parts of SMARTS, cached. Raises `InputError` if it is invalid or empty."""
    if not isinstance(smarts, str):
        raise InputError(f"SMARTS must be text, got {smarts!r}")
    with silence_rdkit():
        pattern = Chem.MolFromSmarts(smarts)
    if pattern is None or pattern.GetNumAtoms() == 0:
        raise InputError(f"cannot read SMARTS {smarts!r}: it is {'not valid' if smarts.strip() else 'empty'}")
    parts: tuple[Chem.Mol, ...] = Chem.GetMolFrags(pattern, asMols=True, sanitizeFrags=False)
    return (pattern,) if len(parts) == 1 else parts


@dataclass(frozen=True)
class Filters:
    """Filters that a molecule must pass. Cheap ones are applied first.

    Parameters
    ----------
    properties : tuple of PropertyFilter
    include_smarts : tuple of str
        SMARTS that must occur.
    exclude_smarts : tuple of str
        SMARTS that must not occur.
    core : str, optional
        A core as defined by `has_core`.

    Raises
    ------
    InputError
        For invalid SMARTS or an invalid core.
    """

    properties: tuple[PropertyFilter, ...] = ()
    include_smarts: tuple[str, ...] = ()
    exclude_smarts: tuple[str, ...] = ()
    core: str | None = None

    def __post_init__(self) -> None:
        for smarts in (*self.include_smarts, *self.exclude_smarts):
            _pattern(smarts)  # invalid SMARTS are reported now, not during the run
        if self.core is not None:
            has_core(parse("C"), self.core)

    def __bool__(self) -> bool:
        return bool(self.properties or self.include_smarts or self.exclude_smarts or self.core)

    def accept(self, mol: Chem.Mol) -> bool:
        """Whether a molecule passes all filters."""
        return not self.first_failed(mol)

    @silence_rdkit()
    def first_failed(self, mol: Chem.Mol) -> str:
        """The first filter that a molecule fails, such as "mw<500" or "without Cl"; "" if it passes all.

        A molecule fails a filter that cannot be computed.
        """
        try:
            return next(self._failed(mol), "")
        except MoleculeError as error:
            return str(error)

    def _failed(self, mol: Chem.Mol) -> Iterator[str]:
        yield from _failed_properties(
            mol, [condition for condition in self.properties if condition.name not in EXPENSIVE]
        )
        yield from (f"contains {smarts}" for smarts in self.include_smarts if not has_substructure(mol, smarts))
        if self.core is not None and not has_core(mol, self.core):
            yield f"core {self.core}"
        yield from (f"without {smarts}" for smarts in self.exclude_smarts if has_substructure(mol, smarts))
        yield from _failed_properties(mol, [condition for condition in self.properties if condition.name in EXPENSIVE])


def _failed_properties(mol: Chem.Mol, conditions: Sequence[PropertyFilter]) -> Iterator[str]:
    for condition in conditions:
        if not condition.accepts(get_property(condition.name).value(mol)):
            yield str(condition)


def value_ranges(conditions: Sequence[PropertyFilter], molecules: Sequence[str]) -> str:
    """The values of the filtered properties among molecules (SMILES), such as "mw 46.1 to 180.2, logp -0.3 to 1.3".

    It tells what to change in filters that no molecule passes. Filters on other values than properties are left out.
    """
    names = dict.fromkeys(condition.name for condition in conditions if condition.name in PROPERTIES)
    mols = [mol for mol in map(parse_or_none, molecules) if mol is not None]
    if not names or not mols:
        return ""
    with silence_rdkit():
        columns = compute_properties(mols, list(names))
    shown = [(name, values[np.isfinite(values)]) for name, values in columns.items()]
    return ", ".join(f"{name} {values.min():.4g} to {values.max():.4g}" for name, values in shown if len(values))


def passes_moses_filters(mol: Chem.Mol, fingerprint: PatternFingerprint | None = None) -> bool:
    """Whether a molecule passes the filters of the MOSES data set [1]_.

    A molecule passes if it has rings of at most 7 atoms, no charged atom, and only H, C, N, O, F, S, Cl and Br, and if
    it matches neither the 22 medicinal-chemistry patterns of MOSES nor the 480 PAINS patterns. `fingerprint` is the
    molecule's `pattern_fingerprint`, if already computed.

    RDKit has corrected some PAINS patterns since MOSES was published. To give the same results as MOSES, those patterns
    are used in their original form, from moses_filters.json. The terminal atom of two patterns of MOSES, MCF12 and
    MCF13, may be a hydrogen; in this file they are written with a neighbor count instead.

    References
    ----------
    .. [1] Polykovskiy et al. 2020, Frontiers in Pharmacology 11, 565644.
    """
    _check_size(mol)
    if any(len(ring) > MOSES_MAX_RING for ring in mol.GetRingInfo().AtomRings()):
        return False
    return not _moses_patterns().has_match(mol, fingerprint)


@cache
def _moses_patterns() -> PatternSet:
    stored = json.loads(Path(__file__).with_name("moses_filters.json").read_text(encoding="utf-8"))
    patterns = {**_NOT_IN_MOSES, **stored["mcf"], **_pains_smarts(), **stored["pains_before_correction"]}
    return PatternSet(patterns, hydrogens=True)
