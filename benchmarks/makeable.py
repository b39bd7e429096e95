"""Share of analogs that have a route of synthesis: molvae, with and without --makeable, and other methods.

    pip install selfies crem
    python benchmarks/makeable.py ../shared/data/druglike_test.smi.gz --seeds 200 --peers 200 --fragments fragments.db

Every method makes up to 20 analogs of each seed at a Tanimoto similarity of 0.4 or more; CReM runs if there is a
database of fragments. Routes are searched with the default stock and at most 4 steps. The time is that of making the
analogs, which for --makeable includes the search of routes; it is divided by the number of analogs.

The second table makes analogs by synthesis: up to 100 at a similarity of 0.5 or more with routes of at most 3 steps.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from common import generate_analogs, machine, random_molecules
from plausibility import peer_methods
from tqdm import tqdm

from molvae import Generator, RouteScore
from molvae.chem.fingerprints import morgan, tanimoto
from molvae.chem.smiles import canonical, parse

N_ANALOGS, N_BY_SYNTHESIS = 20, 100

Method = Callable[[str], list[str]]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("test_set", type=Path)
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--peers", type=int, default=200, help="seeds of the other methods")
    parser.add_argument("--fragments", type=Path, help="CReM's database")
    parser.add_argument("--by-synthesis", type=int, default=50, help="seeds of the second table")
    parser.add_argument("--stock", help="stock of the second table; default: the one of the package")
    options = parser.parse_args()
    seeds = [canonical(text) for text in random_molecules(options.test_set, options.seeds, random_state=33)]
    generator = Generator.load("druglike", device="cpu")
    methods: dict[str, Method] = {
        "molvae": lambda seed: analogs(generator, seed),
        "molvae, --makeable": lambda seed: analogs(generator, seed, makeable=True),
    }
    peers = peer_methods(options.fragments)
    print(f"{len(seeds)} seeds, {N_ANALOGS} analogs; {machine('rdkit', 'torch')}\n")
    print("| method | seeds | analogs | with a route | median steps | median similarity | seconds for an analog |")
    print("|---|---|---|---|---|---|---|")
    for name, method in {**methods, **peers}.items():
        print(row(name, method, seeds if name in methods else seeds[: options.peers]))
    if options.by_synthesis:
        by_synthesis(generator, seeds[: options.by_synthesis], options.stock)


def analogs(generator: Generator, seed: str, n: int = N_ANALOGS, **options: Any) -> list[str]:
    """The analogs of a seed at the required similarity."""
    return list(generate_analogs(generator, [seed], n, similarity="0.4:1", properties=(), **options)[0]["smiles"])


def row(name: str, method: Method, seeds: Sequence[str]) -> str:
    """Make the analogs of all seeds, then search their routes."""
    seconds, made = 0.0, list[tuple[str, str]]()
    for seed in tqdm(seeds, desc=name):
        start = time.perf_counter()
        found = method(seed)[:N_ANALOGS]
        seconds += time.perf_counter() - start
        made += [(seed, text) for text in found]
    steps = RouteScore()([text for _, text in made])
    similarity = [float(tanimoto(morgan(parse(seed)), [morgan(parse(text))])[0]) for seed, text in made]
    return (
        f"| {name} | {len(seeds)} | {len(made):,} | {100 * np.mean(np.isfinite(steps)):.1f} % | "
        f"{np.nanmedian(steps):.0f} | {np.median(similarity):.2f} | {seconds / max(1, len(made)):.2f} |"
    )


def by_synthesis(generator: Generator, seeds: Sequence[str], stock: str | None) -> None:
    """The second table: analogs by synthesis."""
    found, seconds, similar, steps = [], [], [], []
    for seed in tqdm(seeds, desc="by synthesis"):
        start = time.perf_counter()
        table, _ = generate_analogs(
            generator, [seed], N_BY_SYNTHESIS, similarity="0.5:1", by_synthesis=True, max_steps=3, stock=stock
        )
        seconds.append(time.perf_counter() - start)
        found.append(len(table))
        similar += list(table["similarity"])
        steps += list(table["n_steps"])
    print(f"\nBy synthesis, {len(seeds)} seeds, {N_BY_SYNTHESIS} analogs, similarity 0.5 or more, at most 3 steps:\n")
    print("| complete | median analogs | median similarity | median steps | median time | 95 % |")
    print("|---|---|---|---|---|---|")
    cells = [
        f"{sum(n == N_BY_SYNTHESIS for n in found)} of {len(seeds)}", f"{np.median(found):.0f}",
        f"{np.median(similar):.2f}", f"{np.median(steps):.0f}", f"{np.median(seconds):.1f} s",
        f"{np.percentile(seconds, 95):.1f} s",
    ]  # fmt: skip
    print(f"| {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
