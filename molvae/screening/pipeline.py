"""One pass over a library: workers filter and score, the network encodes if it is asked, a shortlist remains."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from math import inf

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem

from molvae.chem.expressions import Window
from molvae.chem.properties import COSTLY
from molvae.chem.smiles import parse_quietly, quiet, standardize, write
from molvae.data.featurize import FeaturizedChunk, featurize_chunk
from molvae.data.parallel import chunked, map_chunks
from molvae.data.rows import InvalidRow, Record
from molvae.errors import MoleculeError
from molvae.library.embedding import BATCH, smiles_of
from molvae.screening.query import Encoder, Question
from molvae.screening.shortlist import Hit, Shortlist

Row = Record | InvalidRow
Floats = NDArray[np.float64]


@dataclass
class ScreenCounts:
    """What became of each row: `read` is the sum of the others. Molecules that come twice are scored twice."""

    scored: int = 0
    filtered: int = 0
    rejected: int = 0

    @property
    def read(self) -> int:
        return self.scored + self.filtered + self.rejected

    def add(self, other: ScreenCounts) -> None:
        """Count those of another part too."""
        self.scored += other.scored
        self.filtered += other.filtered
        self.rejected += other.rejected

    def summary(self) -> str:
        """One line, such as "1,000 read: 700 scored, 290 filtered out, 10 rejected"."""
        scored, filtered, rejected = self.scored, self.filtered, self.rejected
        return f"{self.read:,} read: {scored:,} scored, {filtered:,} filtered out, {rejected:,} rejected"


@dataclass(frozen=True)
class Task:
    """Rows for a worker, and the score below which it need not hand anything back."""

    rows: list[Row]
    floor: float = -inf


@dataclass
class Part:
    """What became of some rows: the hits among them, and every row counted."""

    hits: list[Hit] = field(default_factory=list)
    counts: ScreenCounts = field(default_factory=ScreenCounts)
    invalid_rows: list[InvalidRow] = field(default_factory=list)

    def reject(self, record: Record, reason: str) -> None:
        self.invalid_rows.append(InvalidRow(record.source, record.row, record.smiles, reason))


@dataclass(frozen=True)
class Measured:
    """Some rows after the workers' half. K records with their molecules' figures, (K,) each, and a SMILES each.

    Without latents to wait for the figures are all there, and only what may be a hit is here: its records, SMILES and
    figures. With latents `chunk` holds the graphs to encode.
    """

    part: Part
    records: list[Record]
    smiles: list[str]
    figures: dict[str, Floats]
    chunk: FeaturizedChunk | None


def screen(
    sources: Iterable[Iterable[Row]],
    question: Question,
    *,
    encoder: Encoder | None = None,
    workers: int | None = None,
    taken: Callable[[Part], None] = lambda _: None,
) -> list[Hit]:
    """The best hits of all rows, in order; `taken` is shown what became of every batch of rows.

    `encoder` is needed where the question has figures of latents. Batches never reach from one source into the next,
    so that a latent does not depend, in its last digit, on how sources are spread over processes or machines.
    """
    shortlist = Shortlist(question.top, question.seeds)
    batches = (batch for rows in sources for batch in chunked(rows, BATCH))
    tasks = ([Task(batch, shortlist.floor)] for batch in batches)
    for part in _parts(question, encoder, tasks, shortlist, workers):
        shortlist.add(part.hits)
        taken(part)
    return shortlist.hits()


def _parts(
    question: Question, encoder: Encoder | None, tasks: Iterable[list[Task]], shortlist: Shortlist, workers: int | None
) -> Iterator[Part]:
    """All the work in the workers; with a GPU, for which they would have to queue, the network's part here."""
    if encoder is None or encoder.device.type == "cpu":
        yield from map_chunks(_examine, tasks, workers, shared=(question, encoder))
    else:
        for measured in map_chunks(_measure, tasks, workers, shared=question):
            yield rank(question, measured, encoder, shortlist.floor)


def _examine(shared: tuple[Question, Encoder | None], tasks: list[Task]) -> Part:
    question, encoder = shared
    return examine(question, encoder, tasks[0])


def _measure(question: Question, tasks: list[Task]) -> Measured:
    return measure(question, tasks[0])


def examine(question: Question, encoder: Encoder | None, task: Task) -> Part:
    """All that a batch of rows takes: both halves of the work."""
    return rank(question, measure(question, task), encoder, task.floor)


def measure(question: Question, task: Task) -> Measured:
    """The half of the work that needs no network: read, filter, figures of molecules, and graphs for the network."""
    part = Part(invalid_rows=[row for row in task.rows if isinstance(row, InvalidRow)])
    records = [row for row in task.rows if isinstance(row, Record)]
    with quiet():
        if question.of_latents:
            return _with_graphs(question, records, part)
        records, mols = _accepted(question, records, part)
        figures = {name: score(mols) for name, score in question.of_molecules.items() if name not in COSTLY}
        inside = _inside(question.windows, figures, records, part)
        records, mols, figures = [records[i] for i in inside], [mols[i] for i in inside], _rows(figures, inside)
        places, figures = _figures(question, mols, figures, task.floor)
        part.counts.scored += len(mols) - len(places)
        mols, records = [mols[i] for i in places], [records[i] for i in places]
        total = _finite(question, figures, records, part)
        near = np.flatnonzero(total >= task.floor)
        return Measured(part, [records[i] for i in near], [write(mols[i]) for i in near], _rows(figures, near), None)


