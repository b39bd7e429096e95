"""Learning curves of a run: the table metrics.csv and the figure curves.png."""

from __future__ import annotations

import csv
import logging
from pathlib import Path
from typing import Any

from molvae.data.files import FolderLock, atomic_write
from molvae.errors import MissingExtraError, import_extra

Metrics = dict[str, float]

PANELS = {
    "reconstruction": ("Reconstruction, unperturbed latents", "nats per molecule", "log"),
    "denoising": ("Reconstruction, perturbed latents", "nats per molecule", "log"),
    "kl": ("KL divergence", "nats per molecule", "log"),
    "learning_rate": ("Learning rate", "", "linear"),
    "kl_weight": ("KL weight", "", "linear"),
}
"""Panels of curves.png: metric -> title, unit, scale of the y-axis."""

LOSSES = {f"valid/{name}" for name in ("loss", *PANELS)}
"""Metrics of every validation. All others come from the user's validation metrics and share a panel."""

_log = logging.getLogger(__name__)


class MetricsFile:
    """Append-only CSV table with a column `step`, counted from 0, and one column per metric.

    Each row is on disk as soon as it is added, and cells without a value are empty. A new metric adds a column.

    Parameters
    ----------
    path
        The CSV file.
    lock
        Lock of this run on its folder. `add` raises `MolvaeError` once a later run has taken over the folder.
    """

    def __init__(self, path: Path, lock: FolderLock | None = None) -> None:
        self.path, self.lock = path, lock
        self._columns: list[str] = []

    def add(self, step: int, metrics: Metrics) -> None:
        """Append a row."""
        if self.lock is not None:
            self.lock.check()
        if not self._columns:
            self._columns = _header(self.path)
        if new := sorted(set(metrics) - set(self._columns)):
            self._write(read_metrics(self.path), ["step", *sorted({*self._columns, *new} - {"step"})])
        with self.path.open("a", newline="", encoding="utf-8") as file:
            csv.DictWriter(file, self._columns, lineterminator="\n").writerow({"step": step, **metrics})

    def truncate(self, step: int) -> None:
        """Remove the rows from `step` on: a run resumed from a checkpoint repeats these steps."""
        rows = [row for row in read_metrics(self.path) if row["step"] < step]
        if rows:
            self._write(rows, ["step", *sorted({name for row in rows for name in row} - {"step"})])
        else:
            self.path.unlink(missing_ok=True)
            self._columns = []

    def _write(self, rows: list[Metrics], columns: list[str]) -> None:
        with atomic_write(self.path) as draft, draft.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns, lineterminator="\n")
            writer.writeheader()
            writer.writerows({**row, "step": int(row["step"])} for row in rows)
        self._columns = columns


def read_metrics(path: Path) -> list[Metrics]:
    """Rows of a metrics.csv without their empty cells. A last line that was cut short is ignored."""
    if not path.exists():
        return []
    text = path.read_text(encoding="utf-8")
    complete_lines = text[: text.rfind("\n") + 1].splitlines()
    return [{k: float(v) for k, v in row.items() if v} for row in csv.DictReader(complete_lines)]


def latest_metrics(rows: list[Metrics]) -> Metrics:
    """The last value of every metric."""
    latest: Metrics = {}
    for row in rows:
        latest.update(row)
    latest.pop("step", None)
    return latest


def draw_curves(folder: Path) -> Path:
    """Draw `folder`/metrics.csv as `folder`/curves.png and return the path of the figure.

    Raises
    ------
    MissingExtraError
        If matplotlib is not installed.
    """
    rows = read_metrics(folder / "metrics.csv")
    # not pyplot, which would select a GUI backend for the whole process
    figure = import_extra("matplotlib.figure", "plot").Figure(figsize=(13, 7), layout="constrained")
    axes = figure.subplots(2, 3).flat
    for axis, (name, (title, unit, scale)) in zip(axes, PANELS.items(), strict=False):
        _draw(axis, rows, [f"train/{name}", f"valid/{name}"], title, unit, scale)
    others = sorted({key for row in rows for key in row if key.startswith("valid/")} - LOSSES)
    title = "Validation metrics" if others else "Loss"
    _draw(axes[-1], rows, others or ["train/loss", "valid/loss"], title, "", "linear")
    figure.savefig(folder / "curves.png", dpi=110)
    return folder / "curves.png"


class CurveDrawer:
    """Draws the curves of a run. If that is impossible, it logs one warning and the run continues."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.warned = folder, False

    def draw(self) -> None:
        try:
            draw_curves(self.folder)
        except (MissingExtraError, OSError) as error:
            if not self.warned:
                _log.warning("curves.png is not drawn: %s", error)
            self.warned = True


def _draw(axis: Any, rows: list[Metrics], names: list[str], title: str, unit: str, scale: str) -> None:
    all_values: list[float] = []
    for name in names:
        points = [(row["step"] + 1, row[name]) for row in rows if name in row]
        if points:
            steps, values = zip(*points, strict=True)
            style = "o-" if len(points) < 40 or name.startswith("valid/") else "-"
            axis.plot(steps, values, style, markersize=3, linewidth=1, label=name)
            all_values += values
    axis.set(title=title, ylabel=unit, xlabel="step")
    axis.grid(alpha=0.3)
    if not all_values:
        axis.text(0.5, 0.5, "no data", ha="center", transform=axis.transAxes)
    elif scale == "log" and min(all_values) > 0:
        axis.set_yscale("log")
        axis.yaxis.set_major_formatter("{x:g}")
        if max(all_values) < 10 * min(all_values):  # over more than a decade the minor labels would overlap
            axis.yaxis.set_minor_formatter("{x:g}")
    if len(axis.lines) > 1:
        axis.legend(fontsize="small")


def _header(path: Path) -> list[str]:
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return next(csv.reader(file), [])
