"""The files of a library: writing shards, and reading rows or columns of them.

A shard consists of a Parquet file with the molecules, a file with their fingerprints, and, while the library is built,
a CSV file with the invalid rows and a JSON file, which is written last and marks the shard as complete.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from molvae.chem.expressions import PropertyFilter
from molvae.data.files import atomic_write, checksum
from molvae.data.rows import InvalidRow, escape_surrogates
from molvae.errors import InputError
from molvae.library.embedding import EmbeddedBatch
from molvae.library.manifest import SHARDS, Manifest, Shard, write_json
from molvae.similarity.bit_slicing import BitPlanes

Rows = NDArray[np.int64]

INVALID_ROW_COLUMNS = ("source", "row", "value", "reason")
NOTE_COLUMNS = ("source", "row", "value", "note")
LATENT = "latent"
_SUFFIXES = ("parquet", "bits.npy", "invalid_rows.csv", "notes.csv")
_ROW_GROUP = 8192  # rows that are read together when one of them is needed


class ShardPart(NamedTuple):
    """The part of a shard from one batch: K new molecules, their packed fingerprints (K, 256), and the other rows."""

    table: pa.Table
    fingerprints: NDArray[np.uint8]
    invalid_rows: list[InvalidRow]
    notes: list[InvalidRow]
    duplicate: int

    @classmethod
    def from_batch(cls, batch: EmbeddedBatch, is_new: NDArray[np.bool_], properties: Sequence[str]) -> Self:
        """Select the molecules of a batch that are new, (K,), and count the others as duplicates."""
        keep = np.flatnonzero(is_new)
        records = [batch.records[i] for i in keep]
        latents = batch.latents[keep].astype(np.float16)
        schema = _schema(properties, latents.shape[1])
        columns = [
            [batch.smiles[i] for i in keep],
            [escape_surrogates(record.name or f"{Path(record.source).name}:{record.row}") for record in records],
            [escape_surrogates(record.source) for record in records],
            [record.row for record in records],
            *(batch.properties[name][keep] for name in properties),
            pa.FixedSizeListArray.from_arrays(pa.array(latents.ravel()), latents.shape[1]),
        ]
        arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
        table = pa.Table.from_arrays(arrays, schema=schema)
        return cls(table, batch.fingerprints[keep], batch.invalid_rows, batch.notes, len(is_new) - len(keep))


def write_shard(folder: Path, number: int, parts: Sequence[ShardPart]) -> Shard:
    """Write the files of a shard; the JSON file that marks it as complete is written last."""
    paths, table = shard_paths(folder, name := f"{number:05d}"), pa.concat_tables([part.table for part in parts])
    with atomic_write(paths["parquet"]) as draft:
        _write_parquet(table, draft)
    with atomic_write(paths["bits.npy"]) as draft:
        BitPlanes.from_packed(np.concatenate([part.fingerprints for part in parts])).save(draft)
    invalid_rows = [row for part in parts for row in part.invalid_rows]
    notes = [row for part in parts for row in part.notes]
    for suffix, rows in (("invalid_rows.csv", invalid_rows), ("notes.csv", notes)):
        with atomic_write(paths[suffix]) as draft, draft.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows((r.source, r.row, r.value, r.reason) for r in rows)
    shard = Shard(
        name=name, accepted=table.num_rows, duplicate=sum(part.duplicate for part in parts), invalid=len(invalid_rows),
        noted=len(notes),
        sha256={suffix: checksum(path) for suffix, path in paths.items()},
    )  # fmt: skip
    write_json(shard_record_path(folder, number), asdict(shard))
    return shard


def _write_parquet(table: pa.Table, path: Path) -> None:
    """Write a table. Latents are not compressed, which would hardly reduce their size but slow down reading."""
    latent = f"{LATENT}.list.element"
    compression = {**dict.fromkeys(table.schema.names[:-1], "ZSTD"), latent: "NONE"}
    pq.write_table(
        table, path, row_group_size=_ROW_GROUP, use_dictionary=["source"], write_statistics=False,
        compression=compression,
    )  # fmt: skip


def shard_paths(folder: Path, name: str) -> dict[str, Path]:
    """Return the paths of the files of a shard by suffix."""
    return {suffix: folder / SHARDS / f"{name}.{suffix}" for suffix in _SUFFIXES}


def shard_record_path(folder: Path, number: int) -> Path:
    """Return the path of the JSON file of a complete shard."""
    return folder / SHARDS / f"{number:05d}.json"


def is_complete(folder: Path, shard: Shard) -> bool:
    """Whether the files of a shard exist and have the expected checksums."""
    paths = shard_paths(folder, shard.name)
    return all(paths[s].is_file() and checksum(paths[s]) == expected for s, expected in shard.sha256.items())


def read_columns(path: Path, columns: Sequence[str], groups: Sequence[int] | None = None) -> pa.Table:
    """Read columns of a shard's Parquet file, of all row groups or of some. Raises `InputError` if it is damaged."""
    try:
        with pq.ParquetFile(path, memory_map=True) as file:
            return file.read(list(columns)) if groups is None else file.read_row_groups(list(groups), list(columns))
    except (OSError, pa.ArrowInvalid) as error:
        raise InputError(f"cannot read {path}: {error}; index the library again") from None


