"""A self-contained HTML report about a set of molecules: counts, metrics, distributions and structures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from molvae.data.files import atomic_write
from molvae.viz.comparison import Stopwatch
from molvae.viz.formatting import DASH, format_column, format_name, format_number, format_text
from molvae.viz.histogram import Floats, HistogramAxis, histogram
from molvae.viz.metric_labels import metric_label
from molvae.viz.molecules import COMPARISON_SECONDS
from molvae.viz.table_image import molecule_name
from molvae.viz.templating import render

MAX_STRUCTURES = 12
"""Molecules drawn from the top and from the bottom of the ranking."""

MAX_INVALID = 10
"""Invalid rows listed."""

MAX_SEEDS = 50
"""Seeds listed with a structure of about 10 kB each: a page with a thousand would be slow to open."""

PROPERTY_AXES = {
    "qed": HistogramAxis("Drug-likeness (QED)", "QED", 0.05, 2, span=(0, 1)),
    "sa": HistogramAxis("Synthetic accessibility, 1 easy to 10 hard", "SA", 0.25, 1),
    "logp": HistogramAxis("logP", "logP", 0.5, 1),
    "mw": HistogramAxis("Molecular weight, g/mol", "MW", 25, 0),
    "tpsa": HistogramAxis("Polar surface area, Å²", "TPSA", 10, 0),
    "rings": HistogramAxis("Rings", "rings", 1, 0, whole=True),
    "rotatable_bonds": HistogramAxis("Rotatable bonds", "rotatable", 1, 0, whole=True),
}
SIMILARITY_AXES = {
    name: HistogramAxis(f"Similarity to the {label}", short, 0.05, 2, span=(0, 1), marks=(0.4, 0.6))
    for name, label, short in (
        ("similarity", "seed", "to seed"),
        ("nearest_similarity", "nearest reference", "to reference"),
    )
}
_AXES = {**PROPERTY_AXES, **SIMILARITY_AXES}
_CAPTION_COLUMNS = ("qed", "sa", "logp", "mw", "tpsa", *SIMILARITY_AXES)
"""Values shown under a structure."""


@dataclass(frozen=True)
class Report:
    """The content of a report; parts that are None or empty are omitted.

    Attributes
    ----------
    title : str
        Heading of the page.
    counts : mapping of str to int
        Numbers shown as tiles at the top.
    metrics : mapping of str to mapping
        Section to metric to value; None is shown as a dash. Known metrics are described by `metric_label`.
    notes : sequence of str
        Paragraphs below the counts.
    molecules : DataFrame
        One row per input: `smiles`, optionally `canonical`, `error`, and columns of properties.
    reference : DataFrame, optional
        Reference set with the same columns of properties, drawn as outlines.
    seeds : DataFrame, optional
        One row per seed: `seed` and columns of statistics.
    rank_by : str
        Column whose highest and lowest molecules are drawn.
    images : mapping of str to Markup
        Title to <svg>, such as a `similarity_map`.
    """

    title: str
    counts: Mapping[str, int]
    metrics: Mapping[str, Mapping[str, float | None]]
    notes: Sequence[str]
    molecules: pd.DataFrame
    reference: pd.DataFrame | None = None
    seeds: pd.DataFrame | None = None
    rank_by: str = "qed"
    images: Mapping[str, str] = field(default_factory=dict)


def save_report(report: Report, path: str | Path) -> None:
    """Write a report as .html; the file is replaced atomically."""
    page = render_report(report)
    with atomic_write(Path(path)) as draft:  # invalid Unicode, as in some file names, becomes "?"
        draft.write_text(page, encoding="utf-8", errors="replace", newline="\n")


def render_report(report: Report) -> str:
    """The page as text; it loads no external resources and runs no script."""
    is_valid = _is_valid(report.molecules)
    valid, invalid = report.molecules[is_valid], report.molecules[~is_valid]
    page = render(
        "report.html",
        title=report.title,
        counts=report.counts,
        notes=report.notes,
        has_valid=len(valid) > 0,
        metrics=_metrics(report.metrics),
        images={title: image for title, image in report.images.items() if image},
        charts={
            "Properties": list(_charts(PROPERTY_AXES, valid, report.reference)),
            "Similarity": list(_charts(SIMILARITY_AXES, valid, report.reference)),
        },
        galleries=dict(_galleries(valid, report.rank_by)),
        invalid_rows=_invalid_rows(invalid.head(MAX_INVALID)),
        n_more_invalid=max(0, len(invalid) - MAX_INVALID),
        seeds=_seed_table(report.seeds),
        stopwatch=Stopwatch(COMPARISON_SECONDS),
        n_more_seeds=0 if report.seeds is None else max(0, len(report.seeds) - MAX_SEEDS),
    )
    return str(page)


def _metrics(metrics: Mapping[str, Mapping[str, float | None]]) -> dict[str, list[tuple[str, str, float | None]]]:
    """Label, description and value of each metric, by section."""
    return {
        section: [(*metric_label(section, name), value) for name, value in values.items()]
        for section, values in metrics.items()
        if values
    }


def _is_valid(frame: pd.DataFrame) -> NDArray[np.bool_]:
    """Which rows contain a valid molecule: they have a canonical SMILES or, without that column, a SMILES and no error.

    A row with a canonical SMILES may still have an error about a property that could not be computed.
    """
    valid = np.array([bool(text) for text in _smiles(frame)], dtype=bool)
    if "error" in frame.columns and "canonical" not in frame.columns:
        valid &= np.array([not format_text(error) for error in frame["error"]], dtype=bool)
    return valid


def _smiles(frame: pd.DataFrame) -> list[str]:
    """Canonical SMILES, or SMILES as given without them; "" if missing."""
    column = next((name for name in ("canonical", "smiles") if name in frame.columns), None)
    return [format_text(value) for value in frame[column]] if column else [""] * len(frame)


def _charts(axes: Mapping[str, HistogramAxis], valid: pd.DataFrame, reference: pd.DataFrame | None) -> Iterator[str]:
    """A histogram for each column with values."""
    for name, axis in axes.items():
        values = _finite_values(valid, name)
        if len(values):
            yield histogram(axis, values, _finite_values(reference, name))


def _galleries(valid: pd.DataFrame, rank_by: str) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Titles and structures: top and bottom of the ranking without duplicates, else the first molecules."""
    frame = valid.assign(_smiles=_smiles(valid)).drop_duplicates("_smiles")
    captions = [name for name in dict.fromkeys((rank_by, *_CAPTION_COLUMNS)) if name in frame.columns]
    if not len(_finite_values(frame, rank_by)):
        yield "First molecules", _gallery(frame.head(MAX_STRUCTURES), captions)
        return
    values = pd.to_numeric(frame[rank_by], errors="coerce")
    order = np.argsort(-values.dropna().to_numpy(dtype=np.float64), kind="stable")
    ranked = frame[values.notna()].iloc[order]
    label = _AXES[rank_by].short if rank_by in _AXES else format_name(rank_by)
    yield f"Highest {label}", _gallery(ranked.head(MAX_STRUCTURES), captions)
    yield f"Lowest {label}", _gallery(ranked.iloc[MAX_STRUCTURES:].iloc[::-1].head(MAX_STRUCTURES), captions)


