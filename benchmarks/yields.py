"""Yield of analogs: latents against samples per latent, many analogs near a seed, default options, fixed cores.

    python benchmarks/yields.py druglike_test.smi.gz --seeds 100 --output benchmarks/yields.md

Seeds are drawn at random from the file. "Usable" is defined as in `molvae score`.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from common import generate_analogs, header, random_molecules
from rdkit import Chem

from molvae import Generator
from molvae.chem.cores import core_queries
from molvae.chem.filters import alerts
from molvae.chem.plausibility import PlausibilityChecker
from molvae.chem.smiles import parse, write
from molvae.metrics.analogs import AnalogMetrics

LATENTS_AND_SAMPLES = ((1000, 1), (100, 10), (10, 100), (1, 1000))
TARGETS = (("0.4:1", 1000, 30_000), ("0.6:1", 100, 10_000))
"""Similarity range, number of analogs, and largest number of samples per seed."""
N_DEFAULT, N_CORE = 100, 50
QUALITY_METRICS = (
    "effective_novelty", "usable", "similarity_median", "frac_similarity_ge_0.4", "frac_similarity_ge_0.6"
)  # fmt: skip


def latent_rows(models: Sequence[str], seeds: Sequence[str], temperatures: Sequence[float]) -> list[str]:
    """Unique valid analogs of 1,000 samples, by the number of latents and of samples per latent."""
    head = " | ".join(f"{n} x {m}" for n, m in LATENTS_AND_SAMPLES)
    rows = [f"| model | temperature | {head} |", "|---" * 6 + "|"]
    for name in models:
        generator = Generator.load(name)
        for temperature in temperatures:
            found = []
            for n_latents, samples_per_latent in LATENTS_AND_SAMPLES:
                _, statistics = generate_analogs(
                    generator, seeds, 1000, noise_level=0.5, samples_per_latent=samples_per_latent,
                    max_samples=n_latents * samples_per_latent, temperature=temperature, properties=(),
                )  # fmt: skip
                found.append(f"{statistics['found'].mean():.0f}")
            rows.append(f"| {name} | {temperature:g} | {' | '.join(found)} |")
            print(rows[-1], flush=True)
    return rows


def target_row(generator: Generator, seeds: Sequence[str], similarity: str, n: int, max_samples: int) -> str:
    """How many seeds have `n` new molecules in a similarity range, and the samples that this takes."""
    start = time.perf_counter()
    _, statistics = generate_analogs(
        generator, seeds, n, similarity=similarity, max_samples=max_samples, exclude_training_set=True, properties=()
    )
    seconds = (time.perf_counter() - start) / len(seeds)
    complete = statistics["found"] >= n
    incomplete = statistics.loc[~complete, "found"]
    return (
        f"| {n:,} at {similarity} | {complete.mean():.1%} | {incomplete.median() if len(incomplete) else n:.0f} | "
        f"{_sample_cells(statistics)} | {seconds:.1f} |"
    )


def _sample_cells(statistics: pd.DataFrame) -> str:
    found, samples, valid = (statistics[name] for name in ("found", "samples", "valid"))
    return f"{samples.median():,.0f} | {found.sum() / samples.sum():.3f} | {valid.sum() / samples.sum():.2f}"


def random_core(smiles: str, random: np.random.Generator) -> str | None:
    """Cut a random acyclic single bond and return the larger fragment, with an attachment point.

    Only bonds whose smaller fragment has at most a third of the atoms are cut; None if there is none.
    """
    mol, cores = parse(smiles), list[str]()
    for bond in mol.GetBonds():
        if bond.GetBondType() == Chem.BondType.SINGLE and not bond.IsInRing():
            fragments = Chem.FragmentOnBonds(mol, [bond.GetIdx()], dummyLabels=[(0, 0)])
            substituent, core = sorted(Chem.GetMolFrags(fragments, asMols=True), key=Chem.Mol.GetNumAtoms)
            if 3 * (substituent.GetNumAtoms() - 1) <= mol.GetNumAtoms():
                cores.append(write(core))
    return str(random.choice(cores)) if cores else None


def core_rows(generator: Generator, seeds: Sequence[str], n: int) -> list[str]:
    """Analogs with a fixed core: by `core`, and by the same pattern as `include_smarts`."""
    random = np.random.default_rng(0)
    cores = {seed: core for seed in seeds if (core := random_core(seed, random))}
    rows = [
        "| option | seeds | all found | found (median) | samples (median) | accepted samples | valid samples |",
        "|---" * 7 + "|",
    ]
    for option in ("core", "include_smarts"):
        parts = []
        for seed, core in cores.items():
            value = core if option == "core" else Chem.MolToSmarts(core_queries(core)[0])
            parts.append(generate_analogs(generator, [seed], n, properties=(), **{option: value})[1])
        statistics = pd.concat(parts)
        rows.append(
            f"| {option} | {len(statistics)} | {(statistics['found'] >= n).mean():.1%} | "
            f"{statistics['found'].median():.0f} | {_sample_cells(statistics)} |"
        )
        print(rows[-1], flush=True)
    return rows


def quality(analogs: pd.DataFrame) -> dict[str, float | None]:
    """Metrics of analogs as in `molvae score`."""
    metrics = AnalogMetrics()
    found = [alerts(parse(smiles), ("PAINS", "BRENK")) for smiles in analogs["smiles"]]
    checkers = {seed: PlausibilityChecker.for_seed(parse(seed)) for seed in analogs["seed"].unique()}
    pairs = zip(analogs["seed"], analogs["smiles"], strict=True)
    plausible = [not checkers[seed].first_flaw(parse(smiles)) for seed, smiles in pairs]
    metrics.add(analogs.assign(canonical=analogs["smiles"], alerts=found, plausible=plausible))
    return metrics.overall()


def quality_row(name: str, analogs: pd.DataFrame, statistics: pd.DataFrame) -> str:
    values = quality(analogs)
    cells = " | ".join(f"{values[metric]:.3f}" for metric in QUALITY_METRICS)
    return (
        f"| {name} | {(statistics['found'] >= N_DEFAULT).mean():.1%} | {cells} | "
        f"{statistics['samples'].median():,.0f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("molecules", type=Path, help="file of SMILES that the seeds are drawn from")
    parser.add_argument("--seeds", type=int, default=100, help="number of seeds")
    parser.add_argument("--latent-seeds", type=int, default=40, help="number of seeds of the first table")
    parser.add_argument("--output", type=Path, required=True, help="result page (.md)")
    options = parser.parse_args()
    seeds, generator = random_molecules(options.molecules, options.seeds, random_state=1), Generator.load("druglike")
    lines = [
        *header("Yield of analogs", "torch", "rdkit", model="druglike"),
        f"Seeds drawn from {options.molecules.name}.", "",
        "## N latents x M samples per latent", "",
        f"Unique valid analogs of 1,000 samples at noise level 0.5; mean of {options.latent_seeds} seeds.", "",
        *latent_rows(("druglike", "druglike-ae"), seeds[: options.latent_seeds], (0.7, 1.0)), "",
        "## Many analogs near a seed", "",
        f"New molecules around each of {options.seeds} seeds, at most {TARGETS[0][2]:,} and {TARGETS[1][2]:,} samples. "
        "Incomplete: median number found for seeds that have fewer than requested.", "",
        "| request | seeds with all | incomplete | samples (median) | accepted samples | valid samples "
        "| seconds per seed |", "|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    for target in TARGETS:
        lines.append(target_row(generator, seeds, *target))
        print(lines[-1], flush=True)
    lines += [
        "", "## Default options, with and without a filter of alerts", "",
        f"{N_DEFAULT} analogs of each of {options.seeds} seeds; fractions of all of them. Effective novelty: unique, "
        "not the seed, not in the training set. Usable: also a similarity of at least 0.4, not harder to synthesize "
        "than the seed, and no alert that the seed does not have.", "",
        "| options | all found | effective novelty | usable | similarity (median) | similarity >= 0.4 | >= 0.6 "
        "| samples (median) |", "|---" * 8 + "|",
    ]  # fmt: skip
    for name, alert_sets in (("default", ()), ("--alerts pains,brenk", ("PAINS", "BRENK"))):
        result = generate_analogs(generator, seeds, N_DEFAULT, properties=["sa"], alerts=alert_sets)
        lines.append(quality_row(name, *result))
        print(lines[-1], flush=True)
    lines += [
        "", "## Fixed core", "",
        f"{N_CORE} analogs of each seed in which one random substituent is replaced: with `core`, and with the same "
        "pattern as `include_smarts`, which rejects samples after decoding.", "",
        *core_rows(generator, seeds, N_CORE), "",
    ]  # fmt: skip
    options.output.write_text("\n".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
