"""Named datasets: where to download public files, with checksums, and a sample library that ships with the package.

Each dataset is described by a recipe, a JSON file in `datasets/` at the top of the repository, which is packaged as
`molvae.datasets`. `fetch_dataset` downloads a dataset; only the sample library is part of the package.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from molvae.data.downloads import DownloadSource, download, file_state
from molvae.data.druglike import build_druglike
from molvae.data.files import temporary_folder
from molvae.data.rows import file_format
from molvae.errors import InputError, did_you_mean


def _recipe_folder() -> Path:
    """Return `molvae/datasets` of an installed package, or `datasets/` of a checkout or an editable installation."""
    package = Path(__file__).parents[1]
    installed = package / "datasets"
    return installed if installed.is_dir() else package.parent / "datasets"


_RECIPES = _recipe_folder()
_BUILT_SPLITS = ("train", "valid", "test")

Progress = Callable[[str], None]


@dataclass(frozen=True)
class DatasetFile:
    """One file of a dataset.

    Attributes
    ----------
    split : str
        Name of the split, such as "train".
    sources : tuple of DownloadSource
        Where to download the file; the first source that works is used. Empty if the file is part of the package.
    column : str, optional
        SMILES column, if it does not have one of the default names.
    origin : str
        Label of the molecules of this file in an assembled dataset, such as "chembl".
    """

    split: str
    sources: tuple[DownloadSource, ...] = ()
    column: str | None = None
    origin: str = ""


@dataclass(frozen=True)
class Recipe:
    """Description, license, citation and files of a dataset.

    Attributes
    ----------
    name, description, license, citation : str
        Shown to users.
    files : tuple of DatasetFile
        The files of the dataset, or the raw files that it is assembled from.
    cleaning : tuple of str
        Steps by which train, valid and test are assembled from the raw files; empty for published splits.
    packaged : str, optional
        Name of the file in `molvae.datasets`, if the dataset is part of the package.
    """

    name: str
    description: str
    license: str
    citation: str
    files: tuple[DatasetFile, ...]
    cleaning: tuple[str, ...] = ()
    packaged: str | None = None

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of the splits."""
        return _BUILT_SPLITS if self.cleaning else tuple(file.split for file in self.files)

    @classmethod
    def from_json(cls, text: str) -> Recipe:
        """Read a recipe from the text of its JSON file."""
        content: dict[str, Any] = json.loads(text)
        files = [
            DatasetFile(**{**file, "sources": tuple(DownloadSource(**source) for source in file.get("sources", ()))})
            for file in content["files"]
        ]
        return cls(**{**content, "files": tuple(files), "cleaning": tuple(content.get("cleaning", ()))})


def list_datasets() -> list[str]:
    """Return the names of all datasets, sorted.

    >>> list_datasets()
    ['druglike', 'guacamol', 'moses', 'sample', 'zinc250k']
    """
    return sorted(path.stem for path in _RECIPES.glob("*.json"))


def load_recipe(name: str) -> Recipe:
    """Return the recipe of a dataset.

    Raises
    ------
    InputError
        For an unknown name; the message suggests the most similar known name.
    """
    known = list_datasets()
    if name not in known:
        raise InputError(f"unknown dataset {name!r}{did_you_mean(name, known)}; known: {', '.join(known)}")
    return Recipe.from_json((_RECIPES / f"{name}.json").read_text(encoding="utf-8"))


def sample_library_path() -> Path:
    """Return the path of the sample library: 500 approved drugs, one SMILES and name per line.

    It is also available as the dataset "sample".

    >>> sample_library_path().name
    'sample_library.smi'
    """
    return _RECIPES / "sample_library.smi"


def data_folder() -> Path:
    """Return the folder for downloaded datasets: the environment variable MOLVAE_DATA, or ~/.cache/molvae."""
    return Path(os.environ.get("MOLVAE_DATA") or Path.home() / ".cache" / "molvae").expanduser()


