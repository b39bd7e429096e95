"""Ctrl+C during a search: exceptions with the molecules found so far."""

from __future__ import annotations

from typing import Any

import pandas as pd


class SearchInterrupted(KeyboardInterrupt):
    """Raised by a search on Ctrl+C; `results` has one entry per seed, as the search would have returned."""

    def __init__(self, results: list[Any]) -> None:
        super().__init__()
        self.results = results


class AnalogsInterrupted(KeyboardInterrupt):
    """Raised by `Generator.analogs` on Ctrl+C; `frame` is the table of the analogs found so far.

    `Generator.iter_analogs` has yielded the earlier tables; `frame` then contains what was found after them.
    """

    def __init__(self, frame: pd.DataFrame) -> None:
        super().__init__()
        self.frame = frame
