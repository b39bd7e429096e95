"""Target: mutated SMILES through the chemistry layer, one at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from math import isfinite
from random import Random
from typing import Any

import numpy as np
from rdkit import Chem

from fuzz.report import Report, stderr_lines, watch
from fuzz.smiles_mutations import molecules, mutated_smiles
from molvae.chem.cores import has_core
from molvae.chem.expressions import PropertyFilter
from molvae.chem.filters import ALERT_SETS, Filters, alerts, passes_moses_filters
from molvae.chem.fingerprints import morgan, morgan_bits, morgan_counts
from molvae.chem.graph import mol_to_graph
from molvae.chem.properties import PROPERTIES, compute_properties
from molvae.chem.sample_parsing import is_radical
from molvae.chem.scaffolds import murcko_smiles
from molvae.chem.smiles import (
    canonical_or_none,
    parse,
    parse_or_none,
    silence_rdkit,
    standardize,
    without_stereo,
    write,
)
from molvae.chem.standardization import prepare
from molvae.errors import MoleculeError, MolvaeError
from molvae.metrics.moses import structures_from_mols
from molvae.viz.grid import Panel, render_panels
from molvae.viz.molecules import molecule_svg

MAX_MESSAGE = 400
MAX_STABLE = 300
"""Length up to which an identity has to be a fixed point; the search for one is limited for long SMILES."""

Step = tuple[str, Callable[[], Any]]


SHARE_OF_ALL_STEPS = 0.2
"""Share of the inputs that take all steps. The others take the quick ones that the slow ones build on."""

SLOW_STEPS = {"parse without conjugation", "canonical_or_none", "alerts", "MOSES filters", "drawing", "aligned drawing"}


def chemistry(random: Random, n: int) -> Report:
    """Every function of the chemistry layer raises only `MoleculeError`, in one line, quickly, and prints nothing."""
    pool, report = molecules(), Report()
    for _ in range(n):
        with stderr_lines() as lines:
            text = mutated_smiles(random, pool)
            check_smiles(text, report, all_steps=random.random() < SHARE_OF_ALL_STEPS)
        if lines:
            report.fail("line on stderr", text, lines[0])
    return report


def check_smiles(text: str, report: Report, *, all_steps: bool = True) -> None:
    """Run the steps for one SMILES, with or without `SLOW_STEPS`."""
    report.n_inputs += 1
    mol = None
    watch(text)
    for name, step in _parsing(text):
        if not all_steps and name in SLOW_STEPS:
            continue
        result = _run(name, step, text, report)
        mol = result if name == "parse" else mol
    report.n_accepted += mol is not None
    if mol is None:
        _check_rejected(text, report)
    else:
        _check_molecule(mol, text, report)
        for name, step in _steps(mol, text):
            if not all_steps and name in SLOW_STEPS:
                continue
            value = _run(name, step, text, report)
            if name == "properties" and value is not None:
                _check_properties(value, text, report)


def _run(name: str, step: Callable[[], Any], text: str, report: Report) -> Any:
    """The result of a step; None if it raised. Exceptions other than molvae's and slow steps are failures."""
    start, result = time.process_time(), None
    try:
        result = step()
    except MoleculeError as error:
        message = str(error)
        if not message.isprintable() or len(message) > MAX_MESSAGE:
            report.fail(f"message of {name}", text, message)
    except Exception as error:
        report.fail(f"exception {type(error).__name__} in {name}", text, error)
    report.took(time.process_time() - start, text, name)
    return result


def _parsing(text: str) -> Iterator[Step]:
    yield "parse", lambda: parse(text)
    yield "parse without conjugation", lambda: parse(text, conjugation=False)
    yield "canonical_or_none", lambda: canonical_or_none(text)
    yield "prepare", lambda: prepare(text)
    yield "prepare with standardize", lambda: prepare(text, standardize=True, keep_isotopes=False)


def _steps(mol: Chem.Mol, text: str) -> Iterator[Step]:
    yield "write", lambda: write(mol)
    yield "without_stereo", lambda: without_stereo(mol)
    yield "standardize", lambda: standardize(mol, neutralize=True)
    yield "graph", lambda: mol_to_graph(mol)
    yield "scaffold", lambda: murcko_smiles(mol)
    yield "morgan", lambda: (morgan(mol), morgan_bits([mol]), morgan_counts([mol]))
    yield "properties", lambda: compute_properties([mol], list(PROPERTIES))
    yield "alerts", lambda: alerts(mol, ALERT_SETS)
    yield "MOSES filters", lambda: passes_moses_filters(mol)
    yield "MOSES structures", lambda: structures_from_mols([mol])
    yield "filters", lambda: FILTERS.first_failed(mol)
    yield "core", lambda: has_core(mol, "*c1ccccc1")
    yield "radical", lambda: is_radical(write(mol), mol)
    yield "drawing", lambda: render_panels([Panel.from_smiles(text, text[:30], align_to=text)], ".svg")
    yield "aligned drawing", lambda: molecule_svg(text, align_to="CC(=O)Nc1ccc(O)cc1")


FILTERS = Filters(
    properties=(PropertyFilter.from_text("mw<5000"), PropertyFilter.from_text("qed>=0")),
    include_smarts=("[#6]",),
    exclude_smarts=("[r3]",),
)


def _check_rejected(text: str, report: Report) -> None:
    """A SMILES that `parse` rejects is rejected by the quick functions too."""
    with silence_rdkit():
        if parse_or_none(text) is not None:
            report.fail("parse_or_none accepts what parse rejects", text)


def _check_molecule(mol: Chem.Mol, text: str, report: Report) -> None:
    """The same molecule from `parse` without conjugation, and an identity that is a fixed point."""
    if mol.GetNumAtoms() == 0:
        report.fail("molecule without atoms", text)
    try:
        if write(parse(text, conjugation=False)) != write(mol):
            report.fail("another molecule without conjugation", text)
    except MolvaeError as error:
        report.fail("rejected without conjugation", text, error)
    try:
        prepared = prepare(text)
    except MoleculeError:
        return
    try:
        again = prepare(prepared.smiles).smiles
    except MoleculeError as error:
        report.fail("identity cannot be parsed", text, f"{prepared.smiles}: {error}")
        return
    if again != prepared.smiles and len(again) < MAX_STABLE:
        report.fail("identity changes", text, f"{prepared.smiles} becomes {again}")


def _check_properties(values: dict[str, Any], text: str, report: Report) -> None:
    """Values are in their ranges, or NaN."""
    for name, (value,) in values.items():
        low, high = PROPERTIES[name].range
        if np.isnan(value):
            continue
        if not isfinite(value) or not low <= value <= high:
            report.fail(f"{name} out of range", text, value)
