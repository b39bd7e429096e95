"""Indexing: rows per second compared with featurization and network, memory, scaling, and interruption by `kill -9`.

    python benchmarks/index.py rate --rows 10000 100000 1000000 --output index.json --folder /tmp/index
    python benchmarks/index.py kills --kills 20 --rows 200000 --output kills.json --folder /tmp/index
    python benchmarks/index.py table index.json kills.json --output benchmarks/index.md

`rate` indexes the first rows of MOSES train, with every hundredth row invalid, on all cores and with a new process for
each size. Memory is the proportional set size of all processes. The limits are measured before and after, on the same
molecules and with the same number of processes: featurization with fingerprints and properties alone, the network alone
(with graphs in memory), and both in sequence, 1 / (1 / featurization + 1 / network).
`kills` kills a running index command at random times, restarts it each time, and compares every byte of the result with
that of an undisturbed run.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import command, header, machine, memory_of_process_tree

from molvae import checkpoint
from molvae.chem.fingerprints import morgan_bits
from molvae.chem.properties import compute_properties
from molvae.data.datasets import resolve_source
from molvae.data.featurize import FeaturizedChunk, featurize_chunk
from molvae.data.files import checksum
from molvae.data.parallel import chunked, map_chunks
from molvae.data.readers import read_records
from molvae.data.rows import Record
from molvae.library.build import PROPERTIES
from molvae.library.embedding import BATCH_SIZE, encode_chunk

MODEL = "druglike"
N_LIMIT_ROWS = 20_000
INVALID_EVERY = 100


def write_library(n_rows: int, path: Path) -> Path:
    """MOSES train as a .smi file, with every hundredth row invalid."""
    if not path.exists():
        with path.open("w", encoding="utf-8") as file:
            for number, smiles in enumerate(islice(moses_smiles(), n_rows)):
                file.write(f"{smiles}{'(' if number % INVALID_EVERY == 7 else ''}\n")
    return path


def moses_smiles() -> Iterator[str]:
    source = resolve_source("moses:train")
    for row in read_records(source.path, column=source.column):
        if isinstance(row, Record):
            yield row.smiles


def index_command(library: Path, folder: Path, *options: str) -> list[str]:
    return [sys.executable, "-m", "molvae", "index", str(library), "-o", str(folder), "--model", MODEL, *options]


def measure_rate(options: argparse.Namespace) -> dict[str, Any]:
    """Index each size in a new process; limits before and after, because the speed of a machine varies."""
    options.folder.mkdir(parents=True, exist_ok=True)
    before, sizes = measure_limits(), []
    for n_rows in options.rows:
        library = write_library(n_rows, options.folder / f"{n_rows}.smi")
        folder = options.folder / f"{n_rows}.molvae"
        shutil.rmtree(folder, ignore_errors=True)
        start = time.perf_counter()
        process = subprocess.Popen(index_command(library, folder), stderr=subprocess.PIPE, text=True)
        peak = wait_and_measure_memory(process)
        seconds = time.perf_counter() - start
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        sizes.append(
            {
                "rows": n_rows,
                "seconds": seconds,
                "peak_mb": peak / 2**20,
                "disk_mb": size / 2**20,
                **read_counts(folder),
            }
        )
        print(sizes[-1], file=sys.stderr)
    return {
        "machine": machine("torch", "rdkit"),
        "command": command(),
        "limits": [before, measure_limits()],
        "sizes": sizes,
    }


def read_counts(folder: Path) -> dict[str, int]:
    """Row counts in the manifest of a library."""
    counts: dict[str, int] = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["counts"]
    return counts


def wait_and_measure_memory(process: subprocess.Popen[str]) -> int:
    """Peak memory of a process and its children, in bytes."""
    peak = 0
    while process.poll() is None:
        peak = max(peak, memory_of_process_tree(process.pid))
        time.sleep(0.5)
    if process.returncode:
        raise SystemExit(process.stderr.read() if process.stderr else "molvae index failed")
    return peak


def measure_limits() -> dict[str, float]:
    """Rows per second on all cores: featurization alone, network alone, and both in sequence."""
    smiles = list(islice(moses_smiles(), N_LIMIT_ROWS))
    start = time.perf_counter()
    chunks = list(map_chunks(_featurize, chunked(smiles, BATCH_SIZE)))
    featurization = len(smiles) / (time.perf_counter() - start)
    model = checkpoint.load(MODEL).model
    start = time.perf_counter()
    for _ in map_chunks(_encode, ([chunk] for chunk in chunks), shared=model):
        pass
    network = len(smiles) / (time.perf_counter() - start)
    return {"featurization": featurization, "network": network, "both": 1 / (1 / featurization + 1 / network)}


def _featurize(smiles: list[str]) -> FeaturizedChunk:
    mols: list[Any] = []
    chunk = featurize_chunk(smiles, on_molecule=mols.append)
    compute_properties(mols, PROPERTIES)
    morgan_bits(mols)
    return chunk


def _encode(model: Any, chunks: list[FeaturizedChunk]) -> np.ndarray[Any, Any]:
    return encode_chunk(model, chunks[0], torch.device("cpu"))


def measure_kills(options: argparse.Namespace) -> dict[str, Any]:
    """Kill and restart an index command. A run that finishes between two kills is compared, and the index restarts."""
    options.folder.mkdir(parents=True, exist_ok=True)
    library = write_library(options.rows, options.folder / f"{options.rows}.smi")
    expected, folder = options.folder / "undisturbed.molvae", options.folder / "killed.molvae"
    for path in (expected, folder):
        shutil.rmtree(path, ignore_errors=True)
    shard_rows = ("--shard-rows", str(options.shard_rows))
    start = time.perf_counter()
    subprocess.run(index_command(library, expected, *shard_rows), check=True)
    seconds = time.perf_counter() - start
    rng, kills, identical = random.Random(0), list[dict[str, float]](), list[bool]()
    longest_wait = _start_up_seconds() + 2 * seconds / options.kills
    while not identical or len(kills) < options.kills:
        process = subprocess.Popen(index_command(library, folder, *shard_rows), stderr=subprocess.DEVNULL)
        timeout = rng.uniform(0, longest_wait) if len(kills) < options.kills else None
        try:
            process.wait(timeout)
            identical.append(file_hashes(expected) == file_hashes(folder))
            shutil.rmtree(folder)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            n_shards = len(list(folder.glob("shards/*.json")))
            kills.append({"after_s": round(timeout or 0, 2), "shards_done": n_shards})
            print(kills[-1], file=sys.stderr)
    return {
        "machine": machine("torch", "rdkit"), "command": command(), "rows": options.rows, "seconds": seconds,
        "kills": kills, "identical": all(identical), "runs": len(identical), **read_counts(expected),
    }  # fmt: skip


def _start_up_seconds() -> float:
    """Seconds until the first row is read: import of torch and loading of the model."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", f"import molvae; molvae.load({MODEL!r})"], check=True)
    return time.perf_counter() - start


