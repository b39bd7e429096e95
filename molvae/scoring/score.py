"""`molvae.score`: what a set of molecules is worth."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from molvae.data.sources import find_source
from molvae.models.devices import find_device
from molvae.scoring.reference import Reference
from molvae.scoring.scorer import BENCHMARKS, SAMPLE, Against, Score, Scorer, Scores, as_rows, joined

Molecules = str | Path | Iterable[str] | Reference
"""A file, a named dataset (moses:train), or SMILES."""


def score(
    smiles: str | Iterable[Any],
    *,
    train: Molecules | None = None,
    test: Molecules | None = None,
    scaffolds: Molecules | None = None,
    seeds: str | Iterable[str] | None = None,
    columns: Collection[str] | None = None,
    nearest: bool = True,
    scores: Mapping[str, Score] | None = None,
    chemnet: bool | None = None,
    benchmarks: Collection[str] = BENCHMARKS,
    sample: int = SAMPLE,
    seed: int = 0,
    workers: int | None = None,
    device: str = "auto",
) -> Scores:
    """What molecules are worth, one by one and as a set: `Scores`, whose `molecules` has a row per row in.

    `train` (what is not in it is novel), `test` and `scaffolds` (what the set should be like; MOSES has these two test
    sets) are SMILES, a file, or a named dataset such as "moses:train"; their statistics are computed once and kept.
    `seeds`: the molecule that each is an analog of, one for all or one each. `columns`: names out of
    `scoring.molecules.COLUMNS`, None for all; alerts and QED take most of the time. `nearest`: find each one's nearest
    neighbour in `train`, or else in `test`. `scores`: columns of one's own by name, each a function of canonical SMILES
    (N) to numbers (N), NaN where there is none; a `PropertyModel` is one. `chemnet`: Fréchet ChemNet distances, by the
    extra `fcd`; None: if it is installed. `benchmarks`: whose metrics of the set, moses and guacamol; of `sample` valid
    molecules, drawn at random under `seed` where there are more.

    Raises `InputError` for an unknown column, for more or fewer seeds than molecules, and for a reference that cannot
    be read or has no valid molecule.
    """
    place = str(find_device(device))
    against = references(train, test, scaffolds, workers=workers, device=place)
    columns = [columns] if isinstance(columns, str) else columns
    scorer = Scorer(
        against, columns=columns, nearest=nearest, seeded=seeds is not None, scores=scores,
        chemnet=chemnet, benchmarks=benchmarks, sample=sample, seed=seed, workers=workers, device=place,
    )  # fmt: skip
    molecules = [smiles] if isinstance(smiles, str) else smiles
    if isinstance(seeds, str):
        molecules = list(molecules)
        seeds = [seeds] * len(molecules)
    table = joined(scorer.tables(as_rows(molecules, seeds)))
    return replace(scorer.scores(), molecules=table)


def references(
    train: Molecules | None = None,
    test: Molecules | None = None,
    scaffolds: Molecules | None = None,
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
            texts = [text if isinstance(text, str) else "" for text in what]  # NaN, as in a column, is no molecule
            return Reference(texts, f"the {role} set", workers=workers, device=device, tell=tell)
        source = find_source(what, split=split)
        return Reference(source, source.named, workers=workers, device=device, tell=tell)

    return Against(
        found(train, "training", "train"), found(test, "test", "test"), found(scaffolds, "scaffold", "test_scaffolds")
    )
