"""Searching a library: queries a second beside FPSim2 and RDKit, recall against comparing with everything, memory.

    python benchmarks/search.py fingerprints lib.molvae --peer lib.h5 --out fingerprints.json
    python benchmarks/search.py latents lib.molvae --out latents.json
    python benchmarks/search.py libraries lib.molvae --out libraries.json
    python benchmarks/search.py vectors lib.molvae --molecules 10000000 --folder /tmp/ten --out vectors.json
    python benchmarks/search.py table fingerprints.json latents.json libraries.json vectors.json --out search.md

`fingerprints` asks for the 100 nearest by Tanimoto of some molecules of the library, in turns: molvae, FPSim2 (its
in-memory engine with popcount bounds, one thread; the .h5 is made of the same SMILES if it is not there) and RDKit's
BulkTanimotoSimilarity with a sort. All three must find the same similarities.
`latents` measures the exact search, and recall and speed of cells for several numbers of probes.
`libraries` is what the choice of faiss's inverted file rests on: it, and the graphs of faiss, usearch and hnswlib at
their usual settings, on the same latents and queries: time to make, size, and recall against speed.
`vectors` writes a library of so many vectors, those of the given one over and over with noise added, and searches it
in a process of its own, whose memory it watches. Queries are latents of the library with noise of the same size.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.metadata import version
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray
from rdkit import DataStructs
from vector_libraries import compared

from molvae.chem.fingerprints import morgan, morgan_bits
from molvae.chem.smiles import parse
from molvae.data.parallel import chunked, map_chunks, worker_count
from molvae.data.rows import Record
from molvae.library.embedding import EmbeddedBatch
from molvae.library.ivf import IVFSearcher, ivf_index, normalize_for_metric
from molvae.library.manifest import SHARDS, Manifest
from molvae.library.nearest_neighbors import FingerprintSearcher, LatentSearcher
from molvae.library.storage import LibraryStorage, ShardPart, write_shard
from molvae.similarity.top_k import TopK

TOP = 100
QUERIES = 100
NOISE = 0.3
"""Of each latent dimension, whose spread over molecules is 1."""
PROBES = (1, 4, 16, 64, 256)


def chosen(library: LibraryStorage, most: int = QUERIES) -> NDArray[np.int64]:
    return np.sort(np.random.default_rng(0).choice(len(library), min(most, len(library)), replace=False))


def seconds_of(work: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def fingerprints(options: argparse.Namespace) -> dict[str, Any]:
    library = LibraryStorage(options.library)
    smiles = library.molecules(chosen(library))["smiles"].tolist()
    packed = morgan_bits([parse(text) for text in smiles])
    peer, rdkit = _FPSim2(library, options.peer), _RDKit(library)
    contestants = {
        "molvae": lambda: [best.scores for best in FingerprintSearcher(packed).nearest(library, TOP)],
        "FPSim2": lambda: [peer.best(text) for text in smiles],
        "RDKit": lambda: [rdkit.best(text) for text in smiles[:10]],
    }
    times: dict[str, list[float]] = {name: [] for name in contestants}
    found = {}
    for _ in range(options.turns):
        for name, work in contestants.items():
            seconds, found[name] = seconds_of(work)
            times[name].append(seconds / len(found[name]))
    one = [seconds_of(lambda row=row: FingerprintSearcher(row[None]).nearest(library, TOP))[0] for row in packed[:20]]
    agree = {name: all(np.allclose(a, b) for a, b in zip(found["molvae"], found[name])) for name in contestants}  # noqa: B905
    return {
        "kind": "fingerprints", "machine": machine(), "molecules": len(library), "seconds": times, "agree": agree,
        "one_query": float(np.median(one)), "versions": {name: version(name) for name in ("rdkit", "FPSim2")},
    }  # fmt: skip


class _FPSim2:
    """The peer: its file is made of the library's SMILES, outside the clock."""

    def __init__(self, library: LibraryStorage, path: Path) -> None:
        from FPSim2 import FPSim2Engine
        from FPSim2.io import create_db_file

        if not path.exists():
            smiles = (text for shard in library.shards for text in _smiles(library, shard))
            parameters = {"radius": 2, "fpSize": 2048}
            create_db_file(
                mols_source=[[text, row] for row, text in enumerate(smiles)], filename=str(path), mol_format="smiles",
                fp_type="Morgan", fp_params=parameters,
            )  # fmt: skip
        self.engine = FPSim2Engine(str(path))

    def best(self, smiles: str) -> NDArray[np.float64]:
        return np.array([hit[1] for hit in self.engine.top_k(smiles, k=TOP, threshold=0.0, n_workers=1)])


