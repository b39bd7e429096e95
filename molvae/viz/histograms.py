"""Distributions as SVG: shares of a set as bars, those of a reference as an outline.

They are written here: a few rectangles need no plotting library, and as SVG they stay sharp in print.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_GROUPS = ("set", "reference")
_WIDTH, _HEIGHT = 380, 250
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 366, 62, 212  # of the plot
_MOST_BARS, _FEWEST_BARS = 48, 8
_INK, _FAINT, _GRID, _FILL = "#1c2733", "#52606d", "#e3e8ed", "#79a9dc"


@dataclass(frozen=True)
class Axis:
    """How a column is charted, in bars of `step`, and how it is called and written beneath a drawing."""

    label: str
    short: str
    step: float
    decimals: int
    whole: bool = False  # counts: a bar about each whole number
    span: tuple[float, float] | None = None  # where the axis does not follow the values
    marks: tuple[float, ...] = ()

    def text(self, value: float) -> str:
        """A value as it is written; never "-0.0"."""
        return f"{value:g}" if self.whole else f"{round(value, self.decimals) + 0.0:.{self.decimals}f}"


@dataclass(frozen=True)
class _Plot:
    """The bars' edges, the top of the axis of shares, and where both lie on the canvas."""

    edges: Floats
    top: float

    def x(self, value: float) -> float:
        low, high = self.edges[0], self.edges[-1]
        return float(_LEFT + (_RIGHT - _LEFT) * (value - low) / (high - low))

    def y(self, share: float) -> float:
        return _BOTTOM - (_BOTTOM - _TOP) * share / self.top


def histogram(axis: Axis, values: Floats, reference: Floats) -> str:
    """Shares of the set as bars, those of the reference as an outline over them, in the same bins."""
    groups = [group for group in (values, reference) if len(group)]
    edges = _edges(axis, groups)
    shares = [_shares(group, edges) for group in groups]
    step = _nice(max(s.max() for s in shares) / 5)
    plot = _Plot(edges, step * math.ceil(max(s.max() for s in shares) / step - 1e-9))
    parts = [
        *_grid(plot, step),
        *_bars(plot, shares[0]),
        *([_outline(plot, shares[1])] if len(shares) > 1 else []),
        *_ticks(plot, axis),
        *(_mark(plot, mark, float((values >= mark).mean())) for mark in axis.marks),
        *_legend(axis, groups),
        *_beyond(edges, groups),
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" width="{_WIDTH}" height="{_HEIGHT}" '
        f'viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="system-ui, sans-serif" font-size="11" fill="{_FAINT}">'
        f"<title>{_spoken(axis, groups)}</title>\n" + "\n".join(parts) + "\n</svg>"
    )


def _edges(axis: Axis, groups: Sequence[Floats]) -> Floats:
    """Multiples of the axis's step, wide enough for all but the outermost half percent at either side."""
    shift, step = (0.5 if axis.whole else 0.0), axis.step
    low = min(float(np.quantile(group, 0.005, method="lower")) for group in groups) + shift
    high = max(float(np.quantile(group, 0.995, method="higher")) for group in groups) + shift
    if axis.span:
        low, high = axis.span
    while (high - low) / step > _MOST_BARS:
        step *= 2
    first, last = math.floor(low / step), math.ceil(high / step)
    lacking = max(0, _FEWEST_BARS - (last - first))
    first, last = first - lacking // 2, last + lacking - lacking // 2
    if low >= 0 > first:  # nothing below nought was there
        first, last = 0, last - first
    return np.asarray(np.round(np.arange(first, last + 1) * step, 9) - shift, dtype=np.float64)


def _shares(values: Floats, edges: Floats) -> Floats:
    """The share of the values in each bin, half open to the right; what lies beyond counts at its end."""
    counts, _ = np.histogram(np.clip(values, edges[0], edges[-1]), edges)
    return np.asarray(counts / len(values), dtype=np.float64)


