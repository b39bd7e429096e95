"""A stream of molecules in; a table row for each, and at the end what they are worth as a set."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, islice
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from molvae.chem.smiles import canonical_or_none
from molvae.data.hashing import hash_texts
from molvae.data.parallel import chunked, map_chunks
from molvae.data.rows import Record
from molvae.errors import InputError
from molvae.metrics import fcd, moses
from molvae.metrics.accumulator import Tally
from molvae.metrics.analogs import AnalogScores
from molvae.metrics.molecules import COLUMNS, chosen, fingerprints
from molvae.metrics.reference import among
from molvae.metrics.row_metrics import Part, Row, described
from molvae.metrics.set_metrics import Against, SetFigures, averages, mean
from molvae.metrics.structures import Structures, merged, structures
from molvae.similarity.nearest_neighbors import NearestNeighbors

SAMPLE = 30_000
"""Valid molecules that the metrics of a set are computed from, as many as MOSES asks for."""

BENCHMARKS = ("moses", "guacamol")
"""Whose metrics of a set are computed."""

TOGETHER = 16
"""Chunks that are looked up in the references at once."""

SEEDS_NAMED = 3
"""Seeds that are no molecules, at most, that a note names."""

TAKEN = (
    *("smiles", "error", "canonical", "seed", "name", "not_in_training", "scaffold_not_in_training"),
    *("nearest_neighbor", "nearest_similarity", "similarity"),
)
"""Columns of the table beside those of `molecules.COLUMNS`."""

Figures = dict[str, dict[str, float | None]]
Score = Callable[[Sequence[str]], Any]


@dataclass(frozen=True)
class Scores:
    """What a set is worth. `figures`: section, name, value; None where a figure has no meaning, and `notes` say why.

    `molecules`: a row per row that was read, or of a stream a sample of the valid ones. `seeds`: a row per seed.
    `reference`: properties of the molecules compared with.
    """

    counts: dict[str, int]
    figures: Figures
    notes: list[str]
    molecules: pd.DataFrame
    seeds: pd.DataFrame | None = None
    reference: pd.DataFrame | None = None
    invalid: pd.DataFrame = field(default_factory=pd.DataFrame)

    def to_json(self) -> str:
        """Counts, figures, notes and a row per seed, as JSON that every reader takes: no NaN in it."""
        content: dict[str, Any] = {"counts": self.counts, "figures": self.figures, "notes": self.notes}
        if self.seeds is not None:
            content["seeds"] = self.seeds.to_dict("records")
        return json.dumps(content, indent=2, allow_nan=False)


class Scorer:
    """Score rows as they come (`tables`), then the set (`scores`).

    `columns`: names out of `molecules.COLUMNS`, None for all of them. `nearest`: look for each molecule's nearest
    neighbor in the training set, or the test set where there is none. `seeded`: the name of a row is the seed that it
    is an analog of; `named`: without seeds, names stand in a column. `scores`: columns of one's own by name, each a
    function of canonical SMILES (N) to numbers (N).
    `fcd`: compute Fréchet ChemNet distances; None: where the library for it is installed.
    `benchmarks`: out of `BENCHMARKS`. `sample_size` and `random_state`: see `Tally`. Raises `InputError` for an unknown column or
    benchmark, or a `sample_size` below 1.
    """

    def __init__(
        self,
        against: Against | None = None,
        *,
        columns: Collection[str] | None = None,
        nearest: bool = True,
        seeded: bool = False,
        named: bool = False,
        scores: Mapping[str, Score] | None = None,
        fcd: bool | None = None,
        benchmarks: Collection[str] = BENCHMARKS,
        sample_size: int = SAMPLE,
        random_state: int = 0,
        workers: int | None = None,
        device: str = "cpu",
    ) -> None:
        if unknown := set(benchmarks) - set(BENCHMARKS):
            raise InputError(f"no benchmark is called {min(unknown)!r}: known are {', '.join(BENCHMARKS)}")
        self.against = against or Against()
        wanted = None if columns is None else {*columns, *self._needed(seeded)}
        self.columns = chosen(wanted)
        self._scores = dict(scores or {})
        if taken := [name for name in self._scores if name in TAKEN or name in COLUMNS]:
            raise InputError(f"a score cannot be called {taken[0]!r}, for that is another column: rename it")
        self.seeded, self.named, self.compute_fcd, self.workers, self.device = seeded, named, fcd, workers, device
        self.benchmarks = benchmarks
        self.tally = Tally(sample_size, random_state)
        self.analogs = AnalogScores() if seeded else None
        self._neighbors = self.against.neighbors if nearest else None
        self._finder: NearestNeighbors | None = None
        self._taken: list[Structures] = []

    @property
    def score_names(self) -> list[str]:
        """Of the columns of one's own."""
        return list(self._scores)

    def _needed(self, seeded: bool) -> set[str]:
        compared = (
            {"moses_filters", "logp", "sa", "qed", "mw"} if self.against.test or self.against.test_scaffolds else set()
        )
        return compared | ({"sa", "alerts"} if seeded else set())

    def tables(self, rows: Iterable[Row]) -> Iterator[pd.DataFrame]:
        """A row for every row read, in order, in tables of a few thousand; columns as described in the README.

        Of no rows, one empty table. Raises `InputError` for a reference without a valid molecule, before any work.
        """
        self._check()
        parts = self._parts(iter(rows))
        while group := list(islice(parts, TOGETHER)):
            frame = pd.concat([part.frame for part in group], ignore_index=True)
            frame = self._placed(frame, np.concatenate([part.bits for part in group]))
            self._taken.extend(part.structures for part in group if part.structures)
            self.tally.add(frame)
            if self.analogs is not None:
                self.analogs.add(frame)
            yield frame

    def _parts(self, rows: Iterator[Row]) -> Iterator[Part]:
        """Chunks of rows, described; of no rows, one of none.

        As long as every row may be in the sample its structures are taken along, or it would have to be read again.
        """
        work = partial(described, columns=self.columns, bits=self.seeded or self._neighbors is not None)
        both = partial(work, structured="moses" in self.benchmarks)
        both([Record("C", "", "", 0)])  # compiles patterns and reads tables here, once, for all processes to come
        parts = chain(
            map_chunks(both, chunked(islice(rows, self.tally.size)), self.workers),
            map_chunks(work, chunked(rows), self.workers),
        )
        first = next(parts, None)
        return chain([work([]) if first is None else first], parts)

    def _check(self) -> None:
        """What would fail once all rows are read fails now."""
        for reference in self.against.references:
            _ = reference.molecules
        if self.against.references and self.compute_fcd:
            fcd.activations(("C", "CC"), device=self.device)

    def _placed(self, frame: pd.DataFrame, bits: NDArray[np.uint8]) -> pd.DataFrame:
        """The columns that compare with references and seeds; None where a row is no molecule."""
        good = (frame["canonical"] != "").to_numpy()
        if self.against.train is not None:
            known = among(hash_texts(frame["canonical"]), self.against.train.keys)
            frame["not_in_training"] = _where(good, ~known)
            if "scaffold" in self.columns:
                rings = good & (frame["scaffold"].fillna("") != "").to_numpy()
                new = ~among(hash_texts(frame["scaffold"].fillna("")), self.against.train.scaffold_keys)
                frame["scaffold_not_in_training"] = _where(rings, new)
        elif self.seeded:
            frame["not_in_training"] = None
        if self._neighbors is not None:
            self._finder = self._finder or NearestNeighbors(self._neighbors.fingerprints, device=self.device)
            index, similarity = self._finder.query(bits[good], workers=self.workers)
            frame["nearest_neighbor"] = None
            names = frame.loc[good, "canonical"]
            # a molecule that is there is the nearest to itself: a stereoisomer has the same fingerprint
            there = among(hash_texts(names), self._neighbors.keys)
            frame.loc[good, "nearest_neighbor"] = [
                own if known else self._neighbors.molecules[i]
                for own, known, i in zip(names, there, index, strict=True)
            ]
            frame["nearest_similarity"] = np.nan
            frame.loc[good, "nearest_similarity"] = similarity.astype(np.float64)
        for name, score in self._scores.items():
            frame[name] = np.nan
            frame.loc[good, name] = _numbers_of(name, score, list(frame.loc[good, "canonical"]))
            without = good & frame[name].isna().to_numpy() & (frame["error"] == "").to_numpy()
            frame.loc[without, "error"] = f"no {name}"
        if self.seeded:
            frame["similarity"] = self._to_seeds(frame["seed"], bits)
            frame.loc[~good, "similarity"] = np.nan
        else:
            names = frame.pop("seed")
            if self.named:
                frame.insert(1, "name", names)
        return frame

    def _to_seeds(self, seeds: pd.Series[str], bits: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Tanimoto of each row to its seed; NaN where the seed is no molecule."""
        names = seeds.unique()
        of_name = dict(zip(names, fingerprints([canonical_or_none(name) or "" for name in names]), strict=True))
        theirs = np.stack([of_name[name] for name in seeds]) if len(seeds) else bits
        common = np.bitwise_count(bits & theirs).sum(axis=1, dtype=np.int64)
        either = np.bitwise_count(bits | theirs).sum(axis=1, dtype=np.int64)
        return np.where(theirs.any(axis=1), common / np.maximum(either, 1), np.nan)

    # --- the set ---

    def scores(self) -> Scores:
        """What the rows that `tables` has given so far are worth as a set."""
        keys, sample = self.tally.keys(), self.tally.sample()
        distinct = np.unique(keys)
        counts = {"read": self.tally.read, "valid": self.tally.valid, "invalid": self.tally.invalid}
        counts |= {"distinct": len(distinct), "sampled": len(sample)}
        if self.against.train is not None:
            counts["novel"] = int((~among(distinct, self.against.train.keys)).sum())
        of_set = SetFigures(
            self.against,
            compute_fcd=self.compute_fcd,
            workers=self.workers,
            device=self.device,
            random_state=self.tally.random_state,
        )
        figures: Figures = {}
        if "moses" in self.benchmarks:
            figures["MOSES"] = of_set.moses(
                counts, keys, sample, self._structures(sample), "moses_filters" in self.columns
            )
        if self.against.train is not None and "guacamol" in self.benchmarks:
            figures["GuacaMol"] = of_set.guacamol(counts, sample, self.against.train)
        figures["Molecules"] = averages(sample) | {f"mean {name}": mean(sample, name) for name in self._scores}
        seeds = None
        if self.analogs is not None:
            figures["Analogs"], seeds = self.analogs.overall(), self.analogs.per_seed()
        compared = self.against.test or self.against.train
        figures = {section: of_set.finite(found) for section, found in figures.items()}
        return Scores(
            counts, figures, [*of_set.notes, *self._notes(counts)], sample, seeds,
            compared.charted if compared else None, self.tally.first_invalid(),
        )  # fmt: skip

    def _structures(self, sample: pd.DataFrame) -> Structures:
        taken = merged(self._taken)
        if len(taken.fingerprints) == self.tally.valid == len(sample):
            return taken
        return structures(sample["canonical"], self.workers)

    def _notes(self, counts: dict[str, int]) -> list[str]:
        notes = [*self._notes_on_analogs(), *self._notes_on_references()]
        if not counts["valid"]:
            notes.append("not one row is a valid molecule")
        if counts["sampled"] < counts["valid"]:
            which = "the metrics of the set are of"
            notes.append(f"{which} {counts['sampled']:,} valid molecules drawn at random from {counts['valid']:,}")
        for k in moses.UNIQUE_AT:
            if 0 < counts["valid"] < k:
                notes.append(f"unique@{k} is of the {counts['valid']:,} valid molecules that there are")
        if self.tally.incomplete:
            notes.append(f"{self.tally.incomplete:,} valid molecules lack a figure; their error column says which")
        return notes

    def _notes_on_analogs(self) -> list[str]:
        if self.analogs is None:
            return []
        notes = []
        if self.against.train is None:
            notes.append("without a training set all molecules count as novel in effective_novelty and usable")
        if failed := self.analogs.failed():
            some = "; ".join(f"{seed!r}: {reason}" for seed, reason in list(failed.items())[:SEEDS_NAMED])
            more = f" and {len(failed) - SEEDS_NAMED:,} more" if len(failed) > SEEDS_NAMED else ""
            notes.append(f"seeds that are no molecules, whose analogs are in no figure: {some}{more}")
        return notes

    def _notes_on_references(self) -> list[str]:
        return [
            f"{reference.name}: {reference.rejected:,} rows are no molecules and were left out"
            for reference in self.against.references
            if reference.rejected
        ]


def _where(good: NDArray[np.bool_], values: NDArray[np.bool_]) -> NDArray[np.object_]:
    filled = np.full(len(good), None, dtype=object)
    filled[good] = values[good]
    return filled


def _numbers_of(name: str, score: Score, smiles: list[str]) -> NDArray[np.float64]:
    values = np.asarray(score(smiles) if smiles else [], dtype=np.float64)
    if values.shape != (len(smiles),):
        raise InputError(f"the score {name!r} gave {values.shape} numbers for {len(smiles):,} molecules: one each")
    return values
