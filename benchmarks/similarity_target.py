"""Accuracy of the similarity target: requested against delivered median similarity, seed by seed.

    python benchmarks/similarity_target.py druglike_test.smi.gz --seeds 1000 --output benchmarks/similarity_target.md

Every seed gets analogs at each target; the median similarity of its analogs is compared with the target. Two drugs have
tables of their own, because a published demonstration of another model (MolMIM) uses them: it reports mean similarities
of 0.42 to 0.22 for noise radii of 0.3 to 1.0, and 0.28 to 0.38 for any minimum similarity from 0.1 to 0.7.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import pandas as pd
from common import DRUGS, generate_analogs, header, random_molecules

from molvae import Generator

TARGETS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
TOLERANCE = 0.05
DRUG_NAMES, N_DRUG_ANALOGS, DRUG_SAMPLE_FACTOR = ("imatinib", "upadacitinib"), 100, 20
TABLE_HEAD = [
    "| target | median similarity | within 0.05 | all found | found | accepted samples | valid samples | samples |",
    "|---|---|---|---|---|---|---|---|",
]


def measure(generator: Generator, seeds: list[str], target: float, n: int, max_samples: int) -> pd.DataFrame:
    """A row per seed that the model can encode: found, samples, valid, and the median similarity of its analogs."""
    analogs, statistics = generate_analogs(
        generator, seeds, n, similarity=target, max_samples=max_samples, properties=()
    )
    medians = analogs.groupby("seed")["similarity"].median()
    return statistics.assign(median=statistics["seed"].map(medians))


def table_row(target: float, statistics: pd.DataFrame, n: int) -> str:
    within = (statistics["median"] - target).abs() <= TOLERANCE
    found, samples, valid = (statistics[name] for name in ("found", "samples", "valid"))
    return (
        f"| {target:g} | {statistics['median'].median():.3f} | {within.mean():.1%} | {(found >= n).mean():.1%} | "
        f"{found.median():.0f} | {found.sum() / samples.sum():.3f} | {valid.sum() / samples.sum():.2f} | "
        f"{samples.median():.0f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("molecules", type=Path, help="file of SMILES that the seeds are drawn from")
    parser.add_argument("--seeds", type=int, default=1000, help="number of seeds")
    parser.add_argument("-n", type=int, default=20, help="analogs per seed")
    parser.add_argument("--max-samples", type=int, default=1000, help="samples per seed")
    parser.add_argument("--model", default="druglike")
    parser.add_argument("--output", type=Path, required=True, help="result page (.md)")
    options = parser.parse_args()
    generator, seeds = Generator.load(options.model), random_molecules(options.molecules, options.seeds)
    lines = [
        *header("Accuracy of the similarity target", "torch", "rdkit", model=options.model),
        f"{options.seeds:,} seeds drawn from {options.molecules.name}, {options.n} analogs per seed, at most "
        f"{options.max_samples:,} samples per seed. The columns median similarity, found and samples are medians over "
        "the seeds.", "", *TABLE_HEAD,
    ]  # fmt: skip
    start = time.perf_counter()
    for target in TARGETS:
        statistics = measure(generator, seeds, target, options.n, options.max_samples)
        lines.append(table_row(target, statistics, options.n))
        print(lines[-1], flush=True)
    minutes = (time.perf_counter() - start) / 60
    for name in DRUG_NAMES:
        max_samples = DRUG_SAMPLE_FACTOR * options.max_samples
        lines += [
            "",
            f"{name.capitalize()}, {N_DRUG_ANALOGS} analogs, at most {max_samples:,} samples:",
            "",
            *TABLE_HEAD,
        ]
        for target in TARGETS:
            statistics = measure(generator, [DRUGS[name]], target, N_DRUG_ANALOGS, max_samples)
            lines.append(table_row(target, statistics, N_DRUG_ANALOGS))
            print(name, lines[-1], flush=True)
    lines += ["", f"{minutes:.0f} minutes for the drawn seeds.", ""]
    options.output.write_text("\n".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
