"""Training set of a run: rows are read, parsed, packed and split once; invalid rows are listed in a file."""

from __future__ import annotations

import csv
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain, islice
from pathlib import Path
from typing import Any

import torch

from molvae.checkpoint import read_vocabulary
from molvae.chem.tokenizer import Vocabulary
from molvae.data.bloom_filter import BloomFilter
from molvae.data.datasets import MoleculeSource
from molvae.data.files import atomic_write, checksum, temporary_folder
from molvae.data.graph_dataset import PackedGraphs, read_metadata
from molvae.data.neighbor_search import N_ROUNDS, find_neighbors
from molvae.data.neighbors import Neighbors
from molvae.data.packing import PackingReport, pack
from molvae.data.readers import InvalidRow, Record, read_records
from molvae.data.splits import assign_split
from molvae.data.synthetic_neighbors import SYNTHETIC_CHUNK_SIZE, add_synthetic_neighbors
from molvae.errors import InputError, MolvaeError
from molvae.training.runtime import Log

VALIDATION_FRACTION, MIN_VALIDATION, MAX_VALIDATION = 0.01, 50, 5_000
"""Fraction of the data that is split off for validation, and the limits of its size in molecules."""
ROWS_PER_LOG_LINE = 100_000


@dataclass(frozen=True)
class TrainingSetConfig:
    """Sources of a training set and how they are packed.

    Parameters
    ----------
    train
        Files of molecules to train on.
    valid
        File of molecules to validate on; None: a part of the training data.
    standardize, keep_salts
        How molecules are prepared before they are packed, see `chem.standardization.prepare`.
    max_length
        Longest SMILES, in tokens; longer ones are invalid rows.
    vocabulary
        Vocabulary of an existing model; None: the tokens of the data.
    """

    train: tuple[MoleculeSource, ...]
    valid: MoleculeSource | None
    standardize: bool
    max_length: int
    vocabulary: Vocabulary | None
    keep_salts: bool = False

    def fingerprint(self) -> dict[str, Any]:
        """Checksums of the files and all settings; equal fingerprints give the same training set."""
        return {
            "train_sha256": [checksum(source.path) for source in self.train],
            "valid_sha256": checksum(self.valid.path) if self.valid else None,
            "columns": [source.column for source in self.train],
            "valid_column": self.valid.column if self.valid else None,
            "standardize": self.standardize,
            "keep_salts": self.keep_salts,
            "max_length": self.max_length,
            "vocabulary": list(self.vocabulary.tokens) if self.vocabulary else None,
        }


@dataclass(frozen=True)
class TrainingSet:
    """Packed training and validation molecules; `counts` are the row counts of each part, as text."""

    train: PackedGraphs
    valid: PackedGraphs
    vocabulary: Vocabulary
    counts: dict[str, str] = field(default_factory=dict)

    @cached_property
    def training_filter(self) -> BloomFilter:
        """Bloom filter of the training molecules."""
        return BloomFilter.from_smiles(self.train.smiles(self.vocabulary))


def prepare_training_set(
    config: TrainingSetConfig, folder: Path, *, workers: int | None = None, log: Log = lambda _: None
) -> TrainingSet:
    """Pack the training set into `folder`/packed, or read it from there if it was packed with the same configuration.

    Invalid rows are listed in `folder`/invalid_rows.csv, changed rows in `folder`/notes.csv.

    Raises
    ------
    MolvaeError
        If there are too few usable molecules.
    """
    fingerprint = config.fingerprint()
    packed_folder = folder / "packed"
    try:
        metadata = read_metadata(packed_folder / "train")
        if metadata.get("config") == fingerprint:
            log(f"using the packed data in {packed_folder}: {metadata['molecules']:,} molecules for training")
            return _load(packed_folder, metadata["counts"])
    except InputError:
        pass  # missing or incomplete: pack the data again
    training_set, invalid_rows, notes = _pack_sources(config, workers, log)
    _write_rows(folder / "invalid_rows.csv", invalid_rows, "reason")
    _write_rows(folder / "notes.csv", notes, "note")
    _save(training_set, packed_folder, fingerprint)
    return training_set


def prepare_neighbors(
    data: PackedGraphs, vocabulary: Vocabulary, path: Path, *, workers: int | None = None, log: Log = lambda _: None
) -> Neighbors:
    """Neighbors of training molecules: found in the training set, and synthetic ones.

    They are saved in the file `path`, and read from there if it exists.
    """
    if path.exists():
        return Neighbors.load(path)
    log("searching neighbors of the training molecules")
    neighbors = find_neighbors(
        data, vocabulary, workers=workers, progress=lambda done: log(f"neighbor search: round {done} of {N_ROUNDS}")
    )
    log(f"{neighbors.coverage:.0%} of the molecules have neighbors in the training set; adding synthetic neighbors")

    def log_sometimes(done: int) -> None:
        if done % (400 * SYNTHETIC_CHUNK_SIZE) == 0:
            log(f"synthetic neighbors: {done:,} of {len(data):,} molecules done")

    neighbors = add_synthetic_neighbors(neighbors, data, vocabulary, workers=workers, progress=log_sometimes)
    log(f"{len(neighbors.synthetic):,} synthetic neighbors added")
    with atomic_write(path) as draft:
        neighbors.save(draft)
    return neighbors


