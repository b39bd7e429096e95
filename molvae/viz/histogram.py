"""Histograms as SVG: bars for a set of molecules, an outline for a reference set.

They are drawn by a template of 40 lines rather than by matplotlib: `molvae score --report` and `molvae screen --report`
work without the optional matplotlib, a chart takes about 5 kB, bars have tooltips, and the text uses the page's font.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from molvae.viz.templating import render

if TYPE_CHECKING:
    from markupsafe import Markup

Floats = NDArray[np.float64]

GROUP_NAMES = ("set", "reference")
MAX_BINS, MIN_BINS = 48, 8

_WIDTH, _HEIGHT = 380, 250  # of the image, in pixels
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 366, 62, 212  # of the plot area


@dataclass(frozen=True)
class HistogramAxis:
    """How the values of a column are binned and labeled.

    Attributes
    ----------
    label : str
        Title of the chart.
    short : str
        Label of a single value, as under a structure.
    step : float
        Bin width; it is doubled until there are at most 48 bins.
    decimals : int
        Decimals of a value in text.
    whole : bool
        Values are counts: bins are centered at whole numbers.
    span : (float, float), optional
        Fixed range; by default the range from the 0.5 to the 99.5 percentile.
    marks : tuple of float
        Thresholds to mark with a line and the share of the set at or above them.
    """

    label: str
    short: str
    step: float
    decimals: int
    whole: bool = False
    span: tuple[float, float] | None = None
    marks: tuple[float, ...] = ()

    def text(self, value: float) -> str:
        """A value as text; never "-0.0"."""
        return f"{value:g}" if self.whole else f"{round(value, self.decimals) + 0.0:.{self.decimals}f}"


def histogram(axis: HistogramAxis, values: Floats, reference: Floats) -> Markup:
    """An <svg> with the shares of `values` as bars and those of `reference` as an outline, in the same bins.

    Parameters
    ----------
    axis : HistogramAxis
        Bins and labels.
    values : ndarray of shape (N,)
        Values of the set; finite.
    reference : ndarray of shape (M,)
        Values of the reference; empty for none.
    """
    groups = [group for group in (values, reference) if len(group)]
    edges = bin_edges(axis, groups)
    shares = [_shares(group, edges) for group in groups]
    grid_step = _round_up(max(share.max() for share in shares) / 5)
    top = grid_step * math.ceil(max(share.max() for share in shares) / grid_step - 1e-9)
    scale = _Scale(edges, top)
    return render(
        "histogram.svg",
        width=_WIDTH,
        height=_HEIGHT,
        left=_LEFT,
        right=_RIGHT,
        top=_TOP,
        bottom=_BOTTOM,
        label=axis.label,
        description=_description(axis, groups),
        gridlines=list(_gridlines(scale, grid_step)),
        bars=list(_bars(scale, shares[0])),
        outline=_outline(scale, shares[1]) if len(shares) > 1 else "",
        ticks=list(_ticks(scale, axis)),
        marks=[_mark(scale, mark, float((values >= mark).mean())) for mark in axis.marks],
        legend=[
            f"{name}, median {axis.text(float(np.median(group)))}"
            for name, group in zip(GROUP_NAMES, groups, strict=False)
        ],
        note=_outlier_note(edges, groups),
    )


def bin_edges(axis: HistogramAxis, groups: Sequence[Floats]) -> Floats:
    """Bin edges at multiples of the axis's step, over all values but the outermost half percent at either side."""
    shift, step = (0.5 if axis.whole else 0.0), axis.step
    low = min(float(np.quantile(group, 0.005, method="lower")) for group in groups) + shift
    high = max(float(np.quantile(group, 0.995, method="higher")) for group in groups) + shift
    if axis.span:
        low, high = axis.span
    while (high - low) / step > MAX_BINS:
        step *= 2
    first, last = math.floor(low / step), math.ceil(high / step)
    n_missing = max(0, MIN_BINS - (last - first))
    first, last = first - n_missing // 2, last + n_missing - n_missing // 2
    if low >= 0 > first:  # do not extend the axis below 0 for values that are not negative
        first, last = 0, last - first
    return np.asarray(np.round(np.arange(first, last + 1) * step, 9) - shift, dtype=np.float64)


@dataclass(frozen=True)
class _Scale:
    """Maps values and shares to pixels."""

    edges: Floats
    top: float  # largest share on the vertical axis

    def x(self, value: float) -> float:
        low, high = self.edges[0], self.edges[-1]
        return float(_LEFT + (_RIGHT - _LEFT) * (value - low) / (high - low))

    def y(self, share: float) -> float:
        return _BOTTOM - (_BOTTOM - _TOP) * share / self.top


def _shares(values: Floats, edges: Floats) -> Floats:
    """Share of the values in each half-open bin; values outside the edges count in the first or last bin."""
    counts, _ = np.histogram(np.clip(values, edges[0], edges[-1]), edges)
    return np.asarray(counts / len(values), dtype=np.float64)


def _round_up(value: float) -> float:
    """The smallest of 1, 2, 5 times a power of ten that is not below the value."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= value * (1 - 1e-9))


def _gridlines(scale: _Scale, step: float) -> Iterator[dict[str, Any]]:
    for i in range(round(scale.top / step) + 1):
        yield {"y": scale.y(i * step), "label": f"{100 * i * step:g}%"}


def _bars(scale: _Scale, shares: Floats) -> Iterator[dict[str, Any]]:
    for low, high, share in zip(scale.edges[:-1], scale.edges[1:], shares, strict=True):
        x, y = scale.x(low), scale.y(share)
        yield {
            "x": x + 0.5,
            "y": y,
            "width": scale.x(high) - x - 1,
            "height": _BOTTOM - y,
            "tooltip": f"{low:g} to {high:g}: {share:.1%}",
        }


def _outline(scale: _Scale, shares: Floats) -> str:
    """The path of a step line over all bins."""
    steps = (f"V{scale.y(s):.2f}H{scale.x(e):.2f}" for s, e in zip(shares, scale.edges[1:], strict=True))
    return f"M{_LEFT} {_BOTTOM}{''.join(steps)}V{_BOTTOM}"


def _ticks(scale: _Scale, axis: HistogramAxis) -> Iterator[dict[str, Any]]:
    low, high = float(scale.edges[0]), float(scale.edges[-1])
    step = max(_round_up((high - low) / 8), 1.0 if axis.whole else 0.0)
    for i in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1):
        yield {"x": scale.x(i * step), "label": f"{i * step:g}"}


def _mark(scale: _Scale, mark: float, share: float) -> dict[str, Any]:
    """A threshold; its label is on the outer side, so that two labels do not overlap."""
    return {"x": scale.x(mark), "label": f"{share:.0%} ≥ {mark:g}", "label_on_left": mark < 0.5}


def _outlier_note(edges: Floats, groups: Sequence[Floats]) -> str:
    """How many values outside the axis are counted in the first and last bar; "" for none."""
    counts = [int(np.sum((group < edges[0]) | (group > edges[-1]))) for group in groups]
    parts = [f"{n:,} of the {name}" for n, name in zip(counts, GROUP_NAMES, strict=False) if n]
    return f"end bars include outliers: {', '.join(parts)}" if parts else ""


def _description(axis: HistogramAxis, groups: Sequence[Floats]) -> str:
    """A text alternative to the chart, for screen readers."""
    parts = (
        f"{len(group):,} of the {name}, median {axis.text(float(np.median(group)))}"
        for name, group in zip(GROUP_NAMES, groups, strict=False)
    )
    return f"{axis.label}: histogram of {' and '.join(parts)}"