def _nice(least: float) -> float:
    """The smallest of 1, 2, 5, 10, ... times a power of ten that is not below."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(power * m for m in (1, 2, 5, 10) if power * m >= least * (1 - 1e-9))


def _grid(plot: _Plot, step: float) -> Iterator[str]:
    for i in range(round(plot.top / step) + 1):
        y = plot.y(i * step)
        yield f'<path d="M{_LEFT} {y:.2f}H{_RIGHT}" stroke="{_GRID}"/>'
        yield f'<text class="share" x="{_LEFT - 6}" y="{y + 4:.2f}" text-anchor="end">{100 * i * step:g}%</text>'


def _bars(plot: _Plot, shares: Floats) -> Iterator[str]:
    """Each bar names its bin and share to whoever points at it."""
    for low, high, share in zip(plot.edges[:-1], plot.edges[1:], shares, strict=True):
        x, y = plot.x(low), plot.y(share)
        size = f'x="{x + 0.5:.2f}" y="{y:.2f}" width="{plot.x(high) - x - 1:.2f}" height="{_BOTTOM - y:.2f}"'
        yield f'<rect class="bar" {size} fill="{_FILL}"><title>{low:g} to {high:g}: {share:.1%}</title></rect>'


def _outline(plot: _Plot, shares: Floats) -> str:
    steps = "".join(f"V{plot.y(s):.2f}H{plot.x(e):.2f}" for s, e in zip(shares, plot.edges[1:], strict=True))
    path = f"M{_LEFT} {_BOTTOM}{steps}V{_BOTTOM}"
    return f'<path class="outline" d="{path}" fill="none" stroke="{_INK}" stroke-width="1.4"/>'


def _ticks(plot: _Plot, axis: Axis) -> Iterator[str]:
    low, high = float(plot.edges[0]), float(plot.edges[-1])
    step = max(_nice((high - low) / 8), 1.0 if axis.whole else 0.0)
    yield f'<path d="M{_LEFT} {_BOTTOM}H{_RIGHT}" stroke="{_FAINT}"/>'
    for i in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1):
        x = plot.x(i * step)
        yield f'<path d="M{x:.2f} {_BOTTOM}v4" stroke="{_FAINT}"/>'
        yield f'<text class="value" x="{x:.2f}" y="{_BOTTOM + 17}" text-anchor="middle">{i * step:g}</text>'


def _mark(plot: _Plot, mark: float, share: float) -> str:
    """A line at a similarity of note, and the share of the set from there on, written above the plot."""
    x = plot.x(mark)
    where = f'x="{x - 4:.2f}" text-anchor="end"' if mark < 0.5 else f'x="{x + 4:.2f}"'  # away from the other
    return (
        f'<path class="mark" d="M{x:.2f} {_TOP - 12}V{_BOTTOM}" stroke="{_INK}" stroke-dasharray="3 3"/>'
        f'<text {where} y="{_TOP - 4}" font-size="10">{share:.0%} ≥ {mark:g}</text>'
    )


def _legend(axis: Axis, groups: Sequence[Floats]) -> Iterator[str]:
    """The label, and beneath it how the set and the reference are drawn, with their medians."""
    yield f'<text x="{_LEFT}" y="16" font-size="13" font-weight="600" fill="{_INK}">{axis.label}</text>'
    looks = (f'fill="{_FILL}"', f'fill="none" stroke="{_INK}" stroke-width="1.4"')
    for i, (name, group) in enumerate(zip(_GROUPS, groups, strict=False)):
        x = _LEFT + 140 * i
        yield f'<rect x="{x}" y="27" width="10" height="10" {looks[i]}/>'
        yield f'<text x="{x + 15}" y="36">{name}, median {axis.text(float(np.median(group)))}</text>'


def _beyond(edges: Floats, groups: Sequence[Floats]) -> Iterator[str]:
    """Says so where the end bars hold more than their bins."""
    counts = [int(np.sum((group < edges[0]) | (group > edges[-1]))) for group in groups]
    if any(counts):
        told = " and ".join(f"{n:,} of the {name}" for n, name in zip(counts, _GROUPS, strict=False) if n)
        place = f'x="{_RIGHT}" y="{_HEIGHT - 6}" font-size="10" text-anchor="end"'
        yield f"<text {place}>end bars include {told} beyond</text>"


def _spoken(axis: Axis, groups: Sequence[Floats]) -> str:
    told = (
        f"{len(group):,} of the {name}, median {axis.text(float(np.median(group)))}"
        for name, group in zip(_GROUPS, groups, strict=False)
    )
    return f"{axis.label}: histogram of {' and '.join(told)}"
