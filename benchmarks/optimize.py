"""The field's task: from QED 0.7-0.8 to 0.9 or more, at Tanimoto 0.4 or more to the start. How often, and how soon?

    python benchmarks/optimize.py druglike_test.smi.gz --starts 100 --out benchmarks/optimize.md

Starts are drawn at random from the file (one molecule a line), those with a QED in that range that the model can read.
Every success is checked with RDKit alone. Task and published figures: Jin et al. 2020 (HierG2G) and Reidenbach et al.
2023 (MolMIM), on 800 molecules of ZINC.
"""

from __future__ import annotations

import argparse
import os
import time
import warnings
from collections.abc import Iterator
from math import sqrt
from pathlib import Path

import pandas as pd
from rdkit import Chem, DataStructs
from rdkit.Chem import QED, rdFingerprintGenerator
from seeds import drawn

from molvae.explore import optimize
from molvae.explore.latent_search import SearchStrategy
from molvae.generator import Generator

RANGE, TARGET, SIMILARITY = (0.7, 0.8), 0.9, 0.4
PUBLISHED = {"HierG2G": 0.769, "MolMIM": 0.946}
AT = (100, 250, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000)
TOGETHER = 100  # starts whose populations are decoded in one call
_MORGAN = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)


def starts(source: Path, generator: Generator, count: int) -> list[str]:
    """Molecules to begin at, drawn at random."""
    fitting = (text for text in drawn(source) if RANGE[0] <= QED.qed(Chem.MolFromSmiles(text)) <= RANGE[1])
    found: list[str] = []
    for text in fitting:
        if len(found) == count:
            break
        if not generator.encode(text)["error"][0]:
            found.append(text)
    return found


def runs(
    generator: Generator, seeds: list[str], max_samples: int, strategy: SearchStrategy, seed: int
) -> Iterator[pd.DataFrame]:
    """A row for each start: evaluations and strings up to the success, or all that were spent."""
    for first in range(0, len(seeds), TOGETHER):
        table = optimize(
            generator, seeds[first : first + TOGETHER], "qed", filters=f"similarity>={SIMILARITY}", target=TARGET,
            max_samples=max_samples, strategy=strategy, random_state=seed,
        )  # fmt: skip
        done = pd.DataFrame(table.attrs["statistics"]).assign(decoded=lambda frame: frame["samples"])
        best = table.drop_duplicates("seed").set_index("seed")
        reached = [row.reached_target and succeeds(row.seed, best.loc[row.seed, "smiles"]) for row in done.itertuples()]
        assert reached == list(done["reached_target"]), "a success that RDKit does not confirm"
        success = best.reindex(done["seed"])[["n_evaluations", "n_samples"]].to_numpy()
        done.loc[done["reached_target"], ["evaluations", "samples"]] = success[done["reached_target"]]
        yield done
        print(f"{first + len(done)} starts, {done['reached_target'].mean():.1%} of the last", flush=True)


def succeeds(start: str, smiles: str) -> bool:
    a, b = Chem.MolFromSmiles(start), Chem.MolFromSmiles(smiles)
    similarity = DataStructs.TanimotoSimilarity(_MORGAN.GetFingerprint(a), _MORGAN.GetFingerprint(b))
    return QED.qed(b) >= TARGET and similarity >= SIMILARITY


def interval(rate: float, count: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share."""
    z = 1.96
    center = (rate + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z * sqrt(rate * (1 - rate) / count + z**2 / (4 * count**2)) / (1 + z**2 / count)
    return center - half, center + half


def report(done: pd.DataFrame, options: argparse.Namespace, strategy: SearchStrategy, minutes: float) -> str:
    rate, count = done["reached_target"].mean(), len(done)
    low, high = interval(rate, count)
    won = done[done["reached_target"]]
    by_strings = " | ".join(
        f"{(done['reached_target'] & (done['samples'] <= at)).mean():.1%}" for at in AT if at <= options.max_samples
    )
    return "\n".join([
        "# From QED 0.7-0.8 to 0.9, similar to the start", "",
        f"{count} molecules of {options.source.name} with a QED of 0.7 to 0.8; a success is a molecule with QED 0.9 or "
        f"more and a Tanimoto similarity (Morgan, radius 2, 2048 bits) of 0.4 or more to its start. Model "
        f"`{options.model}`, {options.max_samples:,} strings at most for each start.", "",
        "| | success |", "|---|---|",
        f"| molvae, `{options.model}` | {rate:.1%} (95 % interval {low:.1%} to {high:.1%}) |",
        *(f"| {name}, as published, 800 ZINC molecules | {figure:.1%} |" for name, figure in PUBLISHED.items()), "",
        "| strings decoded | " + " | ".join(f"{at:,}" for at in AT if at <= options.max_samples) + " |",
        "|---" * (1 + sum(at <= options.max_samples for at in AT)) + "|",
        f"| success | {by_strings} |", "",
        f"A success took {won['evaluations'].median():.0f} evaluations of QED (median; mean "
        f"{won['evaluations'].mean():.0f}) out of {won['samples'].median():.0f} strings (mean "
        f"{won['samples'].mean():.0f}): only molecules that are new and similar enough are evaluated. A failure spent "
        f"{done.loc[~done['reached_target'], 'evaluations'].mean():.0f} evaluations. Of all strings "
        f"{done['valid'].sum() / done['decoded'].sum():.0%} were molecules.", "",
        f"`{strategy}`. {minutes:.0f} minutes on {os.cpu_count()} cores that other work shared. Made by "
        "`benchmarks/optimize.py`.", "",
    ])  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="a file of SMILES to draw starts from")
    parser.add_argument("--starts", type=int, default=100)
    parser.add_argument("--max-samples", type=int, default=5000, help="strings for each start")
    parser.add_argument("--model", default="druglike")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    defaults = SearchStrategy()
    for name, value in vars(defaults).items():
        parser.add_argument(f"--{name}", type=type(value), default=value)
    options = parser.parse_args()
    strategy = SearchStrategy(**{name: getattr(options, name) for name in vars(defaults)})
    warnings.simplefilter("ignore")
    generator = Generator.load(options.model, options.device)
    seeds, begin = starts(options.source, generator, options.starts), time.perf_counter()
    done = pd.concat(runs(generator, seeds, options.max_samples, strategy, options.seed), ignore_index=True)
    text = report(done, options, strategy, (time.perf_counter() - begin) / 60)
    options.out.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