class LibraryStorage:
    """A library on disk, opened for reading: N molecules in the order in which they were read.

    A molecule is identified by its row number, 0 to N - 1. Memory does not grow with the library.

    Parameters
    ----------
    folder : str or Path
        The folder of the library.

    Raises
    ------
    InputError
        If there is no library in `folder`, or an incomplete or damaged one.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.manifest = Manifest.load(self.folder)
        sizes = [shard.accepted for shard in self.manifest.shards]
        self.offsets = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])
        """The first row of each shard, and N: (shards + 1,)."""
        self._fingerprints: dict[int, BitPlanes] = {}

    def __len__(self) -> int:
        return int(self.offsets[-1])

    @property
    def shards(self) -> range:
        """The shard numbers, 0 to the number of shards - 1."""
        return range(len(self.manifest.shards))

    @property
    def properties(self) -> tuple[str, ...]:
        """The names of the stored properties."""
        return self.manifest.settings.properties

    def latents(self, shard: int) -> NDArray[np.float16]:
        """Return the latents of a shard: (K, D)."""
        return _latents_from_table(read_columns(self._parquet(shard), [LATENT]))

    def fingerprints(self, shard: int) -> BitPlanes:
        """Return the fingerprints of a shard, memory-mapped."""
        if shard not in self._fingerprints:  # cached because of the bit counts, 128 KB per shard
            paths = shard_paths(self.folder, self.manifest.shards[shard].name)
            self._fingerprints[shard] = BitPlanes.load(paths["bits.npy"], self.manifest.shards[shard].accepted)
        return self._fingerprints[shard]

    def passing(self, shard: int, conditions: Sequence[PropertyFilter]) -> NDArray[np.bool_]:
        """Return which molecules of a shard meet all conditions on stored properties: (K,).

        Raises `InputError` for a property that is not stored.
        """
        for condition in conditions:
            if condition.name not in self.properties:
                raise InputError(
                    f"{self.folder} has no property {condition.name} (only {', '.join(self.properties)}): "
                    f"index it again with --properties {','.join([*self.properties, condition.name])}"
                )
        passing = np.ones(self.manifest.shards[shard].accepted, dtype=bool)
        if conditions:
            table = read_columns(self._parquet(shard), list({condition.name for condition in conditions}))
            for condition in conditions:
                passing &= _accepts(condition, table.column(condition.name).to_numpy())
        return passing

    def molecules(self, rows: Rows, columns: Sequence[str] = ()) -> pd.DataFrame:
        """Return columns of molecules, in the order of `rows`; by default smiles, id, source, row and properties."""
        selected = list(columns) or ["smiles", "id", "source", "row", *self.properties]
        parts = [
            read_columns(self._parquet(shard), selected, groups).take(positions).to_pandas()
            for shard, groups, positions in self._locate(rows)
        ]
        frame = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=selected)
        return frame.set_index(np.argsort(rows, kind="stable")).sort_index()

    def latents_at(self, rows: Rows) -> NDArray[np.float16]:
        """Return the latents of molecules, in the order of `rows`: (M, D)."""
        parts = [np.zeros((0, self.manifest.settings.model.latent_dim), np.float16)]
        for shard, groups, positions in self._locate(rows):
            parts.append(_latents_from_table(read_columns(self._parquet(shard), [LATENT], groups))[positions])
        latents = np.empty((len(rows), parts[0].shape[1]), np.float16)
        latents[np.argsort(rows, kind="stable")] = np.concatenate(parts)
        return latents

    def find_shards(self, rows: Rows) -> NDArray[np.intp]:
        """Return the shard of each row."""
        return np.searchsorted(self.offsets, rows, side="right") - 1

    def _locate(self, rows: Rows) -> Iterator[tuple[int, list[int], NDArray[np.int64]]]:
        """Yield for the rows in ascending order: the shard, its row groups, and the positions of the rows in these."""
        ascending = np.sort(rows, kind="stable")
        shards = self.find_shards(ascending)
        for shard in np.unique(shards).tolist():
            yield shard, *_row_groups(ascending[shards == shard] - self.offsets[shard])

    def _parquet(self, shard: int) -> Path:
        return shard_paths(self.folder, self.manifest.shards[shard].name)["parquet"]


def _latents_from_table(table: pa.Table) -> NDArray[np.float16]:
    """Return the latents in a table that `read_columns` read: (K, D)."""
    column = table.column(LATENT).combine_chunks()
    latents: NDArray[np.float16] = column.flatten().to_numpy(zero_copy_only=False)
    return latents.reshape(-1, column.type.list_size)


def _row_groups(rows: Rows) -> tuple[list[int], NDArray[np.int64]]:
    """Return the row groups that contain rows of a shard, and the positions of the rows in their concatenation."""
    groups, index = np.unique(rows // _ROW_GROUP, return_inverse=True)
    return groups.tolist(), index * _ROW_GROUP + rows % _ROW_GROUP


def _accepts(condition: PropertyFilter, values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """`PropertyFilter.accepts` for an array."""
    if condition.exclusive:
        return (condition.low < values) & (values < condition.high)
    return (condition.low <= values) & (values <= condition.high)


def _schema(properties: Sequence[str], latent_dim: int) -> Any:
    text, latent = pa.string(), pa.list_(pa.field("element", pa.float16(), nullable=False), latent_dim)
    return pa.schema(
        [
            ("smiles", text), ("id", text), ("source", text), ("row", pa.int64()),
            *((name, pa.float64()) for name in properties), (LATENT, latent),
        ]
    )  # fmt: skip
