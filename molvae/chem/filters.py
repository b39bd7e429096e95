"""Structural alerts (PAINS, BRENK, NIH) and substructure search."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, lru_cache

from rdkit import Chem
from rdkit.Chem.FilterCatalog import FilterCatalog, FilterCatalogParams

from molvae.chem.smiles import quiet
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
    with quiet():
        hits = [hit for name in sets for hit in _catalog(name).GetMatches(mol)]
    return [f"{hit.GetProp('FilterSet')}: {hit.GetDescription()}" for hit in hits]


def has_substructure(mol: Chem.Mol, smarts: str) -> bool:
    """Whether the molecule contains the pattern; stereo that the pattern states has to match.

    Raises `InputError` for a pattern that is not SMARTS.
    """
    return bool(mol.HasSubstructMatch(_pattern(smarts), useChirality=True))


@lru_cache(maxsize=256)
def _pattern(smarts: str) -> Chem.Mol:
    with quiet():
        pattern = Chem.MolFromSmarts(smarts)
    if pattern is None or pattern.GetNumAtoms() == 0:
        raise InputError(f"cannot read SMARTS {smarts!r}: it is {'not valid' if smarts.strip() else 'empty'}")
    return pattern
