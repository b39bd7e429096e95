"""What one molecule is worth: a row of figures for every row that comes in, computed in worker processes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rdkit import Chem

from molvae.chem.drug_likeness import qed
from molvae.chem.filters import ALERT_SETS, alerts
from molvae.chem.fingerprints import morgan_bits
from molvae.chem.moses_filters import passes_moses_filters
from molvae.chem.properties import PROPERTIES
from molvae.chem.scaffolds import murcko
from molvae.chem.smiles import parse_quietly, quiet, write
from molvae.errors import InputError, MoleculeError

Row = dict[str, Any]


@dataclass(frozen=True)
class Column:
    """One figure: `function` of the molecule and of the figures to its left in `COLUMNS` that it `needs`."""

    name: str
    function: Callable[[Chem.Mol, Row], Any]
    meaning: str
    missing: Any = None
    needs: tuple[str, ...] = ()


QED_NEEDS = ("mw", "logp", "hbd", "tpsa", "rotatable_bonds")


def _qed(mol: Chem.Mol, row: Row) -> float:
    return qed(mol, **{name: row[name] for name in QED_NEEDS})


def _lipinski(_: Chem.Mol, row: Row) -> bool:
    broken = (row["mw"] > 500) + (row["logp"] > 5) + (row["hbd"] > 5) + (row["hba"] > 10)
    return bool(broken <= 1)


def _veber(_: Chem.Mol, row: Row) -> bool:
    return bool(row["rotatable_bonds"] <= 10 and row["tpsa"] <= 140)


def _property(name: str) -> Column:
    row = PROPERTIES[name]
    return Column(name, lambda mol, _: row.function(mol), f"{row.source} ({row.unit or 'no unit'})", float("nan"))


_COLUMNS = (
    *map(_property, ("mw", "logp", "tpsa", "hbd", "hba", "rings", "rotatable_bonds", "sa", "np")),
    Column("qed", _qed, PROPERTIES["qed"].source, float("nan"), needs=QED_NEEDS),
    Column("lipinski", _lipinski, "at most one of MW > 500, logP > 5, donors > 5, acceptors > 10; Lipinski et al. 1997",
           needs=("mw", "logp", "hbd", "hba")),
    Column("veber", _veber, "at most 10 rotatable bonds and TPSA of 140 or less; Veber et al. 2002",
           needs=("rotatable_bonds", "tpsa")),
    Column("alerts", lambda mol, _: "; ".join(alerts(mol, ALERT_SETS)), "PAINS, BRENK and NIH alerts, with names"),
    Column("moses_filters", lambda mol, _: passes_moses_filters(mol), "passes the filters of the MOSES data"),
    Column("scaffold", lambda mol, _: murcko(mol), "Bemis-Murcko scaffold; empty for an acyclic molecule"),
)  # fmt: skip

COLUMNS: dict[str, Column] = {column.name: column for column in _COLUMNS}
"""Every figure by its name, in the order of the table."""


def chosen(names: Collection[str] | None) -> tuple[str, ...]:
    """The columns asked for (None: all) and those that they need, in order. Raises `InputError` for an unknown one."""
    wanted = set(COLUMNS if names is None else names)
    for name in sorted(wanted - set(COLUMNS)):
        nearest = get_close_matches(name.lower(), COLUMNS, n=1, cutoff=0.0)[0]
        raise InputError(f"no column is called {name!r}: did you mean {nearest!r}? Known: {', '.join(COLUMNS)}")
    wanted |= {need for name in wanted for need in COLUMNS[name].needs}
    return tuple(name for name in COLUMNS if name in wanted)


def describe(smiles: Sequence[str], columns: Sequence[str]) -> pd.DataFrame:
    """A row per SMILES: smiles (as given), error ("" where there is none), canonical, and the chosen columns.

    What cannot be computed of a molecule that can be read stands in `error` too; the other figures are there. What
    columns need is computed with them, chosen or not. Raises `InputError` for an unknown column.
    """
    needed = chosen(columns)
    with quiet():
        rows = [_row(text, needed) for text in smiles]
    return pd.DataFrame(rows, columns=["smiles", "error", "canonical", *columns])


def fingerprints(canonical: Sequence[str]) -> NDArray[np.uint8]:
    """Packed Morgan fingerprints, (N, 256), of the `canonical` column; zeros where it is empty."""
    with quiet():
        return morgan_bits([parse_quietly(text) if text else Chem.Mol() for text in canonical])


def _row(text: str, columns: Sequence[str]) -> Row:
    row: Row = {"smiles": text, "error": "", "canonical": ""}
    try:
        mol = parse_quietly(text)
    except MoleculeError as error:
        return {**row, "error": str(error), **_missing(columns)}
    row["canonical"] = write(mol)
    for name in columns:
        try:
            row[name] = COLUMNS[name].function(mol, row)
        except (ValueError, RuntimeError, ArithmeticError, KeyError) as error:  # KeyError: of what it needs, not there
            row["error"] = row["error"] or f"no {name}: {(str(error).strip() or repr(error)).splitlines()[0]}"
    return {**_missing(columns), **row}


def _missing(columns: Sequence[str]) -> Mapping[str, Any]:
    return {name: COLUMNS[name].missing for name in columns}
