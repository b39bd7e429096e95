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
from molvae.data.array_files import is_finite
from molvae.data.files import atomic_write, checksum
from molvae.data.json_files import check_regular_file, reading
from molvae.data.rows import InvalidRow, escape_surrogates
from molvae.errors import CheckpointError, InputError
from molvae.library.embedding import EmbeddedBatch
from molvae.library.manifest import ADVICE, SHARD_FILES, SHARDS, DamagedLibraryError, Manifest, Shard, write_json
from molvae.similarity.bit_slicing import BitPlanes

Rows = NDArray[np.int64]

INVALID_ROW_COLUMNS = ("source", "row", "value", "reason")
NOTE_COLUMNS = ("source", "row", "value", "note")
LATENT = "latent"
_FIXED_COLUMNS = ("smiles", "id", "source", "row", LATENT)
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
        if not is_finite(latents):
            raise CheckpointError(
                "the model computes latents beyond the range of half precision, 65,504: its weights.safetensors is "
                "damaged, or its training diverged"
            )
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
        compression=compression, write_page_checksum=True,
    )  # fmt: skip


def shard_paths(folder: Path, name: str) -> dict[str, Path]:
    """Return the paths of the files of a shard by suffix."""
    return {suffix: folder / SHARDS / f"{name}.{suffix}" for suffix in SHARD_FILES}


def shard_record_path(folder: Path, number: int) -> Path:
    """Return the path of the JSON file of a complete shard."""
    return folder / SHARDS / f"{number:05d}.json"


def is_complete(folder: Path, shard: Shard) -> bool:
    """Whether the files of a shard exist and have the expected checksums."""
    paths = shard_paths(folder, shard.name)
    return all(has_checksum(paths[suffix], expected) for suffix, expected in shard.sha256.items())


def has_checksum(path: Path, expected: str) -> bool:
    """Whether a file exists, can be read and has this sha256."""
    try:
        return path.is_file() and checksum(path) == expected
    except OSError:
        return False


def split_rows(path: Path, counts: Sequence[int]) -> list[bytes]:
    """Split a joined CSV file of a library, such as invalid_rows.csv, into the rows of its shards.

    `counts` are the rows of each shard; a shard whose rows are missing gets fewer. A row may have several lines: it
    ends with the line after which the number of quotation marks is even.
    """
    try:
        lines = path.read_bytes().split(b"\n")[1:] if path.is_file() else []
    except OSError:
        lines = []
    parts, position = [], 0
    for count in counts:
        start, rows = position, 0
        while rows < count and position < len(lines):
            quotes = lines[position].count(b'"')
            position += 1
            while quotes % 2 and position < len(lines):
                quotes += lines[position].count(b'"')
                position += 1
            rows += 1
        parts.append(b"".join(line + b"\n" for line in lines[start:position]))
    return parts


def read_columns(
    path: Path, columns: Sequence[str], groups: Sequence[int] | None = None, *, rows: int, latent_dim: int
) -> pa.Table:
    """Read columns of a shard's Parquet file, of all row groups or of some.

    Parameters
    ----------
    path : Path
        The file.
    columns : sequence of str
        Names of the columns.
    groups : sequence of int, optional
        Row groups to read.
    rows : int
        Number of molecules of the shard.
    latent_dim : int
        Dimensions of the latents.

    Raises
    ------
    DamagedLibraryError
        If the file is missing or damaged, or is not that of `rows` molecules.
    """
    with reading(path, DamagedLibraryError, ADVICE):
        check_regular_file(path)
        try:
            with pq.ParquetFile(path, memory_map=True, page_checksum_verification=True) as file:
                _check_metadata(file, columns, rows, latent_dim)
                table = (
                    file.read(list(columns)) if groups is None else file.read_row_groups(list(groups), list(columns))
                )
            table.validate(full=True)  # text is UTF-8
        except FileNotFoundError:
            raise
        except (OSError, pa.ArrowException, IndexError, ValueError, MemoryError) as error:  # Arrow's OSErrors: content
            raise InputError(f"it cannot be read ({str(error)[:200]})") from None
        if empty := next((name for name in columns if table.column(name).null_count), ""):
            raise InputError(f"the column {empty} has missing values")
    return table