class _RDKit:
    def __init__(self, library: LibraryStorage) -> None:
        texts = (chunk for shard in library.shards for chunk in chunked(_smiles(library, shard)))
        binary = (text for chunk in map_chunks(_binary, texts) for text in chunk)
        self.fingerprints = [DataStructs.CreateFromBinaryText(text) for text in binary]

    def best(self, smiles: str) -> NDArray[np.float64]:
        similarity = np.array(DataStructs.BulkTanimotoSimilarity(morgan(parse(smiles)), self.fingerprints))
        return np.sort(similarity)[::-1][:TOP]


def _binary(smiles: list[str]) -> list[bytes]:
    return [DataStructs.BitVectToBinaryText(morgan(parse(text))) for text in smiles]


def _smiles(library: LibraryStorage, shard: int) -> list[str]:
    rows = np.arange(library.offsets[shard], library.offsets[shard + 1])
    return list(library.molecules(rows, ["smiles"])["smiles"])


def latents(options: argparse.Namespace) -> dict[str, Any]:
    library = LibraryStorage(options.library)
    making, _ = seconds_of(lambda: ivf_index(library, "cosine"))
    draw = np.random.default_rng(1)
    rows = chosen(library)
    queries = library.latents_at(rows).astype(np.float32)
    queries += NOISE * draw.standard_normal(queries.shape, np.float32)
    exact_s, exact = seconds_of(lambda: LatentSearcher(queries).nearest(library, TOP))
    wanted = _brute_force(library, queries)
    probes = []
    for number in PROBES:
        seconds, found = seconds_of(lambda number=number: IVFSearcher(queries, nprobe=number).nearest(library, TOP))
        probes.append({"probes": number, "seconds": seconds / len(queries), "recall": _recall(found, exact)})
        print(probes[-1], file=sys.stderr)
    return {
        "kind": "latents", "machine": machine(), "molecules": len(library), "exact": exact_s / len(queries),
        "exact_recall": _recall(exact[: len(wanted)], wanted),
        "making_cells": making, "probes": probes, "queries": len(queries),
    }  # fmt: skip


def _brute_force(library: LibraryStorage, queries: NDArray[np.float32]) -> list[TopK]:
    """The rows of the highest cosine in double precision, query by query, of the first twenty."""
    z = np.concatenate([library.latents(shard) for shard in library.shards])
    length = np.sqrt(np.concatenate([np.square(part.astype(np.float64)).sum(1) for part in np.array_split(z, 64)]))
    found = list[TopK]()
    for query in queries[:20].astype(np.float64):
        cosine = np.concatenate([part.astype(np.float64) @ query for part in np.array_split(z, 64)]) / length
        found.append(TopK(TOP))
        found[-1].add(np.arange(len(cosine)), cosine)
    return found


def _recall(found: Sequence[TopK], exact: Sequence[TopK]) -> float:
    return float(np.mean([len(set(a.rows) & set(b.rows)) / len(b.rows) for a, b in zip(found, exact, strict=True)]))


