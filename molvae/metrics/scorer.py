"""Scoring of a stream of molecules: one table row per molecule, then the metrics of the set."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, islice
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from molvae.chem.scoring_functions import as_scoring_functions
from molvae.chem.standardization import prepare
from molvae.data.hashing import hash_texts
from molvae.data.parallel import CHUNK_SIZE, chunked, map_chunks
from molvae.data.rows import Record
from molvae.errors import InputError, MoleculeError, did_you_mean
from molvae.metrics import fcd as frechet_chemnet
from molvae.metrics import moses
from molvae.metrics.analogs import AnalogMetrics
from molvae.metrics.molecules import COLUMNS, InputRow, ScoredChunk, packed_fingerprints, score_chunk, select_columns
from molvae.metrics.moses import Structures, compute_structures, merge_structures
from molvae.metrics.plausibility import HELD_OUT_RATES, plausibility
from molvae.metrics.reference import isin_sorted
from molvae.metrics.set_metrics import (
    Metrics,
    ReferenceSets,
    SetAccumulator,
    SetMetrics,
    column_mean,
    molecule_averages,
)
from molvae.similarity.nearest_neighbors import NearestNeighbors

SAMPLE_SIZE = 30_000
"""Maximum number of valid molecules that the metrics of a set are computed from, as in MOSES."""

BENCHMARKS = ("moses", "guacamol")

CHUNKS_PER_TABLE = 16
"""Chunks of rows per table, which are compared with the reference sets together."""

MAX_SEEDS_IN_NOTE = 3

RESERVED_COLUMNS = (
    *("smiles", "error", "note", "canonical", "seed", "name", "not_in_training", "scaffold_not_in_training"),
    *("nearest_neighbor", "nearest_similarity", "similarity"),
)
"""Columns of the table besides those of `molecules.COLUMNS`."""


@dataclass(frozen=True)
class Scores:
    """Result of `molvae.score`.

    Attributes
    ----------
    counts : dict of str to int
        Rows: read = valid + invalid. Molecules: distinct; sampled, the number of valid molecules that the set metrics
        are computed from; with a training set, novel, the number of distinct molecules that are not in it.
    metrics : dict of str to dict
        Metrics by section ("MOSES", "GuacaMol", "Molecules", "Plausibility", "Analogs") and name; None for a metric
        that is undefined or was not computed.
    notes : list of str
        Why metrics are missing, and from how many molecules they were computed.
    molecules : DataFrame
        One row per input row. A `Scorer` keeps only a random sample of the valid rows.
    seeds : DataFrame or None
        The metrics of the analogs of each seed.
    reference : DataFrame or None
        Properties of up to 10,000 molecules of the test set, or of the training set if there is no test set.
    invalid : DataFrame
        The first invalid rows.
    """

    counts: dict[str, int]
    metrics: dict[str, Metrics]
    notes: list[str]
    molecules: pd.DataFrame
    seeds: pd.DataFrame | None = None
    reference: pd.DataFrame | None = None
    invalid: pd.DataFrame = field(default_factory=pd.DataFrame)

    def to_json(self) -> str:
        """Return counts, metrics, notes and the table of seeds as standard JSON, without NaN."""
        content: dict[str, Any] = {"counts": self.counts, "metrics": self.metrics, "notes": self.notes}
        if self.seeds is not None:
            content["seeds"] = self.seeds.to_dict("records")
        return json.dumps(content, indent=2, allow_nan=False)


class Scorer:
    """Scores a stream of rows in bounded memory: iterate over `tables`, then call `scores`.

    Parameters
    ----------
    references : ReferenceSets, optional
        Training and test sets.
    names_are_seeds : bool
        Whether the name of a row is the seed that it is an analog of.
    with_names : bool
        Whether the tables have a column of names; ignored if names are seeds.
    columns, nearest, scores, fcd, benchmarks, sample_size, random_state, workers, device, standardize, keep_salts
        As in `molvae.score`.
    chunk_size : int
        Rows that are read and scored together.

    Raises
    ------
    InputError
        For an unknown column or benchmark, a `sample_size` below 1, or a score with the name of another column.
    """

    def __init__(
        self,
        references: ReferenceSets | None = None,
        *,
        columns: Collection[str] | None = None,
        nearest: bool = True,
        names_are_seeds: bool = False,
        with_names: bool = False,
        scores: Mapping[str, Any] | Iterable[Any] | None = None,
        fcd: bool | None = None,
        benchmarks: Collection[str] = BENCHMARKS,
        sample_size: int = SAMPLE_SIZE,
        random_state: int = 0,
        workers: int | None = None,
        device: str = "cpu",
        standardize: bool = False,
        keep_salts: bool = False,
        chunk_size: int = CHUNK_SIZE,
    ) -> None:
        for name in sorted(set(benchmarks) - set(BENCHMARKS)):
            hint = did_you_mean(name, BENCHMARKS)
            raise InputError(f"unknown benchmark {name!r}{hint}; known: {', '.join(BENCHMARKS)}")
        self.references = references or ReferenceSets()
        self.names_are_seeds, self.with_names = names_are_seeds, with_names
        self.columns = select_columns(None if columns is None else {*columns, *self._required_columns()})
        self._scores = as_scoring_functions(scores)
        if reserved := [name for name in self._scores if name in RESERVED_COLUMNS or name in COLUMNS]:
            raise InputError(f"the score {reserved[0]!r} has the name of another column: rename it")
        self.fcd, self.benchmarks, self.workers, self.device = fcd, benchmarks, workers, device
        self.standardize, self.keep_salts, self.n_noted = standardize, keep_salts, 0
        self.chunk_size = chunk_size
        self._accumulator = SetAccumulator(sample_size, random_state)
        self._analogs = AnalogMetrics() if names_are_seeds else None
        self._neighbors = self.references.neighbors if nearest else None
        self._finder: NearestNeighbors | None = None
        self._structures: list[Structures] = []

    @property
    def score_names(self) -> list[str]:
        """Names of the scoring functions in `scores`."""
        return list(self._scores)

    @property
    def n_read(self) -> int:
        """Number of rows read so far."""
        return self._accumulator.n_read

    def _required_columns(self) -> set[str]:
        """Return the columns that the metrics of the set and of the analogs are computed from."""
        required = {"sa", "alerts", "plausible"} if self.names_are_seeds else set[str]()
        if self.references.test or self.references.test_scaffolds:
            required |= {"moses_filters", *moses.WASSERSTEIN_METRICS}
        return required

    def tables(self, rows: Iterable[InputRow]) -> Iterator[pd.DataFrame]:
        """Yield tables with one row per input row, in order, a few thousand rows each; one empty table without rows.

        Raises `InputError` for a reference set without a valid molecule, before any row is read.
        """
        self._check_references()
        chunks = self._scored_chunks(iter(rows))
        while group := list(islice(chunks, CHUNKS_PER_TABLE)):
            table = pd.concat([chunk.table for chunk in group], ignore_index=True)
            table = self._add_comparisons(table, np.concatenate([chunk.fingerprints for chunk in group]))
            self._structures.extend(chunk.structures for chunk in group if chunk.structures)
            self._accumulator.add(table)
            self.n_noted += int((table["note"] != "").sum())
            if self._analogs is not None:
                self._analogs.add(table)
            yield table

    def _scored_chunks(self, rows: Iterator[InputRow]) -> Iterator[ScoredChunk]:
        """Score chunks of rows in worker processes; at least one chunk, possibly empty.

        The structures of the first `sample_size` rows are kept. If the stream has no more rows, the sample contains all
        valid rows, and `scores` does not need to parse them again.
        """
        score = partial(
            score_chunk, columns=self.columns, with_fingerprints=self.names_are_seeds or self._neighbors is not None,
            standardize=self.standardize, keep_salts=self.keep_salts, names_are_seeds=self.names_are_seeds,
        )  # fmt: skip
        score_with_structures = partial(score, with_structures="moses" in self.benchmarks)
        score_with_structures([Record("C", "", "", 0)])  # compile SMARTS patterns and read tables before the fork
        sample_size = self._accumulator.sample_size
        chunks = chain(
            map_chunks(score_with_structures, chunked(islice(rows, sample_size), self.chunk_size), self.workers),
            map_chunks(score, chunked(rows, self.chunk_size), self.workers),
        )
        first = next(chunks, None)
        return chain([score([]) if first is None else first], chunks)

    def _check_references(self) -> None:
        """Raise errors that would otherwise occur only after all rows have been read."""
        for reference in self.references.available:
            _ = reference.molecules
        if self.references.available and self.fcd:
            frechet_chemnet.activation_statistics(("C", "CC"), device=self.device)

    def _add_comparisons(self, table: pd.DataFrame, fingerprints: NDArray[np.uint8]) -> pd.DataFrame:
        """Add the comparisons with reference sets and seeds, and the scores; all are missing for invalid rows."""
        valid = (table["canonical"] != "").to_numpy()
        self._add_novelty(table, valid)
        if self._neighbors is not None:
            self._add_neighbors(table, valid, fingerprints)
        for name, function in self._scores.items():
            table[name] = np.nan
            table.loc[valid, name] = function(list(table.loc[valid, "canonical"]))
            missing = valid & table[name].isna().to_numpy() & (table["error"] == "").to_numpy()
            table.loc[missing, "error"] = f"no {name}"
        if self.names_are_seeds:
            table["similarity"] = _similarity_to_seeds(table["seed"], fingerprints, self.keep_salts)
            table.loc[~valid, "similarity"] = np.nan
        else:
            names = table.pop("seed")
            if self.with_names:
                table.insert(1, "name", names)
        return table

    def _add_novelty(self, table: pd.DataFrame, valid: NDArray[np.bool_]) -> None:
        train = self.references.train
        if train is not None:
            is_known = isin_sorted(hash_texts(table["canonical"]), train.hashes)
            table["not_in_training"] = _masked(valid, ~is_known)
            if "scaffold" in self.columns:
                scaffolds = table["scaffold"].fillna("")
                has_scaffold = valid & (scaffolds != "").to_numpy()
                is_known = isin_sorted(hash_texts(scaffolds), train.scaffold_hashes)
                table["scaffold_not_in_training"] = _masked(has_scaffold, ~is_known)
        elif self.names_are_seeds:
            table["not_in_training"] = None

    def _add_neighbors(self, table: pd.DataFrame, valid: NDArray[np.bool_], fingerprints: NDArray[np.uint8]) -> None:
        assert self._neighbors is not None
        self._finder = self._finder or NearestNeighbors(self._neighbors.fingerprints, device=self.device)
        index, similarity = self._finder.query(fingerprints[valid], workers=self.workers)
        smiles = table.loc[valid, "canonical"]
        # A molecule of the reference set is its own nearest neighbor; its stereoisomers also have similarity 1.
        is_known = isin_sorted(hash_texts(smiles), self._neighbors.hashes)
        table["nearest_neighbor"] = None
        table.loc[valid, "nearest_neighbor"] = [
            text if known else self._neighbors.molecules[i]
            for text, known, i in zip(smiles, is_known, index, strict=True)
        ]
        table["nearest_similarity"] = np.nan
        table.loc[valid, "nearest_similarity"] = similarity.astype(np.float64)

    def scores(self) -> Scores:
        """Compute the metrics of all rows that `tables` has yielded so far."""
        rows, references = self._accumulator, self.references
        hashes, sample = rows.hashes(), rows.sample()
        distinct = np.unique(hashes)
        counts = {"read": rows.n_read, "valid": rows.n_valid, "invalid": rows.n_invalid}
        counts |= {"distinct": len(distinct), "sampled": len(sample)}
        if references.train is not None:
            counts["novel"] = int((~isin_sorted(distinct, references.train.hashes)).sum())
        set_metrics = SetMetrics(
            references, counts, sample, fcd=self.fcd, workers=self.workers, device=self.device,
            random_state=rows.random_state,
        )  # fmt: skip
        metrics: dict[str, Metrics] = {}
        if "moses" in self.benchmarks:
            structures = self._sample_structures(sample)
            metrics["MOSES"] = set_metrics.moses(hashes, structures, "moses_filters" in self.columns)
        if references.train is not None and "guacamol" in self.benchmarks:
            metrics["GuacaMol"] = set_metrics.guacamol(references.train)
        score_means = {f"mean {name}": column_mean(sample, name) for name in self._scores}
        metrics["Molecules"] = molecule_averages(sample) | score_means
        if "flaws" in self.columns:
            compared, label = references.test or references.train, "Test" if references.test else "Train"
            rates, label = (compared.flaw_rates, label) if compared else (HELD_OUT_RATES, "held-out")
            metrics["Plausibility"] = plausibility(sample["flaws"]) | {
                f"{name}/{label}": rate for name, rate in rates.items()
            }
        seeds = None
        if self._analogs is not None:
            metrics["Analogs"], seeds = self._analogs.overall(), self._analogs.per_seed()
        metrics = {section: set_metrics.replace_non_finite(values) for section, values in metrics.items()}
        compared_set = references.test or references.train
        return Scores(
            counts=counts,
            metrics=metrics,
            notes=[*set_metrics.notes, *self._notes(counts)],
            molecules=sample,
            seeds=seeds,
            reference=compared_set.subset_properties if compared_set else None,
            invalid=rows.first_invalid(),
        )

    def _sample_structures(self, sample: pd.DataFrame) -> Structures:
        """Return the structures of the sample: those kept from the stream, if the sample contains all valid rows."""
        kept = merge_structures(self._structures)
        if len(kept.fingerprints) == self._accumulator.n_valid == len(sample):
            return kept
        return compute_structures(sample["canonical"], self.workers)

    def _notes(self, counts: dict[str, int]) -> list[str]:
        notes = self._analog_notes()
        notes += [f"{r.name}: invalid rows skipped: {r.n_invalid:,}" for r in self.references.available if r.n_invalid]
        valid, sampled, incomplete = counts["valid"], counts["sampled"], self._accumulator.n_incomplete
        if not valid:
            notes.append("no row is a valid molecule")
        if self.n_noted:
            notes.append(
                f"rows that were changed, such as salts that were stripped: {self.n_noted:,}; see the column note"
            )
        if sampled < valid:
            notes.append(
                f"the metrics of the set are computed from {sampled:,} random molecules of {valid:,} valid ones"
            )
        notes += [f"unique@{k}: fewer than {k:,} valid molecules ({valid:,})" for k in moses.UNIQUE_AT if 0 < valid < k]
        if incomplete:
            notes.append(f"valid molecules with a missing value: {incomplete:,}; see the column error")
        return notes

    def _analog_notes(self) -> list[str]:
        if self._analogs is None:
            return []
        notes = []
        if self.references.train is None:
            notes.append("no training set: effective_novelty and usable count all molecules as novel")
        if invalid := self._analogs.invalid_seeds():
            shown = "; ".join(f"{seed!r}: {reason}" for seed, reason in list(invalid.items())[:MAX_SEEDS_IN_NOTE])
            n_hidden = len(invalid) - MAX_SEEDS_IN_NOTE
            more = f" and {n_hidden:,} more" if n_hidden > 0 else ""
            notes.append(f"invalid seeds, whose analogs are excluded: {shown}{more}")
        return notes


def _masked(mask: NDArray[np.bool_], values: NDArray[np.bool_]) -> NDArray[np.object_]:
    """Return `values` where `mask` is True, None elsewhere."""
    result = np.full(len(mask), None, dtype=object)
    result[mask] = values[mask]
    return result


def _similarity_to_seeds(
    seeds: pd.Series[str], fingerprints: NDArray[np.uint8], keep_salts: bool
) -> NDArray[np.float64]:
    """Return the Tanimoto similarity of each row to its seed, (N,); NaN for an invalid seed."""
    distinct = seeds.unique()
    by_seed = dict(zip(distinct, packed_fingerprints([_identity(s, keep_salts) for s in distinct]), strict=True))
    seed_fingerprints = np.stack([by_seed[seed] for seed in seeds]) if len(seeds) else fingerprints
    common = np.bitwise_count(fingerprints & seed_fingerprints).sum(axis=1, dtype=np.int64)
    union = np.bitwise_count(fingerprints | seed_fingerprints).sum(axis=1, dtype=np.int64)
    return np.where(seed_fingerprints.any(axis=1), common / np.maximum(union, 1), np.nan)


def _identity(seed: str, keep_salts: bool) -> str:
    """The identity of a seed; "" if it is invalid."""
    try:
        return prepare(seed, keep_salts=keep_salts).smiles
    except MoleculeError:
        return ""