def _check_metadata(file: pq.ParquetFile, columns: Sequence[str], rows: int, latent_dim: int) -> None:
    """Raise `InputError` unless a Parquet file has these columns, of the types that are written, and rows."""
    metadata, schema = file.metadata, file.schema_arrow
    groups = [n for i in range(metadata.num_row_groups) if (n := metadata.row_group(i).num_rows)]
    if metadata.num_rows != rows or groups != [min(_ROW_GROUP, rows - start) for start in range(0, rows, _ROW_GROUP)]:
        raise InputError(f"it has {metadata.num_rows:,} rows in groups of {groups[:3]}, expected {rows:,}")
    expected = _schema([name for name in columns if name not in _FIXED_COLUMNS], latent_dim)
    for name in columns:
        wanted = expected.field(name).type
        found = schema.field(name).type if name in schema.names else None
        if found is None or not _same_type(found, wanted):
            raise InputError(f"its column {name} has the type {found}, expected {wanted}")


def _same_type(found: pa.DataType, wanted: pa.DataType) -> bool:
    """Whether two types are equal, apart from the nullability of the elements of a list."""
    if not (pa.types.is_fixed_size_list(found) and pa.types.is_fixed_size_list(wanted)):
        return bool(found == wanted)
    return bool(found.list_size == wanted.list_size and found.value_type == wanted.value_type)


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
        return self._latents(shard)

    def fingerprints(self, shard: int) -> BitPlanes:
        """Return the fingerprints of a shard, memory-mapped."""
        if shard not in self._fingerprints:  # cached because of the bit counts, 128 KB per shard
            paths = shard_paths(self.folder, self.manifest.shards[shard].name)
            with reading(paths["bits.npy"], DamagedLibraryError, ADVICE):
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
            table = self._read(shard, list({condition.name for condition in conditions}))
            for condition in conditions:
                passing &= _accepts(condition, table.column(condition.name).to_numpy())
        return passing

    def molecules(self, rows: Rows, columns: Sequence[str] = ()) -> pd.DataFrame:
        """Return columns of molecules, in the order of `rows`; by default smiles, id, source, row and properties."""
        selected = list(columns) or ["smiles", "id", "source", "row", *self.properties]
        parts = [
            self._read(shard, selected, groups).take(positions).to_pandas()
            for shard, groups, positions in self._locate(rows)
        ]
        frame = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=selected)
        return frame.set_index(np.argsort(rows, kind="stable")).sort_index()

    def latents_at(self, rows: Rows) -> NDArray[np.float16]:
        """Return the latents of molecules, in the order of `rows`: (M, D)."""
        parts = [np.zeros((0, self.manifest.settings.model.latent_dim), np.float16)]
        for shard, groups, positions in self._locate(rows):
            parts.append(self._latents(shard, groups)[positions])
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

    def damaged(self, shard: int, suffix: str, reason: str) -> DamagedLibraryError:
        """The error about a file of a shard."""
        path = shard_paths(self.folder, self.manifest.shards[shard].name)[suffix]
        return DamagedLibraryError(f"{path} is damaged: {reason}: {ADVICE}")

    def _read(self, shard: int, columns: Sequence[str], groups: Sequence[int] | None = None) -> pa.Table:
        record, latent_dim = self.manifest.shards[shard], self.manifest.settings.model.latent_dim
        path = shard_paths(self.folder, record.name)["parquet"]
        return read_columns(path, columns, groups, rows=record.accepted, latent_dim=latent_dim)

    def _latents(self, shard: int, groups: Sequence[int] | None = None) -> NDArray[np.float16]:
        """Return the latents of a shard, or of some of its row groups: (K, D)."""
        column = self._read(shard, [LATENT], groups).column(LATENT).combine_chunks()
        latents: NDArray[np.float16] = column.flatten().to_numpy(zero_copy_only=False)
        if not is_finite(latents):
            raise self.damaged(shard, "parquet", "it has latents that are not finite")
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
