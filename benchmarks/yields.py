"""What latents and decodes yield: N latents x M strings of each, many analogs near a seed, the default settings.

    python benchmarks/yields.py druglike_test.smi.gz --seeds 100 --out benchmarks/yields.md

Seeds are drawn at random from the file. "Usable" is as `molvae score` has it.
"""

from __future__ import annotations

import argparse
import os
import platform
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rdkit import Chem
from seeds import drawn, spent

from molvae.chem.cores import core_queries
from molvae.chem.filters import alerts
from molvae.chem.smiles import parse, write
from molvae.generator import Generator
from molvae.metrics.analogs import AnalogMetrics

SPLITS = ((1000, 1), (100, 10), (10, 100), (1, 1000))
GOALS = (("0.4:1", 1000, 30_000), ("0.6:1", 100, 10_000))
DEFAULT_N, CORE_N = 100, 50


def asked(generator: Generator, seeds: Sequence[str], n: int, **options: Any) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The analogs, and a row per seed that the model can read: molecules found, strings spent, of these valid."""
    tables, costs = [], []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of seeds that it cannot read, and of those that are short
        for frame in generator.iter_analogs(seeds, n, **options):
            tables.append(frame)
            costs.append(spent(frame.attrs["statistics"]))
    return pd.concat(tables, ignore_index=True), pd.concat(costs, ignore_index=True)


def split_rows(models: Sequence[str], seeds: Sequence[str], temperatures: Sequence[float]) -> list[str]:
    """Distinct valid analogs of a thousand strings, for each split into latents and strings of each."""
    lines = ["| model | temperature | " + " | ".join(f"{n} x {m}" for n, m in SPLITS) + " |", "|---" * 6 + "|"]
    for name in models:
        generator = Generator.load(name)
        for temperature in temperatures:
            found = []
            for latents, strings in SPLITS:
                options = {
                    "noise_level": 0.5,
                    "samples_per_latent": strings,
                    "max_samples": latents * strings,
                    "temperature": temperature,
                    "properties": (),
                }
                _, per_seed = asked(generator, seeds, 1000, **options)
                found.append(f"{per_seed['found'].mean():.0f}")
            lines.append(f"| {name} | {temperature:g} | " + " | ".join(found) + " |")
            print(lines[-1], flush=True)
    return lines


def goal_row(generator: Generator, seeds: Sequence[str], band: str, n: int, max_samples: int) -> str:
    """How many seeds give so many novel molecules in a band, and what it costs."""
    start = time.perf_counter()
    _, per_seed = asked(
        generator, seeds, n, similarity=band, max_samples=max_samples, exclude_training_set=True, properties=()
    )
    seconds = (time.perf_counter() - start) / len(seeds)
    full = per_seed["found"] >= n
    short = per_seed.loc[~full, "found"]
    return (
        f"| {n:,} at {band} | {full.mean():.1%} | {short.median() if len(short) else n:.0f} | "
        f"{per_seed['samples'].median():,.0f} | {per_seed['found'].sum() / per_seed['samples'].sum():.3f} | "
        f"{per_seed['valid'].sum() / per_seed['samples'].sum():.2f} | {seconds:.1f} |"
    )


def open_core(smiles: str, random: np.random.Generator) -> str | None:
    """A molecule with one of its groups left open: a bond of a chain is cut, and the larger piece stays.

    None where no bond leaves a group of at most a third of the atoms.
    """
    mol, cores = parse(smiles), list[str]()
    for bond in mol.GetBonds():
        if bond.GetBondType() == Chem.BondType.SINGLE and not bond.IsInRing():
            cut = Chem.FragmentOnBonds(mol, [bond.GetIdx()], dummyLabels=[(0, 0)])
            group, core = sorted(Chem.GetMolFrags(cut, asMols=True), key=Chem.Mol.GetNumAtoms)
            if 3 * (group.GetNumAtoms() - 1) <= mol.GetNumAtoms():
                cores.append(write(core))
    return str(random.choice(cores)) if cores else None


def core_rows(generator: Generator, seeds: Sequence[str], n: int) -> list[str]:
    """What a core that stays costs, and the same wish for strings that leave the seed's anywhere."""
    random = np.random.default_rng(0)
    cores = {seed: core for seed in seeds if (core := open_core(seed, random))}
    lines = [
        "| wish | seeds | gave all | found (median) | strings (median) | kept of the strings | valid |",
        "|---" * 7 + "|",
    ]
    for name in ("core", "include_smarts"):
        rows = []
        for seed, core in cores.items():
            wish = core if name == "core" else Chem.MolToSmarts(core_queries(core)[0])
            rows.append(asked(generator, [seed], n, properties=(), **{name: wish})[1])
        costs = pd.concat(rows)
        lines.append(
            f"| {name} | {len(costs)} | {(costs['found'] >= n).mean():.1%} | {costs['found'].median():.0f} | "
            f"{costs['samples'].median():,.0f} | {costs['found'].sum() / costs['samples'].sum():.3f} | "
            f"{costs['valid'].sum() / costs['samples'].sum():.2f} |"
        )
        print(lines[-1], flush=True)
    return lines


