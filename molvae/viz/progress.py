"""Progress bars of long Python calls."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

ProgressCallback = Callable[[int], None]
"""Called with the number of finished items so far."""


@contextmanager
def progress_bar(
    total: int | None, description: str, callback: ProgressCallback | None = None
) -> Iterator[ProgressCallback | None]:
    """Show a progress bar in a terminal or a notebook while the block runs.

    Parameters
    ----------
    total : int or None
        Number of items, if it is known.
    description : str
        What the items are, such as "molecules".
    callback : callable, optional
        The caller's own callback, which replaces the bar.

    Yields
    ------
    callable or None
        A function to call with the number of finished items so far: `callback` if it is given, else the bar's; None if
        standard error is neither a terminal nor a notebook.

    Examples
    --------
    >>> with progress_bar(100, "molecules") as advance:
    ...     if advance:
    ...         advance(50)
    """
    if callback is not None:
        yield callback
        return
    if not (in_notebook() or sys.stderr.isatty()):
        yield None
        return
    from tqdm.auto import tqdm  # draws a widget in a notebook

    with tqdm(total=total, desc=description, leave=False, unit="", unit_scale=True) as bar:
        yield lambda n_done: bar.update(n_done - bar.n)


def in_notebook() -> bool:
    """Whether the code runs in a Jupyter kernel."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return hasattr(shell, "kernel")


def no_progress(n_done: int) -> None:
    """A callback that shows nothing, for calls inside a loop that has a progress bar of its own."""
