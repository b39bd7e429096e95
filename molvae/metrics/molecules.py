"""What one molecule is worth: a row of figures for every row that comes in, computed in worker processes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rdkit import Chem

from molvae.chem.filters import ALERT_SETS, alerts
from molvae.chem.fingerprints import morgan_bits
from molvae.chem.moses_filters import passes_moses_filters
from molvae.chem.properties import PROPERTIES, qed
from molvae.chem.scaffolds import murcko_smiles
from molvae.chem.smiles import parse, silence_rdkit, write
from molvae.chem.substructures import pattern_fingerprint
from molvae.errors import InputError, MoleculeError, did_you_mean

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
    return qed(mol, **{name: row[name] for name in QED_NEEDS}, of=row["traits"])


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
    Column("qed", _qed, PROPERTIES["qed"].source, float("nan"), needs=("traits", *QED_NEEDS)),
    Column("lipinski", _lipinski, "at most one of MW > 500, logP > 5, donors > 5, acceptors > 10; Lipinski et al. 1997",
           needs=("mw", "logp", "hbd", "hba")),
    Column("veber", _veber, "at most 10 rotatable bonds and TPSA of 140 or less; Veber et al. 2002",
           needs=("rotatable_bonds", "tpsa")),
    Column("alerts", lambda mol, _: "; ".join(alerts(mol, ALERT_SETS)), "PAINS, BRENK and NIH alerts, with names"),
    Column("moses_filters", lambda mol, row: passes_moses_filters(mol, row["traits"]),
           "passes the filters of the MOSES data", needs=("traits",)),
    Column("scaffold", lambda mol, _: murcko_smiles(mol), "Bemis-Murcko scaffold; empty for an acyclic molecule"),
)  # fmt: skip

_TRAITS = Column(
    "traits", lambda mol, _: pattern_fingerprint(mol), "what several columns rule patterns out by; no column itself"
)

COLUMNS: dict[str, Column] = {column.name: column for column in _COLUMNS}
"""Every figure by its name, in the order of the table."""


def chosen(names: Collection[str] | None) -> tuple[str, ...]:
    """The columns asked for (None: all) and those that they need, in order. Raises `InputError` for an unknown one."""
    wanted = set(COLUMNS if names is None else names)
    for name in sorted(wanted - set(COLUMNS)):
        raise InputError(f"unknown column {name!r}{did_you_mean(name, COLUMNS)}; known: {', '.join(COLUMNS)}")
    wanted |= {need for name in wanted for need in COLUMNS[name].needs if need in COLUMNS}
    return tuple(name for name in COLUMNS if name in wanted)


def _steps(names: Collection[str]) -> tuple[Column, ...]:
    """What to compute for these columns, in order."""
    columns = tuple(COLUMNS[name] for name in chosen(names))
    return (_TRAITS, *columns) if any(_TRAITS.name in column.needs for column in columns) else columns


@dataclass(frozen=True)
class Read:
    """What became of a text: `error` says why there is no molecule, or there is one.

    `mol`: as given; `canonical`: its canonical SMILES; `again`: what that reads as, by which sets are compared.
    """

    text: str
    error: str = ""
    mol: Chem.Mol | None = None
    canonical: str = ""
    again: Chem.Mol | None = None


def read(text: str) -> Read:
    """One SMILES; a canonical one, as most files hold, is parsed once. Keep a `silence_rdkit` block open around many."""
    try:
        mol = parse(text)
        canonical = write(mol)
        return Read(text, "", mol, canonical, mol if canonical == text else _read_back(canonical))
    except MoleculeError as error:
        return Read(text, str(error))


def _read_back(canonical: str) -> Chem.Mol:
    try:
        return parse(canonical)
    except MoleculeError as error:  # it has grown too long, for one
        raise MoleculeError(f"its canonical SMILES cannot be read again: {error}") from None


def describe(smiles: Sequence[str], columns: Sequence[str]) -> pd.DataFrame:
    """`table` of SMILES. Raises `InputError` for an unknown column."""
    with silence_rdkit():
        return table([read(text) for text in smiles], columns)


def table(molecules: Sequence[Read], columns: Sequence[str]) -> pd.DataFrame:
    """A row each: smiles (as given), error ("" where there is none), canonical, and the chosen columns.

    What cannot be computed of a molecule that can be read stands in `error` too; the other figures are there. What
    columns need is computed with them, chosen or not. Raises `InputError` for an unknown column.
    """
    rows: list[Row] = [{"smiles": m.text, "error": m.error, "canonical": m.canonical} for m in molecules]
    valid = [(m.mol, row) for m, row in zip(molecules, rows, strict=True) if m.mol is not None]
    with silence_rdkit():
        # figure by figure: molecule by molecule they would throw each other's patterns out of the processor's caches
        for column in _steps(columns):
            for mol, row in valid:
                _compute(column, mol, row)
    missing = {name: COLUMNS[name].missing for name in columns}
    return pd.DataFrame([missing | row for row in rows], columns=["smiles", "error", "canonical", *columns])


def _compute(column: Column, mol: Chem.Mol, row: Row) -> None:
    """One figure into its row, or the reason why it is not there."""
    try:
        row[column.name] = column.function(mol, row)
    except (ValueError, RuntimeError, ArithmeticError, KeyError) as error:  # KeyError: of what it needs, not there
        row["error"] = row["error"] or f"no {column.name}: {(str(error).strip() or repr(error)).splitlines()[0]}"


def fingerprints(canonical: Sequence[str]) -> NDArray[np.uint8]:
    """Packed Morgan fingerprints, (N, 256), of the `canonical` column; zeros where it is empty."""
    with silence_rdkit():
        return morgan_bits([parse(text) if text else Chem.Mol() for text in canonical])
