"""Names of the columns that hold SMILES and names of molecules, in any case and spelling."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from molvae.errors import InputError, did_you_mean

SMILES_COLUMNS = ("smiles", "canonical_smiles", "structure", "mol")
"""Names that messages suggest for the SMILES column."""

NAME_COLUMNS = ("name", "id", "title")
"""Names that messages suggest for the name column."""

_SMILES_KEYS = (
    *("smiles", "isomericsmiles", "openeyeisosmiles", "canonicalisomericsmiles", "cxsmiles", "canonicalsmiles"),
    *("smilesstring", "canonicalsmilesstring", "rdkitsmiles", "molsmiles", "moleculesmiles", "compoundsmiles"),
    *("ligandsmiles", "smilescode", "smi", "cansmi", "cansmiles", "isosmiles", "structure", "mol"),
)
_INCHI_KEYS = ("inchi", "standardinchi", "stdinchi", "inchistring")
_NAME_KEYS = (
    *("name", "id", "title", "moleculename", "molname", "compoundname", "drugname", "commonname", "genericname"),
    *("prefname", "preferredname", "preferredcompoundname", "zincid", "cid", "pubchemcid", "pubchemcompoundcid"),
    *("idnumber", "identifier", "cmpd", "compound", "molecule", "code", "cas", "casnumber", "casrn", "drug"),
)
_NAME_KEY = re.compile(
    r"(molecule|mol|compound|cmpd|cpd|catalogu?e?|chembl|moleculechembl|pubchem|drugbank|enamine|vendor|supplier|product"
    r"|substance|structure|ligand|drug|item|record|library|reg|registration|registry|sample|entry|primary|external)"
    r"(id|ids|no|nr|num|number|code|name|identifier|key)"
)


def column_key(name: str) -> str:
    """Return a column name without case and punctuation, by which spellings are compared.

    >>> column_key("Canonical SMILES"), column_key("#Compound_ID")
    ('canonicalsmiles', 'compoundid')
    """
    return "".join(filter(str.isalnum, name.lower()))


def smiles_column(columns: Sequence[str], *, exact: bool = False) -> int | None:
    """Return the index of the column with SMILES by its name, or with InChIs if there is none; None if unknown.

    `exact` accepts only known names, not others that begin or end with "smiles".

    >>> smiles_column(["ChEMBL ID", "Canonical SMILES", "InChI"])
    1
    """
    keys = [column_key(name) for name in columns]
    affixed = () if exact else (key for key in keys if key.startswith("smiles") or key.endswith("smiles"))
    return next((keys.index(key) for key in (*_SMILES_KEYS, *affixed, *_INCHI_KEYS) if key in keys), None)


def name_column(columns: Sequence[str], smiles_index: int | None = None) -> int | None:
    """Return the index of the column with the names or IDs of molecules; None if there is none.

    >>> name_column(["SMILES", "Catalog_ID", "MW"], 0)
    1
    """
    keys = ["" if i == smiles_index else column_key(name) for i, name in enumerate(columns)]
    for known in _NAME_KEYS:
        if known in keys:
            return keys.index(known)
    return next((i for i, key in enumerate(keys) if _NAME_KEY.fullmatch(key)), None)


def requested_column(columns: Sequence[str], source: str, requested: str, option: str) -> int:
    """Return the index of a requested column: its exact name, else its name in another case or spelling.

    Raises
    ------
    InputError
        If there is no such column.
    """
    if (index := find_requested(columns, requested)) is not None:
        return index
    hint = did_you_mean(requested, columns)
    raise InputError(
        f"{source} has no column {requested!r}{hint}: it has {', '.join(columns)}; give one of them by {option}"
    )


def find_requested(columns: Sequence[str], requested: str) -> int | None:
    """Return the index of a requested column, or None."""
    if requested in columns:
        return list(columns).index(requested)
    keys, key = [column_key(name) for name in columns], column_key(requested)
    return keys.index(key) if key and keys.count(key) == 1 else None


def distinct_names(columns: Iterable[str]) -> list[str]:
    """Return column names without repetitions and empty names: "a", "a" and "" become "a", "a_2" and "column_3"."""
    names: list[str] = []
    for number, column in enumerate(columns, start=1):
        base = name = column.strip() or f"column_{number}"
        repetition = 2
        while name in names:
            name, repetition = f"{base}_{repetition}", repetition + 1
        names.append(name)
    return names
