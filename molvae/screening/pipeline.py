"""One pass over a library: worker processes filter and score molecules, and the network encodes them if needed.

A batch of rows is processed in two steps. `prepare_batch` runs without the network: it parses, filters and scores
molecules and builds graphs. `finish_batch` encodes the graphs, if there are scores of latents, and collects the hits.
Without a GPU, workers do both; with one, the main process does the second step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from math import inf

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem

from molvae.chem.expressions import PropertyFilter
from molvae.chem.properties import EXPENSIVE
from molvae.chem.smiles import silence_rdkit
from molvae.chem.standardization import PreparedMolecule, prepare, without_isotopes
from molvae.data.featurize import FeaturizedChunk, featurize_chunk
from molvae.data.parallel import chunked, map_chunks
from molvae.data.rows import InvalidRow, Record
from molvae.errors import MoleculeError
from molvae.library.embedding import BATCH_SIZE, chunk_smiles
from molvae.screening.query import LatentEncoder, ScreenQuery
from molvae.screening.shortlist import Hit, Shortlist

EXAMPLES_PER_BATCH = 10
"""Filtered molecules of a batch that are kept to tell which values occur."""

Row = Record | InvalidRow
Floats = NDArray[np.float64]


@dataclass
class ScreenCounts:
    """The numbers of rows that were scored, filtered out, and invalid. Duplicates are counted each time."""

    scored: int = 0
    filtered: int = 0
    invalid: int = 0
    noted: int = 0
    """Rows that were changed, such as salts that were stripped; they are in the other counts, too."""

    @property
    def read(self) -> int:
        """All rows, each once."""
        return self.scored + self.filtered + self.invalid

    def add(self, other: ScreenCounts) -> None:
        """Add the counts of other rows."""
        self.scored += other.scored
        self.filtered += other.filtered
        self.invalid += other.invalid
        self.noted += other.noted

    def summary(self) -> str:
        """Return one line, such as "1,000 read: 700 scored, 290 filtered out, 10 invalid"."""
        scored, filtered, invalid = self.scored, self.filtered, self.invalid
        noted = f"; {self.noted:,} changed, such as salts that were stripped" if self.noted else ""
        return f"{self.read:,} read: {scored:,} scored, {filtered:,} filtered out, {invalid:,} invalid{noted}"


@dataclass(frozen=True)
class RowBatch:
    """Rows for a worker, and the score below which a molecule cannot enter the shortlist."""

    rows: list[Row]
    threshold: float = -inf


@dataclass
class PartialResult:
    """The result of a batch: hits, counts, invalid rows with reasons, and changed rows with notes.

    `filtered_examples` are some of the molecules that the filters rejected, and `score_ranges` the lowest and highest
    values of filtered scores: they tell what to change in filters that no molecule passes.
    """

    hits: list[Hit] = field(default_factory=list)
    counts: ScreenCounts = field(default_factory=ScreenCounts)
    invalid_rows: list[InvalidRow] = field(default_factory=list)
    filtered_examples: list[str] = field(default_factory=list)
    score_ranges: dict[str, tuple[float, float]] = field(default_factory=dict)
    notes: list[InvalidRow] = field(default_factory=list)

    def reject(self, record: Record, reason: str) -> None:
        """Add an invalid row."""
        self.invalid_rows.append(InvalidRow(record.source, record.row, record.smiles, reason))

    def add_note(self, record: Record, note: str) -> None:
        """Add a row that was changed; nothing for an empty note."""
        if note := "; ".join(filter(None, (record.note, note))):
            self.notes.append(InvalidRow(record.source, record.row, record.smiles, note))


@dataclass(frozen=True)
class PreparedBatch:
    """A batch after the step without the network: K records, their canonical SMILES and their scores, (K,) each.

    Without scores of latents, the scores are complete and only molecules that reach the threshold are included. With
    them, `chunk` contains the graphs to encode.
    """

    result: PartialResult
    records: list[Record]
    smiles: list[str]
    scores: dict[str, Floats]
    chunk: FeaturizedChunk | None


def screen_rows(
    sources: Iterable[Iterable[Row]],
    query: ScreenQuery,
    *,
    encoder: LatentEncoder | None = None,
    workers: int | None = None,
    on_part: Callable[[PartialResult], None] = lambda _: None,
) -> list[Hit]:
    """Screen rows and return the best molecules in order.

    A batch never spans two sources, so that the rounding of latents does not depend on how sources are distributed
    over processes or machines.

    Parameters
    ----------
    sources : iterable of iterables of Record or InvalidRow
        Rows, source by source.
    query : ScreenQuery
        Filters and scores.
    encoder : LatentEncoder, optional
        Needed for scores of latents.
    workers : int, optional
        Worker processes; default one per core, 0 or 1 for none.
    on_part : callable
        Called with the `PartialResult` of every batch.

    Returns
    -------
    list of Hit
        At most `query.top` distinct molecules, the best first.
    """
    shortlist = Shortlist(query.top, query.seeds)
    batches = (batch for rows in sources for batch in chunked(rows, BATCH_SIZE))
    tasks = ([RowBatch(batch, shortlist.threshold)] for batch in batches)
    for result in _process(query, encoder, tasks, shortlist, workers):
        shortlist.add(result.hits)
        on_part(result)
    return shortlist.hits()


def _process(
    query: ScreenQuery,
    encoder: LatentEncoder | None,
    tasks: Iterable[list[RowBatch]],
    shortlist: Shortlist,
    workers: int | None,
) -> Iterator[PartialResult]:
    """Process batches in workers; encode in this process if the encoder is on a GPU, which workers cannot share."""
    if encoder is None or encoder.device.type == "cpu":
        yield from map_chunks(_process_task, tasks, workers, shared=(query, encoder))
    else:
        for prepared in map_chunks(_prepare_task, tasks, workers, shared=query):
            yield finish_batch(query, prepared, encoder, shortlist.threshold)


def _process_task(shared: tuple[ScreenQuery, LatentEncoder | None], tasks: list[RowBatch]) -> PartialResult:
    query, encoder = shared
    return process_batch(query, encoder, tasks[0])


def _prepare_task(query: ScreenQuery, tasks: list[RowBatch]) -> PreparedBatch:
    return prepare_batch(query, tasks[0])


def process_batch(query: ScreenQuery, encoder: LatentEncoder | None, batch: RowBatch) -> PartialResult:
    """Run both steps for a batch of rows."""
    return finish_batch(query, prepare_batch(query, batch), encoder, batch.threshold)


def prepare_batch(query: ScreenQuery, batch: RowBatch) -> PreparedBatch:
    """Run the first step, without the network: parse, filter and score molecules, and build graphs."""
    result = PartialResult(invalid_rows=[row for row in batch.rows if isinstance(row, InvalidRow)])
    records = [row for row in batch.rows if isinstance(row, Record)]
    with silence_rdkit():
        if query.latent_scores:
            return _prepare_with_graphs(query, records, result)
        records, molecules = _filter_molecules(query, records, result)
        mols = [without_isotopes(molecule).mol for molecule in molecules]
        scores = {name: score(mols) for name, score in query.molecule_scores.items() if name not in EXPENSIVE}
        passing = _filter_scores(query.score_filters, scores, records, result)
        records, mols, scores = [records[i] for i in passing], [mols[i] for i in passing], _take(scores, passing)
        smiles = [molecules[i].smiles for i in passing]
        indices, scores = _add_expensive_scores(query, mols, scores, batch.threshold)
        result.counts.scored += len(mols) - len(indices)
        smiles, records = [smiles[i] for i in indices], [records[i] for i in indices]
        total = _finite_totals(query, scores, records, result)
        hits = np.flatnonzero(total >= batch.threshold)
        return PreparedBatch(result, [records[i] for i in hits], [smiles[i] for i in hits], _take(scores, hits), None)


def finish_batch(
    query: ScreenQuery, prepared: PreparedBatch, encoder: LatentEncoder | None, threshold: float
) -> PartialResult:
    """Run the second step: compute the scores of latents, if any, and collect the hits that reach the threshold."""
    result, scores, records, smiles = prepared.result, prepared.scores, prepared.records, prepared.smiles
    if prepared.chunk is not None and encoder is not None:
        latents = encoder(prepared.chunk)
        scores = {**scores, **{name: score(latents) for name, score in query.latent_scores.items()}}
        conditions = [condition for condition in query.score_filters if condition.name in query.latent_scores]
        passing = _filter_scores(conditions, scores, records, result)
        records, smiles, scores = [records[i] for i in passing], [smiles[i] for i in passing], _take(scores, passing)
        total = _finite_totals(query, scores, records, result)
    else:
        total = query.ranking.evaluate(scores)
    for i in np.flatnonzero(total >= threshold):
        record = records[i]
        result.hits.append(Hit(float(total[i]), smiles[i], record.name, record.source, record.row))
    result.counts.invalid, result.counts.noted = len(result.invalid_rows), len(result.notes)
    return result


def _filter_molecules(
    query: ScreenQuery, records: list[Record], result: PartialResult
) -> tuple[list[Record], list[PreparedMolecule]]:
    """Return the valid molecules that pass the filters; count the others."""
    passed, molecules = [], []
    for record in records:
        try:
            molecule = prepare(
                record.smiles, standardize=query.standardize, keep_salts=query.keep_salts,
                conjugation=not query.fingerprints_only,
            )  # fmt: skip
        except MoleculeError as error:
            result.reject(record, str(error))
            continue
        if molecule.notes or record.note:
            result.add_note(record, molecule.note)
        if query.filters and not query.filters.accept(molecule.mol):
            result.counts.filtered += 1
            if len(result.filtered_examples) < EXAMPLES_PER_BATCH:
                result.filtered_examples.append(record.smiles)
        else:
            passed.append(record)
            molecules.append(molecule)
    return passed, molecules


def _filter_scores(
    conditions: Sequence[PropertyFilter], scores: dict[str, Floats], records: list[Record], result: PartialResult
) -> NDArray[np.intp]:
    """Return the indices of the molecules that meet all conditions; reject those without a score."""
    limited = {condition.name: scores[condition.name] for condition in conditions}
    known = np.ones(len(records), bool)
    for values in limited.values():
        known &= np.isfinite(values)
    _reject(np.flatnonzero(~known), limited, records, result)
    if known.any():
        result.score_ranges |= {name: (float(v[known].min()), float(v[known].max())) for name, v in limited.items()}
    passing = known.copy()
    for condition in conditions:
        passing &= np.array([condition.accepts(value) for value in limited[condition.name]], bool)
    result.counts.filtered += int((known & ~passing).sum())
    return np.flatnonzero(passing)


def _add_expensive_scores(
    query: ScreenQuery, mols: list[Chem.Mol], scores: dict[str, Floats], threshold: float
) -> tuple[NDArray[np.intp], dict[str, Floats]]:
    """Return the indices of the molecules that may reach the threshold, and all their scores.

    Expensive properties are computed only for molecules that would reach it with the best value of their range.
    """
    expensive = [name for name in query.molecule_scores if name in EXPENSIVE]
    bounds = {name: np.full(len(mols), query.best_value(name)) for name in expensive}
    upper_bound = query.ranking.evaluate({**scores, **bounds})
    indices = np.flatnonzero(~(upper_bound < threshold))  # keeps NaN: molecules without a score are rejected later
    remaining = [mols[i] for i in indices]
    return indices, {**_take(scores, indices), **{name: query.molecule_scores[name](remaining) for name in expensive}}


def _prepare_with_graphs(query: ScreenQuery, records: list[Record], result: PartialResult) -> PreparedBatch:
    """Run `prepare_batch` for scores of latents.

    Filters are applied first, because building a graph takes longer than parsing the SMILES a second time.
    """
    conditions = [condition for condition in query.score_filters if condition.name in query.molecule_scores]
    computed: dict[str, Floats] = {}
    texts, standardize_texts, is_prepared = [record.smiles for record in records], query.standardize, False
    if query.filters or conditions:
        records, accepted = _filter_molecules(query, records, result)
        mols = [without_isotopes(molecule).mol for molecule in accepted]
        computed = {condition.name: query.molecule_scores[condition.name](mols) for condition in conditions}
        passing = _filter_scores(conditions, computed, records, result)
        records, accepted, computed = (
            [records[i] for i in passing],
            [accepted[i] for i in passing],
            _take(computed, passing),
        )
        texts = [molecule.smiles for molecule in accepted]
        standardize_texts, is_prepared = False, True
    mols = []
    chunk = featurize_chunk(
        texts,
        standardize=standardize_texts,
        keep_salts=query.keep_salts,
        keep_isotopes=True,
        max_length=query.max_length,
        vocabulary=query.known_tokens,
        on_molecule=mols.append if query.molecule_scores else None,
    )
    for index, reason in chunk.errors.items():
        result.reject(records[index], reason)
    for index in [] if is_prepared else chunk.rows:
        if records[index].note or index in chunk.notes:
            result.add_note(records[index], chunk.notes.get(index, ""))
    rows = np.array(chunk.rows, np.intp)
    others = {name: score(mols) for name, score in query.molecule_scores.items() if name not in computed}
    scores = {**_take(computed, rows), **others}
    return PreparedBatch(result, [records[i] for i in chunk.rows], chunk_smiles(chunk), scores, chunk)


def _finite_totals(
    query: ScreenQuery, scores: dict[str, Floats], records: list[Record], result: PartialResult
) -> Floats:
    """Return the weighted sums that rank the molecules; molecules without one get NaN and are rejected."""
    total = query.ranking.evaluate(scores)
    _reject(np.flatnonzero(~np.isfinite(total)), scores, records, result)
    result.counts.scored += int(np.isfinite(total).sum())
    return np.where(np.isfinite(total), total, np.nan)


def _reject(indices: NDArray[np.intp], scores: dict[str, Floats], records: list[Record], result: PartialResult) -> None:
    """Reject the molecules with these indices; the reason names their missing scores."""
    for i in indices:
        missing = ", ".join(name for name, values in scores.items() if not np.isfinite(values[i]))
        result.reject(records[i], f"no score: {missing} cannot be computed")


def _take(scores: dict[str, Floats], indices: NDArray[np.intp]) -> dict[str, Floats]:
    return {name: values[indices] for name, values in scores.items()}
