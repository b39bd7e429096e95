"""Does the similarity dial do what it says? Targets against delivered medians, seed by seed.

    python benchmarks/similarity_target.py druglike_test.smi.gz --seeds 1000 --out benchmarks/similarity_target.md

For every target each seed is asked for as many analogs; the median of what came is compared with the target. Two drugs
are shown apart, because a published demo of another model (MolMIM) is about them: there the mean similarity is 0.42 to
0.22 for noise levels of 0.3 to 1.0, and 0.28 to 0.38 whatever least similarity from 0.1 to 0.7 is asked for.
"""

from __future__ import annotations

import argparse
import os
import platform
import time
import warnings
from pathlib import Path

import pandas as pd
from seeds import drawn, spent

from molvae.generator import Generator

TARGETS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
DRUGS = {
    "imatinib": "Cc1ccc(NC(=O)c2ccc(CN3CCN(C)CC3)cc2)cc1Nc1nccc(-c2cccnc2)n1",
    "upadacitinib": "CC[C@@H]1CN(C(=O)NCC(F)(F)F)C[C@@H]1c1cnc2cnc3[nH]ccc3n12",
}
NEAR = 0.05


def asked(generator: Generator, seeds: list[str], target: float, n: int, max_samples: int) -> pd.DataFrame:
    """A row per seed that the model can read: molecules found, their median similarity, strings spent."""
    parts = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of those that it cannot, and of those that are short
        for frame in generator.iter_analogs(seeds, n, similarity=target, max_samples=max_samples, properties=()):
            found = spent(frame.attrs["statistics"])
            medians = frame.groupby("seed", sort=False)["similarity"].median()
            found.loc[found["found"] > 0, "median"] = medians.to_numpy()
            parts.append(found)
    return pd.concat(parts, ignore_index=True)


def line(name: str, table: pd.DataFrame, target: float, n: int) -> str:
    near = (table["median"] - target).abs() <= NEAR
    return (
        f"| {name} | {table['median'].median():.3f} | {near.mean():.1%} | {(table['found'] >= n).mean():.1%} | "
        f"{table['found'].median():.0f} | {table['found'].sum() / table['samples'].sum():.3f} | "
        f"{table['valid'].sum() / table['samples'].sum():.2f} | {table['samples'].median():.0f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="a file of SMILES to draw seeds from")
    parser.add_argument("--seeds", type=int, default=1000)
    parser.add_argument("-n", type=int, default=20, help="analogs for each seed")
    parser.add_argument("--max-samples", type=int, default=1000, help="strings for each seed")
    parser.add_argument("--model", default="druglike")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    generator, seeds = Generator.load(options.model), drawn(options.source, options.seeds)
    head = ["| target | median | within 0.05 | found all | found | kept of the strings | valid | strings |",
            "|---|---|---|---|---|---|---|---|"]  # fmt: skip
    machine = platform.machine()
    text = ["# The similarity dial", "",
            f"{options.seeds:,} seeds drawn from {options.source.name}, {options.n} analogs asked of each, "
            f"{options.max_samples:,} strings at most, model `{options.model}`, {os.cpu_count()} cores ({machine}). "
            "Median (of a seed's similarities), found and strings are medians over the seeds.", "", *head]  # fmt: skip
    start = time.perf_counter()
    for target in TARGETS:
        text.append(
            line(f"{target:g}", asked(generator, seeds, target, options.n, options.max_samples), target, options.n)
        )
        print(text[-1], flush=True)
    minutes = (time.perf_counter() - start) / 60
    for name, smiles in DRUGS.items():
        text += ["", f"{name.capitalize()}, 100 analogs, {20 * options.max_samples:,} strings at most:", "", *head]
        for target in TARGETS:
            table = asked(generator, [smiles], target, 100, 20 * options.max_samples)
            text.append(line(f"{target:g}", table, target, 100))
            print(name, text[-1], flush=True)
    text += ["", f"{minutes:.0f} minutes for the seeds. Made by `benchmarks/similarity_target.py`.", ""]
    options.out.write_text("\n".join(text), encoding="utf-8")


if __name__ == "__main__":
    main()
