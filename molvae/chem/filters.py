"""Structural alerts (PAINS, BRENK) and substructure search."""

from __future__ import annotations

from functools import cache, lru_cache

from rdkit import Chem
from rdkit.Chem.FilterCatalog import FilterCatalog, FilterCatalogParams

from molvae.chem.smiles import quiet
from molvae.errors import InputError


@cache
def _catalog() -> FilterCatalog:
    """The 585 patterns, compiled once and on first use."""
    params = FilterCatalogParams()
    params.AddCatalog(FilterCatalogParams.FilterCatalogs.PAINS)
    params.AddCatalog(FilterCatalogParams.FilterCatalogs.BRENK)
    return FilterCatalog(params)


def alerts(mol: Chem.Mol) -> list[str]:
    """The alerts a molecule raises as "set: name", e.g. "PAINS_A: quinone_A(370)"; [] for a clean one.

    PAINS are frequent hitters of assays (Baell and Holloway 2010), BRENK unwanted groups in lead discovery
    (Brenk et al. 2008). Costs up to 5 ms a molecule: filter on cheap properties first.
    """
    with quiet():
        return [f"{hit.GetProp('FilterSet')}: {hit.GetDescription()}" for hit in _catalog().GetMatches(mol)]


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
