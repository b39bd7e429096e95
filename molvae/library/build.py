"""Files of molecules into a library, shard by shard: killed at any moment and begun again, it ends with the same bytes.

A shard holds what became of the next 65,536 rows read, so where a shard begins depends on nothing else. It counts as
done once its journal is there, and its journal is written last. Who begins again reads which molecules the finished
shards hold, passes over the rows they came from, and goes on.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from importlib.metadata import version
from itertools import count, islice
from pathlib import Path

import torch

from molvae.chem.properties import get_property
from molvae.chem.tokenizer import Vocabulary
from molvae.data.files import abandoned_drafts, atomic_write
from molvae.data.parallel import chunked
from molvae.data.rows import RowCounts
from molvae.errors import InputError
from molvae.library.embedding import BATCH, Embedded, embed
from molvae.library.hash_set import SeenDigests, digests_of
from molvae.library.input_files import check_files, find_files, read_files
from molvae.library.manifest import (
    FORMAT,
    INVALID_ROWS,
    MANIFEST,
    SETTINGS,
    SHARDS,
    Manifest,
    ModelId,
    Settings,
    Shard,
    read_json,
    total,
    write_json,
)
from molvae.library.shards import INVALID_ROW_COLUMNS, Piece, files_of, is_whole, journal_of, read_columns, write_shard
from molvae.nn.autoencoder import Autoencoder

PROPERTIES = ("mw", "logp", "tpsa", "hbd", "hba", "rotatable_bonds")
SHARD_ROWS = 128 * BATCH

Progress = Callable[[RowCounts], None]


def build_index(
    library: Sequence[str | Path],
    folder: str | Path,
    model: Autoencoder,
    vocabulary: Vocabulary,
    *,
    model_id: ModelId,
    max_length: int,
    device: torch.device | str = "cpu",
    column: str | None = None,
    properties: Sequence[str] = PROPERTIES,
    clean: bool = False,
    workers: int | None = None,
    shard_rows: int = SHARD_ROWS,
    progress: Progress | None = None,
) -> Manifest:
    """Index files and folders of molecules into `folder`, or go on where an interrupted index stopped.

    Canonical isomeric SMILES, each once in the whole library, their `properties`, latents in half precision and Morgan
    fingerprints; rows that give no molecule in invalid_rows.csv. Memory is flat but for 8 bytes a molecule. The bytes depend on
    the files, the settings and the device, not on `workers`. `progress` is told the counts after every few hundred
    rows. Raises `InputError` for what cannot be read, for `shard_rows` that are neither a multiple of `BATCH` nor
    fewer, and where `folder` holds a library of other files or settings.
    """
    folder = Path(folder)
    files = find_files(library, aside=folder)
    _check_options(properties, shard_rows)
    settings = Settings(
        format=FORMAT, model=model_id, properties=tuple(dict.fromkeys(properties)), standardized=clean, column=column,
        shard_rows=shard_rows, versions={name: version(name) for name in ("molvae", "rdkit", "torch")},
        inputs=tuple(check_files(files, column)),
    )  # fmt: skip
    if (folder / MANIFEST).exists():
        manifest = Manifest.load(folder)
        settings.check_same(manifest.settings, folder)
        return _tidy(folder, manifest)
    shards = _begin(folder, settings)
    seen, counts = _seen(folder, shards), total(shards)
    parts = embed(
        model, vocabulary, islice(read_files(files, column), counts.read, None), device=device,
        max_length=max_length, properties=settings.properties, fingerprints=True, clean=clean, workers=workers,
        batch_size=min(BATCH, shard_rows),
    )  # fmt: skip
    pieces = _pieces(parts, seen, settings, counts, progress)
    for number, of_shard in enumerate(chunked(pieces, max(1, shard_rows // BATCH)), start=len(shards)):
        shards.append(write_shard(folder, number, of_shard))
    return _finish(folder, Manifest(settings, tuple(shards)))


def _check_options(properties: Sequence[str], shard_rows: int) -> None:
    for name in properties:
        get_property(name)
    if shard_rows < 1 or (shard_rows > BATCH and shard_rows % BATCH):
        raise InputError(f"a shard is of a multiple of {BATCH} rows, or of fewer than that; got {shard_rows}")


def _begin(folder: Path, settings: Settings) -> list[Shard]:
    """The folder with the settings in it, and the shards that are there already."""
    if (folder / SETTINGS).exists():
        settings.check_same(Settings.from_dict(read_json(folder / SETTINGS)), folder)
    elif folder.exists() and (not folder.is_dir() or any(not path.name.startswith(".") for path in folder.iterdir())):
        raise InputError(f"{folder} exists and is no library: choose another -o")
    write_json(folder / SETTINGS, asdict(settings))  # first: nothing else says that a folder is ours
    return list(_finished(folder))


def _finished(folder: Path) -> Iterator[Shard]:
    """The shards that are done, up to the first that is not there or not as it was written."""
    for number in count():
        journal = journal_of(folder, number)
        if not journal.exists():
            return
        shard = Shard(**json.loads(journal.read_text(encoding="utf-8")))
        if not is_whole(folder, shard):
            return
        yield shard


def _seen(folder: Path, shards: Iterable[Shard]) -> SeenDigests:
    """The molecules of these shards."""
    seen = SeenDigests()
    for shard in shards:
        table = read_columns(files_of(folder, shard.name)["parquet"], ["smiles"])
        seen.accept(digests_of(table.column("smiles").to_pylist()))
    return seen


def _pieces(
    parts: Iterable[Embedded], seen: SeenDigests, settings: Settings, counts: RowCounts, progress: Progress | None
) -> Iterator[Piece]:
    """What is kept of each batch, in as little memory as it takes on disk."""
    for part in parts:
        piece = Piece.of(part, seen.accept(part.keys), settings.properties)
        counts.accepted += piece.table.num_rows
        counts.duplicate += piece.duplicate
        counts.invalid += len(piece.invalid_rows)
        if progress:
            progress(counts)
        yield piece


def _finish(folder: Path, manifest: Manifest) -> Manifest:
    """Join what the shards rejected and write the manifest, which makes the library whole."""
    with atomic_write(folder / INVALID_ROWS) as draft, draft.open("wb") as file:
        file.write((",".join(INVALID_ROW_COLUMNS) + "\n").encode())
        for shard in manifest.shards:
            with files_of(folder, shard.name)["invalid_rows.csv"].open("rb") as part:
                shutil.copyfileobj(part, file)
    manifest.save(folder)
    return _tidy(folder, manifest)


def _tidy(folder: Path, manifest: Manifest) -> Manifest:
    """Remove what only an interrupted index needs, and the drafts that interruptions have left."""
    needed = (
        path for name in (SETTINGS, f"{SHARDS}/*.invalid_rows.csv", f"{SHARDS}/*.json") for path in folder.glob(name)
    )
    for path in [*needed, *abandoned_drafts(folder), *abandoned_drafts(folder / SHARDS)]:
        path.unlink(missing_ok=True)
    return manifest
