"""Measure how often each sampling strategy gives which similarity to the seed, for `molvae.generation.strategies`.

    python scripts/strategy_frequencies.py druglike_valid.smi.gz --seeds 120

Each seed gets as many samples of every strategy. Prints the rows of `SIMILARITY_FREQUENCIES`.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from unittest.mock import patch

import numpy as np

from molvae import Generator
from molvae.data.readers import Record, read_records
from molvae.generation.analogs import ScoredSample, SeedSearch
from molvae.generation.constraint_checker import CheckedMolecule
from molvae.generation.similarity_target import StrategyAllocator
from molvae.generation.strategies import STRATEGIES, Strategy

SAMPLES_PER_STRATEGY, N_BINS = 12, 10


class Frequencies:
    """Counts of the new molecules of each strategy by similarity."""

    def __init__(self) -> None:
        self.counts = np.zeros((len(STRATEGIES), N_BINS))
        self.drawn = 0

    def add_round(
        self,
        search: SeedSearch,
        samples: Sequence[ScoredSample],
        strategies: Sequence[Strategy],
        accepted: Mapping[str, CheckedMolecule],
    ) -> None:
        """Count a round in place of `SeedSearch.add_round`."""
        seen = set[str]()
        for (sample, _), strategy in zip(samples, strategies, strict=True):
            if sample and sample.smiles in accepted and sample.smiles not in seen:
                seen.add(sample.smiles)
                similarity_bin = min(int(search.similarity[sample.smiles] * N_BINS), N_BINS - 1)
                self.counts[STRATEGIES.index(strategy), similarity_bin] += 1
        self.drawn += SAMPLES_PER_STRATEGY
        search.count_round(0, len(samples))

    def rows(self) -> list[str]:
        return [f"({', '.join(f'{share:.3f}' for share in row)})," for row in self.counts / self.drawn]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("molecules", type=Path)
    parser.add_argument("--seeds", type=int, default=120)
    parser.add_argument("--model", default="druglike")
    options = parser.parse_args(arguments)
    smiles = [row.smiles for row in read_records(options.molecules) if isinstance(row, Record)][: options.seeds]
    generator, frequencies = Generator.load(options.model, device="cpu"), Frequencies()
    n_samples = SAMPLES_PER_STRATEGY * len(STRATEGIES)
    with (
        warnings.catch_warnings(action="ignore"),
        patch.object(SeedSearch, "add_round", lambda search, *round_: frequencies.add_round(search, *round_)),
        patch.object(StrategyAllocator, "allocate", lambda _, n: list(STRATEGIES) * (n // len(STRATEGIES))),
    ):
        for seed in smiles:
            generator.analogs(seed, n_samples, pool_size=1, workers=0, properties=(), max_samples=n_samples)
    print("\n".join(frequencies.rows()))


if __name__ == "__main__":
    main()
