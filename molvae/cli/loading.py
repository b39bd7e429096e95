"""The models that a command works with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from molvae.errors import CheckpointError, InputError

if TYPE_CHECKING:
    from molvae.generator import Generator


def load(model: str, device: str) -> Generator:
    """A model that is not there is a mistake in the command; one that is damaged is not."""
    from molvae.checkpoint import locate
    from molvae.generator import Generator

    try:
        folder = locate(model)
    except CheckpointError as error:
        raise InputError(f"--model: {error}") from None
    return Generator.load(folder, device)


def scores_of(paths: list[str], device: str) -> dict[str, Any]:
    """What --score names; the models of properties are imported only for that, since they take a second."""
    if not paths:
        return {}
    from molvae.screening.scoring_functions import load_scoring_functions

    for path in paths:
        if ".py:" not in path and not Path(path).exists():
            raise InputError(
                f"--score: {path} does not exist: name a folder that `molvae fit` wrote, or FILE.py:FUNCTION"
            )
    return load_scoring_functions(paths, device)
