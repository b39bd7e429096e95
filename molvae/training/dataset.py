"""The molecules of a training: found, packed once, split, every row of them accounted for."""

from __future__ import annotations

import csv
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from molvae.chem.tokenizer import Vocabulary
from molvae.data.bloom_filter import BloomFilter
from molvae.data.datasets import MoleculeSource
from molvae.data.files import atomic_write, checksum
from molvae.data.graph_dataset import PackedGraphs, read_metadata
from molvae.data.neighbor_search import N_ROUNDS, find_neighbors
from molvae.data.neighbors import Neighbors
from molvae.data.packing import PackingReport, pack
from molvae.data.readers import InvalidRow, Record, read_records
from molvae.data.splits import assign_split
from molvae.data.synthetic_neighbors import SYNTHETIC_CHUNK_SIZE, add_synthetic_neighbors
from molvae.errors import InputError, MolvaeError

VALID_SHARE, LEAST_VALID, MOST_VALID = 0.01, 50, 5_000

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Recipe:
    """What is packed, and how: the same recipe gives the same packed data, so it is packed once."""

    train: tuple[MoleculeSource, ...]
    valid: MoleculeSource | None
    standardize: bool
    max_length: int
    vocabulary: Vocabulary | None

    def fingerprint(self) -> dict[str, Any]:
        """Equal for equal contents, wherever the files lie."""
        return {
            "train_sha256": [checksum(source.path) for source in self.train],
            "valid_sha256": checksum(self.valid.path) if self.valid else None,
            "columns": [source.column for source in self.train],
            "valid_column": self.valid.column if self.valid else None,
            "standardize": self.standardize,
            "max_length": self.max_length,
            "vocabulary": list(self.vocabulary.tokens) if self.vocabulary else None,
        }


@dataclass(frozen=True)
class Packed:
    """Training and validation molecules, ready for the network."""

    train: PackedGraphs
    valid: PackedGraphs
    vocabulary: Vocabulary
    counts: dict[str, str] = field(default_factory=dict)

    @cached_property
    def seen(self) -> BloomFilter:
        """The training molecules, by which others are novel."""
        return BloomFilter.from_smiles(self.train.smiles(self.vocabulary))


def packed_data(recipe: Recipe, folder: Path, *, workers: int | None = None, tell: Tell = lambda _: None) -> Packed:
    """The packed molecules of a recipe, out of `folder`/packed where it was packed before.

    Raises `MolvaeError` when there are too few usable molecules.
    """
    fingerprint = recipe.fingerprint()
    home = folder / "packed"
    try:
        known = read_metadata(home / "train")
        if known.get("recipe") == fingerprint:
            tell(f"packed before: {known['molecules']:,} molecules for training")
            return _load_packed(home, known["counts"])
    except InputError:
        pass  # nothing there, or not whole: pack it
    packed, invalid_rows = _pack(recipe, workers, tell)
    _write_invalid_rows(folder / "rejected.csv", invalid_rows)
    _keep_packed(packed, home, fingerprint)
    return packed


def packed_neighbors(
    data: PackedGraphs, vocabulary: Vocabulary, path: Path, *, workers: int | None = None, tell: Tell = lambda _: None
) -> Neighbors:
    """Neighbors of the training molecules: found among each other, and made.

    Out of the file `path` where they were found before.
    """
    if path.exists():
        return Neighbors.load(path)
    tell("looking for neighbors of the training molecules")
    found = find_neighbors(
        data, vocabulary, workers=workers, progress=lambda done: tell(f"neighbors: round {done} of {N_ROUNDS}")
    )
    tell(f"neighbors: of {found.coverage:.0%} of the molecules; making others")
    all_of = add_synthetic_neighbors(
        found, data, vocabulary, workers=workers, progress=lambda done: _now_and_then(done, tell)
    )
    tell(f"neighbors: {len(all_of.synthetic):,} made")
    with atomic_write(path) as draft:
        all_of.save(draft)
    return all_of


def _now_and_then(done: int, tell: Tell) -> None:
    if done % (400 * SYNTHETIC_CHUNK_SIZE) == 0:
        tell(f"neighbors: made of {done:,} molecules")


