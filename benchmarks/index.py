"""Indexing: rows a second against what featurizer and network allow, memory, time against size; and kill -9.

    python benchmarks/index.py rate --rows 10000 100000 1000000 --out index.json --folder /tmp/index
    python benchmarks/index.py kills --kills 20 --rows 200000 --out kills.json --folder /tmp/index
    python benchmarks/index.py table index.json kills.json --out benchmarks/index.md

`rate` indexes the first rows of MOSES train, every hundredth made unreadable, on all cores, each size in a process of
its own, and watches the memory of all its processes (proportional set size: shared pages are divided among those who
share them). Its limits are taken in the same minute on the same molecules with as many processes: the featurizer alone
(with fingerprints and properties), the network alone (one process a core, graphs at hand), and both after one another
on the same cores, 1 / (1 / featurizer + 1 / network).
`kills` sends kill -9 to a running index at random moments, starts it again each time, and compares every byte of
the result with that of an index nobody disturbed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
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
import psutil
import torch
from memory import memory_of

from molvae import checkpoint
from molvae.chem.fingerprints import morgan_bits
from molvae.chem.properties import compute_properties
from molvae.data.datasets import resolve_source
from molvae.data.featurize import FeaturizedChunk, featurize_chunk
from molvae.data.parallel import chunked, map_chunks, worker_count
from molvae.data.readers import read_records
from molvae.data.rows import Record
from molvae.library.build import PROPERTIES
from molvae.library.embedding import BATCH_SIZE, encode_chunk

MODEL = "druglike"
LIMIT_ROWS = 20_000
BAD_EVERY = 100


def write_rows(rows: int, path: Path) -> Path:
    """MOSES train as a .smi, every hundredth row unreadable."""
    if not path.exists():
        with path.open("w", encoding="utf-8") as file:
            for number, smiles in enumerate(islice(moses(), rows)):
                file.write(f"{smiles}{'(' if number % BAD_EVERY == 7 else ''}\n")
    return path


def moses() -> Iterator[str]:
    source = resolve_source("moses:train")
    for row in read_records(source.path, column=source.column):
        if isinstance(row, Record):
            yield row.smiles


def command(library: Path, folder: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "molvae", "index", str(library), "-o", str(folder), "--model", MODEL, *more]


def rate(options: argparse.Namespace) -> dict[str, Any]:
    """Every size in a fresh process; limits before and after, for a machine may have moods."""
    options.folder.mkdir(parents=True, exist_ok=True)
    before, sizes = limits(), []
    for rows in options.rows:
        library, folder = write_rows(rows, options.folder / f"{rows}.smi"), options.folder / f"{rows}.molvae"
        shutil.rmtree(folder, ignore_errors=True)
        start = time.perf_counter()
        run = subprocess.Popen(command(library, folder), stderr=subprocess.PIPE, text=True)
        peak = watch(run)
        seconds = time.perf_counter() - start
        counts = json.loads((folder / "manifest.json").read_text())["counts"]
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        sizes.append({"rows": rows, "seconds": seconds, "peak_mb": peak / 2**20, "disk_mb": size / 2**20, **counts})
        print(sizes[-1], file=sys.stderr)
    return {"machine": machine(), "limits": [before, limits()], "sizes": sizes}


def watch(run: subprocess.Popen[str]) -> int:
    """The largest sum of the memory of a process and its children, bytes."""
    peak = 0
    while run.poll() is None:
        peak = max(peak, memory_of(run.pid))
        time.sleep(0.5)
    if run.returncode:
        raise SystemExit(run.stderr.read() if run.stderr else "the index failed")
    return peak


def limits() -> dict[str, float]:
    """Rows a second on all cores: featurizer alone, network alone, and both."""
    smiles = list(islice(moses(), LIMIT_ROWS))
    start = time.perf_counter()
    chunks = list(map_chunks(_featurize, chunked(smiles, BATCH_SIZE)))
    featurizer = len(smiles) / (time.perf_counter() - start)
    model = checkpoint.load(MODEL).model
    start = time.perf_counter()
    for _ in map_chunks(_encode, ([chunk] for chunk in chunks), shared=model):
        pass
    network = len(smiles) / (time.perf_counter() - start)
    return {"featurizer": featurizer, "network": network, "both": 1 / (1 / featurizer + 1 / network)}


def _featurize(smiles: list[str]) -> FeaturizedChunk:
    mols: list[Any] = []
    chunk = featurize_chunk(smiles, on_molecule=mols.append)
    compute_properties(mols, PROPERTIES)
    morgan_bits(mols)
    return chunk


def _encode(model: Any, chunks: list[FeaturizedChunk]) -> np.ndarray[Any, Any]:
    return encode_chunk(model, chunks[0], torch.device("cpu"))


def kills(options: argparse.Namespace) -> dict[str, Any]:
    """Runs that come to their end between two kills are compared too, and the index begins anew."""
    options.folder.mkdir(parents=True, exist_ok=True)
    library = write_rows(options.rows, options.folder / f"{options.rows}.smi")
    calm, killed = options.folder / "calm.molvae", options.folder / "killed.molvae"
    for folder in (calm, killed):
        shutil.rmtree(folder, ignore_errors=True)
    shards = ("--shard-rows", str(options.shard_rows))
    start = time.perf_counter()
    subprocess.run(command(library, calm, *shards), check=True)
    seconds, draw, moments, same = time.perf_counter() - start, random.Random(0), list[dict[str, float]](), list[bool]()
    longest = _start_up() + 2 * seconds / options.kills
    while not same or len(moments) < options.kills:
        run = subprocess.Popen(command(library, killed, *shards), stderr=subprocess.DEVNULL)
        wait = draw.uniform(0, longest) if len(moments) < options.kills else None
        try:
            run.wait(wait)
            same.append(digests(calm) == digests(killed))
            shutil.rmtree(killed)
        except subprocess.TimeoutExpired:
            run.send_signal(signal.SIGKILL)
            run.wait()
            moments.append({"after_s": round(wait or 0, 2), "shards_done": len(list(killed.glob("shards/*.json")))})
            print(moments[-1], file=sys.stderr)
    counts = json.loads((calm / "manifest.json").read_text())["counts"]
    return {
        "machine": machine(), "rows": options.rows, "seconds": seconds, "kills": moments, "same": all(same),
        "runs": len(same), **counts,
    }  # fmt: skip


def _start_up() -> float:
    """Seconds until the first row is read: importing torch and loading the model."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", f"import molvae; molvae.load({MODEL!r})"], check=True)
    return time.perf_counter() - start


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def machine() -> str:
    return f"{worker_count()} cores ({platform.machine()}), {psutil.virtual_memory().total / 2**30:.0f} GB"


