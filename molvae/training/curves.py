"""curves.png: a run's losses and schedules, drawn from its metrics.csv."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from molvae.errors import MissingExtraError, import_extra
from molvae.training.metrics_file import Row, read_metrics

PANELS = {
    "reconstruction": ("Reconstruction, latent as encoded", "nats a molecule", "log"),
    "denoising": ("Reconstruction, latent moved", "nats a molecule", "log"),
    "kl": ("KL divergence", "nats a molecule", "log"),
    "learning_rate": ("Learning rate", "", "linear"),
    "kl_weight": ("KL weight", "", "linear"),
}
"""Figure -> title, unit, scale."""

LOSSES = {f"valid/{name}" for name in ("loss", *PANELS)}
"""What every validation finds; the rest is a probe's, and drawn in a panel of its own."""

_log = logging.getLogger(__name__)


def draw_curves(folder: Path) -> Path:
    """Draw `folder`/metrics.csv as `folder`/curves.png and return its path.

    Raises `MissingExtraError` where matplotlib is not installed.
    """
    rows = read_metrics(folder / "metrics.csv")
    # the figure alone: pyplot would select a GUI backend for the process
    figure = import_extra("matplotlib.figure", "plot").Figure(figsize=(13, 7), layout="constrained")
    axes = figure.subplots(2, 3).flat
    for axis, (name, (title, unit, scale)) in zip(axes, PANELS.items(), strict=False):
        _draw(axis, rows, [f"train/{name}", f"valid/{name}"], title, unit, scale)
    probed = sorted({key for row in rows for key in row if key.startswith("valid/")} - LOSSES)
    _draw(axes[-1], rows, probed or ["train/loss", "valid/loss"], "Probe" if probed else "Loss", "", "linear")
    figure.savefig(folder / "curves.png", dpi=110)
    return folder / "curves.png"


class CurveDrawer:
    """Draws a run's curves, or says once what that lacks: no run fails for a picture."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.told = folder, False

    def draw(self) -> None:
        try:
            draw_curves(self.folder)
        except (MissingExtraError, OSError) as error:
            if not self.told:
                _log.warning("no curves.png: %s", error)
            self.told = True


def _draw(axis: Any, rows: list[Row], names: list[str], title: str, unit: str, scale: str) -> None:
    values: list[float] = []
    for name in names:
        points = [(row["step"] + 1, row[name]) for row in rows if name in row]
        if points:
            steps, figures = zip(*points, strict=True)
            marked = "o-" if len(points) < 40 or name.startswith("valid/") else "-"
            axis.plot(steps, figures, marked, markersize=3, linewidth=1, label=name)
            values += figures
    axis.set(title=title, ylabel=unit, xlabel="step")
    axis.grid(alpha=0.3)
    if not values:
        axis.text(0.5, 0.5, "nothing logged", ha="center", transform=axis.transAxes)
    elif scale == "log" and min(values) > 0:
        axis.set_yscale("log")
        axis.yaxis.set_major_formatter("{x:g}")
        if max(values) < 10 * min(values):  # else the labels between powers of ten would crowd
            axis.yaxis.set_minor_formatter("{x:g}")
    if len(axis.lines) > 1:
        axis.legend(fontsize="small")
