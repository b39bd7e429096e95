"""Output of the tables of a command: to a file, as CSV to stdout, or as a short table in a terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    import pandas as pd

    Write = Callable[[pd.DataFrame], None]

MAX_TERMINAL_ROWS = 20
GRID_FORMATS = (".png", ".svg")
PLOT_FORMATS = (*GRID_FORMATS, ".html")
_TEXT_COLUMNS = ("seed", "smiles", "reconstruction", "error", "fragment", "reason", "reference", "atoms", "canonical")


def check_outputs(output: Path | None, *others: Path | None, inputs: Sequence[str] = ()) -> None:
    """Check the output paths before any work is done.

    Raises `InputError` if a file cannot be written, is also an input, is in an input folder, or is given twice.
    """
    from molvae.data.files import check_writable
    from molvae.data.readers import looks_like_file
    from molvae.data.rows import file_format
    from molvae.errors import InputError
    from molvae.io.formats import check_format

    if output is not None:
        check_format(output)
    files = [path for path in (output, *others) if path is not None]
    for number, path in enumerate(files):
        if path.is_dir():
            raise InputError(f"cannot write {path}: it is a directory")
        if path.resolve() in [other.resolve() for other in files[:number]]:
            raise InputError(f"{path} is given for two outputs: give each its own file")
        if path.exists() and any(path.samefile(name) for text in inputs for name in _existing_files(text)):
            raise InputError(f"{path} is also an input and would be overwritten: choose another file")
        for folder in (Path(text) for text in inputs if os.path.isdir(text) and looks_like_file(text)):
            if path.resolve().is_relative_to(folder.resolve()) and file_format(path.name) is not None:
                raise InputError(f"{path} is in the input folder {folder}: choose a file in another folder")
        check_writable(path)


def _existing_files(text: str) -> list[str]:
    """The existing files among the possible meanings of an input: a path, or FILE:COLUMN."""
    return [name for name in (text, text.rpartition(":")[0]) if os.path.exists(name)]


def check_image(image: Path | None, formats: Sequence[str] = GRID_FORMATS) -> None:
    """Raise `InputError` if the suffix of an image is not one of `formats`."""
    from molvae.errors import InputError

    if image is not None and image.suffix.lower() not in formats:
        raise InputError(f"--image writes {' or '.join(formats)}, got {image}; -o writes tables")


@contextmanager
def table_output(output: Path | None, inputs: Sequence[str] = ()) -> Iterator[Write]:
    """A function that writes tables one by one. A file given by `-o` is created atomically at the end.

    Raises `InputError` if the file cannot be written or is one of the `inputs`.
    """
    from molvae.io.writers import table_writer

    check_outputs(output, inputs=inputs)
    if output is not None:
        with table_writer(output) as write:
            yield write
    elif sys.stdout.isatty():
        table = _TerminalTable()
        try:
            yield table.add
        except KeyboardInterrupt:  # what was found so far
            table.show()
            raise
        table.show()
    else:
        yield _CsvStream().add


@contextmanager
def image_output(image: Path | None) -> Iterator[Write]:
    """A function that collects tables for an image. The image is drawn even if the reader of stdout has closed it."""
    from molvae.io.writers import table_writer
    from molvae.viz.grid import MAX_PANELS

    if image is None:
        yield lambda frame: None  # noqa: ARG005
        return
    closed_pipe, tables = None, list["pd.DataFrame"]()

    def add(frame: pd.DataFrame) -> None:
        if sum(map(len, tables)) < MAX_PANELS:
            tables.append(frame)

    try:
        yield add
    except BrokenPipeError as error:
        closed_pipe = error
    if any(map(len, tables)):
        with table_writer(image) as draw:
            for table in tables:
                draw(table)
    else:
        typer.echo(f"{image} is not written: there are no molecules to draw", err=True)
    if closed_pipe is not None:
        raise closed_pipe


@contextmanager
def single_table(
    output: Path | None,
    image: Path | None,
    draw: Callable[[pd.DataFrame, Path], Path],
    formats: Sequence[str],
    inputs: Sequence[str] = (),
    other: Path | None = None,
) -> Iterator[Callable[[pd.DataFrame], None]]:
    """A function for commands with a single table: writes it, prints its summary on stderr, and draws the image.

    The paths, and an `other` output of the command, are checked first.
    """
    check_image(image, formats)
    check_outputs(output, image, other, inputs=inputs)
    tables, closed_pipe = list["pd.DataFrame"](), None
    try:
        with table_output(output) as write:

            def finish(frame: pd.DataFrame) -> None:
                tables.append(frame)
                write(frame)

            yield finish
    except BrokenPipeError as error:  # the reader of stdout has closed it; the image is still drawn
        closed_pipe = error
    for frame in tables:  # the table is on disk before the image is drawn
        for line in frame.attrs["summary"]:
            typer.echo(line, err=True)
        valid = frame[frame["error"] == ""] if "error" in frame else frame
        if image is not None and len(valid):
            draw(frame, image)
        elif image is not None:
            typer.echo(f"{image} is not written: there are no molecules to draw", err=True)
    if closed_pipe is not None:
        raise closed_pipe


class _CsvStream:
    """CSV on stdout, flushed after each table."""

    def __init__(self) -> None:
        self.header = True

    def add(self, frame: pd.DataFrame) -> None:
        from molvae.io.writers import append_csv

        append_csv(frame, sys.stdout, header=self.header)
        sys.stdout.flush()
        self.header = False


class _TerminalTable:
    """The first rows as a table in the terminal, with the number of further rows. Empty columns are omitted."""

    def __init__(self) -> None:
        self.frames: list[pd.DataFrame] = []
        self.n_rows = 0

    def add(self, frame: pd.DataFrame) -> None:
        remaining = MAX_TERMINAL_ROWS - sum(map(len, self.frames))
        if remaining > 0 or not self.frames:
            self.frames.append(frame.head(remaining))
        self.n_rows += len(frame)

    def show(self) -> None:
        import pandas as pd
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        from molvae.viz.formatting import format_cell

        if not self.n_rows:
            return
        frame = pd.concat([f for f in self.frames if len(f)])
        console = Console()
        for heading, rows in _blocks(frame):
            if heading:
                console.print(heading, markup=False, highlight=False, soft_wrap=True)
            cells = {str(name): [format_cell(value) for value in rows[name]] for name in rows.columns}
            shown = {name: column for name, column in cells.items() if any(column)}
            table = Table(box=None, header_style="bold", pad_edge=False)
            for name in shown:
                is_text = name in _TEXT_COLUMNS
                header = name.replace("_", "\n")
                table.add_column(header, justify="left" if is_text else "right", no_wrap=not is_text, overflow="fold")
            for row in zip(*shown.values(), strict=True):
                table.add_row(*map(Text, row))  # Text, because rich would read [C@H] as markup
            console.print(table)
        if self.n_rows > len(frame):
            console.print(f"... {self.n_rows - len(frame):,} more; -o FILE writes all", markup=False, highlight=False)


def _blocks(frame: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """The rows of each seed, headed by its name and SMILES instead of columns with them; one block without seeds."""
    if "seed" not in frame.columns:
        yield "", frame
        return
    labels = [name for name in ("name", "seed") if name in frame.columns]
    for _, rows in frame.groupby(labels, sort=False, dropna=False):
        heading = "  ".join(str(rows[name].iloc[0]) for name in labels if rows[name].iloc[0])
        yield heading, rows.drop(columns=labels)
