"""Progress bar on stderr, shown in a terminal only."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Advance = Callable[[int], None]


@contextmanager
def progress(description: str, total: int | None = None) -> Iterator[Advance | None]:
    """A function that sets the number of finished items; None if stderr is not a terminal.

    With a `total`, the remaining time is estimated.
    """
    if not sys.stderr.isatty():
        yield None
        return
    from rich import progress as bars
    from rich.console import Console

    times = (bars.TimeElapsedColumn(), *([bars.TimeRemainingColumn()] if total else []))
    columns = (bars.TextColumn("{task.description}"), bars.BarColumn(), bars.MofNCompleteColumn(), *times)
    with bars.Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(description, total=total)
        yield lambda done: bar.update(task, completed=done)
