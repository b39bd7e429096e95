"""One page about a scored set of molecules: counts, figures, distributions, drawings; nothing to fetch, no script."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from molvae.data.files import atomic_write
from molvae.viz.histograms import Axis, Floats, histogram
from molvae.viz.molecules import PAGE_HEAD, molecule_svg

MOST_DRAWN = 12
"""Molecules drawn at either end of the ranking."""
MOST_INVALID = 10
MOST_SEEDS = 50
"""A drawing is some 10 kB: a page of a thousand seeds would be slow to open."""

_DASH = "–"


@dataclass(frozen=True)
class Content:
    """What a page shows; a part that is None or empty is left out.

    `molecules`: a row per input, with `smiles`, and where known `canonical`, `error` and the columns of figures.
    `rank_by`: the column whose highest and lowest molecules are drawn. `seeds`: a row per seed, by `seed`.
    """

    title: str
    counts: Mapping[str, int]
    figures: Mapping[str, Mapping[str, float | None]]  # section, name, value
    notes: Sequence[str]
    molecules: pd.DataFrame
    reference: pd.DataFrame | None = None
    seeds: pd.DataFrame | None = None
    rank_by: str = "qed"
    pictures: Mapping[str, str] = field(default_factory=dict)  # title to <svg>


_PROPERTIES = {
    "qed": Axis("Drug-likeness (QED)", "QED", 0.05, 2, span=(0, 1)),
    "sa": Axis("Synthetic accessibility, 1 easy to 10 hard", "SA", 0.25, 1),
    "logp": Axis("logP", "logP", 0.5, 1),
    "mw": Axis("Molecular weight, g/mol", "MW", 25, 0),
    "tpsa": Axis("Polar surface area, Å²", "TPSA", 10, 0),
    "rings": Axis("Rings", "rings", 1, 0, whole=True),
    "rotatable_bonds": Axis("Rotatable bonds", "rotatable", 1, 0, whole=True),
}
_SIMILARITIES = {
    name: Axis(f"Similarity to the {label}", short, 0.05, 2, span=(0, 1), marks=(0.4, 0.6))
    for name, label, short in (
        ("similarity", "seed", "to seed"),
        ("nearest_similarity", "nearest reference", "to reference"),
    )
}
_AXES = {**_PROPERTIES, **_SIMILARITIES}
_BENEATH = ("qed", "sa", "logp", "mw", "tpsa", *_SIMILARITIES)  # the figures under a drawing


def write_html(content: Content, path: str | Path) -> None:
    """Write the page, which appears whole or not at all."""
    page = html(content)
    with atomic_write(Path(path)) as draft:
        draft.write_text(page, encoding="utf-8", errors="replace", newline="\n")  # what is no Unicode becomes a "?"


def html(content: Content) -> str:
    """The page as text."""
    good = _is_valid(content.molecules)
    valid, invalid = content.molecules[good], content.molecules[~good]
    parts = [
        _counts(content.counts),
        _notes(content.notes),
        "" if len(valid) else '<p class="empty">There was no valid molecule.</p>\n',
        _figures(content.figures),
        *(_section(title, "frame", picture) for title, picture in content.pictures.items()),
        _charts("Properties", _PROPERTIES, valid, content.reference),
        _charts("Similarity", _SIMILARITIES, valid, content.reference),
        _ranked(valid, content.rank_by),
        _invalid(invalid),
        _seeds(content.seeds),
    ]
    title = escape(content.title)
    return _PAGE_TOP.replace("TITLE", title) + "".join(parts) + _PAGE_END


def _is_valid(frame: pd.DataFrame) -> NDArray[np.bool_]:
    """Which rows hold a molecule: there is a canonical SMILES or, where there is no such column, no complaint.

    A row with a canonical SMILES may complain of a figure that could not be computed.
    """
    good = np.array([bool(text) for text in _smiles(frame)], dtype=bool)
    if "error" in frame.columns and "canonical" not in frame.columns:
        good &= np.array([not _text(error) for error in frame["error"]], dtype=bool)
    return good


def _smiles(frame: pd.DataFrame) -> list[str]:
    column = next((name for name in ("canonical", "smiles") if name in frame.columns), None)
    return [_text(value) for value in frame[column]] if column else [""] * len(frame)


def _counts(counts: Mapping[str, int]) -> str:
    tiles = (f"<div><dt>{_words(name)}</dt><dd>{_number(value)}</dd></div>" for name, value in counts.items())
    return f'<dl class="tiles">{"".join(tiles)}</dl>\n' if counts else ""


def _notes(notes: Sequence[str]) -> str:
    return "".join(f"<p>{escape(note)}</p>\n" for note in notes)


def _figures(figures: Mapping[str, Mapping[str, float | None]]) -> str:
    """A small table for each section, side by side."""
    tables = [
        f'<div class="figures"><table><caption>{escape(section)}</caption>'
        + "".join(f'<tr><th scope="row">{escape(k)}</th><td>{_number(v)}</td></tr>' for k, v in rows.items())
        + "</table></div>\n"
        for section, rows in figures.items()
        if rows
    ]
    return _section("Figures", "sections", "".join(tables))


def _charts(title: str, axes: Mapping[str, Axis], valid: pd.DataFrame, reference: pd.DataFrame | None) -> str:
    charts = []
    for name, axis in axes.items():
        values = _values(valid, name)
        if len(values):
            charts.append(f"<figure>{histogram(axis, values, _values(reference, name))}</figure>\n")
    return _section(title, "charts", "".join(charts))


def _ranked(valid: pd.DataFrame, rank_by: str) -> str:
    """The molecules at both ends of a column, none drawn twice; the first ones where there is no such column."""
    frame = valid.assign(**{_DRAWN: _smiles(valid)}).drop_duplicates(_DRAWN)
    if not len(_values(frame, rank_by)):
        return _cards("First molecules", frame.head(MOST_DRAWN), rank_by)
    ranks = pd.to_numeric(frame[rank_by], errors="coerce").dropna().to_numpy(dtype=np.float64)
    frame = frame[pd.to_numeric(frame[rank_by], errors="coerce").notna()].iloc[np.argsort(-ranks, kind="stable")]
    label = _AXES[rank_by].short if rank_by in _AXES else rank_by.replace("_", " ")
    highest, rest = frame.head(MOST_DRAWN), frame.iloc[MOST_DRAWN:]
    return _cards(f"Highest {label}", highest, rank_by) + _cards(
        f"Lowest {label}", rest.iloc[::-1][:MOST_DRAWN], rank_by
    )


def _cards(title: str, frame: pd.DataFrame, rank_by: str) -> str:
    names = [name for name in dict.fromkeys((rank_by, *_BENEATH)) if name in frame.columns]
    cards = (
        f'<div class="card">{_drawing(row[_DRAWN])}<p>{_beneath(row, names)}</p>'
        f"<code>{escape(row[_DRAWN])}</code></div>\n"
        for _, row in frame.iterrows()
    )
    return _section(title, "cards", "".join(cards))


def _beneath(row: pd.Series[Any], names: Sequence[str]) -> str:
    """Such as "QED 0.61  SA 2.3  logP 1.9"."""
    parts = []
    for name in names:
        axis = _AXES.get(name)
        label, value = (axis.short, _fixed(row[name], axis)) if axis else (_words(name), _number(row[name]))
        parts.append(f"<span>{label} <b>{value}</b></span>")
    return " ".join(parts)


def _invalid(frame: pd.DataFrame) -> str:
    """The first rows that hold no molecule, as they were given, with the reasons."""
    if frame.empty:
        return ""
    first = frame.head(MOST_INVALID)
    smiles, errors = (first[name] if name in first.columns else [""] * len(first) for name in ("smiles", "error"))
    rows = "".join(
        f'<tr><td class="smiles">{_cell(text)}</td><td class="reason">{_cell(error)}</td></tr>\n'
        for text, error in zip(smiles, errors, strict=True)
    )
    head = '<tr><th scope="col">given</th><th scope="col">reason</th></tr>\n'
    return _section("Invalid", "frame", f"<table>{head}{rows}</table>") + _more(len(frame) - len(first), "invalid row")


def _seeds(seeds: pd.DataFrame | None) -> str:
    """A row per seed: its drawing, and its figures written alike down a column."""
    if seeds is None or seeds.empty:
        return ""
    first, names = seeds.head(MOST_SEEDS), [name for name in seeds.columns if name != "seed"]
    columns = [_column(first[name]) for name in names]
    head = "".join(f'<th scope="col">{_words(str(name))}</th>' for name in ("", "seed", *names))
    rows = []
    for i, seed in enumerate(map(_text, first["seed"])):
        cells = "".join(f"<td>{column[i]}</td>" for column in columns)
        picture = f'<td class="picture">{_drawing(seed, 150, 100)}</td>'
        rows.append(f'<tr>{picture}<td class="smiles">{_cell(seed)}</td>{cells}</tr>\n')
    table = f"<table><tr>{head}</tr>\n{''.join(rows)}</table>"
    return _section("Seeds", "frame", table) + _more(len(seeds) - len(first), "seed")


def _section(title: str, kind: str, inner: str) -> str:
    """Nothing at all where there is nothing inside."""
    return f'<h2>{escape(title)}</h2>\n<div class="{kind}">{inner}</div>\n' if inner else ""


def _more(count: int, what: str) -> str:
    return f'<p class="more">{count:,} more {what}{"s" * (count > 1)} not shown.</p>\n' if count > 0 else ""


def _drawing(smiles: str, width: int = 220, height: int = 160) -> str:
    return molecule_svg(smiles, width, height) or '<span class="none">no drawing</span>'


# ---- numbers and words ----


def _text(value: Any) -> str:
    return "" if value is None or value is pd.NA or value != value else str(value)


def _words(name: str) -> str:
    return escape(name.replace("_", " "))


def _cell(value: Any) -> str:
    return escape(_text(value)) or _DASH


def _number(value: Any) -> str:
    """Three digits or so: 0.998, 12.35, 30,000; a dash for what is not known."""
    if not _text(value):
        return _DASH
    if isinstance(value, (bool, np.bool_)):
        return "yes" if value else "no"
    if not isinstance(value, Real):
        return escape(str(value))
    size = abs(float(value))
    if isinstance(value, Integral) or size >= 1000 or (size > 1 and float(value).is_integer()):
        return f"{value:,.0f}"
    if 0 < size < 0.001:
        return f"{value:.2g}"
    decimals = 3 if size <= 1 else 2 if size < 100 else 1
    while size < 1 == round(size, decimals) and decimals < 6:  # 0.9998 is not all
        decimals += 1
    return f"{value:.{decimals}f}"


def _column(values: pd.Series[Any]) -> list[str]:
    """A column's cells: counts stay whole where a missing one has made them floats."""
    known = [v for v in values if isinstance(v, Real) and v == v]
    counts = not any(isinstance(v, (bool, np.bool_)) or not float(v).is_integer() for v in known)
    return [f"{v:,.0f}" if counts and isinstance(v, Real) and v == v else _number(v) for v in values]