def fetch_dataset(name: str | Recipe, folder: str | Path | None = None, progress: Progress | None = None) -> list[Path]:
    """Download a dataset and return one file per split.

    Files that exist with the right checksum are not downloaded again.

    Parameters
    ----------
    name : str or Recipe
        The dataset.
    folder : str or Path, optional
        The files are stored in `folder`/NAME; default `data_folder()`.
    progress : callable, optional
        Called with a message for every step.

    Raises
    ------
    InputError
        For an unknown name, and for a file that cannot be downloaded; the message explains how to add it manually.
    """
    recipe = load_recipe(name) if isinstance(name, str) else name
    if recipe.packaged:
        return [_RECIPES / recipe.packaged]
    dataset_folder = _dataset_folder(recipe, folder)
    report = progress or _ignore
    if recipe.cleaning and all(_built_file(recipe, split, dataset_folder).is_file() for split in _BUILT_SPLITS):
        return [_built_file(recipe, split, dataset_folder) for split in _BUILT_SPLITS]
    target = dataset_folder / "parts" if recipe.cleaning else dataset_folder
    with temporary_folder(dataset_folder / "wheels") as wheels:
        paths = [download(file.sources, target, wheels, report) for file in recipe.files]
    if not recipe.cleaning:
        return paths
    parts = [(path, file.origin, file.column) for path, file in zip(paths, recipe.files, strict=True)]
    return build_druglike(parts, dataset_folder, progress=report)


def dataset_path(name: str, split: str, folder: str | Path | None = None) -> Path:
    """Return the file of one split of a downloaded dataset.

    Parameters
    ----------
    name, split : str
        Name of the dataset and of the split.
    folder : str or Path, optional
        Folder of all datasets; default `data_folder()`.

    Raises
    ------
    InputError
        For an unknown dataset or split, and for a file that has not been downloaded; the message gives the command.
    """
    recipe = load_recipe(name)
    if split not in recipe.splits:
        raise InputError(f"dataset {name} has no split {split!r}: it has {', '.join(recipe.splits)}")
    if recipe.packaged:
        return _RECIPES / recipe.packaged
    dataset_folder = _dataset_folder(recipe, folder)
    if recipe.cleaning:
        candidates = [_built_file(recipe, split, dataset_folder)]
    else:
        file = next(file for file in recipe.files if file.split == split)
        paths = [(dataset_folder / source.file, source) for source in file.sources]
        candidates = [path for path, source in paths if file_state(path, source) != "wrong"]
    for path in candidates:
        if path.is_file():
            return path
    raise InputError(f"the {split} split of {name} is not in {dataset_folder}: run `molvae data fetch {name}`")


def _ignore(message: str) -> None:
    del message


def _dataset_folder(recipe: Recipe, folder: str | Path | None) -> Path:
    return (Path(folder) if folder is not None else data_folder()) / recipe.name


def _built_file(recipe: Recipe, split: str, dataset_folder: Path) -> Path:
    return dataset_folder / f"{recipe.name}_{split}.smi.gz"


@dataclass(frozen=True)
class MoleculeSource:
    """A file of molecules.

    Attributes
    ----------
    path : Path
        The file.
    column : str, optional
        SMILES column, if it does not have one of the default names.
    label : str
        Name for messages, such as "moses:test".
    """

    path: Path
    column: str | None = None
    label: str = ""


def resolve_source(item: str | Path, column: str | None = None, split: str = "train") -> MoleculeSource:
    """Resolve the name of a file or dataset.

    Parameters
    ----------
    item : str or Path
        A file, FILE:COLUMN, the name of a dataset, or NAME:SPLIT.
    column : str, optional
        SMILES column, if `item` does not name one.
    split : str
        Split of a dataset, if `item` does not name one. Ignored for a dataset with a single split.

    Raises
    ------
    InputError
        If there is no such file or dataset, or if the dataset has not been downloaded.

    Examples
    --------
    >>> resolve_source("sample").path == sample_library_path()
    True
    """
    text = str(item)
    file, _, file_column = text.rpartition(":")
    if os.path.isfile(file) and not os.path.exists(text):
        return MoleculeSource(Path(file), file_column, text)
    if os.path.exists(text) or file_format(text):
        if not os.path.exists(text):
            raise InputError(f"{text} does not exist: check the spelling and the current directory")
        if not os.path.isfile(text):
            raise InputError(f"{text} is not a file: give a file in it, or the name of a dataset")
        return MoleculeSource(Path(text), column, text)
    name, _, named_split = text.partition(":")
    recipe = load_recipe(name)
    if not named_split and len(recipe.splits) == 1:
        split = recipe.splits[0]
    split = named_split or split
    path = dataset_path(name, split)
    dataset_column = next((file.column for file in recipe.files if file.split == split), None)
    return MoleculeSource(path, column or dataset_column, f"{name}:{split}")
