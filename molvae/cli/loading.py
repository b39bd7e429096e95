"""The model that a verb works with."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
