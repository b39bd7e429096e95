"""Checks of options and inputs before a command imports what it needs for its work, which takes seconds.

A wrong name, file, column, expression or device is reported within the first second. Nothing here imports torch.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import typer

from molvae.errors import CheckpointError, InputError

PROPERTY_MODEL_FILE = "model.json"
"""The file of a property model folder that names its target."""


def model_name(value: str | None) -> str | None:
    """Callback of `--model`: raise `InputError` if there is no such model."""
    if value is not None:
        from molvae.model_folders import find_model

        try:
            find_model(value)
        except CheckpointError as error:
            raise InputError(f"--model: {error}") from None
    return value


def device_name(value: str) -> str:
    """Callback of `--device`: raise `InputError` if no device can have this name."""
    from molvae.nn.device_names import check_device_name

    return check_device_name(value)


def check_inputs(arguments: Iterable[str], column: str | None = None) -> None:
    """Raise `InputError` for a file that does not exist or cannot be read as molecules, or that lacks the column.

    The first row of each file is read. Standard input and named pipes, which can be read only once, are not touched.
    """
    from molvae.data.readers import looks_like_file, read_records

    for argument in arguments:
        if argument == "-" or not looks_like_file(argument):
            continue
        if os.path.isfile(argument) or not os.path.exists(argument) or os.path.isdir(argument):
            next(iter(read_records(argument, column=column)), None)


def check_library(library: Sequence[str], column: str | None = None) -> None:
    """`check_inputs` for arguments that may also be folders of files."""
    from molvae.library.input_files import find_files

    check_inputs([str(path) for path in find_files([text for text in library if text != "-"])], column) if any(
        text != "-" for text in library
    ) else None


def score_names(scores: Sequence[str]) -> list[str]:
    """The names of the scores of `--score`, without loading property models.

    Raises `InputError` for a file, function or folder that does not exist, and for two scores of the same name.
    """
    names = list[str]()
    for text in scores:
        name = _score_name(text)
        if name in names:
            raise InputError(f"two scores are called {name!r}: rename one of them")
        names.append(name)
    return names


def _score_name(text: str) -> str:
    from molvae.chem.scoring_functions import as_scoring_function, python_file_hint

    if ".py:" in text:
        return as_scoring_function(text).name
    if hint := python_file_hint(text):
        raise InputError(f"--score: {hint}")
    folder = Path(text)
    if not folder.exists():
        raise InputError(f"--score: {text} does not exist: give a folder written by `molvae fit`, or FILE.py:FUNCTION")
    if not (folder / PROPERTY_MODEL_FILE).is_file():
        raise InputError(
            f"--score: {text} is not a property model, because it has no {PROPERTY_MODEL_FILE}: give a folder written "
            "by `molvae fit`, or FILE.py:FUNCTION"
        )
    try:
        return str(json.loads((folder / PROPERTY_MODEL_FILE).read_text(encoding="utf-8"))["target"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return folder.name  # the error is reported when the model is loaded


def check_expressions(filters: Sequence[str], rank_by: str | None, known: Sequence[str]) -> None:
    """Raise `InputError` for a filter or ranking that cannot be read or names an unknown value.

    `known` are the names besides the properties, such as "similarity" and those of `score_names`.
    """
    from molvae.chem.expressions import PropertyFilter, RankExpression

    for text in filters:
        PropertyFilter.from_text(text, known)
    if rank_by is not None:
        RankExpression.from_text(rank_by, known)


def check_structures(
    include_smarts: Sequence[str] = (), exclude_smarts: Sequence[str] = (), core: str | None = None
) -> None:
    """Raise `InputError` for SMARTS or a core that cannot be read."""
    from molvae.chem.filters import Filters

    if include_smarts or exclude_smarts or core is not None:
        Filters((), tuple(include_smarts), tuple(exclude_smarts), core)


def check_smiles(**molecules: str) -> None:
    """Raise `InputError` for a molecule of an argument that cannot be read; the keys are the names of the arguments."""
    from molvae.chem.smiles import parse
    from molvae.errors import MoleculeError

    for name, smiles in molecules.items():
        try:
            parse(smiles)
        except MoleculeError as error:
            raise typer.BadParameter(f"{name.upper()}: {error}") from None