def scored(analogs: pd.DataFrame) -> dict[str, float | None]:
    """Their worth, as `molvae score` has it."""
    scores = AnalogMetrics()
    found = [alerts(parse(smiles), ("PAINS", "BRENK")) for smiles in analogs["smiles"]]
    scores.add(analogs.assign(canonical=analogs["smiles"], alerts=found))
    return scores.overall()


def worth_row(name: str, analogs: pd.DataFrame, per_seed: pd.DataFrame) -> str:
    worth = scored(analogs)
    cells = ("effective_novelty", "usable", "similarity_median", "frac_similarity_ge_0.4", "frac_similarity_ge_0.6")
    figures = " | ".join(f"{worth[key]:.3f}" for key in cells)
    return (
        f"| {name} | {(per_seed['found'] >= DEFAULT_N).mean():.1%} | {figures} | {per_seed['samples'].median():,.0f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="a file of SMILES to draw seeds from")
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--split-seeds", type=int, default=40)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    seeds, generator = drawn(options.source, options.seeds, seed=1), Generator.load("druglike")
    text = [
        "# What latents and decodes yield", "",
        f"Seeds drawn from {options.source.name}, model `druglike`, {os.cpu_count()} cores ({platform.machine()}). "
        "Made by `benchmarks/yields.py`.", "",
        "## N latents x M strings of each", "",
        f"Distinct valid analogs of 1,000 strings, noise level 0.5; mean of {options.split_seeds} seeds.", "",
        *split_rows(("druglike", "druglike-ae"), seeds[: options.split_seeds], (0.7, 1.0)), "",
        "## Many, and near", "",
        f"Novel molecules around each of {options.seeds} seeds, {GOALS[0][2]:,} and {GOALS[1][2]:,} strings at most. "
        "Short: the median of what those seeds gave that did not give all.", "",
        "| asked | seeds that gave all | short | strings (median) | kept of the strings | valid | seconds a seed |",
        "|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    for goal in GOALS:
        text.append(goal_row(generator, seeds, *goal))
        print(text[-1], flush=True)
    text += [
        "", "## The default settings, and a wish for no new alerts", "",
        f"{DEFAULT_N} analogs of each of {options.seeds} seeds; shares over all of them. Effective: distinct, not the "
        "seed, novel. Usable: also at 0.4 or more, no harder to make than the seed, no alert that it lacks.", "",
        "| settings | gave all | effective novelty | usable | similarity (median) | at 0.4 or more | 0.6 | strings |",
        "|---" * 8 + "|",
    ]  # fmt: skip
    for name, wish in (("default", {}), ("--alerts pains,brenk", {"alerts": ["PAINS", "BRENK"]})):
        text.append(worth_row(name, *asked(generator, seeds, DEFAULT_N, properties=["sa"], **wish)))
        print(text[-1], flush=True)
    text += [
        "", "## A core that stays", "",
        f"{CORE_N} analogs of each seed in which one of its groups, drawn at random, is exchanged: by `core`, and by "
        "the same pattern as a wish that the strings do not know of.", "",
        *core_rows(generator, seeds, CORE_N),
    ]  # fmt: skip
    options.out.write_text("\n".join([*text, ""]), encoding="utf-8")


if __name__ == "__main__":
    main()
