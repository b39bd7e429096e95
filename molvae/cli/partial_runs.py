"""Resuming a long run: finished tables are stored next to the output until it is complete."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from molvae.io.partial_results import PartialResults


@contextmanager
def resumable_run(
    output: Path | None, inputs: Sequence[str], settings: Mapping[str, Any]
) -> Iterator[PartialResults | None]:
    """The partial results of an interrupted run with the same settings, stored in the folder `OUTPUT.parts`.

    The folder is removed when the block ends successfully. Yields None if the run cannot be resumed: without an output
    file, or with an input that can be read only once.
    """
    if output is None or not all(map(_can_be_read_again, inputs)):
        yield None
        return
    from molvae.data.readers import looks_like_file
    from molvae.io.partial_results import PartialResults

    digests = {
        f"input {position}": content_id(text) if looks_like_file(text) else text
        for position, text in enumerate(inputs, start=1)
    }
    parts = PartialResults(output.with_name(f"{output.name}.parts"), {**settings, **digests})
    if parts.n_tables:
        typer.echo(f"resuming after {_seed_count(parts)}, stored in {parts.folder}", err=True)
    try:
        yield parts
    except BaseException as error:
        if parts.n_tables and not isinstance(error, typer.Exit):  # typer.Exit ends a complete run
            parts.keep()
            typer.echo(
                f"{_seed_count(parts)} are finished and stored in {parts.folder}: run the same command to resume",
                err=True,
            )
        else:
            parts.remove()
        raise
    parts.remove()


def content_id(text: str) -> str:
    """The name and a digest of the contents of a file or folder; any other text unchanged."""
    from molvae.data.files import checksum

    if not os.path.exists(text):
        return text
    path = Path(text)
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    combined = hashlib.sha256("".join(map(checksum, files)).encode()).hexdigest()
    return f"{path.name} (digest {combined[:16]})"


def _can_be_read_again(text: str) -> bool:
    """Whether an argument is a SMILES or a regular file, not standard input or a named pipe."""
    from molvae.data.readers import looks_like_file

    return os.path.isfile(text) or not looks_like_file(text)


def _seed_count(parts: PartialResults) -> str:
    n = parts.counts["used"] + parts.counts["rejected"]
    return f"{n:,} seed" if n == 1 else f"{n:,} seeds"
