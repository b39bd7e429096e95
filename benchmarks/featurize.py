"""Molecules a second from SMILES to graphs, beside what RDKit's parsing alone costs, and beside PyG.

    python benchmarks/featurize.py druglike_test.smi.gz --workers 2 --out benchmarks/featurize.md

Three contestants take turns in every round, on the same molecules and the same number of worker processes, so
that a busy machine slows all of them:

- RDKit: `MolFromSmiles` and `MolToSmiles`, strings returned. No featurizer that canonicalizes can be faster.
- molvae: `molvae.data.packing.pack`, the whole way to packed arrays with a vocabulary and without duplicates.
- PyG: `torch_geometric.utils.from_smiles`, only counted: returning its graphs to the caller would cost more.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

import torch
from rdkit import Chem

from molvae.data.packing import pack
from molvae.data.parallel import chunked, map_chunks
from molvae.data.readers import Record, read_records


def rdkit_chunk(smiles: list[str]) -> list[str]:
    return [Chem.MolToSmiles(Chem.MolFromSmiles(text)) for text in smiles]


def pyg_chunk(smiles: list[str]) -> int:
    from torch_geometric.utils import from_smiles

    return sum(from_smiles(text).num_nodes > 0 for text in smiles)


def by_rdkit(records: Sequence[Record], workers: int) -> None:
    assert sum(map(len, map_chunks(rdkit_chunk, chunked(r.smiles for r in records), workers))) == len(records)


def by_molvae(records: Sequence[Record], workers: int) -> None:
    assert pack(records, workers=workers, max_length=1000)[2].read == len(records)


def by_pyg(records: Sequence[Record], workers: int) -> None:
    assert sum(map_chunks(pyg_chunk, chunked(r.smiles for r in records), workers)) == len(records)


CONTESTANTS: dict[str, Callable[[Sequence[Record], int], None]] = {
    "RDKit, parse and write only": by_rdkit,
    "molvae, to packed arrays": by_molvae,
    "PyG, from_smiles": by_pyg,
}


def rounds(records: Sequence[Record], workers: int, count: int) -> dict[str, list[float]]:
    """Molecules a second of each contestant in each round; one short round before, which does not count."""
    rates: dict[str, list[float]] = {name: [] for name in CONTESTANTS}
    for number in range(count + 1):
        some = records if number else records[:1000]
        for name, run in CONTESTANTS.items():
            start = time.perf_counter()
            run(some, workers)
            if number:
                rates[name].append(len(some) / (time.perf_counter() - start))
    return rates


def table(rates: dict[str, list[float]]) -> list[str]:
    """Medians of the rounds; ratios are taken within a round, where the machine was equally busy."""
    base = rates["RDKit, parse and write only"]
    lines = ["| | molecules/s | slowest to fastest round | of RDKit alone |", "|---|---|---|---|"]
    for name, values in rates.items():
        ratio = statistics.median(a / b for a, b in zip(values, base, strict=True))
        middle = statistics.median(values)
        lines.append(f"| {name} | {middle:,.0f} | {min(values):,.0f} to {max(values):,.0f} | {ratio:.2f} |")
    return lines


def report(source: Path, molecules: int, workers: int, rates: dict[str, list[float]]) -> str:
    packages = ", ".join(f"{name} {version(name)}" for name in ("rdkit", "torch", "torch-geometric", "numpy"))
    ours, pyg = rates["molvae, to packed arrays"], rates["PyG, from_smiles"]
    times = statistics.median(a / b for a, b in zip(ours, pyg, strict=True))
    return "\n".join([
        "# Featurizing: SMILES to graphs",
        "",
        f"{molecules:,} molecules of {source.name}, {workers} worker processes, {os.cpu_count()} cores "
        f"({platform.machine()}), {len(ours)} interleaved rounds, medians. Python {platform.python_version()}, "
        f"{packages}.",
        "",
        *table(rates),
        "",
        f"molvae makes {times:.1f} times as many graphs a second as PyG. Made by `benchmarks/featurize.py`.",
        "",
    ])  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("smi", type=Path, help="a file of SMILES, all of them valid")
    parser.add_argument("--molecules", type=int, default=10_000, help="take this many (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, help="write the table here too")
    options = parser.parse_args()
    torch.set_num_threads(1)
    records = [row for row in read_records(options.smi) if isinstance(row, Record)][: options.molecules]
    text = report(options.smi, len(records), options.workers, rounds(records, options.workers, options.rounds))
    print(text, end="")
    if options.out:
        options.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
