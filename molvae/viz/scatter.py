"""Molecules as dots: a still picture, or a page that shows the molecule under the pointer."""

from __future__ import annotations

import base64
import zlib
from pathlib import Path
from typing import Any

import pandas as pd
from pandas.api.types import is_bool_dtype, is_numeric_dtype

from molvae.data.files import atomic_write
from molvae.errors import InputError, import_extra
from molvae.viz.molecules import molecule_svg

FORMATS = (".png", ".svg", ".html")
MOST_CLASSES = 20
"""More have no colors of their own: the rarest share one."""

MOST_DRAWN = 10_000
"""Molecules that a page holds drawings of, about 2 kB each; the others show their SMILES alone."""

OTHERS = "others"

_HOVER = """
const plot = document.getElementById('{plot_id}');
const box = document.createElement('img');
box.style = 'position:fixed;display:none;pointer-events:none;background:white;border:1px solid silver';
document.body.appendChild(box);
const drawn = async text => {
  const bytes = Uint8Array.from(atob(text), letter => letter.charCodeAt(0));
  const svg = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('deflate'));
  return 'data:image/svg+xml,' + encodeURIComponent(await new Response(svg).text());
};
let under;  // the point that the pointer is on: it may have left before its drawing is there
plot.on('plotly_hover', async ({points, event}) => {
  const point = under = points[0];
  if (!point.customdata) return;
  const drawing = await drawn(point.customdata);
  if (point !== under) return;
  box.src = drawing;
  box.style.left = (event.clientX < window.innerWidth / 2 ? event.clientX + 25 : event.clientX - 245) + 'px';
  box.style.top = Math.min(event.clientY + 25, window.innerHeight - 170) + 'px';
  box.style.display = 'block';
});
plot.on('plotly_unhover', () => { under = null; box.style.display = 'none'; });
"""
"""Plotly's own hover box holds text only, so the drawing is laid beside it."""


def save_scatter(frame: pd.DataFrame, path: str | Path, color: str | None = None) -> Path:
    """The rows of a table (x, y, smiles) as dots, colored by one of its columns: numbers by a scale, else by class.

    The suffix says the format. Raises `InputError` for another one, or for an empty table.
    """
    path = Path(path)
    if path.suffix.lower() not in FORMATS:
        raise InputError(f"a map is drawn to {', '.join(FORMATS)}, got {path}")
    if frame.empty:
        raise InputError("no molecules to draw: the table is empty")
    parts = _parts(frame, color)
    with atomic_write(path) as draft:
        if path.suffix.lower() == ".html":
            draft.write_text(_page(parts, color), encoding="utf-8")
        else:
            _figure(parts, color).savefig(draft, dpi=130, format=path.suffix[1:].lower())
    return path


def _parts(frame: pd.DataFrame, color: str | None) -> dict[str, pd.DataFrame]:
    """The rows of each class, the largest first; all under "" where the color is a number or there is none."""
    if color is None or _is_number(frame[color]):
        return {"": frame}
    names = frame[color].astype(str).replace("", "(none)")
    if names.nunique() > MOST_CLASSES:
        names = names.where(names.isin(names.value_counts().index[: MOST_CLASSES - 1]), OTHERS)
    return {str(name): frame[names == name] for name in names.value_counts().index}


def _is_number(column: pd.Series[Any]) -> bool:
    return is_numeric_dtype(column) and not is_bool_dtype(column) and column.nunique() > 2


def _figure(parts: dict[str, pd.DataFrame], color: str | None) -> Any:
    figure = import_extra("matplotlib.figure").Figure(figsize=(8, 6.5), layout="constrained")
    axis, palette = figure.subplots(), import_extra("matplotlib").colormaps["tab10" if len(parts) <= 10 else "tab20"]
    for number, (name, rows) in enumerate(parts.items()):
        looks = {"s": 10 if len(rows) > 1000 else 18, "alpha": 0.75, "linewidths": 0}
        if name or color is None:
            axis.scatter(rows["x"], rows["y"], label=f"{name} ({len(rows):,})", color=palette(number), **looks)
        else:
            known = rows[color].notna()
            if not known.all():
                unknown = rows[~known]
                axis.scatter(
                    unknown["x"], unknown["y"], color="lightgrey", label=f"missing ({len(unknown):,})", **looks
                )
                axis.legend(fontsize="small", markerscale=1.5)
            rows = rows[known]
            dots = axis.scatter(rows["x"], rows["y"], c=rows[color].astype(float), cmap="viridis", **looks)
            figure.colorbar(dots, label=color)
    if len(parts) > 1:
        axis.legend(title=color, fontsize="small", markerscale=1.5)
    axis.set(xlabel="x", ylabel="y")
    axis.spines[["top", "right"]].set_visible(False)
    return figure


def _page(parts: dict[str, pd.DataFrame], color: str | None) -> str:
    """One page without a single outside resource: plotly's script and every drawing are in it."""
    graphs = import_extra("plotly.graph_objects")
    figure = graphs.Figure()
    room = MOST_DRAWN
    for name, rows in parts.items():
        shown = color is not None and not name
        marker: dict[str, Any] = {"size": 7, "opacity": 0.8}
        if shown:
            marker |= {"color": rows[color].astype(float), "colorscale": "Viridis", "colorbar": {"title": color}}
        text = [_label(row, color) for _, row in rows.iterrows()]
        drawings = [_packed(molecule_svg(smiles)) if i < room else "" for i, smiles in enumerate(rows["smiles"])]
        room -= len(rows)
        figure.add_trace(
            graphs.Scattergl(
                x=rows["x"], y=rows["y"], mode="markers", name=f"{name} ({len(rows):,})", marker=marker,
                text=text, hoverinfo="text", customdata=drawings, showlegend=len(parts) > 1,
            )
        )  # fmt: skip
    figure.update_layout(
        template="simple_white", xaxis_title="x", yaxis_title="y", legend_title=color, hovermode="closest"
    )
    page: str = figure.to_html(include_plotlyjs=True, post_script=_HOVER, default_height="95vh", div_id="map")
    return page


def _packed(drawing: str) -> str:
    """A drawing, which repeats itself a lot, deflated and as text."""
    return base64.b64encode(zlib.compress(drawing.encode(), 9)).decode()


def _label(row: pd.Series[Any], color: str | None) -> str:
    value = row[color] if color is not None else None
    number = f"{value:.3g}" if isinstance(value, float) else value
    return row["smiles"] if color is None else f"{row['smiles']}<br>{color}: {number}"
