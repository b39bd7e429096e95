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
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from torch import nn

from molvae.data.files import atomic_write
from molvae.data.hashing import weights_digest
from molvae.data.rows import RowCounts
from molvae.errors import InputError
from molvae.library.input_files import InputFile

FORMAT = "molvae-library-3"
MANIFEST, SETTINGS, INVALID_ROWS, SHARDS = "manifest.json", "settings.json", "invalid_rows.csv", "shards"
NOTES = "notes.csv"


@dataclass(frozen=True)
class ModelId:
    """The model of a library: its name or path as given by the user, the digest of its weights, and its latent size."""

    name: str
    weights: str
    latent_dim: int

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
    shard_rows: int
    versions: dict[str, str]
    inputs: tuple[InputFile, ...]
    keep_salts: bool = False

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Self:
        """Restore settings from JSON."""
        return cls(
            **{
                **content,
                "model": ModelId(**content["model"]),
                "properties": tuple(content["properties"]),
                "inputs": tuple(InputFile(**item) for item in content["inputs"]),
            }
        )

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
    accepted: int
    duplicate: int
    invalid: int
    sha256: dict[str, str]
    noted: int = 0


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
        content = read_json(folder / MANIFEST)
        try:
            shards = tuple(Shard(**shard) for shard in content.pop("shards"))
            del content["counts"]
            return cls(IndexSettings.from_dict(content), shards)
        except (KeyError, TypeError, AttributeError) as error:
            raise InputError(f"{folder / MANIFEST} is damaged ({error!r}): index the library again") from None


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
    """Write a JSON file atomically."""
    with atomic_write(path) as draft:
        draft.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def read_json(path: Path) -> dict[str, Any]:
    """Read the settings or the manifest of a library. Raises `InputError` if it is damaged or of another format."""
    try:
        content: dict[str, Any] = dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise InputError(f"{path} is damaged ({error}): index the library again") from None
    if content.get("format") != FORMAT:
        raise InputError(f"{path} has format {content.get('format')!r}, expected {FORMAT!r}: index the library again")
    return content


def _first_difference(before: Any, now: Any) -> tuple[Any, Any]:
    """Return the two values, or the first items that differ if they are dictionaries or equally long lists."""
    if isinstance(before, dict) and isinstance(now, dict):
        return next((before.get(key), now[key]) for key in now if now[key] != before.get(key))
    if isinstance(before, list | tuple) and isinstance(now, list | tuple) and len(before) == len(now):
        return next((_first_difference(a, b) for a, b in zip(before, now, strict=True) if a != b))
    return before, now
