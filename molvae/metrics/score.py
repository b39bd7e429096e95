"""`molvae.score`: what a set of molecules is worth."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from molvae.data.datasets import resolve_source
from molvae.data.readers import read_records
from molvae.data.rows import as_smiles_iterable, file_format, with_index_of
from molvae.errors import InputError
from molvae.metrics.reference import Reference
from molvae.metrics.row_metrics import Row, as_rows, joined
from molvae.metrics.scorer import BENCHMARKS, SAMPLE, Score, Scorer, Scores
from molvae.metrics.set_metrics import Against
from molvae.nn.devices import find_device

Molecules = str | Path | Iterable[str] | Reference
"""A file, a named dataset (moses:train), or SMILES."""


def score(
    smiles: str | Path | Iterable[Any],
    *,
    train: Molecules | None = None,
    test: Molecules | None = None,
    test_scaffolds: Molecules | None = None,
    seeds: str | Iterable[str] | None = None,
    columns: Collection[str] | None = None,
    nearest: bool = True,
    scores: Mapping[str, Score] | None = None,
    fcd: bool | None = None,
    benchmarks: Collection[str] = BENCHMARKS,
    sample_size: int = SAMPLE,
    random_state: int = 0,
    workers: int | None = None,
    device: str = "auto",
) -> Scores:
    """What molecules are worth, one by one and as a set: `Scores`, whose `molecules` has a row per row in,
    a pandas column's under its own index.

    `smiles`: one or many, or the path of a file, whose names then stand in a column. `train` (what is not in it is
    novel), `test` and `test_scaffolds` (what the set should be like; MOSES has these two test sets) are SMILES, a file,
    or a named dataset such as "moses:train"; their statistics are computed once and kept. `seeds`: the molecule
    that each is an analog of, one for all or one each. `columns`: names out of `scoring.molecules.COLUMNS`, None
    for all; alerts and QED take most of the time. `nearest`: find each one's nearest neighbor in `train`, or else
    in `test`. `scores`: columns of one's own by name, each a function of canonical SMILES (N) to numbers (N), NaN
    where there is none; a `PropertyModel` is one. `fcd`: Fréchet ChemNet distances, by the extra `fcd`; None:
    if it is installed. `benchmarks`: whose metrics of the set, moses and guacamol; of `sample_size` valid molecules,
    drawn at random under `random_state` where there are more.

    Raises `InputError` for an unknown column, for more or fewer seeds than molecules, for what holds no SMILES, as a
    whole DataFrame, and for a file or a reference that cannot be read or a reference without a valid molecule.
    """
    file = _file(smiles)
    if file is not None and seeds is not None:
        raise InputError(f"seeds are given with SMILES, not with a file: give the column of SMILES of {file}")
    rows = _rows(smiles, seeds) if file is None else read_records(file)
    place = str(find_device(device))
    against = references(train, test, test_scaffolds, workers=workers, device=place)
    columns = [columns] if isinstance(columns, str) else columns
    scorer = Scorer(
        against, columns=columns, nearest=nearest, seeded=seeds is not None, named=file is not None, scores=scores,
        fcd=fcd, benchmarks=benchmarks, sample_size=sample_size, random_state=random_state, workers=workers, device=place,
    )  # fmt: skip
    table = with_index_of(joined(scorer.tables(rows)), smiles if file is None else None)
    return replace(scorer.scores(), molecules=table)


def _file(smiles: object) -> str | Path | None:
    if isinstance(smiles, Path) or (isinstance(smiles, str) and file_format(smiles) is not None):
        return smiles
    return None


def _rows(smiles: Any, seeds: str | Iterable[str] | None) -> Iterable[Row]:
    """Molecules in hand, with their seeds."""
    molecules = as_smiles_iterable(smiles)
    if isinstance(seeds, str):
        molecules = list(molecules)
        seeds = [seeds] * len(molecules)
    return as_rows(molecules, seeds)


def references(
    train: Molecules | None = None,
    test: Molecules | None = None,
    test_scaffolds: Molecules | None = None,
    *,
    workers: int | None = None,
    device: str = "cpu",
    tell: Callable[[str], None] = lambda _: None,
) -> Against:
    """The sets to compare with, read; their statistics are computed, or read back, when they are needed."""

    def found(what: Molecules | None, role: str, split: str) -> Reference | None:
        if what is None or isinstance(what, Reference):
            return what
        if not isinstance(what, str | Path):
            # NaN, as in a column, is no molecule
            texts = [text if isinstance(text, str) else "" for text in as_smiles_iterable(what)]
            return Reference(texts, f"the {role} set", workers=workers, device=device, tell=tell)
        source = resolve_source(what, split=split)
        return Reference(source, source.label, workers=workers, device=device, tell=tell)

    return Against(
        found(train, "training", "train"),
        found(test, "test", "test"),
        found(test_scaffolds, "scaffold", "test_scaffolds"),
    )
