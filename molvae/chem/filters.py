"""Structural alerts (PAINS, BRENK, NIH), substructure search, and filters made of patterns and property windows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache

from rdkit import Chem
from rdkit.Chem.FilterCatalog import FilterCatalog, FilterCatalogParams

from molvae.chem.cores import has_core
from molvae.chem.expressions import PropertyFilter
from molvae.chem.properties import EXPENSIVE, get_property
from molvae.chem.smiles import parse, silence_rdkit
from molvae.errors import InputError

ALERT_SETS = ("PAINS", "BRENK", "NIH")


@cache
def _catalog(name: str) -> FilterCatalog:
    """One set's patterns, compiled on first use."""
    params = FilterCatalogParams()
    params.AddCatalog(getattr(FilterCatalogParams.FilterCatalogs, name))
    return FilterCatalog(params)


def alerts(mol: Chem.Mol, sets: Sequence[str] = ("PAINS", "BRENK")) -> list[str]:
    """The alerts a molecule raises as "set: name", e.g. "PAINS_A: quinone_A(370)"; [] for a clean one.

    PAINS are frequent hitters of assays (Baell and Holloway 2010), BRENK unwanted groups in lead discovery
    (Brenk et al. 2008), NIH groups that a screening collection leaves out (Jadhav et al. 2010). Of a typical molecule
    they take 1.5, 0.2 and 1 ms: filter on cheap properties first. Raises `InputError` for another set.
    """
    if unknown := set(sets) - set(ALERT_SETS):
        raise InputError(f"no set of alerts is called {min(unknown)!r}: known are {', '.join(ALERT_SETS)}")
    with silence_rdkit():
        hits = [hit for name in sets for hit in _catalog(name).GetMatches(mol)]
    return [f"{hit.GetProp('FilterSet')}: {hit.GetDescription()}" for hit in hits]


def has_substructure(mol: Chem.Mol, smarts: str) -> bool:
    """Whether the molecule contains the pattern; stereo that the pattern states has to match.

    Raises `InputError` for a pattern that is not SMARTS.
    """
    return bool(mol.HasSubstructMatch(_pattern(smarts), useChirality=True))


@lru_cache(maxsize=256)
def _pattern(smarts: str) -> Chem.Mol:
    with silence_rdkit():
        pattern = Chem.MolFromSmarts(smarts)
    if pattern is None or pattern.GetNumAtoms() == 0:
        raise InputError(f"cannot read SMARTS {smarts!r}: it is {'not valid' if smarts.strip() else 'empty'}")
    return pattern


@dataclass(frozen=True)
class Filters:
    """Windows of properties, SMARTS that have to, or may not, occur, a core as of `has_core`; what is quick to tell is
    asked first."""

    properties: tuple[PropertyFilter, ...] = ()
    include_smarts: tuple[str, ...] = ()
    exclude_smarts: tuple[str, ...] = ()
    core: str | None = None

    def __post_init__(self) -> None:
        for smarts in (*self.include_smarts, *self.exclude_smarts):
            has_substructure(parse("C"), smarts)  # what is no SMARTS is an error now, not in the middle of the work
        if self.core is not None:
            has_core(parse("C"), self.core)

    def __bool__(self) -> bool:
        return bool(self.properties or self.include_smarts or self.exclude_smarts or self.core)

    def accept(self, mol: Chem.Mol) -> bool:
        """Whether a molecule passes all of them."""
        return not self.first_failed(mol)

    def first_failed(self, mol: Chem.Mol) -> str:
        """The first that a molecule does not pass, such as "mw<500" or "without Cl"; "" where it passes all."""
        return next(self._failed(mol), "")

    def _failed(self, mol: Chem.Mol) -> Iterator[str]:
        yield from _outside(mol, [window for window in self.properties if window.name not in EXPENSIVE])
        yield from (f"contains {smarts}" for smarts in self.include_smarts if not has_substructure(mol, smarts))
        if self.core is not None and not has_core(mol, self.core):
            yield f"core {self.core}"
        yield from (f"without {smarts}" for smarts in self.exclude_smarts if has_substructure(mol, smarts))
        yield from _outside(mol, [window for window in self.properties if window.name in EXPENSIVE])


def _outside(mol: Chem.Mol, windows: Sequence[PropertyFilter]) -> Iterator[str]:
    return (str(window) for window in windows if not window.accepts(get_property(window.name).function(mol)))