def libraries(options: argparse.Namespace) -> dict[str, Any]:
    library = LibraryStorage(options.library)
    z = normalize_for_metric(np.concatenate([library.latents(shard) for shard in library.shards]), "cosine")
    queries = library.latents_at(chosen(library)).astype(np.float32)
    queries += NOISE * np.random.default_rng(1).standard_normal(queries.shape, np.float32)
    rows = compared(z, normalize_for_metric(queries, "cosine"), TOP)
    versions = {name: version(name) for name in ("faiss-cpu", "usearch", "hnswlib")}
    return {"kind": "libraries", "machine": machine(), "molecules": len(z), "rows": rows, "versions": versions}


def vectors(options: argparse.Namespace) -> dict[str, Any]:
    if not (options.folder / "manifest.json").exists():
        _write_noisy(LibraryStorage(options.library), options.folder, options.molecules)
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    child = context.Process(target=_search_noisy, args=(options.folder, theirs))
    child.start()
    peak = 0
    while not ours.poll(0.2):
        peak = max(peak, psutil.Process(child.pid).memory_full_info().uss)  # without what files are mapped
    result = dict(ours.recv())
    child.join()
    size = sum(path.stat().st_size for path in options.folder.rglob("*") if path.is_file())
    return {**result, "kind": "vectors", "machine": machine(), "peak_mb": peak / 2**20, "disk_mb": size / 2**20}