def _pack(recipe: Recipe, workers: int | None, tell: Tell) -> tuple[Packed, list[InvalidRow]]:
    counts, invalid_rows = {}, []

    def packed(
        sources: Sequence[MoleculeSource], vocabulary: Vocabulary | None, what: str
    ) -> tuple[PackedGraphs, Vocabulary]:
        graphs, found, packing = _pack_some(sources, vocabulary, recipe, workers, tell)
        counts[what] = packing.summary()
        tell(f"{what}: {packing.summary()}")
        invalid_rows.extend(packing.invalid_rows)
        return graphs, found

    train, vocabulary = packed(recipe.train, recipe.vocabulary, "data")
    if recipe.valid is not None:
        valid, _ = packed([recipe.valid], vocabulary, "validation data")
    else:
        train, valid = split_off(train, vocabulary)
        tell(f"split: {len(train):,} for training, {len(valid):,} for validation")
    return Packed(train, valid, vocabulary, counts), invalid_rows


def _pack_some(
    sources: Sequence[MoleculeSource], vocabulary: Vocabulary | None, recipe: Recipe, workers: int | None, tell: Tell
) -> tuple[PackedGraphs, Vocabulary, PackingReport]:
    news = _news(tell)
    rows = _rows(sources)
    first = next(rows, None)  # a file without such a column is a mistake in the command; say so before the work
    try:
        return pack(
            _again(first, rows), vocabulary=vocabulary, max_length=recipe.max_length, standardize=recipe.standardize,
            workers=workers, progress=news,
        )  # fmt: skip
    except InputError as error:
        raise MolvaeError(str(error)) from None


def _rows(sources: Sequence[MoleculeSource]) -> Iterator[Record | InvalidRow]:
    for source in sources:
        yield from read_records(source.path, column=source.column)


def _again(first: Record | InvalidRow | None, rest: Iterator[Record | InvalidRow]) -> Iterator[Record | InvalidRow]:
    if first is not None:
        yield first
        yield from rest


def _news(tell: Tell) -> Callable[[PackingReport], None]:
    """A line for every 100,000 rows."""
    told = 0

    def news(packing: PackingReport) -> None:
        nonlocal told
        if packing.read // 100_000 > told:
            told = packing.read // 100_000
            tell(packing.summary())

    return news


def split_off(data: PackedGraphs, vocabulary: Vocabulary) -> tuple[PackedGraphs, PackedGraphs]:
    """Training and validation molecules, told apart by a hash of their SMILES: 1 %, and 50 to 5,000 of them."""
    if len(data) < 4:
        raise MolvaeError(f"{len(data)} molecules are too few to train on and validate with: 4 at least")
    share = min(0.2, max(LEAST_VALID, min(MOST_VALID, VALID_SHARE * len(data))) / len(data))
    smiles = list(data.smiles(vocabulary))
    for seed in range(1000):  # of a few molecules a hash may put all on one side
        held = torch.tensor([assign_split(s, {"valid": share, "train": 1 - share}, seed) == "valid" for s in smiles])
        if 0 < held.sum() <= len(data) // 2:
            break
    return data.select((~held).nonzero()[:, 0]), data.select(held.nonzero()[:, 0])


def _keep_packed(packed: Packed, home: Path, fingerprint: dict[str, Any]) -> None:
    """Whole or not at all, in place of what was packed there before."""
    home.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=".packed.", dir=home.parent))
    try:
        packed.valid.save(draft / "valid")
        packed.train.save(draft / "train", recipe=fingerprint, counts=packed.counts)
        (draft / "vocabulary.json").write_text(packed.vocabulary.to_json(), encoding="utf-8")
        draft.chmod(0o755)  # a temporary folder is its owner's alone
        shutil.rmtree(home, ignore_errors=True)
        os.replace(draft, home)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _load_packed(home: Path, counts: dict[str, str]) -> Packed:
    try:
        vocabulary = Vocabulary.from_json((home / "vocabulary.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{home / 'vocabulary.json'} is damaged: {error}") from None
    return Packed(PackedGraphs.load(home / "train"), PackedGraphs.load(home / "valid"), vocabulary, counts)


def _write_invalid_rows(path: Path, invalid_rows: list[InvalidRow]) -> None:
    with atomic_write(path) as draft, draft.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["source", "row", "value", "reason"])
        writer.writerows([r.source, r.row, r.value, r.reason] for r in invalid_rows)
