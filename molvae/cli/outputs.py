"""Where tables go: a file, or stdout as CSV, or stdout as a short table for reading."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    Write = Callable[[pd.DataFrame], None]

SHOWN = 20


@contextmanager
def destination(output: Path | None) -> Iterator[Write]:
    """A function that takes tables as they come; a file given by `-o` appears whole, at the end, or not at all."""
    from molvae.output import table_file

    if output is not None:
        with table_file(output) as write:
            yield write
    elif sys.stdout.isatty():
        screen = _Screen()
        yield screen.add
        screen.show()
    else:
        yield _Stream().add


class _Stream:
    """CSV, each table as soon as it is there."""

    def __init__(self) -> None:
        self.header = True

    def add(self, frame: pd.DataFrame) -> None:
        frame.to_csv(sys.stdout, index=False, header=self.header, lineterminator="\n")
        sys.stdout.flush()
        self.header = False


class _Screen:
    """The first rows, and how many there are beside them."""

    def __init__(self) -> None:
        self.columns: list[str] = []
        self.rows: list[list[str]] = []
        self.count = 0

    def add(self, frame: pd.DataFrame) -> None:
        self.columns = [str(name) for name in frame.columns]
        head = frame.head(SHOWN - len(self.rows))
        self.rows += [[_text(value) for value in row] for row in head.itertuples(index=False)]
        self.count += len(frame)

    def show(self) -> None:
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, header_style="bold", pad_edge=False)
        for name in self.columns:
            table.add_column(name, overflow="fold" if "smiles" in name else "ellipsis")
        for row in self.rows:
            table.add_row(*map(Text, row))  # as Text: in markup [C@H] would be a style
        console = Console()
        console.print(table)
        if self.count > len(self.rows):
            console.print(f"... {self.count - len(self.rows):,} more; -o FILE writes all", markup=False)


def _text(value: Any) -> str:
    if value is None or (isinstance(value, float) and value != value):
        return ""
    return f"{value:.3g}" if isinstance(value, float) and abs(value) < 100 else str(value)