def _gallery(frame: pd.DataFrame, captions: Sequence[str]) -> list[dict[str, Any]]:
    """Rank, name, SMILES, seed and labeled values of each row."""
    return [
        {
            "rank": rank,
            "name": molecule_name(row),
            "smiles": row["_smiles"],
            "seed": format_text(row.get("seed")),
            "values": [_labeled(name, row[name]) for name in captions],
        }
        for rank, row in enumerate(frame.to_dict("records"), start=1)
    ]


def _labeled(name: str, value: Any) -> tuple[str, str]:
    """Label and text of a value under a structure, such as ("QED", "0.61")."""
    axis = _AXES.get(name)
    if axis is None:
        return format_name(name), format_number(value)
    return axis.short, axis.text(float(value)) if isinstance(value, Real) and value == value else format_number(value)


def _invalid_rows(frame: pd.DataFrame) -> list[tuple[str, str]]:
    """SMILES as given and reason of each invalid row, a dash if unknown."""
    columns = [frame[name] if name in frame.columns else [""] * len(frame) for name in ("smiles", "error")]
    return [(format_text(smiles) or DASH, format_text(error) or DASH) for smiles, error in zip(*columns, strict=True)]


def _seed_table(seeds: pd.DataFrame | None) -> dict[str, Any]:
    """Headings and rows of the table of seeds; empty without seeds."""
    if seeds is None or seeds.empty:
        return {}
    first, names = seeds.head(MAX_SEEDS), [name for name in seeds.columns if name != "seed"]
    columns = [format_column(first[name]) for name in names]
    rows = [(format_text(seed), [column[i] for column in columns]) for i, seed in enumerate(first["seed"])]
    return {"headings": names, "rows": rows}


def _finite_values(frame: pd.DataFrame | None, name: str) -> Floats:
    """The finite numbers of a column, rounded to 6 decimals so that 0.3 falls right of the bin edge 0.3."""
    if frame is None or name not in frame.columns:
        return np.zeros(0)
    values = pd.to_numeric(frame[name], errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    return np.asarray(np.round(values[np.isfinite(values)], 6), dtype=np.float64)
