"""Optimization benchmark: from QED 0.7-0.8 to 0.9 or more, at Tanimoto 0.4 or more to the start.

    python benchmarks/optimize.py druglike_test.smi.gz --starts 800 --output benchmarks/optimize.md

The starts are random molecules of the file with a QED in that range that the model can encode. RDKit confirms each
success. Task and published results: Jin et al. 2020 (HierG2G) and Reidenbach et al. 2023 (MolMIM), for 800 molecules of
ZINC.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Iterator
from math import sqrt
from pathlib import Path

import pandas as pd
from common import header, random_molecules
from rdkit import Chem, DataStructs
from rdkit.Chem import QED, rdFingerprintGenerator

from molvae import Generator
from molvae.explore import optimize
from molvae.explore.latent_search import SearchStrategy

START_RANGE, TARGET, MIN_SIMILARITY = (0.7, 0.8), 0.9, 0.4
PUBLISHED = {"HierG2G": 0.769, "MolMIM": 0.946}
SAMPLE_COUNTS = (100, 250, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000)
STARTS_PER_CALL = 100  # their populations are decoded together
_MORGAN = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)


def find_starts(path: Path, generator: Generator, n: int) -> list[str]:
    """The first `n` suitable molecules of a file in random order."""
    starts: list[str] = []
    for smiles in random_molecules(path):
        if len(starts) == n:
            break
        in_range = START_RANGE[0] <= QED.qed(Chem.MolFromSmiles(smiles)) <= START_RANGE[1]
        if in_range and not generator.encode(smiles)["error"][0]:
            starts.append(smiles)
    return starts


def run(
    generator: Generator, starts: list[str], max_samples: int, strategy: SearchStrategy, random_state: int
) -> Iterator[pd.DataFrame]:
    """Statistics with a row per start: evaluations and samples until the success, or in total without one."""
    for first in range(0, len(starts), STARTS_PER_CALL):
        table = optimize(
            generator, starts[first : first + STARTS_PER_CALL], "qed", filters=f"similarity>={MIN_SIMILARITY}",
            target=TARGET, max_samples=max_samples, strategy=strategy, random_state=random_state,
            allow_unprecedented=True,  # as in the published tasks, whose success is similarity and QED only
        )  # fmt: skip
        runs = pd.DataFrame(table.attrs["statistics"]).astype({"evaluations": float, "samples": float})
        runs["decoded"] = runs["samples"]
        best = table.drop_duplicates("seed").set_index("seed")
        confirmed = [
            row.reached_target and is_success(row.seed, best.loc[row.seed, "smiles"]) for row in runs.itertuples()
        ]
        assert confirmed == list(runs["reached_target"]), "RDKit does not confirm a success"
        reached = runs["reached_target"].to_numpy()
        until_success = best.reindex(runs["seed"])[["n_evaluations", "n_samples"]].to_numpy()
        runs.loc[reached, ["evaluations", "samples"]] = until_success[reached]
        yield runs
        print(f"{first + len(runs)} starts; success of the last {len(runs)}: {reached.mean():.1%}", flush=True)


def is_success(start: str, smiles: str) -> bool:
    a, b = Chem.MolFromSmiles(start), Chem.MolFromSmiles(smiles)
    similarity = DataStructs.TanimotoSimilarity(_MORGAN.GetFingerprint(a), _MORGAN.GetFingerprint(b))
    return QED.qed(b) >= TARGET and similarity >= MIN_SIMILARITY


def wilson_interval(rate: float, n: int) -> tuple[float, float]:
    """Wilson's 95 % confidence interval of a proportion."""
    z = 1.96
    center = (rate + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z * sqrt(rate * (1 - rate) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    return center - half, center + half


def report(runs: pd.DataFrame, options: argparse.Namespace, strategy: SearchStrategy, minutes: float) -> str:
    rate, n = runs["reached_target"].mean(), len(runs)
    low, high = wilson_interval(rate, n)
    successes, failures = runs[runs["reached_target"]], runs[~runs["reached_target"]]
    counts = [count for count in SAMPLE_COUNTS if count <= options.max_samples]
    by_samples = " | ".join(f"{(runs['reached_target'] & (runs['samples'] <= count)).mean():.1%}" for count in counts)
    return "\n".join([
        *header("Optimization of QED from 0.7-0.8 to 0.9 at similarity 0.4", "torch", "rdkit", model=options.model),
        f"{n} molecules of {options.molecules.name} with a QED of 0.7 to 0.8. A success is a molecule with a QED of at "
        f"least 0.9 and a Tanimoto similarity (Morgan, radius 2, 2048 bits) of at least 0.4 to its start. At most "
        f"{options.max_samples:,} samples per start.", "",
        "| | success rate |", "|---|---|",
        f"| molvae, `{options.model}` | {rate:.1%} (95 % interval {low:.1%} to {high:.1%}) |",
        *(f"| {name}, published, 800 molecules of ZINC | {value:.1%} |" for name, value in PUBLISHED.items()), "",
        "| samples | " + " | ".join(f"{count:,}" for count in counts) + " |",
        "|---" * (1 + len(counts)) + "|",
        f"| success rate | {by_samples} |", "",
        f"Until a success: {successes['evaluations'].median():.0f} evaluations of QED (median; mean "
        f"{successes['evaluations'].mean():.0f}) and {successes['samples'].median():.0f} samples (mean "
        f"{successes['samples'].mean():.0f}); only new molecules that are similar enough are evaluated. Evaluations of "
        f"a failure: {failures['evaluations'].mean():.0f} (mean). "
        f"{runs['valid'].sum() / runs['decoded'].sum():.0%} of all samples were valid.", "",
        f"`{strategy}`. {minutes:.0f} minutes.", "",
    ])  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("molecules", type=Path, help="file of SMILES that the starts are drawn from")
    parser.add_argument("--starts", type=int, default=100, help="number of starts")
    parser.add_argument("--max-samples", type=int, default=5000, help="samples per start")
    parser.add_argument("--model", default="druglike")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--random-seed", type=int, default=0)
    parser.add_argument("--output", type=Path, required=True, help="result page (.md)")
    defaults = vars(SearchStrategy())
    for name, value in defaults.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value, help="of SearchStrategy")
    options = parser.parse_args()
    strategy = SearchStrategy(**{name: getattr(options, name) for name in defaults})
    warnings.simplefilter("ignore")
    generator = Generator.load(options.model, options.device)
    starts, start_time = find_starts(options.molecules, generator, options.starts), time.perf_counter()
    runs = pd.concat(run(generator, starts, options.max_samples, strategy, options.random_seed), ignore_index=True)
    text = report(runs, options, strategy, (time.perf_counter() - start_time) / 60)
    options.output.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
