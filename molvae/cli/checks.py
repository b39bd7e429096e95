"""Checks of options and inputs before a command imports what it needs for its work, which takes seconds.

A wrong name, file, column, expression or device is reported within the first second. Nothing here imports torch.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import typer

from molvae.cli import usage
from molvae.errors import CheckpointError, InputError

PROPERTY_MODEL_FILE = "model.json"
"""The file of a property model folder that names its target."""

LIBRARY_FILES = ("manifest.json", "settings.json")
"""Files of a library folder: of a complete one, and of one that is being built."""


_PATH = re.compile(r"[~\w. -]*/[~\w./ -]*|[\w -]+\.[A-Za-z]\w{1,6}")
"""Text that looks like a path: it has a folder or a suffix, and none of the characters of bonds, branches and atoms."""


@contextmanager
def naming(option: str) -> Iterator[None]:
    """Context manager: an `InputError` begins with the option whose value it is about."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{option}: {error}" if option and not str(error).startswith(option) else str(error)) from None


def model_name(parameter: typer.CallbackParam, value: str | None) -> str | None:
    """Callback of an option or argument that is a model: raise `InputError` if there is no such model."""
    if value is not None:
        from molvae.model_folders import find_model

        try:
            find_model(value)
        except CheckpointError as error:
            option = f"{max(parameter.opts, key=len)}: " if parameter.param_type_name == "option" else ""
            raise InputError(f"{option}{error}") from None
    return value


def device_name(value: str) -> str:
    """Callback of `--device`: raise `InputError` if no device can have this name."""
    from molvae.nn.device_names import check_device_name

    with naming("--device"):
        return check_device_name(value)


def positive_fraction(parameter: typer.CallbackParam, value: float) -> float:
    """Callback of an option above 0 and at most 1."""
    if not 0 < value <= 1:
        raise usage.bad_parameter(f"must be above 0 and at most 1, got {value:g}", parameter)
    return value


def check_inputs(
    arguments: Iterable[str], column: str | None = None, name_column: str | None = None, option: str = ""
) -> None:
    """Raise `InputError` for a file that does not exist or cannot be read as molecules, or that lacks the column.

    The first row of each file is read. Standard input and named pipes, which can be read only once, are not touched.
    `option` is the option that names the files.
    """
    from molvae.data.layout import is_molecule
    from molvae.data.readers import looks_like_file, read_records

    for argument in arguments:
        if argument == "-":
            continue
        with naming(option):
            if not looks_like_file(argument):
                if _PATH.fullmatch(argument) and not is_molecule(argument):
                    raise InputError(
                        f"{argument} is neither a SMILES nor a file: a file exists and has a suffix such as .smi"
                    )
            elif os.path.isfile(argument) or not os.path.exists(argument) or os.path.isdir(argument):
                rows = read_records(argument, column=column, name_column=name_column, notify=lambda _: None)
                next(iter(rows), None)  # how the file is read is told when it is read


def check_library(library: Sequence[str], column: str | None = None, name_column: str | None = None) -> None:
    """`check_inputs` for arguments that may also be folders of files."""
    from molvae.library.input_files import find_files

    if files := [text for text in library if text != "-"]:
        check_inputs([str(path) for path in find_files(files)], column, name_column)


