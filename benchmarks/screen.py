"""How fast is a screen, how much memory does it take, and how does its time grow with the library?

    python benchmarks/screen.py train.csv.gz --rows 10000 100000 1000000 --out benchmarks/screen.md

The library is MOSES train with one bad row in a hundred; the seeds are three drugs. Each screen is the command as a
user runs it, from start to shortlist. The limit is what RDKit, the featurizer and the network make of molecules that
are in memory already, on as many processes: a screen also reads, filters, ranks and hands over. Core-seconds are what
all processes together computed, which a busy machine changes little; memory is theirs too, each page counted once.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any

from memory import memory_of
from rdkit import DataStructs

from molvae.chem.fingerprints import morgan
from molvae.chem.smiles import canonical_or_none, parse, silence_rdkit
from molvae.data.featurize import featurize_chunk
from molvae.data.parallel import chunked, map_chunks, worker_count
from molvae.data.readers import Record, read_records
from molvae.generator import Generator
from molvae.library.embedding import BATCH_SIZE, encode_chunk

SEEDS = (
    "Cc1ccc(NC(=O)c2ccc(CN3CCN(C)CC3)cc2)cc1Nc1nccc(-c2cccnc2)n1",
    "CC(=O)CC(c1ccccc1)c1c(O)c2ccccc2oc1=O",
    "CC(C)Cc1ccc(C(C)C(=O)O)cc1",
)
SCREENS = {
    "Tanimoto to three seeds": ["--by", "tanimoto"],
    "the same, `mw<350`, an amide, no ester": [
        "--by", "tanimoto", "--keep", "mw<350", "--contains", "C(=O)[NX3]", "--without", "C(=O)O[CX4]",
    ],
    "cosine of latents": ["--by", "latent"],
}  # fmt: skip
BAD = ("C1CC", "c1ccc", "CC(C", "C(F)(F)(F)(F)F", "not a molecule")
LIMIT_ROWS = 20_000
BILLION, CLUSTERS = 1_000_000_000, (32, 128, 512)


@dataclass(frozen=True)
class Run:
    seconds: float
    core_seconds: float
    memory: int  # bytes at the most
    summary: str


def library(source: Path, rows: int, path: Path) -> None:
    """The first molecules of the source, every hundredth row a bad one."""
    molecules = (row.smiles for row in read_records(source) if isinstance(row, Record))
    with path.open("w", encoding="utf-8") as file:
        for i in range(rows):
            file.write(f"{BAD[i // 100 % len(BAD)] if i % 100 == 99 else next(molecules)}\n")


def screened(path: Path, options: list[str], workers: int | None) -> Run:
    """One screen, watched from outside."""
    likes = [part for seed in SEEDS for part in ("--like", seed)]
    extra = [] if workers is None else ["--workers", str(workers)]
    bad = ["--rejected", str(path.with_suffix(".bad.csv"))]
    command = [sys.executable, "-m", "molvae", "screen", str(path), *likes, *options, *extra, *bad, "-o", f"{path}.csv"]
    start, used = time.perf_counter(), computed()
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    memory = 0
    while process.poll() is None:
        memory = max(memory, memory_of(process.pid))
        time.sleep(0.5)
    seconds = time.perf_counter() - start
    told = process.stderr.read() if process.stderr else ""
    if process.returncode:
        raise SystemExit(told)
    return Run(seconds, computed() - used, memory, told.splitlines()[-1])


def computed() -> float:
    """Core-seconds of this process and of those that it has started and that have ended."""
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def by_fingerprint(seeds: list[Any], texts: list[str]) -> int:
    """RDKit alone: read, fingerprint, compare."""
    with silence_rdkit():
        for text in texts:
            DataStructs.BulkTanimotoSimilarity(morgan(parse(text)), seeds)
    return len(texts)


def by_latent(generator: Generator, texts: list[str]) -> int:
    """Featurizer and network alone."""
    chunk = featurize_chunk(texts, max_length=generator.checkpoint.config.max_length)
    return len(encode_chunk(generator.model, chunk, generator.device))


def limit(source: Path, work: Callable[[Any, list[str]], int], shared: Any, workers: int | None) -> tuple[float, float]:
    """Molecules a second, and a core-second, of `work` on molecules that are in memory already."""
    texts = [row.smiles for row in islice(read_records(source), LIMIT_ROWS) if isinstance(row, Record)]
    texts = [text for text in texts if canonical_or_none(text)]
    start, used = time.perf_counter(), computed()
    done = sum(map_chunks(work, chunked(texts, BATCH_SIZE), workers, shared=shared))
    return done / (time.perf_counter() - start), done / (computed() - used)


def planned(name: str, core_rate: float) -> str:
    """A line of the plan: core-hours, and hours on each of the clusters, which are given in cores."""
    core_hours = BILLION / core_rate / 3600
    return (
        f"| {name} | {core_rate:,.0f} | {core_hours:,.0f} | "
        + " | ".join(f"{core_hours / cores:.1f}" for cores in CLUSTERS)
        + " |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="molecules to make libraries of, such as MOSES's train.csv.gz")
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--workers", type=int)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    seeds = [morgan(parse(seed)) for seed in SEEDS]
    generator = Generator.load("druglike", "cpu")
    limits = {"Tanimoto to three seeds": limit(options.source, by_fingerprint, seeds, options.workers),
              "cosine of latents": limit(options.source, by_latent, generator, options.workers)}  # fmt: skip
    lines, plan, told = [], {}, ""
    with tempfile.TemporaryDirectory() as folder:
        for rows in options.rows:
            path = Path(folder) / f"library{rows}.smi"
            library(options.source, rows, path)
            for name, arguments in SCREENS.items():
                run = screened(path, arguments, options.workers)
                rate, core_rate = rows / run.seconds, rows / run.core_seconds
                share = f"{rate / limits[name][0]:.2f} | {core_rate / limits[name][1]:.2f}" if name in limits else "|"
                plan[name] = planned(name, core_rate)  # the largest library's stays
                lines.append(
                    f"| {name} | {rows:,} | {run.seconds:.0f} | {rate:,.0f} | {core_rate:,.0f} | {share} "
                    f"| {run.memory / 2**20:,.0f} |"
                )
                told += f"- {name}, {rows:,}: {run.summary}\n"
                print(lines[-1], flush=True)
    packages = ", ".join(f"{name} {version(name)}" for name in ("rdkit", "numpy", "torch"))
    text = [
        "# Screening", "",
        f"{worker_count(options.workers)} processes on {os.cpu_count()} cores ({platform.machine()}), Python "
        f"{platform.python_version()}, {packages}; model `druglike`. Made by `benchmarks/screen.py`.", "",
        "Limits, molecules a second and a core-second:", "",
        *(f"- {name}: {wall:,.0f} and {core:,.0f}" for name, (wall, core) in limits.items()), "",
        "| screen | rows | s, from start to end | rows/s | rows/core-second | of the limit, by the clock | by the core "
        "| memory, MB |", "|---|---|---|---|---|---|---|---|", *lines, "", told,
        f"## {BILLION:,} molecules", "", "Arithmetic on the rows a core-second of the largest library above.", "",
        f"| screen | rows/core-second | core-hours | {' | '.join(f'hours on {n} cores' for n in CLUSTERS)} |",
        f"|---|---|---|{'---|' * len(CLUSTERS)}", *plan.values(), "",
    ]  # fmt: skip
    options.out.write_text("\n".join(text), encoding="utf-8")


if __name__ == "__main__":
    main()
