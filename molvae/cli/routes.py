"""`molvae routes`: routes of synthesis from building blocks to molecules (`molvae.routes`)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from molvae.cli import checks, options
from molvae.cli.outputs import GRID_FORMATS, check_image, check_outputs, table_output
from molvae.cli.partial_runs import content_id, resumable_run
from molvae.cli.row_commands import finish, table_of_rows
from molvae.viz.progress import progress_bar

if TYPE_CHECKING:
    import pandas as pd

    from molvae.cli.inputs import InputRows
    from molvae.synthesis.planning import RoutePlanner

ROWS_PER_TABLE = 64
"""Molecules that are searched, written and stored together."""

MAX_DRAWN = 100
"""Rows of the tables whose routes are drawn."""


def routes(
    molecules: options.Molecules,
    stock: options.StockFile = None,
    reactions: options.ReactionFile = None,
    max_steps: options.MaxSteps = 4,
    n_routes: Annotated[int, typer.Option("-n", "--n-routes", min=1, help="Routes of a molecule at most.")] = 3,
    max_expansions: Annotated[
        int, typer.Option(min=1, help="Molecules that are expanded in the search for one molecule.")
    ] = 100,
    time_limit: Annotated[float, typer.Option(min=0.001, help="Seconds for one molecule.")] = 10.0,
    column: options.Column = None,
    name_column: options.NameColumn = None,
    workers: options.Workers = None,
    output: options.Output = None,
    image: Annotated[
        Path | None,
        typer.Option(
            rich_help_panel=options.OUTPUT, show_default=False, help="Draw the routes as trees to this .png or .svg."
        ),
    ] = None,
) -> None:
    """Search routes of synthesis from building blocks to molecules, with templates of known reactions.

    One row per route, the cheapest first; a molecule without routes has one row. Columns: smiles, name (for files),
    route_number, n_steps, n_linear_steps, cost, stereo, building_blocks, route, search (how it ended), n_expanded,
    canonical, error, note, the input's further columns, and those of the stock for each building block (block_...). In
    Python: `molvae.routes`.
    """
    from molvae.cli.inputs import InputRows, changed_summary

    check_image(image, GRID_FORMATS)
    check_outputs(output, image, inputs=molecules)
    checks.check_inputs(molecules, column, name_column)
    checks.check_stock(stock)
    checks.check_reactions(reactions)
    from molvae.synthesis.planning import RoutePlanner

    planner = RoutePlanner(
        stock, reactions=reactions, max_steps=max_steps, n_routes=n_routes, max_expansions=max_expansions,
        time_limit=time_limit,
    )  # fmt: skip
    settings = {
        **planner.limits._asdict(), "column": column, "name_column": name_column,
        "stock": content_id(stock) if stock else None, "reactions": content_id(str(reactions)) if reactions else None,
    }  # fmt: skip
    typer.echo(f"stock: {planner.stock.description}", err=True)
    tables = list["pd.DataFrame"]()
    with resumable_run(output, molecules, settings) as parts:
        counts: Counter[str] = Counter(parts.counts if parts else {})
        rows = InputRows(molecules, column, name_column)
        found = _tables(rows, planner, counts, workers)
        with table_output(output) as write:
            for table in parts.extend(found) if parts else found:
                if image is not None and sum(map(len, tables)) < MAX_DRAWN:
                    tables.append(table)
                write(table)
        if image is not None:
            _draw(tables, image)
    n_valid = counts["rows"] - counts["rejected"]
    steps = ", ".join(f"{counts[f'{n} steps']:,} in {n}" for n in range(max_steps + 1) if counts[f"{n} steps"])
    finish(
        counts["rows"], n_valid,
        f"{counts['rows']:,} rows: {counts['solved']:,} with a route{f' ({steps} steps)' if steps else ''}, "
        f"{n_valid - counts['solved']:,} without, {counts['rejected']:,} invalid{changed_summary(counts['changed'])}",
    )  # fmt: skip


def _tables(
    rows: InputRows, planner: RoutePlanner, counts: Counter[str], workers: int | None
) -> Iterator[pd.DataFrame]:
    """A table for every few rows after those that `counts` has; `attrs["counts"]` has the counts of its rows."""
    from molvae.data.rows import ARGUMENT

    def search(texts: list[str]) -> pd.DataFrame:
        return planner.table(texts, workers)

    for _ in islice(rows, counts["rows"]):
        pass
    is_first = True
    with progress_bar(None, "molecules") as advance:
        while chunk := list(islice(rows, ROWS_PER_TABLE)):
            named = any(row.name or row.source != ARGUMENT for row in chunk)
            molecules = table_of_rows(chunk, search, named=named, columns=rows.columns)
            own = _counts(molecules)
            counts.update(own)
            if advance:
                advance(counts["rows"])
            table = planner.expand(molecules)
            table.attrs = {"counts": dict(own)}
            is_first = False
            yield table
    if is_first and not counts["rows"]:
        yield planner.expand(table_of_rows([], search, columns=rows.columns))


def _counts(molecules: pd.DataFrame) -> Counter[str]:
    """Counts of the rows of a table with one row per molecule."""
    counts: Counter[str] = Counter(rows=len(molecules))
    for result, error, note in zip(molecules["result"], molecules["error"], molecules["note"], strict=True):
        counts["rejected" if error else "used"] += 1
        counts["changed"] += bool(note)
        if result is not None and result.routes:
            counts["solved"] += 1
            counts[f"{min(route.n_steps for route in result.routes)} steps"] += 1
    return counts


def _draw(tables: list[pd.DataFrame], image: Path) -> None:
    """Draw the routes of the first rows."""
    from molvae.viz.route_tree import save_routes

    found = [text for table in tables for text in table["route"] if text][:MAX_DRAWN]
    if found:
        save_routes(found, image)
    else:
        typer.echo(f"{image} is not written: there are no routes to draw", err=True)
