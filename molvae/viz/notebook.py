"""Tables of molecules in a Jupyter notebook.

The grid is rendered by RDKit and a template of this package. mols2grid was considered and not used: it loads scripts
from several servers, so it does not work offline, and its templates do not escape text.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from numbers import Real
from typing import Any

import pandas as pd

from molvae.errors import InputError
from molvae.viz.comparison import Stopwatch
from molvae.viz.formatting import format_cell, format_change, format_name, format_text
from molvae.viz.molecules import COMPARISON_SECONDS
from molvae.viz.progress import in_notebook
from molvae.viz.table_image import molecule_name, seed_name, seed_properties
from molvae.viz.templating import render

MAX_VALUES = 8
"""Values shown under a structure by default."""

_SMILES_COLUMNS = ("smiles", "reconstruction")
_FIRST_COLUMNS = ("score", "similarity", "tanimoto", "latent", "distance", "qed", "sa", "logp", "mw")
"""Columns that are shown before the others, in this order."""
_HIDDEN_COLUMNS = ("seed", "id", "name", "error", "canonical", "log_likelihood", "source", "row")


def show(
    table: Any,
    n: int = 50,
    *,
    columns: Sequence[str] | None = None,
    smiles_columns: Sequence[str] | None = None,
    size: tuple[int, int] = (190, 130),
) -> MoleculeGrid | None:
    """Show the molecules of a table as structures with their properties in a Jupyter notebook.

    Each seed is shown first, highlighted, and followed by its analogs, which are drawn in its orientation. A row with
    an invalid SMILES is shown with its error in the same position.

    Parameters
    ----------
    table : DataFrame or result
        A table of `analogs`, `sample`, `reconstruct`, `search` or `explore`, or the result of `score` or `screen`.
    n : int
        Number of rows to show; a note states how many there are.
    columns : sequence of str, optional
        Columns to show under a structure; by default the score, similarities and properties, 8 at most.
    smiles_columns : sequence of str, optional
        Columns of SMILES to draw; by default `smiles` and, if there is one, `reconstruction`.
    size : (int, int)
        Width and height of a structure in pixels.

    Returns
    -------
    MoleculeGrid or None
        Nothing in a notebook, where the grid is displayed. Elsewhere the grid, whose `_repr_html_` returns the HTML.

    Raises
    ------
    InputError
        If the table has no column of that name.

    Examples
    --------
    >>> import pandas as pd
    >>> grid = show(pd.DataFrame({"smiles": ["CCO", "CCN"], "qed": [0.41, 0.41]}), n=1)
    >>> grid
    MoleculeGrid(1 of 2 molecules)
    """
    frame = _as_frame(table)
    if smiles_columns is None:
        smiles_columns = [name for name in _SMILES_COLUMNS if name in frame.columns]
        if not smiles_columns:
            raise InputError("the table has no column 'smiles': name the columns of SMILES in smiles_columns")
    unknown = [name for name in [*smiles_columns, *(columns or ())] if name not in frame.columns]
    if unknown:
        raise InputError(
            f"the table has no column {unknown[0]!r}; its columns are {', '.join(map(str, frame.columns))}"
        )
    if columns is None:
        columns = _default_columns(frame, smiles_columns)
    grid = MoleculeGrid(frame, n, columns, smiles_columns, size)
    if not in_notebook():
        return grid
    from IPython.display import display

    display(grid)  # type: ignore[no-untyped-call]
    return None


class MoleculeGrid:
    """A grid of structures that Jupyter displays; created by `show`."""

    def __init__(
        self,
        frame: pd.DataFrame,
        n: int,
        columns: Sequence[str],
        smiles_columns: Sequence[str],
        size: tuple[int, int],
    ) -> None:
        self.frame, self.n, self.columns, self.smiles_columns, self.size = frame, n, columns, smiles_columns, size

    def __repr__(self) -> str:
        return f"MoleculeGrid({min(self.n, len(self.frame)):,} of {len(self.frame):,} molecules)"

    def _repr_html_(self) -> str:
        width, height = self.size
        html = render(
            "notebook.html",
            cards=list(self._cards()),
            width=width,
            height=height,
            stopwatch=Stopwatch(COMPARISON_SECONDS),
            n_shown=min(self.n, len(self.frame)),
            n_rows=len(self.frame),
        )
        return str(html)  # plain text: Markup would escape text that it is concatenated with

    def _cards(self) -> Iterator[dict[str, Any]]:
        """A card for each seed and each row."""
        seed, rank, seed_values = None, 0, dict[str, float]()
        has_seeds = "seed" in self.frame.columns
        for row in self.frame.head(self.n).to_dict("records"):
            if has_seeds and format_text(row["seed"]) != seed:
                seed, rank = format_text(row["seed"]), 0
                seed_values = seed_properties(seed, list(self.columns))
                values = [(format_name(name), format_cell(value), "") for name, value in seed_values.items()]
                yield self._card(is_seed=True, name=seed_name(row), smiles=[seed], values=values)
            rank += 1
            yield self._card(
                rank=rank,
                name=molecule_name(row),
                smiles=[format_text(row[column]) for column in self.smiles_columns],
                align_to=seed or "",
                values=[_value(name, row[name], seed_values.get(name)) for name in self.columns],
                error=format_text(row.get("error")),
            )

    @staticmethod
    def _card(**content: Any) -> dict[str, Any]:
        """The content of a card, with what is missing."""
        return {"is_seed": False, "rank": "", "name": "", "align_to": "", "error": "", **content}


def _value(name: str, value: Any, seed: float | None) -> tuple[str, str, str]:
    """Label, text and change from the seed of a value."""
    is_number = isinstance(value, Real) and not isinstance(value, bool)
    change = format_change(float(value), seed, 1 if abs(value) >= 100 else 2) if is_number else ""
    return format_name(name), format_cell(value), change


def _as_frame(table: Any) -> pd.DataFrame:
    """The table of molecules of a result."""
    for name in ("table", "molecules"):  # of a ScreenResult, of Scores
        if not isinstance(table, pd.DataFrame):
            table = getattr(table, name, table)
    if not isinstance(table, pd.DataFrame):
        raise InputError(f"show needs a table of molecules, got {type(table).__name__}")
    return table


def _default_columns(frame: pd.DataFrame, smiles_columns: Sequence[str]) -> list[str]:
    """Columns of scores and properties, without latents and columns in which every value is missing."""
    hidden = {*smiles_columns, *_HIDDEN_COLUMNS}
    names = [str(name) for name in frame.columns if name not in hidden and not _is_latent(str(name))]
    known = [name for name in names if frame[name].notna().any()]
    ordered = [name for name in _FIRST_COLUMNS if name in known]
    return [*ordered, *(name for name in known if name not in ordered)][:MAX_VALUES]


def _is_latent(name: str) -> bool:
    """Whether a column is a latent dimension: z0, z1 ..."""
    return name.startswith("z") and name[1:].isdecimal()
