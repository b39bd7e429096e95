"""The description of a library on disk: its settings, input files, row counts and shards.

lib.molvae/
  settings.json                     written first: settings that a resumed build must match
  shards/00000.parquet              smiles, id, source, row, properties, latent (float16) of the first 65,536 rows read
  shards/00000.bits.npy             fingerprints of these molecules (`BitPlanes`)
  shards/00000.invalid_rows.csv     invalid rows of the shard (only during the build)
  shards/00000.notes.csv            rows that were changed, with a note (only during the build)
  shards/00000.json                 counts and sha256 of the files of a complete shard (only during the build)
  invalid_rows.csv                  source, row, value and reason of every invalid row
  notes.csv                         source, row, value and note of every row that was changed
  manifest.json                     written last: settings, counts and shards of a complete library
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Self

from torch import nn

from molvae.data.files import atomic_write
from molvae.data.hashing import weights_digest
from molvae.data.json_files import (
    SIGNATURE,
    from_json,
    is_signed,
    option,
    read_object,
    reading,
    shortened_repr,
    signed,
)
from molvae.data.rows import RowCounts
from molvae.errors import InputError
from molvae.library.input_files import InputFile
from molvae.nn.config import MAX_DIM

FORMAT = "molvae-library-3"
ADVICE = "run the same `molvae index` command again, which rebuilds what is damaged"
"""How a damaged library is repaired; the end of error messages."""

MAX_ROWS = 1 << 48
SHARD_FILES = ("parquet", "bits.npy", "invalid_rows.csv", "notes.csv")
"""Suffixes of the files of a shard that its record has the digests of."""

MANIFEST, SETTINGS, INVALID_ROWS, SHARDS = "manifest.json", "settings.json", "invalid_rows.csv", "shards"
NOTES = "notes.csv"


class DamagedLibraryError(InputError):
    """A file of a library that is missing or damaged; indexing again rebuilds it."""


@dataclass(frozen=True)
class ModelId:
    """The model of a library: its name or path as given by the user, the digest of its weights, and its latent size."""

    name: str = field(metadata=option(printable=True))
    weights: str
    latent_dim: int = field(metadata=option(min=1, max=MAX_DIM))

    @classmethod
    def from_model(cls, name: str, model: nn.Module, latent_dim: int) -> Self:
        """Identify a loaded model by its weights."""
        return cls(name, weights_digest(model), latent_dim)


@dataclass(frozen=True)
class IndexSettings:
    """Everything that the contents of a library depend on, except for the rounding of the device."""

    format: str
    model: ModelId
    properties: tuple[str, ...]
    standardize: bool
    column: str | None
    shard_rows: int = field(metadata=option(min=1))
    versions: dict[str, str]
    inputs: tuple[InputFile, ...]
    keep_salts: bool = False
    name_column: str | None = None

    def check_equal(self, existing: IndexSettings, folder: Path) -> None:
        """Raise `InputError` naming the first setting that differs from the library that exists in `folder`."""
        before, now = asdict(existing), asdict(self)
        for key, value in now.items():
            if value != before[key]:
                old, new = _first_difference(before[key], value)
                raise InputError(
                    f"{folder} was indexed with other {key}: {old}, and now {new}; use the same settings to resume, "
                    "choose another output folder, or delete this one"
                )


@dataclass(frozen=True)
class Shard:
    """A complete shard: the counts of its rows and the sha256 of its files by suffix.

    `noted` rows were changed, such as salts that were stripped; they are in the other counts, too.
    """

    name: str
    accepted: int = field(metadata=option(min=0, max=MAX_ROWS))
    duplicate: int = field(metadata=option(min=0, max=MAX_ROWS))
    invalid: int = field(metadata=option(min=0, max=MAX_ROWS))
    sha256: dict[str, str]
    noted: int = field(default=0, metadata=option(min=0, max=MAX_ROWS))

    def __post_init__(self) -> None:
        if not self.name.isdecimal() or not self.name.isascii() or set(self.sha256) != set(SHARD_FILES):
            raise InputError(f"a shard has a number and the files {', '.join(SHARD_FILES)}, got {shortened_repr(self)}")


@dataclass(frozen=True)
class Manifest:
    """The settings and shards of a complete library."""

    settings: IndexSettings
    shards: tuple[Shard, ...]

    @property
    def counts(self) -> RowCounts:
        """The counts of all rows."""
        return total_counts(self.shards)

    def save(self, folder: Path) -> None:
        """Write manifest.json."""
        counts = self.counts
        content = {
            "counts": {"read": counts.read, **asdict(counts)},
            "shards": [asdict(shard) for shard in self.shards],
            **asdict(self.settings),
        }
        write_json(folder / MANIFEST, content)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read manifest.json. Raises `InputError` if there is no library, or an incomplete or damaged one."""
        if not (folder / MANIFEST).exists():
            if (folder / SETTINGS).exists():
                raise InputError(f"{folder} is an incomplete library: run the same `molvae index` command again")
            raise InputError(
                f"{folder} is not a library (no {MANIFEST}): create one with `molvae index FILE -o {folder}`"
            )
        content = read_library_json(folder / MANIFEST)
        with reading(folder / MANIFEST, DamagedLibraryError, ADVICE):
            stored = from_json(_StoredManifest, content)
            settings = IndexSettings(**{f.name: getattr(stored, f.name) for f in fields(IndexSettings)})
            manifest = cls(settings, stored.shards)
            counts = manifest.counts
            if stored.counts != {"read": counts.read, **asdict(counts)}:
                raise InputError(f"the counts {stored.counts} are not the sums over the shards")
            if [shard.name for shard in stored.shards] != [f"{i:05d}" for i in range(len(stored.shards))]:
                raise InputError("the shards are not numbered from 0")
            if not is_signed(content):
                raise InputError(f"it was changed after the library was built (it differs from {SIGNATURE})")
        return manifest


