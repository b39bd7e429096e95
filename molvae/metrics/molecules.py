"""Metrics of single molecules: a table with one row per input row, and columns of properties, rules and alerts."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from math import isfinite
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rdkit import Chem

from molvae.chem.filters import SCORED_ALERT_SETS, alerts, passes_moses_filters
from molvae.chem.findings import flaw_names
from molvae.chem.fingerprints import morgan_bits
from molvae.chem.plausibility import PlausibilityChecker
from molvae.chem.properties import PROPERTIES, qed
from molvae.chem.rdkit_guard import RDKIT_ERRORS, rdkit_guard, rdkit_reason, silence_rdkit
from molvae.chem.scaffolds import murcko_smiles
from molvae.chem.smiles import parse
from molvae.chem.standardization import fingerprint_mol, prepare
from molvae.chem.substructures import pattern_fingerprint
from molvae.data.rows import ARGUMENT, InvalidRow, Record, escape_surrogates
from molvae.errors import InputError, MoleculeError
from molvae.metrics.column_names import COLUMN_NAMES, check_columns
from molvae.metrics.moses import Structures, structures_from_mols

InputRow = Record | InvalidRow
Values = dict[str, Any]
"""Values of one molecule, by column name."""


@dataclass(frozen=True)
class Column:
    """A column of the table of molecules.

    Attributes
    ----------
    name : str
        Name of the column.
    function : callable
        Computes the value from the molecule and from the values of the columns in `requires`.
    description : str
        Definition, unit and source.
    missing : object
        Value for a molecule whose value cannot be computed.
    requires : tuple of str
        Names of the columns that are computed before this one.
    """

    name: str
    function: Callable[[Chem.Mol, Values], Any]
    description: str
    missing: Any = None
    requires: tuple[str, ...] = ()


_QED_INPUTS = ("mw", "logp", "hbd", "tpsa", "rotatable_bonds")


def _qed(mol: Chem.Mol, values: Values) -> float:
    return qed(mol, **{name: values[name] for name in _QED_INPUTS}, fingerprint=values["pattern_fingerprint"])


def _lipinski(_: Chem.Mol, values: Values) -> bool:
    violations = (values["mw"] > 500) + (values["logp"] > 5) + (values["hbd"] > 5) + (values["hba"] > 10)
    return bool(violations <= 1)


def _veber(_: Chem.Mol, values: Values) -> bool:
    return bool(values["rotatable_bonds"] <= 10 and values["tpsa"] <= 140)


def _property_column(name: str) -> Column:
    prop = PROPERTIES[name]
    return Column(name, lambda mol, _: prop.function(mol), f"{prop.source} ({prop.unit or 'no unit'})", float("nan"))


_COLUMNS = (
    *map(_property_column, ("mw", "logp", "tpsa", "hbd", "hba", "rings", "rotatable_bonds", "sa", "np")),
    Column("qed", _qed, PROPERTIES["qed"].source, float("nan"), requires=("pattern_fingerprint", *_QED_INPUTS)),
    Column("lipinski", _lipinski,
           "at most one violation of MW <= 500, logP <= 5, donors <= 5, acceptors <= 10; Lipinski et al. 1997",
           requires=("mw", "logp", "hbd", "hba")),
    Column("veber", _veber, "at most 10 rotatable bonds and TPSA of at most 140 Å²; Veber et al. 2002",
           requires=("rotatable_bonds", "tpsa")),
    Column("alerts", lambda mol, values: "; ".join(alerts(mol, SCORED_ALERT_SETS, values["pattern_fingerprint"])),
           "names of PAINS, BRENK and NIH alerts", requires=("pattern_fingerprint",)),
    Column("moses_filters", lambda mol, values: passes_moses_filters(mol, values["pattern_fingerprint"]),
           "passes the filters of the MOSES dataset", requires=("pattern_fingerprint",)),
    Column("scaffold", lambda mol, _: murcko_smiles(mol), "Bemis-Murcko scaffold; empty for an acyclic molecule"),
    Column("flaws", lambda mol, values: "; ".join(flaw_names(values["plausibility_checker"], mol)),
           "unprecedented ring systems and atom environments, and unstable groups, other than those of the seed; "
           "empty for a plausible molecule"),
    Column("plausible", lambda _, values: not values["flaws"],
           "has no flaws", requires=("flaws",)),
)  # fmt: skip

_PATTERN_FINGERPRINT = Column(
    "pattern_fingerprint", lambda mol, _: pattern_fingerprint(mol), "intermediate result for substructure searches"
)

COLUMNS: dict[str, Column] = {column.name: column for column in _COLUMNS}
assert tuple(COLUMNS) == COLUMN_NAMES
"""The columns by name, in the order of the table."""


def select_columns(names: Collection[str] | None) -> tuple[str, ...]:
    """Return the requested columns (None: all) and those that they require, in table order.

    Raises `InputError` for an unknown name.

    >>> select_columns(["lipinski"])
    ('mw', 'logp', 'hbd', 'hba', 'lipinski')
    """
    selected = check_columns(names)
    selected |= {required for name in selected for required in COLUMNS[name].requires if required in COLUMNS}
    return tuple(name for name in COLUMNS if name in selected)


@dataclass(frozen=True)
class ParsedSmiles:
    """A parsed input, or the reason why it is invalid.

    Attributes
    ----------
    text : str
        The input.
    error : str
        Why the input is invalid; "" for a valid molecule.
    mol : Mol or None
        The molecule with the atom order of the input.
    canonical : str
        Its identity (see `chem.standardization`); "" if invalid.
    canonical_mol : Mol or None
        The molecule parsed from `canonical`; its atom order does not depend on the input.
    note : str
        How the molecule differs from the input, such as "salt removed: Cl"; "" if it does not.
    """

    text: str
    error: str = ""
    mol: Chem.Mol | None = None
    canonical: str = ""
    canonical_mol: Chem.Mol | None = None
    note: str = ""


def parse_smiles(text: str, *, standardize: bool = False, keep_salts: bool = False) -> ParsedSmiles:
    """Parse a SMILES, and its canonical SMILES if it is different. Call it in a `silence_rdkit` block."""
    try:
        mol, canonical, notes = prepare(text, standardize=standardize, keep_salts=keep_salts)
        canonical_mol = mol if canonical == text else _parse_canonical(canonical)
        return ParsedSmiles(text, "", mol, canonical, canonical_mol, "; ".join(notes))
    except MoleculeError as error:
        return ParsedSmiles(text, str(error))


def _parse_canonical(canonical: str) -> Chem.Mol:
    try:
        return parse(canonical)
    except MoleculeError as error:  # for example, the canonical SMILES is longer than the limit
        raise MoleculeError(f"its canonical SMILES cannot be parsed: {error}") from None


def describe(smiles: Sequence[str], columns: Sequence[str]) -> pd.DataFrame:
    """Compute the table of molecules (see `build_table`) from SMILES. Raises `InputError` for an unknown column."""
    with silence_rdkit():
        return build_table([parse_smiles(text) for text in smiles], columns)


def build_table(
    molecules: Sequence[ParsedSmiles], columns: Sequence[str], checkers: Sequence[PlausibilityChecker] | None = None
) -> pd.DataFrame:
    """Compute a row per molecule with the columns smiles, error, note, canonical, and those in `columns`.

    `checkers` are those of the seeds of the molecules, whose flaws are allowed; by default, none are.
    If a column cannot be computed for a valid molecule, the reason is in `error`, and the other columns are filled.
    Required columns are computed whether or not they are in `columns`. Raises `InputError` for an unknown column.
    """
    rows: list[Values] = [
        {"smiles": m.text, "error": m.error, "note": m.note, "canonical": m.canonical} for m in molecules
    ]
    valid = [(m.mol, row) for m, row in zip(molecules, rows, strict=True) if m.mol is not None]
    for row, checker in zip(rows, checkers or [PlausibilityChecker()] * len(rows), strict=True):
        row["plausibility_checker"] = checker
    with silence_rdkit():
        # Column by column, because this keeps the SMARTS patterns in the CPU cache.
        for column in _computed_columns(columns):
            for mol, row in valid:
                _compute(column, mol, row)
    missing = {name: COLUMNS[name].missing for name in columns}
    return pd.DataFrame([missing | row for row in rows], columns=["smiles", "error", "note", "canonical", *columns])


def _computed_columns(names: Collection[str]) -> tuple[Column, ...]:
    """Return the columns to compute for these names, in order, including intermediate results."""
    columns = tuple(COLUMNS[name] for name in select_columns(names))
    if any(_PATTERN_FINGERPRINT.name in column.requires for column in columns):
        return (_PATTERN_FINGERPRINT, *columns)
    return columns


def _compute(column: Column, mol: Chem.Mol, values: Values) -> None:
    """Store the value of a column, or in "error" the reason why it is missing."""
    try:
        value = column.function(mol, values)
        if isinstance(value, float) and not isfinite(value):
            raise ArithmeticError(f"the result is {value}")
        values[column.name] = value
    except RDKIT_ERRORS as error:  # KeyError: a required value is missing
        values["error"] = values["error"] or f"no {column.name}: {rdkit_reason(error)}"


def packed_fingerprints(canonical: Sequence[str]) -> NDArray[np.uint8]:
    """Compute packed Morgan fingerprints of canonical SMILES, (N, 256); all bits of an empty SMILES are 0."""
    with silence_rdkit():
        return morgan_bits([fingerprint_mol(parse(text), text) if text else Chem.Mol() for text in canonical])


class ScoredChunk(NamedTuple):
    """Results of a chunk of input rows.

    `fingerprints`: packed, (N, 256), or (0, 256) if not requested. `structures`: of the valid molecules, or None if not
    requested.
    """

    table: pd.DataFrame
    fingerprints: NDArray[np.uint8]
    structures: Structures | None


def score_chunk(
    rows: list[InputRow],
    columns: Collection[str],
    with_fingerprints: bool,
    with_structures: bool = False,
    standardize: bool = False,
    keep_salts: bool = False,
    names_are_seeds: bool = False,
) -> ScoredChunk:
    """Compute the table of a chunk of rows.

    Parameters
    ----------
    rows : list of Record or InvalidRow
        The input. The name of each row becomes the column `seed`.
    columns : collection of str
        Names of the columns to compute.
    with_fingerprints, with_structures : bool
        Whether to compute fingerprints of all rows and structures of the valid molecules.
    standardize, keep_salts : bool
        As in `chem.standardization.prepare`.
    names_are_seeds : bool
        Whether the name of a row is its seed, whose flaws are allowed.
    """
    parse_row = partial(parse_smiles, standardize=standardize, keep_salts=keep_salts)
    with silence_rdkit():
        molecules = [
            _with_note(parse_row(escape_surrogates(row.smiles)), row.note)
            if isinstance(row, Record)
            else ParsedSmiles(escape_surrogates(row.value), row.reason)
            for row in rows
        ]
        valid = [m.canonical_mol for m in molecules if m.canonical_mol is not None]
        structures = structures_from_mols(valid) if with_structures else None
        fingerprints = np.empty((0, 256), np.uint8)
        if with_fingerprints:
            fingerprints = morgan_bits([fingerprint_mol(m.canonical_mol or Chem.Mol(), m.canonical) for m in molecules])
        checkers = [_checker(escape_surrogates(row.name), keep_salts) for row in rows] if names_are_seeds else None
        table = build_table(molecules, tuple(columns), checkers)
    table = table.astype({name: "float64" for name in columns if isinstance(COLUMNS[name].missing, float)})
    table.insert(0, "seed", [escape_surrogates(row.name) for row in rows])
    return ScoredChunk(table, fingerprints, structures)


@lru_cache(maxsize=1024)
def _checker(seed: str, keep_salts: bool) -> PlausibilityChecker:
    """The checker of the analogs of a seed; an invalid seed has no flaws."""
    try:
        mol = prepare(seed, keep_salts=keep_salts).mol
        with rdkit_guard("cannot be checked"):
            return PlausibilityChecker.for_seed(mol)
    except MoleculeError:
        return PlausibilityChecker()


def _with_note(molecule: ParsedSmiles, note: str) -> ParsedSmiles:
    """The molecule with the note of the reader before its own."""
    return replace(molecule, note="; ".join(filter(None, (note, molecule.note)))) if note else molecule


def concat_tables(tables: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """Concatenate tables; without tables, return an empty one."""
    frames = list(tables)
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame({"smiles": [], "error": []}, dtype=object)


def rows_from_smiles(smiles: Iterable[Any], seeds: Iterable[Any] | None = None) -> Iterator[InputRow]:
    """Convert SMILES to input rows whose names are the seeds. A value that is not text, such as NaN, is an invalid row.

    Raises `InputError` during the iteration if the numbers of `seeds` and `smiles` differ.
    """
    names = None if seeds is None else iter(seeds)
    end, position = object(), 0
    for position, text in enumerate(smiles, start=1):
        name = "" if names is None else next(names, end)
        if name is end:
            raise InputError(f"fewer seeds than molecules: {position - 1:,} seeds; give one seed, or one per molecule")
        seed = name if isinstance(name, str) else ""  # None or NaN in a column: no seed
        if isinstance(text, str):
            yield Record(text, seed, ARGUMENT, position)
        else:
            yield InvalidRow(ARGUMENT, position, str(text), f"the SMILES is {type(text).__name__}, not text", seed)
    if names is not None and next(names, end) is not end:
        raise InputError(f"more seeds than molecules: {position:,} molecules; give one seed, or one per molecule")