def split_validation(data: PackedGraphs, vocabulary: Vocabulary) -> tuple[PackedGraphs, PackedGraphs]:
    """Split data into training and validation molecules by a hash of their SMILES.

    The validation part is 1 % of the data, but 50 to 5,000 molecules, and at most about 20 %.

    Raises
    ------
    MolvaeError
        If there are fewer than 4 molecules.
    """
    if len(data) < 4:
        raise MolvaeError(f"{len(data)} molecules are too few to train on and validate with: at least 4 are needed")
    n_valid = max(MIN_VALIDATION, min(MAX_VALIDATION, VALIDATION_FRACTION * len(data)))
    fraction = min(0.2, n_valid / len(data))
    fractions = {"valid": fraction, "train": 1 - fraction}
    smiles = list(data.smiles(vocabulary))
    for salt in range(1000):  # with few molecules, a hash can assign all of them to one part
        is_valid = torch.tensor([assign_split(s, fractions, salt) == "valid" for s in smiles])
        if 0 < is_valid.sum() <= len(data) // 2:
            break
    return data.select((~is_valid).nonzero()[:, 0]), data.select(is_valid.nonzero()[:, 0])


def _pack_sources(
    config: TrainingSetConfig, workers: int | None, log: Log
) -> tuple[TrainingSet, list[InvalidRow], list[InvalidRow]]:
    """Pack the training and validation data; return them with all invalid rows and all changed rows."""
    counts: dict[str, str] = {}
    invalid_rows: list[InvalidRow] = []
    notes: list[InvalidRow] = []

    def pack_part(
        sources: Sequence[MoleculeSource], vocabulary: Vocabulary | None, name: str
    ) -> tuple[PackedGraphs, Vocabulary]:
        rows = _read_rows(sources)
        first_row = list(islice(rows, 1))  # raises InputError now if the file has no such column
        try:
            graphs, vocabulary, report = pack(
                chain(first_row, rows),
                vocabulary=vocabulary,
                max_length=config.max_length,
                standardize=config.standardize,
                keep_salts=config.keep_salts,
                workers=workers,
                progress=_report_logger(log),
            )
        except InputError as error:
            raise MolvaeError(str(error)) from None
        counts[name] = report.summary()
        log(f"{name}: {report.summary()}")
        invalid_rows.extend(report.invalid_rows)
        notes.extend(report.notes)
        return graphs, vocabulary

    train, vocabulary = pack_part(config.train, config.vocabulary, "data")
    if config.valid is not None:
        valid, _ = pack_part([config.valid], vocabulary, "validation data")
    else:
        train, valid = split_validation(train, vocabulary)
        log(f"split: {len(train):,} molecules for training, {len(valid):,} for validation")
    return TrainingSet(train, valid, vocabulary, counts), invalid_rows, notes


def _read_rows(sources: Sequence[MoleculeSource]) -> Iterator[Record | InvalidRow]:
    for source in sources:
        yield from read_records(source.path, column=source.column)


def _report_logger(log: Log) -> Callable[[PackingReport], None]:
    """A progress callback of `pack` that logs once per `ROWS_PER_LOG_LINE` rows."""
    n_logged = 0

    def progress(report: PackingReport) -> None:
        nonlocal n_logged
        if report.read // ROWS_PER_LOG_LINE > n_logged:
            n_logged = report.read // ROWS_PER_LOG_LINE
            log(report.summary())

    return progress


def _save(training_set: TrainingSet, folder: Path, fingerprint: dict[str, Any]) -> None:
    """Write the packed data to a temporary folder, then replace `folder` by it."""
    with temporary_folder(folder) as draft:
        training_set.valid.save(draft / "valid")
        training_set.train.save(draft / "train", config=fingerprint, counts=training_set.counts)
        (draft / "vocabulary.json").write_text(training_set.vocabulary.to_json(), encoding="utf-8")
        draft.chmod(0o755)  # temporary folders are private to their owner
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(draft, folder)


def _load(folder: Path, counts: dict[str, str]) -> TrainingSet:
    vocabulary = read_vocabulary(folder / "vocabulary.json", f"delete {folder} to pack the data again")
    return TrainingSet(PackedGraphs.load(folder / "train"), PackedGraphs.load(folder / "valid"), vocabulary, counts)


def _write_rows(path: Path, rows: list[InvalidRow], column: str) -> None:
    with atomic_write(path) as draft, draft.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["source", "row", "value", column])
        writer.writerows([r.source, r.row, r.value, r.reason] for r in rows)
