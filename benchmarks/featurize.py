"""Featurization in molecules per second: SMILES to graphs, compared with RDKit's parsing alone and with PyG.

    python benchmarks/featurize.py druglike_train.smi.gz --molecules 40000 --workers 2 --output benchmarks/featurize.md

Three functions run in turn in every round, on the same molecules and with the same number of worker processes, so that
other load on the machine slows all of them:

- RDKit: `MolFromSmiles` and `MolToSmiles`, with the SMILES returned. It bounds every featurizer that canonicalizes.
- molvae: `molvae.data.packing.pack`, from SMILES to packed arrays with a vocabulary and without duplicates.
- PyG: `torch_geometric.utils.from_smiles`. Its graphs are counted, but not returned to the main process, which would
  take longer.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from common import header
from rdkit import Chem

from molvae.data.packing import pack
from molvae.data.parallel import chunked, map_chunks
from molvae.data.readers import Record, read_records

RDKIT, MOLVAE, PYG = "RDKit, parse and write only", "molvae, to packed arrays", "PyG, from_smiles"
N_WARM_UP = 1000


def rdkit_chunk(smiles: list[str]) -> list[str]:
    return [Chem.MolToSmiles(Chem.MolFromSmiles(text)) for text in smiles]


def pyg_chunk(smiles: list[str]) -> int:
    from torch_geometric.utils import from_smiles

    return sum(from_smiles(text).num_nodes > 0 for text in smiles)


def run_rdkit(records: Sequence[Record], workers: int) -> None:
    assert sum(map(len, map_chunks(rdkit_chunk, chunked(r.smiles for r in records), workers))) == len(records)


def run_molvae(records: Sequence[Record], workers: int) -> None:
    assert pack(records, workers=workers, max_length=1000)[2].read == len(records)


def run_pyg(records: Sequence[Record], workers: int) -> None:
    assert sum(map_chunks(pyg_chunk, chunked(r.smiles for r in records), workers)) == len(records)


FUNCTIONS: dict[str, Callable[[Sequence[Record], int], None]] = {RDKIT: run_rdkit, MOLVAE: run_molvae, PYG: run_pyg}


def measure_rates(records: Sequence[Record], workers: int, n_rounds: int) -> dict[str, list[float]]:
    """Molecules per second of each function in each round, after a short warm-up round."""
    rates: dict[str, list[float]] = {name: [] for name in FUNCTIONS}
    for round_number in range(n_rounds + 1):
        molecules = records if round_number else records[:N_WARM_UP]
        for name, function in FUNCTIONS.items():
            start = time.perf_counter()
            function(molecules, workers)
            if round_number:
                rates[name].append(len(molecules) / (time.perf_counter() - start))
    return rates


def median_ratio(rates: Sequence[float], baseline: Sequence[float]) -> float:
    """Median over the rounds of the ratio within a round, in which the machine had the same load."""
    return statistics.median(a / b for a, b in zip(rates, baseline, strict=True))


def table(rates: dict[str, list[float]]) -> list[str]:
    lines = ["| | molecules/s, median | range over the rounds | ratio to RDKit alone |", "|---|---|---|---|"]
    for name, values in rates.items():
        ratio = median_ratio(values, rates[RDKIT])
        lines.append(
            f"| {name} | {statistics.median(values):,.0f} | {min(values):,.0f} to {max(values):,.0f} | {ratio:.2f} |"
        )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("smi", type=Path, help="file of SMILES, all of them valid")
    parser.add_argument("--molecules", type=int, default=10_000, help="number of molecules (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="worker processes")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", type=Path, help="result page (.md)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    records = [row for row in read_records(options.smi) if isinstance(row, Record)][: options.molecules]
    rates = measure_rates(records, options.workers, options.rounds)
    text = "\n".join([
        *header("Featurization: SMILES to graphs", "rdkit", "torch", "torch-geometric", "numpy"),
        f"{len(records):,} molecules of {options.smi.name}, {options.workers} worker processes, {options.rounds} "
        "interleaved rounds.", "",
        *table(rates), "",
        f"molvae makes {median_ratio(rates[MOLVAE], rates[PYG]):.1f} times as many graphs per second as PyG.", "",
    ])  # fmt: skip
    print(text, end="")
    if options.output:
        options.output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