def _fixed(value: Any, axis: Axis) -> str:
    return axis.text(float(value)) if isinstance(value, Real) and value == value else _number(value)


def _values(frame: pd.DataFrame | None, name: str) -> Floats:
    """The finite numbers of a column; rounded, so that a 0.3 of any arithmetic lies right of the edge 0.3."""
    if frame is None or name not in frame.columns:
        return np.zeros(0)
    values = pd.to_numeric(frame[name], errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    return np.asarray(np.round(values[np.isfinite(values)], 6), dtype=np.float64)


_DRAWN = "(drawn)"

_PAGE_TOP = (
    PAGE_HEAD
    + """h1 { font-size: 1.35rem; font-weight: 600; overflow-wrap: anywhere; }
h2 { font-size: 1.1rem; font-weight: 600; margin: 2rem 0 .7rem; break-after: avoid; }
p { max-width: 46rem; } p.more { color: #52606d; }
.tiles, .sections { display: flex; flex-wrap: wrap; gap: 1rem; align-items: flex-start; margin: 0; }
.tiles div, figure, .card, .frame, .figures { background: #fff; border: 1px solid #dde3e9; border-radius: 10px; }
.tiles div { padding: .6rem 1.1rem; min-width: 5.5rem; }
.tiles dt { font-size: .85rem; color: #52606d; }
.tiles dd { margin: 0; font-size: 1.5rem; font-weight: 600; font-variant-numeric: tabular-nums; }
.empty { font-weight: 600; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
.frame { overflow-x: auto; }
.figures { min-width: 15rem; padding: .6rem .9rem; }
caption { text-align: left; font-weight: 600; padding-bottom: .3rem; }
th { text-align: right; font-weight: 600; font-size: .85rem; color: #52606d; padding: .7rem .9rem;
     border-bottom: 1px solid #dde3e9; vertical-align: bottom; }
.figures th { text-align: left; font-weight: 400; font-size: inherit; padding: .2rem 0; border: 0; }
td { text-align: right; padding: .35rem .9rem; border-bottom: 1px solid #edf0f3; }
.figures td { padding: .2rem 0 .2rem 1.5rem; border: 0; }
td.smiles, td.reason { text-align: left; overflow-wrap: anywhere; }
td.smiles { min-width: 14rem; }
td.smiles, code { font: 12.5px/1.4 ui-monospace, monospace; user-select: all; }
td.picture { width: 150px; padding: .2rem .6rem; }
.frame th:nth-child(1), .frame th:nth-child(2) { text-align: left; }
figure, .card { display: inline-block; vertical-align: top; box-sizing: border-box; margin: 0 1rem 1rem 0; }
figure { width: 24rem; max-width: 100%; padding: .7rem; }
svg { display: block; max-width: 100%; height: auto; }
figure svg { width: 100%; }
.card { width: 12rem; padding: .5rem .7rem .7rem; }
.card p { margin: .3rem 0; font-size: .85rem; color: #52606d; }
.card span { white-space: nowrap; margin-right: .4rem; } .card b { color: #1c2733; font-weight: 600; }
.card code { font-size: 11px; display: block; overflow-wrap: anywhere; }
.none { display: block; padding: 2rem 0; text-align: center; color: #52606d; }
tr, figure, .card, .figures, .tiles div { break-inside: avoid; }
@media print { html { font-size: 13px; } body { background: #fff; margin: 0; padding: 0; font-size: 12px;
               -webkit-print-color-adjust: exact; print-color-adjust: exact; } }
</style></head><body><h1>TITLE</h1>
"""
)
_PAGE_END = "</body></html>\n"