def rank(question: Question, measured: Measured, encoder: Encoder | None, floor: float) -> Part:
    """The other half: figures of latents, where they are asked for, and hits of all that reaches the floor."""
    part, figures, records, smiles = measured.part, measured.figures, measured.records, measured.smiles
    if measured.chunk is not None and encoder is not None:
        latents = encoder(measured.chunk)
        figures = {**figures, **{name: score(latents) for name, score in question.of_latents.items()}}
        windows = [window for window in question.windows if window.name in question.of_latents]
        inside = _inside(windows, figures, records, part)
        records, smiles, figures = [records[i] for i in inside], [smiles[i] for i in inside], _rows(figures, inside)
        total = _finite(question, figures, records, part)
    else:
        total = question.rank.values(figures)
    for i in np.flatnonzero(total >= floor):
        record = records[i]
        part.hits.append(Hit(float(total[i]), smiles[i], record.name, record.source, record.row))
    part.counts.rejected = len(part.invalid_rows)
    return part


def _inside(
    windows: Sequence[Window], figures: dict[str, Floats], records: list[Record], part: Part
) -> NDArray[np.intp]:
    """The places of those that lie in all windows; of the others those without a figure are rejected."""
    asked = {window.name: figures[window.name] for window in windows}
    known = np.ones(len(records), bool)
    for values in asked.values():
        known &= np.isfinite(values)
    _reject(np.flatnonzero(~known), asked, records, part)
    inside = known.copy()
    for window in windows:
        inside &= np.array([window.accepts(value) for value in asked[window.name]], bool)
    part.counts.filtered += int((known & ~inside).sum())
    return np.flatnonzero(inside)


def _figures(
    question: Question, mols: list[Chem.Mol], figures: dict[str, Floats], floor: float
) -> tuple[NDArray[np.intp], dict[str, Floats]]:
    """All figures of those, by place, that may reach the floor: costly ones are computed where they can still help.

    At its best a costly property has the better end of its range; what does not reach the floor with that is spared it.
    """
    costly = [name for name in question.of_molecules if name in COSTLY]
    best = question.rank.values({**figures, **{name: np.full(len(mols), question.best_of(name)) for name in costly}})
    places = np.flatnonzero(~(best < floor))  # what has no figure stays: it is to be rejected
    left = [mols[i] for i in places]
    return places, {**_rows(figures, places), **{name: question.of_molecules[name](left) for name in costly}}


def _accepted(question: Question, records: list[Record], part: Part) -> tuple[list[Record], list[Chem.Mol]]:
    """Those that can be read and pass the filters; the others are counted."""
    passed, mols = [], []
    for record in records:
        try:
            mol = parse_quietly(record.smiles, bare=question.bare)
            mol = standardize(mol) if question.clean else mol
        except MoleculeError as error:
            part.reject(record, str(error))
            continue
        if question.filters and not question.filters.accept(mol):
            part.counts.filtered += 1
        else:
            passed.append(record)
            mols.append(mol)
    return passed, mols


def _with_graphs(question: Question, records: list[Record], part: Part) -> Measured:
    """As `measure`, for figures of latents.

    Filters and windows come first, for a graph takes longer than to read once more, and the network longer still.
    """
    windows = [window for window in question.windows if window.name in question.of_molecules]
    asked: dict[str, Floats] = {}
    texts, clean = [record.smiles for record in records], question.clean
    if question.filters or windows:
        records, accepted = _accepted(question, records, part)
        asked = {window.name: question.of_molecules[window.name](accepted) for window in windows}
        inside = _inside(windows, asked, records, part)
        records, accepted, asked = [records[i] for i in inside], [accepted[i] for i in inside], _rows(asked, inside)
        texts = [write(mol) for mol in accepted] if clean else [record.smiles for record in records]
        clean = False  # is done
    mols: list[Chem.Mol] = []
    chunk = featurize_chunk(
        texts,
        clean=clean,
        max_length=question.max_length,
        known=question.known,
        observe=mols.append if question.of_molecules else None,
    )
    for place, reason in chunk.rejected.items():
        part.reject(records[place], reason)
    rows = np.array(chunk.rows, np.intp)
    rest = {name: score(mols) for name, score in question.of_molecules.items() if name not in asked}
    figures = {**_rows(asked, rows), **rest}
    return Measured(part, [records[i] for i in chunk.rows], smiles_of(chunk), figures, chunk)


def _finite(question: Question, figures: dict[str, Floats], records: list[Record], part: Part) -> Floats:
    """The rank of each; those without one are rejected and get NaN, which reaches no floor."""
    total = question.rank.values(figures)
    _reject(np.flatnonzero(~np.isfinite(total)), figures, records, part)
    part.counts.scored += int(np.isfinite(total).sum())
    return np.where(np.isfinite(total), total, np.nan)


def _reject(places: NDArray[np.intp], figures: dict[str, Floats], records: list[Record], part: Part) -> None:
    for i in places:
        lacking = ", ".join(name for name, values in figures.items() if not np.isfinite(values[i]))
        part.reject(records[i], f"it has no score: {lacking} cannot be computed")


def _rows(figures: dict[str, Floats], rows: NDArray[np.intp]) -> dict[str, Floats]:
    return {name: values[rows] for name, values in figures.items()}
