"""Build a library from files of molecules, shard by shard. An interrupted build resumes and gives the same files.

A shard contains the molecules of 65,536 consecutive rows, and depends only on these and earlier rows. It is complete
when its JSON file exists, which is written last. A resumed build reads the hashes of the molecules in complete shards,
skips the rows that they came from, and continues. Indexing a complete library again compares the checksums of its
files, and builds it again from the first damaged shard on.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from hashlib import sha256 as _sha256
from importlib.metadata import version
from itertools import count, islice
from pathlib import Path

import torch

from molvae.chem.properties import get_property
from molvae.chem.tokenizer import Vocabulary
from molvae.data.arguments import as_tuple
from molvae.data.files import atomic_write, leftover_temporary_files, remove_leftover
from molvae.data.hashing import HashSet, hash_texts
from molvae.data.parallel import chunked
from molvae.data.rows import RowCounts
from molvae.errors import InputError, warn
from molvae.library.embedding import BATCH_SIZE, EmbeddedBatch, embed_rows
from molvae.library.input_files import check_files, find_files, read_files
from molvae.library.manifest import (
    FORMAT,
    INVALID_ROWS,
    MANIFEST,
    NOTES,
    SETTINGS,
    SHARDS,
    DamagedLibraryError,
    IndexSettings,
    Manifest,
    ModelId,
    Shard,
    read_settings,
    read_shard,
    total_counts,
    write_json,
)
from molvae.library.storage import (
    INVALID_ROW_COLUMNS,
    NOTE_COLUMNS,
    ShardPart,
    has_checksum,
    is_complete,
    read_columns,
    shard_paths,
    shard_record_path,
    split_rows,
    write_shard,
)
from molvae.nn.autoencoder import Autoencoder

PROPERTIES = ("mw", "logp", "tpsa", "hbd", "hba", "rotatable_bonds")
"""Properties that a library stores by default."""

JOINED_FILES = {INVALID_ROWS: INVALID_ROW_COLUMNS, NOTES: NOTE_COLUMNS}
"""Files of the whole library that each shard has a part of during the build, and their columns."""

SHARD_ROWS = 128 * BATCH_SIZE

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
    name_column: str | None = None,
    properties: Sequence[str] = PROPERTIES,
    standardize: bool = False,
    keep_salts: bool = False,
    workers: int | None = None,
    shard_rows: int = SHARD_ROWS,
    progress: Progress | None = None,
) -> Manifest:
    """Index files and folders of molecules into `folder`, or resume an interrupted build.

    See `molvae.library.indexed_library.index` for the other parameters. Memory is constant except for 8 bytes
    a molecule. The contents depend on the files, the settings and the device, but not on `workers`.

    Parameters
    ----------
    model, vocabulary : Autoencoder, Vocabulary
        The network, in evaluation mode on `device`, and its tokens.
    model_id : ModelId
        Identifies the model in the manifest.
    max_length : int
        The most tokens that the model decodes; longer molecules are invalid rows.
    shard_rows : int
        Rows of a shard: a multiple of `BATCH_SIZE`, or fewer than `BATCH_SIZE`.
    progress : callable, optional
        Called with the `RowCounts` so far after every batch.

    Returns
    -------
    Manifest

    Raises
    ------
    InputError
        If a file or an option cannot be used, or if `folder` contains a library of other files or settings.
    """
    folder = Path(folder)
    files = find_files(library, exclude=folder)
    properties = _checked_properties(properties)
    _check_shard_rows(shard_rows)
    settings = IndexSettings(
        format=FORMAT, model=model_id, properties=tuple(dict.fromkeys(properties)), standardize=standardize,
        column=column, shard_rows=shard_rows,
        versions={name: version(name) for name in ("molvae", "rdkit", "torch")},
        inputs=tuple(check_files(files, column, name_column)), keep_salts=keep_salts, name_column=name_column,
    )  # fmt: skip
    if (manifest := _complete_library(folder, settings)) is not None:
        return _clean_up(folder, manifest)
    shards = _prepare_folder(folder, settings)
    hashes, counts = _hashes(folder, shards, settings.model.latent_dim), total_counts(shards)
    batches = embed_rows(
        model, vocabulary, islice(read_files(files, column, name_column), counts.read, None), device=device,
        max_length=max_length, properties=settings.properties, fingerprints=True, standardize=standardize,
        keep_salts=keep_salts, workers=workers, batch_size=min(BATCH_SIZE, shard_rows),
    )  # fmt: skip
    parts = _shard_parts(batches, hashes, settings, counts, progress)
    for number, group in enumerate(chunked(parts, max(1, shard_rows // BATCH_SIZE)), start=len(shards)):
        shards.append(write_shard(folder, number, group))
    return _finish(folder, Manifest(settings, tuple(shards)))


def _checked_properties(names: str | Sequence[str]) -> tuple[str, ...]:
    """The names in `PROPERTIES`. Raises `InputError` for an unknown property."""
    return tuple(get_property(name).name for name in as_tuple(names))


def _check_shard_rows(shard_rows: int) -> None:
    if shard_rows < 1 or (shard_rows > BATCH_SIZE and shard_rows % BATCH_SIZE):
        raise InputError(f"shard_rows must be 1 to {BATCH_SIZE} or a multiple of {BATCH_SIZE}, got {shard_rows}")


def _complete_library(folder: Path, settings: IndexSettings) -> Manifest | None:
    """Return the manifest of a library that is complete and undamaged; otherwise prepare the folder for rebuilding.

    Compares the checksums of all files, which takes about a second per gigabyte.
    """
    if not (folder / MANIFEST).exists():
        return None
    try:
        manifest = Manifest.load(folder)
    except DamagedLibraryError as error:
        if (folder / MANIFEST).is_dir():
            raise
        warn(f"{error}; building the library again")
        (folder / MANIFEST).unlink()
        write_json(folder / SETTINGS, asdict(settings))
        return None
    settings.check_equal(manifest.settings, folder)
    damaged = _damaged_files(folder, manifest)
    if not damaged:
        return manifest
    warn(f"{damaged[0]} is missing or damaged: building the library again from this shard on")
    _reopen(folder, manifest)
    return None


def _damaged_files(folder: Path, manifest: Manifest) -> list[Path]:
    """Return the files of a complete library that are missing or have other checksums."""
    damaged = [
        path
        for shard in manifest.shards
        for suffix, path in shard_paths(folder, shard.name).items()
        if suffix not in JOINED_FILES and not has_checksum(path, shard.sha256[suffix])
    ]
    for name, parts in _split_joined_files(folder, manifest).items():
        path, header = folder / name, _header(JOINED_FILES[name])
        is_whole = path.is_file() and path.read_bytes() == b"".join([header, *parts])
        if not is_whole or any(
            _sha256(part).hexdigest() != shard.sha256[name] for shard, part in zip(manifest.shards, parts, strict=True)
        ):
            damaged.append(path)
    return damaged


def _reopen(folder: Path, manifest: Manifest) -> None:
    """Turn a complete library into an incomplete one, so that the build resumes at the first damaged shard."""
    joined = _split_joined_files(folder, manifest)
    write_json(folder / SETTINGS, asdict(manifest.settings))
    for number, shard in enumerate(manifest.shards):
        for name, parts in joined.items():
            with atomic_write(shard_paths(folder, shard.name)[name]) as draft:
                draft.write_bytes(parts[number])
        write_json(shard_record_path(folder, number), asdict(shard))
    for path in folder.glob("ivf-*"):
        if not path.is_dir():  # a folder is not removed; a search says that it is in the way
            path.unlink()
    (folder / MANIFEST).unlink()  # last: until then, the library is complete


def _split_joined_files(folder: Path, manifest: Manifest) -> dict[str, list[bytes]]:
    """Return the rows of each shard in the files that `_finish` joined, by the name of the file."""
    counts = {INVALID_ROWS: [s.invalid for s in manifest.shards], NOTES: [s.noted for s in manifest.shards]}
    return {name: split_rows(folder / name, counts[name]) for name in JOINED_FILES}


def _prepare_folder(folder: Path, settings: IndexSettings) -> list[Shard]:
    """Write the settings into the folder, and return the complete shards that are already in it."""
    if (folder / SETTINGS).exists():
        try:
            settings.check_equal(read_settings(folder), folder)
        except DamagedLibraryError as error:
            warn(f"{error}; building the library from the start")
            for record in (folder / SHARDS).glob("*.json"):  # their settings are not known
                record.unlink()
    elif folder.exists() and (not folder.is_dir() or any(not path.name.startswith(".") for path in folder.iterdir())):
        raise InputError(f"{folder} exists and is not a library: choose another output folder (-o)")
    write_json(folder / SETTINGS, asdict(settings))  # first: the settings mark the folder as a library
    return list(_complete_shards(folder))


def _complete_shards(folder: Path) -> Iterator[Shard]:
    """Yield the complete shards up to the first that is missing or damaged, which is then built again."""
    for number in count():
        record = shard_record_path(folder, number)
        if not record.exists():
            return
        try:
            shard = read_shard(record)
        except DamagedLibraryError as error:
            warn(f"{error}; building the library from this shard on")
            return
        if shard.name != f"{number:05d}" or not is_complete(folder, shard):
            return
        yield shard


def _hashes(folder: Path, shards: Iterable[Shard], latent_dim: int) -> HashSet:
    """Return the hashes of the molecules of shards."""
    hashes = HashSet()
    for shard in shards:
        path = shard_paths(folder, shard.name)["parquet"]
        table = read_columns(path, ["smiles"], rows=shard.accepted, latent_dim=latent_dim)
        hashes.add(hash_texts(table.column("smiles").to_pylist()))
    return hashes


def _shard_parts(
    batches: Iterable[EmbeddedBatch],
    hashes: HashSet,
    settings: IndexSettings,
    counts: RowCounts,
    progress: Progress | None,
) -> Iterator[ShardPart]:
    """Yield each batch converted to the format of the shard files, which takes less memory."""
    for batch in batches:
        part = ShardPart.from_batch(batch, hashes.add(batch.hashes), settings.properties)
        counts.accepted += part.table.num_rows
        counts.duplicate += part.duplicate
        counts.invalid += len(part.invalid_rows)
        counts.noted += len(part.notes)
        if progress:
            progress(counts)
        yield part


def _finish(folder: Path, manifest: Manifest) -> Manifest:
    """Join the invalid and the changed rows of all shards and write the manifest, which completes the library."""
    for name, columns in JOINED_FILES.items():
        with atomic_write(folder / name) as draft, draft.open("wb") as file:
            file.write(_header(columns))
            for shard in manifest.shards:
                with shard_paths(folder, shard.name)[name].open("rb") as part:
                    shutil.copyfileobj(part, file)
    manifest.save(folder)
    return _clean_up(folder, manifest)


def _header(columns: Sequence[str]) -> bytes:
    return (",".join(columns) + "\n").encode()


def _clean_up(folder: Path, manifest: Manifest) -> Manifest:
    """Remove the files that only an incomplete library needs, and temporary files of interrupted builds."""
    patterns = (SETTINGS, f"{SHARDS}/*.invalid_rows.csv", f"{SHARDS}/*.notes.csv", f"{SHARDS}/*.json")
    temporary = (path for pattern in patterns for path in folder.glob(pattern))
    for path in temporary:
        path.unlink(missing_ok=True)
    for path in [*leftover_temporary_files(folder), *leftover_temporary_files(folder / SHARDS)]:
        remove_leftover(path)
    return manifest