@dataclass(frozen=True, kw_only=True)
class _StoredManifest(IndexSettings):
    """The content of manifest.json."""

    counts: dict[str, int]
    shards: tuple[Shard, ...]
    settings_sha256: str = ""


def total_counts(shards: Iterable[Shard]) -> RowCounts:
    """Return the counts of all rows of several shards."""
    counts = RowCounts()
    for shard in shards:
        counts.accepted += shard.accepted
        counts.duplicate += shard.duplicate
        counts.invalid += shard.invalid
        counts.noted += shard.noted
    return counts


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON file atomically, with the digest of its content."""
    with atomic_write(path) as draft:
        draft.write_text(json.dumps(signed(content), indent=2) + "\n", encoding="utf-8")


def read_settings(folder: Path) -> IndexSettings:
    """Read settings.json of an incomplete library. Raises `InputError`, or `DamagedLibraryError` if it is damaged."""
    content = read_library_json(folder / SETTINGS)
    content.pop(SIGNATURE, None)
    with reading(folder / SETTINGS, DamagedLibraryError, ADVICE):
        return from_json(IndexSettings, content)


def read_shard(path: Path) -> Shard:
    """Read the record of a complete shard. Raises `DamagedLibraryError` if it is damaged."""
    with reading(path, DamagedLibraryError, ADVICE):
        content = read_object(path)
        if SIGNATURE not in content or not is_signed(content):
            raise InputError(f"it was changed after it was written (it differs from {SIGNATURE})")
        del content[SIGNATURE]
        return from_json(Shard, content)


def read_library_json(path: Path) -> dict[str, Any]:
    """Read the settings or the manifest of a library.

    Raises `DamagedLibraryError` if it is damaged, and `InputError` if it has another format.
    """
    with reading(path, DamagedLibraryError, ADVICE):
        content = read_object(path, surrogates=True)
        if not isinstance(found := content.get("format"), str) or not found.startswith("molvae-library-"):
            raise InputError(f"its format is {shortened_repr(found)}")
    if found != FORMAT:
        raise InputError(
            f"{path} has format {shortened_repr(found)}, expected {FORMAT!r}: index the files into another folder"
        )
    return content


def _first_difference(before: Any, now: Any) -> tuple[Any, Any]:
    """Return the two values, or the first items that differ if they are dictionaries or equally long lists."""
    if isinstance(before, dict) and isinstance(now, dict):
        return next((before.get(key), now.get(key)) for key in {**before, **now} if now.get(key) != before.get(key))
    if isinstance(before, list | tuple) and isinstance(now, list | tuple) and len(before) == len(now):
        return next((_first_difference(a, b) for a, b in zip(before, now, strict=True) if a != b))
    return before, now