def score_names(scores: Sequence[str]) -> list[str]:
    """The names of the scores of `--score`, without loading property models.

    Raises `InputError` for a file, function or folder that does not exist, and for two scores of the same name.
    """
    names = list[str]()
    for text in scores:
        with naming("--score"):
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
    if text.partition(":")[0] == "n_steps":
        check_stock(text.partition(":")[2] or None)
        return "n_steps"
    folder = Path(text)
    if not folder.exists():
        raise InputError(
            f"--score: {text} does not exist: give a folder written by `molvae fit`, FILE.py:FUNCTION or n_steps"
        )
    if not (folder / PROPERTY_MODEL_FILE).is_file():
        raise InputError(
            f"--score: {text} is not a property model, because it has no {PROPERTY_MODEL_FILE}: give a folder written "
            "by `molvae fit`, or FILE.py:FUNCTION"
        )
    try:
        return str(json.loads((folder / PROPERTY_MODEL_FILE).read_text(encoding="utf-8"))["target"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return folder.name  # the error is reported when the model is loaded


def check_expressions(
    filters: Sequence[str], rank_by: str | None, known: Sequence[str], ranking_option: str = "--rank-by"
) -> None:
    """Raise `InputError` for a filter or ranking that cannot be read or names an unknown value.

    `known` are the names besides the properties, such as "similarity" and those of `score_names`.
    """
    from molvae.chem.expressions import PropertyFilter, RankExpression

    for text in filters:
        with naming("--filter"):
            PropertyFilter.from_text(text, known)
    if rank_by is not None:
        with naming(ranking_option):
            RankExpression.from_text(rank_by, known)


def check_structures(
    include_smarts: Sequence[str] = (), exclude_smarts: Sequence[str] = (), core: str | None = None
) -> None:
    """Raise `InputError` for SMARTS or a core that cannot be read."""
    from molvae.chem.filters import Filters

    if include_smarts:
        with naming("--include-smarts"):
            Filters((), tuple(include_smarts))
    if exclude_smarts:
        with naming("--exclude-smarts"):
            Filters((), (), tuple(exclude_smarts))
    if core is not None:
        with naming("--core"):
            Filters((), (), (), core)


def check_smiles(**molecules: str) -> None:
    """Raise `InputError` for a molecule of an argument that cannot be read; the keys are the names of the arguments."""
    from molvae.chem.smiles import parse
    from molvae.errors import MoleculeError

    for name, smiles in molecules.items():
        try:
            parse(smiles)
        except MoleculeError as error:
            raise typer.BadParameter(f"{name.upper()}: {error}") from None


def check_analogs(
    similarity: str | None, noise_level: float | None, alerts: str, n: int, n_diverse: int, preset_name: str | None
) -> None:
    """Raise `InputError` for a similarity, alerts, a preset or numbers of molecules that `molvae.analogs` rejects."""
    from molvae.generation.presets import preset
    from molvae.generation.similarity_target import SimilarityTarget

    if preset_name is not None:
        with naming("--preset"):
            preset(preset_name)
    if similarity is not None:
        if noise_level is not None:
            raise InputError("give either --noise-level or --similarity, which adapts the noise level itself")
        with naming("--similarity"):
            SimilarityTarget.parse(similarity)
    if alerts:
        from molvae.chem.filters import alert_sets

        with naming("--alerts"):
            alert_sets([name for name in alerts.split(",") if name.strip()])
    if n_diverse > n:
        raise InputError(f"--n-diverse {n_diverse} is more than -n {n}: raise -n, to {3 * n_diverse} or so")


def check_precedence(path: Path | None) -> None:
    """Raise `InputError` for a file that is not a precedence table."""
    if path is not None:
        from molvae.chem.precedence import cached_table

        with naming("--precedence"):
            cached_table(path)


def check_stock(stock: str | None) -> None:
    """Raise `InputError` if the stock of `--stock` cannot be read."""
    if stock is not None:
        from molvae.synthesis.stock import open_stock

        with naming("--stock"):
            open_stock(stock)


def check_reactions(path: Path | None) -> None:
    """Raise `InputError` if the file of `--reactions` cannot be read."""
    if path is not None:
        from molvae.synthesis.reactions import ReactionSet

        with naming("--reactions"):
            ReactionSet.load(path)


def check_table(data: Path, column: str | None, target: str) -> None:
    """Raise `InputError` for a table that cannot be read, or that has no column `target` (`molvae fit`)."""
    from molvae.data.readers import read_records

    next(iter(read_records(data, column=column)), None)
    try:
        next(iter(read_records(data, column=column, name_column=target)), None)
    except InputError as error:
        raise InputError(f"--target: {error}".replace("the same option", "--target")) from None


def check_datasets(names: Iterable[str], column: str | None = None, option: str = "") -> None:
    """Raise `InputError` for training data that is neither a file nor a dataset, or that has no such column."""
    from molvae.data.datasets import resolve_source

    for name in names:
        with naming(option):
            source = resolve_source(name, column)
        check_inputs([str(source.path)], source.column)


def check_index_folder(folder: Path) -> None:
    """Raise `InputError` for an output folder of `molvae index` that cannot be written or holds something else."""
    from molvae.data.files import check_writable

    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} exists and is a file: choose another output folder (-o)")
    is_library = any((folder / name).exists() for name in LIBRARY_FILES)
    if folder.exists() and not is_library and any(not path.name.startswith(".") for path in folder.iterdir()):
        raise InputError(f"{folder} exists and is not a library: choose another output folder (-o)")
    check_writable(folder)


def check_search(library: Path, filters: Sequence[str]) -> None:
    """Raise `InputError` for a folder that is not a library, or a filter that cannot be read."""
    if not library.is_dir():
        problem = "is a file, not a folder" if library.exists() else "does not exist"
        raise InputError(f"{library} {problem}: give a folder written by `molvae index`")
    check_expressions(filters, None, ())


def check_objective(objective: str, filters: Sequence[str], scores: Sequence[str]) -> None:
    """Raise `InputError` for an objective or a filter of `molvae optimize` that cannot be read."""
    known = ("similarity", *scores)
    check_expressions(filters, None, known)
    if ".py:" in objective:
        score_names([objective])
    elif not (Path(objective) / PROPERTY_MODEL_FILE).is_file():
        if os.path.isdir(objective):
            raise InputError(f"--objective: the folder {objective} is not a property model: it has no model.json")
        check_expressions((), objective, known, "--objective")


def check_directions(directions: str) -> None:
    """Raise `InputError` for directions of `molvae traverse` that are neither axes nor one or two properties."""
    if directions in ("latent", "principal"):
        return
    from molvae.chem.properties import get_property

    names = directions.split(",")
    for name in names:
        try:
            get_property(name.strip())
        except InputError as error:
            raise InputError(f"--directions takes latent, principal, or one or two properties: {error}") from None
    if len(names) > 2:
        raise InputError(f"--directions takes at most two properties such as logp,tpsa, got {directions!r}")


def number_of_clusters(text: str) -> int | str:
    """The number in `--clusters`, or "auto"."""
    if text == "auto":
        return text
    if not text.isascii() or not text.isdecimal() or int(text) < 1:
        raise InputError(f"--clusters must be auto, or a whole number of 1 or more, got {text!r}")
    return int(text)


def molecule_files(reference: str | None) -> list[str]:
    """The reference of `molvae anomaly` if it is a file of molecules rather than stored statistics (.json)."""
    if reference is None:
        return []
    if not os.path.exists(reference):
        raise InputError(f"--reference: {reference} does not exist: check the spelling and the current directory")
    return [] if reference.lower().endswith(".json") else [reference]
