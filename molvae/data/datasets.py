"""Named datasets: a recipe says where the public files are and what their checksums are; `fetch_dataset` brings them.

Recipes are JSON files in `datasets/` at the top of the repository, which is packaged as `molvae.datasets`. The package
contains no data set itself, only the recipes and a small sample library.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from molvae.data.downloads import DownloadSource, download, file_state
from molvae.data.druglike import build_druglike
from molvae.data.rows import file_format
from molvae.errors import InputError, did_you_mean


def _recipe_folder() -> Path:
    """`molvae/datasets` of an installed package, else `datasets/` at the top of a checkout."""
    package = Path(__file__).parents[1]
    installed = package / "datasets"
    return installed if installed.is_dir() else package.parent / "datasets"


_RECIPES = _recipe_folder()
_BUILT = ("train", "valid", "test")

Progress = Callable[[str], None]


@dataclass(frozen=True)
class DatasetFile:
    """One file of a dataset; any of `sources` provides it, the first that works is taken.

    `split` is the name users ask for; `column` the SMILES column where it is not one of the usual; `origin`
    whom the molecules of a part of an assembled dataset are credited to.
    """

    split: str
    sources: tuple[DownloadSource, ...]
    column: str | None = None
    origin: str = ""


@dataclass(frozen=True)
class Recipe:
    """A dataset: what it is, under which license, whom to cite, and its parts.

    With `cleaning` steps the parts are raw material, out of which train, valid and test are assembled.
    """

    name: str
    description: str
    license: str
    citation: str
    parts: tuple[DatasetFile, ...]
    cleaning: tuple[str, ...] = ()

    @property
    def splits(self) -> tuple[str, ...]:
        """The names that `dataset_path` knows."""
        return _BUILT if self.cleaning else tuple(part.split for part in self.parts)

    @classmethod
    def from_json(cls, text: str) -> Recipe:
        content: dict[str, Any] = json.loads(text)
        parts = [
            DatasetFile(**{**part, "sources": tuple(DownloadSource(**source) for source in part["sources"])})
            for part in content["parts"]
        ]
        return cls(**{**content, "parts": tuple(parts), "cleaning": tuple(content.get("cleaning", ()))})


def list_datasets() -> list[str]:
    """The datasets that have a recipe, sorted."""
    return sorted(path.stem for path in _RECIPES.glob("*.json"))


def load_recipe(name: str) -> Recipe:
    """The recipe of a named dataset. Raises `InputError` naming the nearest known one."""
    if name not in list_datasets():
        raise InputError(
            f"unknown dataset {name!r}{did_you_mean(name, list_datasets())}; known: {', '.join(list_datasets())}"
        )
    return Recipe.from_json((_RECIPES / f"{name}.json").read_text(encoding="utf-8"))


def data_folder() -> Path:
    """Where datasets are kept: the environment variable MOLVAE_DATA, else ~/.cache/molvae."""
    return Path(os.environ.get("MOLVAE_DATA") or Path.home() / ".cache" / "molvae").expanduser()


def fetch_dataset(name: str | Recipe, folder: str | Path | None = None, progress: Progress | None = None) -> list[Path]:
    """Bring a dataset into `folder`/NAME (default: `data_folder()`), and return one file per split.

    A file that is there and has its checksum is not fetched again. Raises `InputError` for one that cannot be
    fetched, saying how to place it by hand. `progress` is told in words what is being done.
    """
    wanted = load_recipe(name) if isinstance(name, str) else name
    home = _home(wanted, folder)
    tell = progress or _silent
    if wanted.cleaning and all(_built(wanted, split, home).is_file() for split in _BUILT):
        return [_built(wanted, split, home) for split in _BUILT]
    place = home / "parts" if wanted.cleaning else home
    with tempfile.TemporaryDirectory() as scratch:
        files = [download(part.sources, place, Path(scratch), tell) for part in wanted.parts]
    if not wanted.cleaning:
        return files
    parts = [(file, part.origin, part.column) for file, part in zip(files, wanted.parts, strict=True)]
    return build_druglike(parts, home, progress=tell)


def dataset_path(name: str, split: str, folder: str | Path | None = None) -> Path:
    """The file of one split. Raises `InputError` when it is not there, with the command that fetches it."""
    wanted = load_recipe(name)
    if split not in wanted.splits:
        raise InputError(f"dataset {name} has no split {split!r}: it has {', '.join(wanted.splits)}")
    home = _home(wanted, folder)
    if wanted.cleaning:
        candidates = [_built(wanted, split, home)]
    else:
        part = next(part for part in wanted.parts if part.split == split)
        candidates = [
            home / source.file for source in part.sources if file_state(home / source.file, source) != "wrong"
        ]
    for path in candidates:
        if path.is_file():
            return path
    raise InputError(f"the {split} split of {name} is not in {home}: run `molvae data fetch {name}`")


def _silent(message: str) -> None:
    del message


def _home(wanted: Recipe, folder: str | Path | None) -> Path:
    return (Path(folder) if folder is not None else data_folder()) / wanted.name


def _built(wanted: Recipe, split: str, home: Path) -> Path:
    return home / f"{wanted.name}_{split}.smi.gz"


@dataclass(frozen=True)
class MoleculeSource:
    """A file of molecules, and the column with their SMILES where it is not one of the usual."""

    path: Path
    column: str | None = None
    label: str = ""  # what the user called it


def resolve_source(item: str | Path, column: str | None = None, split: str = "train") -> MoleculeSource:
    """The file of a path, or of FILE:COLUMN, of a dataset's name, or of NAME:SPLIT. Raises `InputError`."""
    text = str(item)
    file, _, named_column = text.rpartition(":")
    if os.path.isfile(file) and not os.path.exists(text):
        return MoleculeSource(Path(file), named_column, text)
    if os.path.exists(text) or file_format(text):
        if not Path(text).is_file():
            raise InputError(f"{text} does not exist or is no file: check the spelling and the current directory")
        return MoleculeSource(Path(text), column, text)
    name, _, named_split = text.partition(":")
    found = load_recipe(name)  # its error lists the known names
    wanted = named_split or split
    path = dataset_path(name, wanted)
    of_part = next((part.column for part in found.parts if part.split == wanted), None)
    return MoleculeSource(path, column or of_part, f"{name}:{wanted}")
