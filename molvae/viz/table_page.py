"""An HTML page with a table of molecules that can be sorted; it is written row by row."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping
from numbers import Real
from typing import Any

import pandas as pd

from molvae.chem.properties import PROPERTIES
from molvae.viz.comparison import Stopwatch
from molvae.viz.formatting import format_cell, format_change, format_text
from molvae.viz.molecules import COMPARISON_SECONDS
from molvae.viz.table_image import marked_atoms, molecule_column, molecule_name, seed_name, seed_properties
from molvae.viz.templating import macros, template_source

_SCRIPT = "table_sort.js"
_TEXT_COLUMNS = (
    *("error", "note", "alerts", "scaffold", "nearest_neighbor", "nearest_seed", "source", "canonical", "flaws"),
    *("kind", "fragment", "level", "reason", "reference", "atoms"),
)


class TablePage:
    """Writes a self-contained page with a row per molecule; the rows of each seed follow its own structure.

    The page sorts its rows by a column, and shows them as a table or as a grid, with a script of its own. It loads
    nothing, and its content security policy allows no other script.

    Parameters
    ----------
    title : str
        Heading of the page.

    Examples
    --------
    >>> page = TablePage("alcohols")
    >>> rows = pd.DataFrame({"smiles": ["CCO", "CCCO"], "logp": [0.0, 0.4]})
    >>> text = "".join([page.start(), *page.rows(rows), page.end()])
    >>> text.count("<svg")
    2
    """

    def __init__(self, title: str) -> None:
        self.title = title
        self._html = macros("table.html")
        self._script = template_source(_SCRIPT)
        self._columns: list[str] | None = None
        self._seed: str | None = None
        self._seed_values: Mapping[str, float] = {}
        self._rank = 0
        self._stopwatch = Stopwatch(COMPARISON_SECONDS)

    def start(self) -> str:
        """The beginning of the page."""
        digest = base64.b64encode(hashlib.sha256(self._script.encode()).digest()).decode()
        return str(self._html.page_start(self.title, digest))

    def rows(self, frame: pd.DataFrame) -> Iterator[str]:
        """The rows of the next part of the table; all parts have the same columns."""
        column = molecule_column(frame)
        for row in frame.to_dict("records"):
            if self._columns is None:
                self._columns = _shown_columns(frame)
                yield str(self._html.header_row(self._columns, _TEXT_COLUMNS))
            if "seed" in row and format_text(row["seed"]) != self._seed:
                self._start_seed(row)
                name = seed_name(row)
                yield str(self._html.seed_row(self._seed, name, self._cells(self._seed_values)))
            self._rank += 1
            smiles, name = format_text(row[column]), molecule_name(row)
            drawn, marked = marked_atoms(row, smiles)
            yield str(
                self._html.molecule_row(
                    self._rank,
                    smiles,
                    name,
                    self._cells(row, self._seed_values),
                    self._seed or "",
                    self._stopwatch,
                    drawn,
                    marked,
                )
            )

    def end(self) -> str:
        """The end of the page."""
        return str(self._html.page_end(self._script))

    def _start_seed(self, row: Mapping[Any, Any]) -> None:
        assert self._columns is not None
        self._seed, self._rank = format_text(row["seed"]), 0
        self._seed_values = seed_properties(self._seed, self._columns)

    def _cells(self, row: Mapping[Any, Any], seed: Mapping[str, float] | None = None) -> list[dict[str, Any]]:
        """Label, text, change from the seed and value to sort by of each cell."""
        assert self._columns is not None
        return [_cell(name, row.get(name), (seed or {}).get(name)) for name in self._columns]


def _shown_columns(frame: pd.DataFrame) -> list[str]:
    """The columns with values; the molecule, its name and its seed have cells of their own."""
    own = {"seed", "id", "name", molecule_column(frame)}
    return [str(name) for name in frame.columns if name not in own]


def _cell(name: str, value: Any, seed: float | None) -> dict[str, Any]:
    is_number = isinstance(value, Real) and not isinstance(value, bool) and value == value
    number = float(value) if is_number else None
    decimals = 1 if number is not None and abs(number) >= 100 else 2
    change = "" if number is None or name not in PROPERTIES else format_change(number, seed, decimals)
    return {
        "name": name,
        "text": format_cell(value),
        "change": change.strip(" ()"),
        "value": "" if number is None else f"{number:.9g}",
        "is_text": name in _TEXT_COLUMNS,
    }
