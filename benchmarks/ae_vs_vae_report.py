"""Table and figures of `ae_vs_vae.py`.

python benchmarks/ae_vs_vae_report.py docs/dev/ae_vs_vae     # again, from runs.csv in that folder
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

NOISE_LEVELS = (0.25, 0.5, 0.75)
SECTIONS = {
    "One input": ("exact", "exact, sampled", "latents of N samples", "molecules, 1 x M", "molecules, N x 1",
                  "molecules, N x M", "KL per dimension"),
    "Prior samples": ("prior valid", "prior unique", "prior novel", "prior FCD", "learned prior valid",
                      "learned prior unique", "learned prior FCD"),
    "Latent space between molecules": (*(f"valid at {level}" for level in NOISE_LEVELS), "unique at 0.5",
                                       "similarity at 0.5", "interpolation valid", "smoothness", "monotonicity"),
    "Information in the latents": ("silhouette", "purity", "class AUC", "R2 logp", "R2 tpsa", "R2 qed", "anomaly AUC"),
}  # fmt: skip
PANELS = ("exact", "latents of N samples", "molecules, N x M", "prior valid", "prior FCD", "learned prior FCD",
          "interpolation valid", "smoothness", "silhouette", "class AUC", "R2 logp", "anomaly AUC")  # fmt: skip


def write(runs: pd.DataFrame, folder: Path) -> None:
    """Write table.md, bars.png and holes.png to `folder`; `runs` has a row per model and random state."""
    (folder / "table.md").write_text(table(runs), encoding="utf-8")
    bar_charts(runs).savefig(folder / "bars.png", dpi=90)
    neighborhood_curves(runs).savefig(folder / "holes.png", dpi=90)


def summarize(runs: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Mean and standard deviation over the random states; a row per model, in the order of training."""
    groups = runs.drop(columns="random_state").groupby("model", sort=False)
    return groups.mean(), groups.std(ddof=1)


def table(runs: pd.DataFrame) -> str:
    """Markdown table with a column per model."""
    mean, std = summarize(runs)
    n = runs["random_state"].nunique()
    lines = [f"Mean and standard deviation over {n} random states." if n > 1 else "One random state.", ""]
    lines += [f"| | {' | '.join(map(str, mean.index))} |", "|---|" + "---|" * len(mean)]
    for title, names in SECTIONS.items():
        lines.append(f"| **{title}** |" + " |" * len(mean))
        for name in names:
            cells = [format_cell(m, s) for m, s in zip(mean[name], std[name], strict=True)]
            lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def format_cell(mean: float, std: float) -> str:
    if not np.isfinite(mean):
        return ""
    digits = 1 if abs(mean) >= 10 else 2
    return f"{mean:.{digits}f}" + (f" ± {std:.{digits}f}" if np.isfinite(std) else "")


def bar_charts(runs: pd.DataFrame) -> Figure:
    """A panel per metric and a bar per model, with the standard deviation over the random states."""
    mean, std = summarize(runs)
    figure = Figure(figsize=(15, 9), layout="constrained")
    axes: Any = figure.subplots(3, 4, sharey=True).flat
    for axis, name in zip(axes, PANELS, strict=True):
        axis.barh(mean.index, mean[name], xerr=std[name].fillna(0), color=_colors(mean), capsize=3)
        axis.set_title(name, fontsize=11)
        axis.grid(axis="x", alpha=0.3)
    axes[0].invert_yaxis()
    return figure


def neighborhood_curves(runs: pd.DataFrame) -> Figure:
    """Validity and number of unique molecules around test molecules, by noise level."""
    mean, std = summarize(runs)
    figure = Figure(figsize=(12, 4.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    for axis, metric, unit in ((left, "valid", "fraction of samples"), (right, "unique", "molecules per seed")):
        for model, color in zip(mean.index, _colors(mean), strict=True):
            columns = [f"{metric} at {level}" for level in NOISE_LEVELS]
            error = std.loc[model, columns].fillna(0)
            axis.errorbar(
                NOISE_LEVELS, mean.loc[model, columns], error, label=model, color=color, capsize=3, marker="o"
            )
        axis.set(title=f"{metric} molecules around test molecules", xlabel="noise level", ylabel=unit)
        axis.grid(alpha=0.3)
    left.legend(fontsize="small")
    return figure


def _colors(models: pd.DataFrame) -> list[str]:
    return [f"C{i}" for i in range(len(models))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder with runs.csv")
    folder = parser.parse_args().folder
    write(pd.read_csv(folder / "runs.csv"), folder)


if __name__ == "__main__":
    main()
