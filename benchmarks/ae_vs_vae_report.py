"""The table and the pictures of `ae_vs_vae.py`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from ae_vs_vae_measures import RADII
from matplotlib.figure import Figure

SECTIONS = {
    "One input": ("exact", "exact from a draw", "latents of N draws", "molecules of 1 x M", "molecules of N x 1",
                  "molecules of N x M", "KL a dimension"),
    "No input: the prior": ("prior valid", "prior unique", "prior novel", "prior FCD", "learned prior valid",
                            "learned prior unique", "learned prior FCD"),
    "The space between": (*(f"valid at {r}" for r in RADII), "distinct at 0.5", "similarity at 0.5", "valid between",
                          "smoothness", "order"),
    "What the latents know": ("silhouette", "purity", "class AUC", "R2 logp", "R2 tpsa", "R2 qed", "anomaly AUC"),
}  # fmt: skip
PANELS = ("exact", "latents of N draws", "molecules of N x M", "prior valid", "prior FCD", "learned prior FCD",
          "valid between", "smoothness", "silhouette", "class AUC", "R2 logp", "anomaly AUC")  # fmt: skip


def write(runs: pd.DataFrame, folder: Path) -> None:
    """table.md, bars.png and holes.png in `folder`, of a row per model and seed."""
    (folder / "table.md").write_text(table(runs), encoding="utf-8")
    bars(runs).savefig(folder / "bars.png", dpi=90)
    holes(runs).savefig(folder / "holes.png", dpi=90)


def summary(runs: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Mean and standard deviation over seeds, a row per model in the order they were run."""
    groups = runs.drop(columns="seed").groupby("model", sort=False)
    return groups.mean(), groups.std(ddof=1)


def table(runs: pd.DataFrame) -> str:
    """Markdown: a column per model, a section per question."""
    mean, spread = summary(runs)
    seeds = runs["seed"].nunique()
    lines = [f"Mean and standard deviation over {seeds} seeds." if seeds > 1 else "One seed.", ""]
    lines += [f"| | {' | '.join(map(str, mean.index))} |", "|---|" + "---|" * len(mean)]
    for title, names in SECTIONS.items():
        lines.append(f"| **{title}** |" + " |" * len(mean))
        for name in names:
            cells = [cell(m, s) for m, s in zip(mean[name], spread[name], strict=True)]
            lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def cell(mean: float, spread: float) -> str:
    if not np.isfinite(mean):
        return ""
    digits = 1 if abs(mean) >= 10 else 2
    return f"{mean:.{digits}f}" + (f" ± {spread:.{digits}f}" if np.isfinite(spread) else "")


def bars(runs: pd.DataFrame) -> Figure:
    """A panel per figure, a bar per model with its spread over seeds."""
    mean, spread = summary(runs)
    figure = Figure(figsize=(15, 9), layout="constrained")
    axes: Any = figure.subplots(3, 4, sharey=True).flat
    for axis, name in zip(axes, PANELS, strict=True):
        axis.barh(mean.index, mean[name], xerr=spread[name].fillna(0), color=_colors(mean), capsize=3)
        axis.set_title(name, fontsize=11)
        axis.grid(axis="x", alpha=0.3)
    axes[0].invert_yaxis()
    return figure


def holes(runs: pd.DataFrame) -> Figure:
    """Validity and distinct molecules around test molecules against the noise level."""
    mean, spread = summary(runs)
    figure = Figure(figsize=(12, 4.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    for axis, what, unit in ((left, "valid", "share of strings"), (right, "distinct", "molecules of 10 draws")):
        for model, color in zip(mean.index, _colors(mean), strict=True):
            columns = [f"{what} at {r}" for r in RADII]
            error = spread.loc[model, columns].fillna(0)
            axis.errorbar(RADII, mean.loc[model, columns], error, label=model, color=color, capsize=3, marker="o")
        axis.set(title=f"{what} around test molecules", xlabel="noise_level", ylabel=unit)
        axis.grid(alpha=0.3)
    left.legend(fontsize="small")
    return figure


def _colors(models: pd.DataFrame) -> list[str]:
    return [f"C{i}" for i in range(len(models))]
