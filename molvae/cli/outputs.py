"""Where tables go: a file, or stdout as CSV, or stdout as a short table for reading."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    Write = Callable[[pd.DataFrame], None]

SHOWN = 20
GRID = (".png", ".svg")


def check_outputs(output: Path | None, *others: Path | None, inputs: Sequence[str] = ()) -> None:
    """Raises `InputError` for a file that cannot be written, is read, or is written twice: before the work is done."""
    from molvae.data.rows import file_format
    from molvae.errors import InputError
    from molvae.io.writers import check_format

    if output is not None:
        check_format(output)
    files = [path for path in (output, *others) if path is not None]
    for number, path in enumerate(files):
        if path.is_dir():
            raise InputError(f"cannot write {path}: it is a directory")
        if path.resolve() in [other.resolve() for other in files[:number]]:
            raise InputError(f"{path} is given for two outputs: each needs its own file")
        if path.exists() and any(path.samefile(name) for given in inputs for name in _files_of(given)):
            raise InputError(f"{path} is read, and writing it would destroy it: name another file")
        for folder in (Path(given) for given in inputs if os.path.isdir(given)):
            if path.resolve().is_relative_to(folder.resolve()) and file_format(path.name) is not None:
                raise InputError(f"{path} lies in {folder}, whose files are read: name a file in another folder")
        above = next(folder for folder in path.resolve().parents if folder.exists())
        if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
            raise InputError(f"cannot write {path}: {above} is no folder that you may write to")


def _files_of(given: str) -> list[str]:
    """The files that an input may be: itself, or the FILE of FILE:COLUMN."""
    return [name for name in (given, given.rpartition(":")[0]) if os.path.exists(name)]


def check_picture(picture: Path | None, formats: Sequence[str] = GRID) -> None:
    """Raises `InputError` for a picture of no such format."""
    from molvae.errors import InputError

    if picture is not None and picture.suffix.lower() not in formats:
        raise InputError(f"--picture is a {' or '.join(formats)}, got {picture}; -o writes tables")


@contextmanager
def destination(output: Path | None, inputs: Sequence[str] = ()) -> Iterator[Write]:
    """A function that takes tables as they come; a file given by `-o` appears whole, at the end, or not at all.

    Raises `InputError` where that cannot be written, or is one of the `inputs`.
    """
    from molvae.io.writers import table_file

    check_outputs(output, inputs=inputs)
    if output is not None:
        with table_file(output) as write:
            yield write
    elif sys.stdout.isatty():
        screen = _Screen()
        yield screen.add
        screen.show()
    else:
        yield _Stream().add


@contextmanager
def drawn(picture: Path | None) -> Iterator[Write]:
    """A picture is one more file that tables go to, where one is wanted; of what there is when stdout's reader goes."""
    from molvae.io.writers import table_file

    if picture is None:
        yield lambda frame: None  # noqa: ARG005
        return
    gone = None
    with table_file(picture) as draw:
        try:
            yield draw
        except BrokenPipeError as error:
            gone = error
    if gone is not None:
        raise gone


class _Stream:
    """CSV, each table as soon as it is there."""

    def __init__(self) -> None:
        self.header = True

    def add(self, frame: pd.DataFrame) -> None:
        from molvae.io.writers import add_csv

        add_csv(frame, sys.stdout, header=self.header)
        sys.stdout.flush()
        self.header = False


class _Screen:
    """The first rows, and how many there are beside them. Columns that say nothing are left out."""

    def __init__(self) -> None:
        self.frames: list[pd.DataFrame] = []
        self.count = 0

    def add(self, frame: pd.DataFrame) -> None:
        room = SHOWN - sum(map(len, self.frames))
        if room > 0 or not self.frames:
            self.frames.append(frame.head(room))
        self.count += len(frame)

    def show(self) -> None:
        import pandas as pd
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        from molvae.io.writers import cell

        if not self.count:
            return
        frame = pd.concat([f for f in self.frames if len(f)])
        table = Table(box=None, header_style="bold", pad_edge=False)
        cells = {str(name): [cell(value) for value in frame[name]] for name in frame.columns}
        shown = {name: column for name, column in cells.items() if any(column) and not _constant_seed(name, column)}
        for name in shown:
            long = name in ("seed", "smiles", "reconstruction", "error")
            header = name.replace("_", "\n")
            table.add_column(header, justify="left" if long else "right", no_wrap=not long, overflow="fold")
        for row in zip(*shown.values(), strict=True):
            table.add_row(*map(Text, row))  # as Text: in markup [C@H] would be a style
        console = Console()
        console.print(table)
        if self.count > len(frame):
            console.print(f"... {self.count - len(frame):,} more; -o FILE writes all", markup=False, highlight=False)


def _constant_seed(name: str, column: list[str]) -> bool:
    return name == "seed" and len(set(column)) == 1  # the line on stderr names it
