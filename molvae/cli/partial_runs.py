"""A long run goes on after it was killed: its tables are kept beside the output until that is whole."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from molvae.io.partial_results import Parts


@contextmanager
def kept(output: Path | None, inputs: Sequence[str], settings: Mapping[str, Any]) -> Iterator[Parts | None]:
    """What earlier tries at `output` have left, and the place for more; gone when the block ends well.

    None where there is nothing to go on with: without an output, or with an input that can be read only once.
    """
    if output is None or not all(map(_readable_again, inputs)):
        yield None
        return
    from molvae.io.partial_results import Parts

    read = {f"input {place}": contents(text) for place, text in enumerate(inputs, start=1)}
    parts = Parts(output.with_name(f"{output.name}.parts"), {**settings, **read})
    if parts.tables:
        typer.echo(f"going on after {_seeds(parts)}, kept in {parts.folder}", err=True)
    try:
        yield parts
    except BaseException as end:
        if parts.tables and not isinstance(end, typer.Exit):  # an exit is a run that has come to its end
            typer.echo(f"{_seeds(parts)} are done and kept in {parts.folder}: the same command goes on", err=True)
        else:
            parts.remove()
        raise
    parts.remove()


def contents(text: str) -> str:
    """A file or folder by its name and a digest of all that it holds; anything else as it stands."""
    from molvae.data.files import checksum

    if not os.path.exists(text):
        return text
    path = Path(text)
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    whole = hashlib.sha256("".join(map(checksum, files)).encode()).hexdigest()
    return f"{path.name} (digest {whole[:16]})"


def _readable_again(text: str) -> bool:
    """Whether an argument is a SMILES or a regular file, rather than standard input or a named pipe."""
    from molvae.data.readers import looks_like_file

    return os.path.isfile(text) or not looks_like_file(text)


def _seeds(parts: Parts) -> str:
    return f"{parts.counts['used'] + parts.counts['rejected']:,} seeds"
