"""Screening speed: rows per second, memory, and how the time grows with the library.

    python benchmarks/screen.py train.csv.gz --rows 10000 100000 1000000 --output benchmarks/screen.md

The library is MOSES train with one invalid row in a hundred; the seeds are three drugs. Each screen is the command as a
user runs it, from start to shortlist. The limit is the rate of RDKit, or of featurization and network, on molecules in
memory and with the same number of processes; a screen also reads, filters, ranks and transfers. Core-seconds are the
CPU time of all processes, which depends little on other load. Memory is that of all processes, with shared pages
counted once.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from common import DRUGS, header, memory_of_process_tree
from rdkit import DataStructs

from molvae import Generator
from molvae.chem.fingerprints import morgan
from molvae.chem.smiles import canonical_or_none, parse, silence_rdkit
from molvae.data.featurize import featurize_chunk
from molvae.data.parallel import chunked, map_chunks, worker_count
from molvae.data.readers import Record, read_records
from molvae.library.embedding import BATCH_SIZE, encode_chunk

SEEDS = [DRUGS[name] for name in ("imatinib", "warfarin", "ibuprofen")]
TANIMOTO, FILTERED, LATENT = (
    "Tanimoto to three seeds", "the same with filters: `mw<350`, amide, no ester", "cosine of latents"
)  # fmt: skip
SCREENS = {
    TANIMOTO: ["--rank-by", "tanimoto"],
    FILTERED: [
        "--rank-by", "tanimoto", "--filter", "mw<350", "--include-smarts", "C(=O)[NX3]",
        "--exclude-smarts", "C(=O)O[CX4]",
    ],
    LATENT: ["--rank-by", "latent"],
}  # fmt: skip
INVALID_SMILES = ("C1CC", "c1ccc", "CC(C", "C(F)(F)(F)(F)F", "not a molecule")
N_LIMIT_ROWS = 20_000
N_PROJECTED, CLUSTER_CORES = 1_000_000_000, (32, 128, 512)


@dataclass(frozen=True)
class ScreenRun:
    """Wall-clock time, CPU time, peak memory in bytes, and the last line that the command prints."""

    seconds: float
    core_seconds: float
    peak_memory: int
    summary: str


def write_library(molecules: Path, n_rows: int, path: Path) -> None:
    """The first molecules of a file, with every hundredth row invalid."""
    smiles = (row.smiles for row in read_records(molecules) if isinstance(row, Record))
    with path.open("w", encoding="utf-8") as file:
        for i in range(n_rows):
            file.write(f"{INVALID_SMILES[i // 100 % len(INVALID_SMILES)] if i % 100 == 99 else next(smiles)}\n")


def run_screen(path: Path, options: list[str], workers: int | None) -> ScreenRun:
    """Run `molvae screen` in a process of its own and measure it."""
    seeds = [part for seed in SEEDS for part in ("--seeds", seed)]
    worker_option = [] if workers is None else ["--workers", str(workers)]
    outputs = ["--invalid-rows", str(path.with_suffix(".invalid.csv")), "-o", f"{path}.csv"]
    command = [sys.executable, "-m", "molvae", "screen", str(path), *seeds, *options, *worker_option, *outputs]
    start, start_cpu = time.perf_counter(), cpu_seconds()
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    peak_memory = 0
    while process.poll() is None:
        peak_memory = max(peak_memory, memory_of_process_tree(process.pid))
        time.sleep(0.5)
    seconds = time.perf_counter() - start
    messages = process.stderr.read() if process.stderr else ""
    if process.returncode:
        raise SystemExit(messages)
    return ScreenRun(seconds, cpu_seconds() - start_cpu, peak_memory, messages.splitlines()[-1])


def cpu_seconds() -> float:
    """CPU time of this process and of its child processes that have exited."""
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def fingerprint_limit(seeds: list[Any], smiles: list[str]) -> int:
    """RDKit alone: parse, fingerprint, compare."""
    with silence_rdkit():
        for text in smiles:
            DataStructs.BulkTanimotoSimilarity(morgan(parse(text)), seeds)
    return len(smiles)


def latent_limit(generator: Generator, smiles: list[str]) -> int:
    """Featurization and network alone."""
    chunk = featurize_chunk(smiles, max_length=generator.checkpoint.config.max_length)
    return len(encode_chunk(generator.model, chunk, generator.device))


def measure_limit(
    molecules: Path, function: Callable[[Any, list[str]], int], shared: Any, workers: int | None
) -> tuple[float, float]:
    """Molecules per second, and per core-second, of a function of molecules in memory."""
    smiles = [row.smiles for row in islice(read_records(molecules), N_LIMIT_ROWS) if isinstance(row, Record)]
    smiles = [text for text in smiles if canonical_or_none(text)]
    start, start_cpu = time.perf_counter(), cpu_seconds()
    n = sum(map_chunks(function, chunked(smiles, BATCH_SIZE), workers, shared=shared))
    return n / (time.perf_counter() - start), n / (cpu_seconds() - start_cpu)


def projection_row(name: str, rows_per_core_second: float) -> str:
    """Core-hours for a billion rows, and hours on clusters of different size."""
    core_hours = N_PROJECTED / rows_per_core_second / 3600
    hours = " | ".join(f"{core_hours / cores:.1f}" for cores in CLUSTER_CORES)
    return f"| {name} | {rows_per_core_second:,.0f} | {core_hours:,.0f} | {hours} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("molecules", type=Path, help="molecules to make libraries of, such as MOSES's train.csv.gz")
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000, 1_000_000], help="library sizes")
    parser.add_argument("--workers", type=int, help="worker processes")
    parser.add_argument("--output", type=Path, required=True, help="result page (.md)")
    options = parser.parse_args()
    seeds, generator = [morgan(parse(seed)) for seed in SEEDS], Generator.load("druglike", "cpu")
    limits = {
        TANIMOTO: measure_limit(options.molecules, fingerprint_limit, seeds, options.workers),
        LATENT: measure_limit(options.molecules, latent_limit, generator, options.workers),
    }
    rows, projection, summaries = [], {}, []
    with tempfile.TemporaryDirectory() as folder:
        for n_rows in options.rows:
            path = Path(folder) / f"library{n_rows}.smi"
            write_library(options.molecules, n_rows, path)
            for name, arguments in SCREENS.items():
                run = run_screen(path, arguments, options.workers)
                rate, core_rate = n_rows / run.seconds, n_rows / run.core_seconds
                ratios = f"{rate / limits[name][0]:.2f} | {core_rate / limits[name][1]:.2f}" if name in limits else "|"
                projection[name] = projection_row(name, core_rate)  # overwritten by larger libraries
                rows.append(
                    f"| {name} | {n_rows:,} | {run.seconds:.0f} | {rate:,.0f} | {core_rate:,.0f} | {ratios} "
                    f"| {run.peak_memory / 2**20:,.0f} |"
                )
                summaries.append(f"- {name}, {n_rows:,}: {run.summary}")
                print(rows[-1], flush=True)
    lines = [
        *header("Screening", "rdkit", "numpy", "torch", model="druglike"),
        f"{worker_count(options.workers)} worker processes. Limits, in molecules per second and per core-second:", "",
        *(f"- {name}: {wall:,.0f} and {core:,.0f}" for name, (wall, core) in limits.items()), "",
        "| screen | rows | seconds, start to end | rows/s | rows/core-second | rows/s, ratio to limit "
        "| rows/core-second, ratio to limit | peak memory, MB |", "|---|---|---|---|---|---|---|---|", *rows, "",
        *summaries, "",
        f"## {N_PROJECTED:,} molecules", "",
        "Projected from the rows per core-second of the largest library above.", "",
        f"| screen | rows/core-second | core-hours | {' | '.join(f'hours on {n} cores' for n in CLUSTER_CORES)} |",
        f"|---|---|---|{'---|' * len(CLUSTER_CORES)}", *projection.values(), "",
    ]  # fmt: skip
    options.output.write_text("\n".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
