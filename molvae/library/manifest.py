"""What a library is: the model and settings it was made with, the files it was made of, what became of their rows.

lib.molvae/
  settings.json            written first: what an interrupted index has to be gone on with
  shards/00000.parquet     smiles, id, file, row, properties, latent (float16), of the first 65,536 rows read
  shards/00000.bits.npy    their fingerprints (`BitPlanes`)
  shards/00000.invalid_rows.csv while the index is being made, as is
  shards/00000.json        what is in a shard that is done, and the sha256 of its files
  invalid_rows.csv         file, line, value, reason of every row that gave no molecule
  manifest.json            written last: settings, counts, shards
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from torch import nn

from molvae.data.files import atomic_write
from molvae.data.rows import RowCounts
from molvae.errors import InputError
from molvae.library.input_files import InputFile

FORMAT = "molvae-library-2"
MANIFEST, SETTINGS, INVALID_ROWS, SHARDS = "manifest.json", "settings.json", "invalid_rows.csv", "shards"


@dataclass(frozen=True)
class ModelId:
    """A model's name or path as the user gave it, and the sha256 of its weights as they are in memory."""

    name: str
    weights: str
    latent_dim: int

    @classmethod
    def of(cls, name: str, model: nn.Module, latent_dim: int) -> Self:
        digest = hashlib.sha256()
        for key, tensor in sorted(model.state_dict().items()):
            digest.update(key.encode())
            digest.update(tensor.cpu().numpy().tobytes())
        return cls(name, digest.hexdigest(), latent_dim)


@dataclass(frozen=True)
class Settings:
    """All that the bytes of a library depend on, the device's rounding apart."""

    format: str
    model: ModelId
    properties: tuple[str, ...]
    standardized: bool
    column: str | None
    shard_rows: int
    versions: dict[str, str]
    inputs: tuple[InputFile, ...]

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Self:
        return cls(
            **{
                **content,
                "model": ModelId(**content["model"]),
                "properties": tuple(content["properties"]),
                "inputs": tuple(InputFile(**item) for item in content["inputs"]),
            }
        )

    def check_same(self, other: Settings, folder: Path) -> None:
        """Raises `InputError` naming the first thing that differs from what the library in `folder` was begun with."""
        before, now = asdict(other), asdict(self)
        for key, value in now.items():
            if value != before[key]:
                was, wanted = _difference(before[key], value)
                raise InputError(
                    f"{folder} was begun with other {key}: {was}, and now {wanted}; "
                    "give the same ones to go on, or another -o, or delete the folder"
                )


@dataclass(frozen=True)
class Shard:
    """The molecules of a run of rows: what became of those, and the sha256 of the shard's files."""

    name: str
    kept: int
    duplicate: int
    rejected: int
    sha256: dict[str, str]

    @property
    def counts(self) -> RowCounts:
        return RowCounts(self.kept, self.duplicate, self.rejected)


@dataclass(frozen=True)
class Manifest:
    """A library that is whole."""

    settings: Settings
    shards: tuple[Shard, ...]

    @property
    def counts(self) -> RowCounts:
        return total(self.shards)

    def save(self, folder: Path) -> None:
        counts = self.counts
        content = {
            "counts": {"read": counts.read, **asdict(counts)},
            "shards": [asdict(shard) for shard in self.shards],
            **asdict(self.settings),
        }
        write_json(folder / MANIFEST, content)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Raises `InputError` where there is no library, a half-made one, or one of another format."""
        if not (folder / MANIFEST).exists():
            if (folder / SETTINGS).exists():
                raise InputError(f"{folder} is a library that is not finished: run the same `molvae index` again")
            raise InputError(f"{folder} is no library (no {MANIFEST}): make one by `molvae index FILE -o {folder}`")
        content = read_json(folder / MANIFEST)
        try:
            shards = tuple(Shard(**shard) for shard in content.pop("shards"))
            del content["counts"]
            return cls(Settings.from_dict(content), shards)
        except (KeyError, TypeError, AttributeError) as error:
            raise InputError(f"{folder / MANIFEST} is damaged ({error!r}): index the library again") from None


def total(shards: Iterable[Shard]) -> RowCounts:
    """What became of all rows."""
    counts = RowCounts()
    for shard in shards:
        counts.accepted += shard.kept
        counts.duplicate += shard.duplicate
        counts.invalid += shard.rejected
    return counts


def write_json(path: Path, content: dict[str, Any]) -> None:
    with atomic_write(path) as draft:
        draft.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def read_json(path: Path) -> dict[str, Any]:
    """The settings or manifest of a library. Raises `InputError` for another format, or none."""
    try:
        content: dict[str, Any] = dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise InputError(f"{path} is damaged ({error}): index the library again") from None
    if content.get("format") != FORMAT:
        raise InputError(f"{path}: format {content.get('format')!r}, this version reads {FORMAT!r}; index it again")
    return content


def _difference(before: Any, now: Any) -> tuple[Any, Any]:
    """Two values, or where both are long, the first of their parts that differ."""
    if isinstance(before, dict) and isinstance(now, dict):
        return next((before.get(key), now[key]) for key in now if now[key] != before.get(key))
    if isinstance(before, list | tuple) and isinstance(now, list | tuple) and len(before) == len(now):
        return next((_difference(a, b) for a, b in zip(before, now, strict=True) if a != b))
    return before, now
