"""Scatter plots of molecules: a static image, or a page that shows the structure under the pointer."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd
from pandas.api.types import is_bool_dtype, is_numeric_dtype

from molvae.data.files import atomic_write
from molvae.errors import InputError, import_extra
from molvae.viz.formatting import clean_text
from molvae.viz.molecules import molecule_svg
from molvae.viz.templating import template_source

SCATTER_FORMATS = (".png", ".svg", ".html")
MAX_CLASSES = 20
"""Number of colors; if there are more classes, the rarest share one."""

MAX_STRUCTURES = 10_000
"""Molecules with a structure on the page, about 3 kB each; the others show their SMILES only."""

OTHERS = "others"


def save_scatter(frame: pd.DataFrame, path: str | Path, color: str | None = None) -> Path:
    """Plot the rows of a table (x, y, smiles), colored by one of its columns.

    Parameters
    ----------
    frame : DataFrame
        Columns `x`, `y`, `smiles` and `color`.
    path : str or Path
        .png or .svg (drawn by matplotlib), or .html (an interactive plotly page with structures, without external
        resources). The file is replaced atomically.
    color : str, optional
        A column. Numbers are mapped to a color scale, anything else is treated as classes.

    Raises
    ------
    InputError
        For another format or an empty table.
    MissingExtraError
        If matplotlib or plotly is not installed.
    """
    path = Path(path)
    if path.suffix.lower() not in SCATTER_FORMATS:
        raise InputError(f"a map must be {', '.join(SCATTER_FORMATS)}, got {path}")
    if frame.empty:
        raise InputError("no molecules to draw: the table is empty")
    groups = _groups(frame, color)
    with atomic_write(path) as draft:
        if path.suffix.lower() == ".html":
            draft.write_text(_page(groups, color, path.stem), encoding="utf-8", errors="replace")
        else:
            _figure(groups, color).savefig(draft, dpi=130, format=path.suffix[1:].lower())
    return path


def _groups(frame: pd.DataFrame, color: str | None) -> dict[str, pd.DataFrame]:
    """Rows of each class, the largest class first; a single group "" for a numeric color or none."""
    if color is None or _is_numeric(frame[color]):
        return {"": frame}
    names = frame[color].astype(str).replace("", "(none)")
    if names.nunique() > MAX_CLASSES:
        names = names.where(names.isin(names.value_counts().index[: MAX_CLASSES - 1]), OTHERS)
    return {clean_text(str(name)): frame[names == name] for name in names.value_counts().index}


def _is_numeric(column: pd.Series[Any]) -> bool:
    """Whether a column is drawn with a color scale; two values are classes."""
    return is_numeric_dtype(column) and not is_bool_dtype(column) and column.nunique() > 2


def _figure(groups: Mapping[str, pd.DataFrame], color: str | None) -> Any:
    """A matplotlib figure of the groups."""
    figure = import_extra("matplotlib.figure").Figure(figsize=(8, 6.5), layout="constrained")
    axes = figure.subplots()
    colors = import_extra("matplotlib").colormaps["tab10" if len(groups) <= 10 else "tab20"]
    for number, (name, rows) in enumerate(groups.items()):
        style = {"s": 10 if len(rows) > 1000 else 18, "alpha": 0.75, "linewidths": 0}
        if name or color is None:
            axes.scatter(rows["x"], rows["y"], label=f"{name} ({len(rows):,})", color=colors(number), **style)
            continue
        known = rows[color].notna()
        if not known.all():
            label = f"missing ({(~known).sum():,})"
            axes.scatter(rows["x"][~known], rows["y"][~known], color="lightgrey", label=label, **style)
            axes.legend(fontsize="small", markerscale=1.5)
        rows = rows[known]
        points = axes.scatter(rows["x"], rows["y"], c=rows[color].astype(float), cmap="viridis", **style)
        figure.colorbar(points, label=color)
    if len(groups) > 1:
        axes.legend(title=color, fontsize="small", markerscale=1.5)
    axes.set(xlabel="x", ylabel="y")
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def _page(groups: Mapping[str, pd.DataFrame], color: str | None, title: str) -> str:
    """A plotly page that contains plotly's script and all structures."""
    graph_objects = import_extra("plotly.graph_objects")
    figure = graph_objects.Figure()
    n_remaining = MAX_STRUCTURES
    for name, rows in groups.items():
        marker: dict[str, Any] = {"size": 7, "opacity": 0.8}
        if color is not None and not name:
            scale = {"colorscale": "Viridis", "colorbar": {"title": escape(color)}}
            marker |= {"color": rows[color].astype(float), **scale}
        structures = [
            _compressed(molecule_svg(smiles)) if i < n_remaining else "" for i, smiles in enumerate(rows["smiles"])
        ]
        n_remaining -= len(rows)
        figure.add_trace(
            graph_objects.Scattergl(
                x=rows["x"],
                y=rows["y"],
                mode="markers",
                name=f"{escape(name)} ({len(rows):,})",
                marker=marker,
                text=[_hover_label(row, color) for _, row in rows.iterrows()],
                hoverinfo="text",
                customdata=structures,
                showlegend=len(groups) > 1,
            )
        )
    figure.update_layout(
        template="simple_white",
        xaxis_title="x",
        yaxis_title="y",
        legend_title=None if color is None else escape(color),
        hovermode="closest",
    )
    script = template_source("scatter_hover.js")
    plot = figure.to_html(
        include_plotlyjs=True, post_script=script, default_height="95vh", div_id="map", full_html=False
    )
    title = escape(clean_text(title))
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"></head>\n<body>{plot}</body></html>\n'
    )


def _compressed(svg: str) -> str:
    """An SVG deflated and base64-encoded: to a fifth of its size."""
    return base64.b64encode(zlib.compress(svg.encode(), 9)).decode()


def _hover_label(row: pd.Series[Any], color: str | None) -> str:
    """SMILES and color value; plotly interprets HTML tags in it, so the text is escaped."""
    smiles = escape(clean_text(row["smiles"]), quote=False)
    if color is None:
        return smiles
    value = f"{row[color]:.3g}" if isinstance(row[color], float) else clean_text(str(row[color]))
    return f"{smiles}<br>{escape(color, quote=False)}: {escape(value, quote=False)}"
