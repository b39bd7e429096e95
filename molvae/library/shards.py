"""One shard of a library on disk: written file by file, each whole, its journal last; read back column by column."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from molvae.data.files import atomic_write, checksum
from molvae.data.rows import InvalidRow, escape_surrogates
from molvae.errors import InputError
from molvae.library.embedding import Embedded
from molvae.library.manifest import SHARDS, Shard, write_json
from molvae.similarity.bit_slicing import BitPlanes

INVALID_ROW_COLUMNS = ("source", "row", "value", "reason")
_ROW_GROUP = 8192  # rows that are read together for the sake of one of them
LATENT = "latent"


class Piece(NamedTuple):
    """What a batch adds to a shard: its new molecules as rows, their fingerprints (K, 256), and what is left out."""

    table: pa.Table
    packed: NDArray[np.uint8]
    invalid_rows: list[InvalidRow]
    duplicate: int

    @classmethod
    def of(cls, part: Embedded, new: NDArray[np.bool_], properties: Sequence[str]) -> Self:
        """Of the molecules of a batch those that are `new`, (K,)."""
        keep = np.flatnonzero(new)
        records = [part.records[i] for i in keep]
        latents = part.latents[keep].astype(np.float16)
        schema = _schema(properties, latents.shape[1])
        columns = [
            [part.smiles[i] for i in keep],
            [escape_surrogates(record.name or f"{Path(record.source).name}:{record.row}") for record in records],
            [escape_surrogates(record.source) for record in records],
            [record.row for record in records],
            *(part.properties[name][keep] for name in properties),
            pa.FixedSizeListArray.from_arrays(pa.array(latents.ravel()), latents.shape[1]),
        ]
        arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
        table = pa.Table.from_arrays(arrays, schema=schema)
        return cls(table, part.fingerprints[keep], part.invalid_rows, len(new) - len(keep))


def write_shard(folder: Path, number: int, pieces: Sequence[Piece]) -> Shard:
    """Write the files of a shard and, when they are all there, its journal."""
    paths, table = files_of(folder, name := f"{number:05d}"), pa.concat_tables([piece.table for piece in pieces])
    with atomic_write(paths["parquet"]) as draft:
        _write_parquet(table, draft)
    with atomic_write(paths["bits.npy"]) as draft:
        BitPlanes.from_packed(np.concatenate([piece.packed for piece in pieces])).save(draft)
    invalid_rows = [bad for piece in pieces for bad in piece.invalid_rows]
    with atomic_write(paths["invalid_rows.csv"]) as draft, draft.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(
            (bad.source, bad.row, bad.value, bad.reason) for bad in invalid_rows
        )
    shard = Shard(
        name=name, kept=table.num_rows, duplicate=sum(piece.duplicate for piece in pieces), rejected=len(invalid_rows),
        sha256={suffix: checksum(path) for suffix, path in paths.items()},
    )  # fmt: skip
    write_json(journal_of(folder, number), asdict(shard))
    return shard


def _write_parquet(table: pa.Table, path: Path) -> None:
    """Latents are noise to a compressor: left as they are, they are read back at once."""
    latent = f"{LATENT}.list.element"
    compression = {**dict.fromkeys(table.schema.names[:-1], "ZSTD"), latent: "NONE"}
    pq.write_table(
        table, path, row_group_size=_ROW_GROUP, use_dictionary=["file"], write_statistics=False, compression=compression
    )


def journal_of(folder: Path, number: int) -> Path:
    """What is in a shard, written when the shard is done."""
    return folder / SHARDS / f"{number:05d}.json"


def files_of(folder: Path, name: str) -> dict[str, Path]:
    """The files of a shard by their suffix."""
    return {suffix: folder / SHARDS / f"{name}.{suffix}" for suffix in ("parquet", "bits.npy", "invalid_rows.csv")}


def is_whole(folder: Path, shard: Shard) -> bool:
    """Whether the files of a shard are those that were written."""
    paths = files_of(folder, shard.name)
    return all(paths[s].is_file() and checksum(paths[s]) == expected for s, expected in shard.sha256.items())


def read_columns(path: Path, columns: Sequence[str], groups: Sequence[int] | None = None) -> pa.Table:
    """Some columns of a shard's Parquet file, of all its row groups or of some. Raises `InputError`."""
    try:
        with pq.ParquetFile(path, memory_map=True) as file:
            return file.read(list(columns)) if groups is None else file.read_row_groups(list(groups), list(columns))
    except (OSError, pa.ArrowInvalid) as error:
        raise InputError(f"{path}: cannot read this part of the library ({error}); index it again") from None


def latents_of(table: pa.Table) -> NDArray[np.float16]:
    """The latents, (K, D), of what `read_columns` has read."""
    column = table.column(LATENT).combine_chunks()
    latents: NDArray[np.float16] = column.flatten().to_numpy(zero_copy_only=False)
    return latents.reshape(-1, column.type.list_size)


def groups_of(rows: NDArray[np.int64]) -> tuple[list[int], NDArray[np.int64]]:
    """The row groups that hold some rows of a shard, and where in them together these rows are."""
    groups, place = np.unique(rows // _ROW_GROUP, return_inverse=True)
    return groups.tolist(), place * _ROW_GROUP + rows % _ROW_GROUP


def _schema(names: Sequence[str], size: int) -> Any:
    text, half = pa.string(), pa.list_(pa.field("element", pa.float16(), nullable=False), size)
    return pa.schema(
        [
            ("smiles", text), ("id", text), ("file", text), ("row", pa.int64()),
            *((name, pa.float64()) for name in names), (LATENT, half),
        ]
    )  # fmt: skip