def table(options: argparse.Namespace) -> str:
    results = [json.loads(path.read_text()) for path in options.results]
    rates = [result for result in results if "limits" in result]
    killed = [result for result in results if "kills" in result]
    lines = ["# Indexing", "", *(line for result in rates for line in _rate_lines(result))]
    return "\n".join([*lines, *(line for result in killed for line in _kill_lines(result))]) + "\n"


def _rate_lines(result: dict[str, Any]) -> list[str]:
    allowed = {name: np.mean([limit[name] for limit in result["limits"]]) for name in ("featurizer", "network", "both")}
    lines = [
        f"MOSES train, every {BAD_EVERY}th row unreadable, `molvae index` as a command, {result['machine']}.", "",
        "| rows | kept | duplicate | rejected | seconds | rows/s | of the limit | peak memory | on disk |",
        "|---|---|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    for size in result["sizes"]:
        speed = size["rows"] / size["seconds"]
        lines.append(
            f"| {size['rows']:,} | {size['kept']:,} | {size['duplicate']:,} | {size['rejected']:,} | "
            f"{size['seconds']:.0f} | {speed:.0f} | {speed / allowed['both']:.2f} | {size['peak_mb']:.0f} MB | "
            f"{size['disk_mb']:.0f} MB |"
        )
    return [
        *lines, "",
        f"The limit, on the same cores: featurizer with fingerprints and properties alone {allowed['featurizer']:.0f} "
        f"rows/s, network alone {allowed['network']:.0f}, both after one another {allowed['both']:.0f}. Seconds are of "
        "the whole command, its start and the hashing of its input included; memory is that of all processes.", "",
    ]  # fmt: skip


def _kill_lines(result: dict[str, Any]) -> list[str]:
    moments = ", ".join(f"{kill['shards_done']:.0f}" for kill in result["kills"])
    verdict = "every byte is the same as undisturbed" if result["same"] else "THE RESULT DIFFERS"
    ends = "It then came to its end" if result["runs"] == 1 else f"It came to its end {result['runs']} times"
    return [
        f"`kill -9` at {len(result['kills'])} random moments of indexing {result['rows']:,} rows, with so many shards "
        f"done at each: {moments}. {ends}: {verdict}; {result['read']:,} read, {result['kept']:,} kept, "
        f"{result['duplicate']:,} duplicate, {result['rejected']:,} rejected.", "",
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(required=True)
    for verb, rows in ((rate, [10_000, 100_000, 1_000_000]), (kills, 200_000)):
        sub = verbs.add_parser(verb.__name__)
        sub.add_argument("--rows", type=int, nargs="+" if isinstance(rows, list) else None, default=rows)
        sub.add_argument("--folder", type=Path, required=True)
        sub.add_argument("--out", type=Path, required=True)
        sub.add_argument("--kills", type=int, default=20)
        sub.add_argument("--shard-rows", type=int, default=8192)
        sub.set_defaults(verb=verb)
    sub = verbs.add_parser("table")
    sub.add_argument("results", type=Path, nargs="+")
    sub.add_argument("--out", type=Path, required=True)
    sub.set_defaults(verb=table)
    options = parser.parse_args()
    done = options.verb(options)
    options.out.write_text(done if isinstance(done, str) else json.dumps(done, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
