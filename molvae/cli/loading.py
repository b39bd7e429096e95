"""Loading of the models and scoring functions that a command names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from molvae.errors import CheckpointError, InputError

if TYPE_CHECKING:
    from molvae.generator import Generator


def load_model(model: str, device: str) -> Generator:
    """Load a model; a model that does not exist is a usage error, a damaged one is not."""
    from molvae.checkpoint import find_model
    from molvae.generator import Generator

    try:
        folder = find_model(model)
    except CheckpointError as error:
        raise InputError(f"--model: {error}") from None
    return Generator.load(folder, device)


def load_scores(paths: list[str], device: str) -> dict[str, Any]:
    """The scoring functions named by `--score`. Property models are imported only when one is given (1 s)."""
    if not paths:
        return {}
    from molvae.screening.scoring_functions import load_scoring_functions

    for path in paths:
        if ".py:" not in path and not path.startswith("n_steps") and not Path(path).exists():
            raise InputError(
                f"--score: {path} does not exist: give a folder written by `molvae fit`, FILE.py:FUNCTION or n_steps"
            )
    return load_scoring_functions(paths, device)


def temperature_option(temperature: float | None, greedy: bool) -> float | None:
    """The temperature set by `--temperature` and `--greedy`; None if neither is given. Raises `InputError`."""
    if greedy and temperature:
        raise InputError(f"--greedy means temperature 0, but --temperature is {temperature:g}: give only one of them")
    return 0.0 if greedy else temperature


def split_names(text: str) -> list[str]:
    """The names in a comma-separated list."""
    return [name.strip() for name in text.split(",") if name.strip()]