def file_hashes(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): checksum(path) for path in folder.rglob("*") if path.is_file()}


def table(options: argparse.Namespace) -> str:
    """The result page, from the files that `rate` and `kills` wrote."""
    results = [json.loads(path.read_text(encoding="utf-8")) for path in options.results]
    lines = header("Indexing", "torch", "rdkit", model=MODEL)
    for result in results:
        lines += [f"- Measured by `{result['command']}` on {result['machine']}"]
    lines.append("")
    for result in results:
        lines += _kill_lines(result) if "kills" in result else _rate_lines(result)
    return "\n".join(lines) + "\n"


def _rate_lines(result: dict[str, Any]) -> list[str]:
    limits = {name: np.mean([row[name] for row in result["limits"]]) for name in result["limits"][0]}
    lines = [
        f"MOSES train with every {INVALID_EVERY}th row invalid, `molvae index` as a command.", "",
        "| rows | accepted | duplicates | invalid | seconds | rows/s | ratio to limit | peak memory | on disk |",
        "|---|---|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    for size in result["sizes"]:
        rate = size["rows"] / size["seconds"]
        lines.append(
            f"| {size['rows']:,} | {size['accepted']:,} | {size['duplicate']:,} | {size['invalid']:,} | "
            f"{size['seconds']:.0f} | {rate:.0f} | {rate / limits['both']:.2f} | {size['peak_mb']:.0f} MB | "
            f"{size['disk_mb']:.0f} MB |"
        )
    return [
        *lines, "",
        f"Limits on the same cores: featurization with fingerprints and properties alone {limits['featurization']:.0f} "
        f"rows/s, network alone {limits['network']:.0f}, both in sequence {limits['both']:.0f}. The seconds are those "
        "of the whole command, including its start and the hashing of its input. Memory is that of all processes.", "",
    ]  # fmt: skip


def _kill_lines(result: dict[str, Any]) -> list[str]:
    shards = ", ".join(f"{kill['shards_done']:.0f}" for kill in result["kills"])
    verdict = "every byte is identical to the undisturbed run" if result["identical"] else "THE RESULT DIFFERS"
    return [
        f"`kill -9` at {len(result['kills'])} random times while indexing {result['rows']:,} rows, with this number of "
        f"shards finished: {shards}. Completed runs: {result['runs']}; {verdict}. {result['read']:,} rows read, "
        f"{result['accepted']:,} accepted, {result['duplicate']:,} duplicates, {result['invalid']:,} invalid.", "",
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    subparsers = parser.add_subparsers(required=True)
    for name, function in (("rate", measure_rate), ("kills", measure_kills)):
        sub = subparsers.add_parser(name)
        sub.add_argument("--folder", type=Path, required=True, help="folder of libraries and indexes")
        sub.add_argument("--output", type=Path, required=True, help="result file (.json)")
        if name == "rate":
            sub.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000, 1_000_000], help="library sizes")
        else:
            sub.add_argument("--rows", type=int, default=200_000, help="library size")
            sub.add_argument("--kills", type=int, default=20, help="number of kills")
            sub.add_argument("--shard-rows", type=int, default=8192, help="rows per shard")
        sub.set_defaults(function=function)
    sub = subparsers.add_parser("table")
    sub.add_argument("results", type=Path, nargs="+", help="result files (.json)")
    sub.add_argument("--output", type=Path, required=True, help="result page (.md)")
    sub.set_defaults(function=table)
    options = parser.parse_args()
    result = options.function(options)
    text = result if isinstance(result, str) else json.dumps(result, indent=2) + "\n"
    options.output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