def _write_noisy(library: LibraryStorage, folder: Path, molecules: int) -> None:
    """Shard after shard the library's own latents with fresh noise; only these matter."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / SHARDS).mkdir(parents=True)
    draw, shards, left = np.random.default_rng(0), [], molecules
    z = np.concatenate([library.latents(shard) for shard in library.shards])
    for number in count():
        size = min(left, 65_536)
        if not size:
            break
        noisy = z[draw.integers(0, len(z), size)] + np.float16(NOISE) * draw.standard_normal((size, z.shape[1]), "f4")
        shards.append(write_shard(folder, number, [_piece(noisy, number)]))
        left -= size
    Manifest(replace(library.manifest.settings, properties=()), tuple(shards)).save(folder)


def _piece(latents: NDArray[np.float32], number: int) -> ShardPart:
    rows = len(latents)
    part = EmbeddedBatch(
        records=[Record("", f"{number}-{row}", "noise", row) for row in range(rows)], smiles=["*"] * rows,
        hashes=np.zeros(rows, np.uint64), latents=latents, invalid_rows=[], properties={},
        fingerprints=np.zeros((rows, 256), np.uint8),
    )  # fmt: skip
    return ShardPart.from_batch(part, np.ones(rows, dtype=bool), ())


def _search_noisy(folder: Path, pipe: Any) -> None:
    library = LibraryStorage(folder)
    making, _ = seconds_of(lambda: ivf_index(library, "cosine"))
    queries = library.latents_at(chosen(library, 64)).astype(np.float32)
    queries += NOISE * np.random.default_rng(2).standard_normal(queries.shape, np.float32)
    alone, _ = seconds_of(lambda: LatentSearcher(queries[:1]).nearest(library, TOP))
    exact_s, exact = seconds_of(lambda: LatentSearcher(queries).nearest(library, TOP))
    probes = []
    for number in PROBES:
        seconds, found = seconds_of(lambda number=number: IVFSearcher(queries, nprobe=number).nearest(library, TOP))
        probes.append({"probes": number, "seconds": seconds / len(queries), "recall": _recall(found, exact)})
    pipe.send({
        "molecules": len(library), "making_cells": making, "exact_alone": alone, "exact": exact_s / len(queries),
        "queries": len(queries), "probes": probes,
    })  # fmt: skip


def machine() -> str:
    return f"{worker_count()} cores, {psutil.virtual_memory().total / 2**30:.0f} GB"


def table(options: argparse.Namespace) -> str:
    writers = {
        "fingerprints": _fingerprint_lines, "latents": _latent_lines, "libraries": _library_lines,
        "vectors": _vector_lines,
    }  # fmt: skip
    results = [json.loads(path.read_text()) for path in options.results]
    return "\n".join(["# Search", "", *(line for r in results for line in writers[r["kind"]](r))]) + "\n"


def _fingerprint_lines(result: dict[str, Any]) -> list[str]:
    lines = [
        f"## Tanimoto: the {TOP} nearest of {result['molecules']:,} molecules, {result['machine']}", "",
        "| | ms a query, median of turns | queries/s | the same similarities |", "|---|---|---|---|",
    ]  # fmt: skip
    for name, times in result["seconds"].items():
        seconds = float(np.median(times))
        agrees = "yes" if result["agree"][name] else "NO"
        lines.append(f"| {name} | {1e3 * seconds:.1f} | {1 / seconds:.1f} | {agrees} |")
    versions = ", ".join(f"{name} {number}" for name, number in result["versions"].items())
    return [*lines, "", f"One query by itself: {1e3 * result['one_query']:.1f} ms. {versions}; one thread each.", ""]


def _latent_lines(result: dict[str, Any]) -> list[str]:
    return [
        f"## Latents: the {TOP} nearest of {result['molecules']:,} by cosine, {result['machine']}", "",
        *_probe_lines(result), "",
        f"The exact search finds {result['exact_recall']:.4f} of what comparing with everything in double precision "
        f"finds. Making the cells took {result['making_cells']:.0f} s, once.", "",
    ]  # fmt: skip


def _library_lines(result: dict[str, Any]) -> list[str]:
    lines = [
        f"## Which library for the approximate search: the same {TOP} nearest of {result['molecules']:,}", "",
        "| | s to make | MB | cells or neighbors looked at | recall | queries/s |", "|---|---|---|---|---|---|",
    ]  # fmt: skip
    for row in result["rows"]:
        lines.append(
            f"| {row['name']} | {row['making']:.0f} | {row['mb']:.0f} | {row['effort']} | {row['recall']:.3f} | "
            f"{1 / row['seconds']:,.0f} |"
        )
    versions = ", ".join(f"{name} {number}" for name, number in result["versions"].items())
    return [
        *lines,
        "",
        f"{versions}; all cores, {QUERIES} queries at once; graphs of 16 links, made with 200 at hand",
        "",
    ]


def _vector_lines(result: dict[str, Any]) -> list[str]:
    return [
        f"## {result['molecules']:,} vectors (a library's latents over and over with noise), {result['machine']}", "",
        *_probe_lines(result), "",
        f"One exact query by itself: {result['exact_alone']:.1f} s. Peak memory of the searching process "
        f"{result['peak_mb']:.0f} MB, making the cells ({result['making_cells']:.0f} s) included; "
        f"{result['disk_mb'] / 1024:.1f} GB on disk.", "",
    ]  # fmt: skip


def _probe_lines(result: dict[str, Any]) -> list[str]:
    return [
        "| | recall | ms a query | queries/s |", "|---|---|---|---|",
        f"| exact, {result['queries']} at once | 1 | {1e3 * result['exact']:.1f} | {1 / result['exact']:.1f} |",
        *(
            f"| {row['probes']} cells | {row['recall']:.3f} | {1e3 * row['seconds']:.2f} | {1 / row['seconds']:.0f} |"
            for row in result["probes"]
        ),
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(required=True)
    for verb in (fingerprints, latents, libraries, vectors):
        sub = verbs.add_parser(verb.__name__)
        sub.add_argument("library", type=Path)
        sub.add_argument("--out", type=Path, required=True)
        sub.set_defaults(verb=verb)
        if verb is fingerprints:
            sub.add_argument("--peer", type=Path, required=True)
            sub.add_argument("--turns", type=int, default=3)
        if verb is vectors:
            sub.add_argument("--molecules", type=int, default=10_000_000)
            sub.add_argument("--folder", type=Path, required=True)
    sub = verbs.add_parser("table")
    sub.add_argument("results", type=Path, nargs="+")
    sub.add_argument("--out", type=Path, required=True)
    sub.set_defaults(verb=table)
    options = parser.parse_args()
    done = options.verb(options)
    options.out.write_text(done if isinstance(done, str) else json.dumps(done, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
