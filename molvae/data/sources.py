"""Where molecules come from: a file, or one of a named dataset."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from molvae.data import catalog
from molvae.data.rows import format_of
from molvae.errors import InputError


@dataclass(frozen=True)
class Source:
    """A file of molecules, and the column with their SMILES where it is not one of the usual."""

    path: Path
    column: str | None = None
    named: str = ""  # what the user called it


def find_source(item: str | Path, column: str | None = None, split: str = "train") -> Source:
    """The file of a path, or of FILE:COLUMN, of a dataset's name, or of NAME:SPLIT. Raises `InputError`."""
    text = str(item)
    file, _, named_column = text.rpartition(":")
    if os.path.isfile(file) and not os.path.exists(text):
        return Source(Path(file), named_column, text)
    if os.path.exists(text) or format_of(text):
        if not Path(text).is_file():
            raise InputError(f"{text} does not exist or is no file: check the spelling and the current directory")
        return Source(Path(text), column, text)
    name, _, named_split = text.partition(":")
    recipe = catalog.recipe(name)  # its error lists the known names
    wanted = named_split or split
    path = catalog.find(name, wanted)
    of_part = next((part.column for part in recipe.parts if part.split == wanted), None)
    return Source(path, column or of_part, f"{name}:{wanted}")
