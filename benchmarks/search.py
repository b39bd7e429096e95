"""Search of an indexed library: queries per second compared with FPSim2 and RDKit, recall, and memory.

    python benchmarks/search.py fingerprints lib.molvae --peer lib.h5 --output fingerprints.json
    python benchmarks/search.py latents lib.molvae --output latents.json
    python benchmarks/search.py libraries lib.molvae --output libraries.json
    python benchmarks/search.py vectors lib.molvae --molecules 10000000 --folder /tmp/ten --output vectors.json
    python benchmarks/search.py table fingerprints.json latents.json libraries.json vectors.json --output search.md

`fingerprints` searches the 100 nearest by Tanimoto similarity of random molecules of the library, in turn with molvae,
FPSim2 (in memory, with popcount bounds, one thread; the .h5 file is written if it does not exist) and RDKit's
BulkTanimotoSimilarity with a sort. All three must find the same similarities.
`latents` measures the exact search, and recall and speed of the approximate search for several numbers of probed lists.
`libraries` compares faiss's inverted file with the graphs of faiss, usearch and hnswlib at their usual settings, on the
same latents and queries: time to build, size, recall and speed.
`vectors` writes a library of a given number of vectors, the latents of another library with added noise, and searches
it in a process of its own, whose memory is measured. Queries are latents of the library with noise of the same size.
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
from common import command, header, machine
from numpy.typing import NDArray
from rdkit import DataStructs
from search_vector_libraries import compare

from molvae.chem.fingerprints import morgan, morgan_bits
from molvae.chem.smiles import parse
from molvae.data.parallel import chunked, map_chunks
from molvae.data.rows import Record
from molvae.library.embedding import EmbeddedBatch
from molvae.library.ivf import IVFSearcher, ivf_index, normalize_for_metric
from molvae.library.manifest import SHARDS, Manifest
from molvae.library.nearest_neighbors import FingerprintSearcher, LatentSearcher
from molvae.library.storage import LibraryStorage, ShardPart, write_shard
from molvae.similarity.top_k import TopK

TOP = 100
N_QUERIES, N_VECTOR_QUERIES = 100, 64
N_RDKIT_QUERIES, N_SINGLE_QUERIES, N_BRUTE_FORCE = 10, 20, 20
NOISE = 0.3  # standard deviation in each latent dimension; that of the molecules is 1
PROBES = (1, 4, 16, 64, 256)

Floats = NDArray[np.float32]


def random_rows(library: LibraryStorage, n: int = N_QUERIES) -> NDArray[np.int64]:
    return np.sort(np.random.default_rng(0).choice(len(library), min(n, len(library)), replace=False))


def noisy_queries(library: LibraryStorage, n: int = N_QUERIES, random_state: int = 1) -> Floats:
    """Latents of random molecules with added noise, shape (n, D)."""
    queries = library.latents_at(random_rows(library, n)).astype(np.float32)
    queries += NOISE * np.random.default_rng(random_state).standard_normal(queries.shape, np.float32)
    return queries


def timed(function: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds and result of a call."""
    start = time.perf_counter()
    result = function()
    return time.perf_counter() - start, result


# --- fingerprints ---


def measure_fingerprints(options: argparse.Namespace) -> dict[str, Any]:
    library = LibraryStorage(options.library)
    smiles = library.molecules(random_rows(library))["smiles"].tolist()
    packed = morgan_bits([parse(text) for text in smiles])
    fpsim2, rdkit = _FPSim2(library, options.peer), _RDKit(library)
    functions = {
        "molvae": lambda: [found.scores for found in FingerprintSearcher(packed).nearest(library, TOP)],
        "FPSim2": lambda: [fpsim2.search(text) for text in smiles],
        "RDKit": lambda: [rdkit.search(text) for text in smiles[:N_RDKIT_QUERIES]],
    }
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    found = {}
    for _ in range(options.rounds):
        for name, function in functions.items():
            elapsed, found[name] = timed(function)
            seconds[name].append(elapsed / len(found[name]))
    single = [
        timed(lambda row=row: FingerprintSearcher(row[None]).nearest(library, TOP))[0]
        for row in packed[:N_SINGLE_QUERIES]
    ]
    identical = {
        name: all(np.allclose(a, b) for a, b in zip(found["molvae"], scores, strict=False))
        for name, scores in found.items()
    }
    return {
        **_about("fingerprints"), "molecules": len(library), "seconds": seconds, "identical": identical,
        "single_query": float(np.median(single)), "versions": {name: version(name) for name in ("rdkit", "FPSim2")},
    }  # fmt: skip


class _FPSim2:
    """FPSim2 with a database of the library's SMILES, which is written before the measurement."""

    def __init__(self, library: LibraryStorage, path: Path) -> None:
        from FPSim2 import FPSim2Engine
        from FPSim2.io import create_db_file

        if not path.exists():
            smiles = (text for shard in library.shards for text in _smiles(library, shard))
            create_db_file(
                mols_source=[[text, row] for row, text in enumerate(smiles)], filename=str(path), mol_format="smiles",
                fp_type="Morgan", fp_params={"radius": 2, "fpSize": 2048},
            )  # fmt: skip
        self.engine = FPSim2Engine(str(path))

    def search(self, smiles: str) -> NDArray[np.float64]:
        return np.array([hit[1] for hit in self.engine.top_k(smiles, k=TOP, threshold=0.0, n_workers=1)])


class _RDKit:
    """RDKit with all fingerprints in memory."""

    def __init__(self, library: LibraryStorage) -> None:
        chunks = (chunk for shard in library.shards for chunk in chunked(_smiles(library, shard)))
        binary = (text for chunk in map_chunks(_binary_fingerprints, chunks) for text in chunk)
        self.fingerprints = [DataStructs.CreateFromBinaryText(text) for text in binary]

    def search(self, smiles: str) -> NDArray[np.float64]:
        similarity = np.array(DataStructs.BulkTanimotoSimilarity(morgan(parse(smiles)), self.fingerprints))
        return np.sort(similarity)[::-1][:TOP]


def _binary_fingerprints(smiles: list[str]) -> list[bytes]:
    return [DataStructs.BitVectToBinaryText(morgan(parse(text))) for text in smiles]


def _smiles(library: LibraryStorage, shard: int) -> list[str]:
    rows = np.arange(library.offsets[shard], library.offsets[shard + 1])
    return list(library.molecules(rows, ["smiles"])["smiles"])


# --- latents ---


def measure_latents(options: argparse.Namespace) -> dict[str, Any]:
    library = LibraryStorage(options.library)
    build_seconds, _ = timed(lambda: ivf_index(library, "cosine"))
    queries = noisy_queries(library)
    exact_seconds, exact = timed(lambda: LatentSearcher(queries).nearest(library, TOP))
    expected = _brute_force(library, queries[:N_BRUTE_FORCE])
    return {
        **_about("latents"), "molecules": len(library), "exact": exact_seconds / len(queries),
        "exact_recall": _recall(exact[: len(expected)], expected), "build_seconds": build_seconds,
        "probes": _measure_probes(library, queries, exact), "queries": len(queries),
    }  # fmt: skip


def _measure_probes(library: LibraryStorage, queries: Floats, exact: Sequence[TopK]) -> list[dict[str, float]]:
    """Time per query and recall of the approximate search for each number of probed lists."""
    probes = []
    for nprobe in PROBES:
        seconds, found = timed(lambda nprobe=nprobe: IVFSearcher(queries, nprobe=nprobe).nearest(library, TOP))
        probes.append({"nprobe": nprobe, "seconds": seconds / len(queries), "recall": _recall(found, exact)})
        print(probes[-1], file=sys.stderr)
    return probes


def _brute_force(library: LibraryStorage, queries: Floats) -> list[TopK]:
    """The rows of highest cosine similarity in double precision."""
    z = np.concatenate([library.latents(shard) for shard in library.shards])
    norms = np.sqrt(np.concatenate([np.square(part.astype(np.float64)).sum(1) for part in np.array_split(z, 64)]))
    found = list[TopK]()
    for query in queries.astype(np.float64):
        cosine = np.concatenate([part.astype(np.float64) @ query for part in np.array_split(z, 64)]) / norms
        found.append(TopK(TOP))
        found[-1].add(np.arange(len(cosine)), cosine)
    return found


def _recall(found: Sequence[TopK], exact: Sequence[TopK]) -> float:
    return float(np.mean([len(set(a.rows) & set(b.rows)) / len(b.rows) for a, b in zip(found, exact, strict=True)]))


def measure_libraries(options: argparse.Namespace) -> dict[str, Any]:
    library = LibraryStorage(options.library)
    z = normalize_for_metric(np.concatenate([library.latents(shard) for shard in library.shards]), "cosine")
    rows = compare(z, normalize_for_metric(noisy_queries(library), "cosine"), TOP)
    versions = {name: version(name) for name in ("faiss-cpu", "usearch", "hnswlib")}
    return {**_about("libraries"), "molecules": len(z), "rows": rows, "versions": versions}


# --- vectors ---


def measure_vectors(options: argparse.Namespace) -> dict[str, Any]:
    if not (options.folder / "manifest.json").exists():
        _write_noisy_library(LibraryStorage(options.library), options.folder, options.molecules)
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe()
    process = context.Process(target=_search_in_process, args=(options.folder, sender))
    process.start()
    peak = 0
    while not receiver.poll(0.2):
        peak = max(peak, psutil.Process(process.pid).memory_full_info().uss)  # excludes memory-mapped files
    result = dict(receiver.recv())
    process.join()
    size = sum(path.stat().st_size for path in options.folder.rglob("*") if path.is_file())
    return {**result, **_about("vectors"), "peak_mb": peak / 2**20, "disk_mb": size / 2**20}


def _write_noisy_library(library: LibraryStorage, folder: Path, n_molecules: int) -> None:
    """A library with noisy copies of the latents; its molecules and fingerprints are placeholders."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / SHARDS).mkdir(parents=True)
    rng, shards, n_left = np.random.default_rng(0), [], n_molecules
    z = np.concatenate([library.latents(shard) for shard in library.shards])
    for number in count():
        size = min(n_left, 65_536)
        if not size:
            break
        noisy = z[rng.integers(0, len(z), size)] + np.float16(NOISE) * rng.standard_normal((size, z.shape[1]), "f4")
        shards.append(write_shard(folder, number, [_shard_part(noisy, number)]))
        n_left -= size
    Manifest(replace(library.manifest.settings, properties=()), tuple(shards)).save(folder)


def _shard_part(latents: Floats, number: int) -> ShardPart:
    n = len(latents)
    batch = EmbeddedBatch(
        records=[Record("", f"{number}-{row}", "noise", row) for row in range(n)], smiles=["*"] * n,
        hashes=np.zeros(n, np.uint64), latents=latents, invalid_rows=[], properties={},
        fingerprints=np.zeros((n, 256), np.uint8),
    )  # fmt: skip
    return ShardPart.from_batch(batch, np.ones(n, dtype=bool), ())


def _search_in_process(folder: Path, sender: Any) -> None:
    library = LibraryStorage(folder)
    build_seconds, _ = timed(lambda: ivf_index(library, "cosine"))
    queries = noisy_queries(library, N_VECTOR_QUERIES, random_state=2)
    single, _ = timed(lambda: LatentSearcher(queries[:1]).nearest(library, TOP))
    exact_seconds, exact = timed(lambda: LatentSearcher(queries).nearest(library, TOP))
    sender.send({
        "molecules": len(library), "build_seconds": build_seconds, "single_query": single,
        "exact": exact_seconds / len(queries), "queries": len(queries),
        "probes": _measure_probes(library, queries, exact),
    })  # fmt: skip


# --- result page ---


def _about(kind: str) -> dict[str, str]:
    memory = f"{psutil.virtual_memory().total / 2**30:.0f} GB"
    return {"kind": kind, "machine": f"{memory}, {machine('rdkit', 'numpy', 'torch')}", "command": command()}


def table(options: argparse.Namespace) -> str:
    """The result page, from the files that the other commands wrote."""
    sections = {
        "fingerprints": _fingerprint_section, "latents": _latent_section, "libraries": _library_section,
        "vectors": _vector_section,
    }  # fmt: skip
    lines = header("Search", "faiss-cpu")
    for path in options.results:
        result = json.loads(path.read_text(encoding="utf-8"))
        lines += sections[result["kind"]](result)
        lines += [f"Measured by `{result['command']}` on {result['machine']}.", ""]
    return "\n".join(lines)


def _fingerprint_section(result: dict[str, Any]) -> list[str]:
    lines = [
        f"## Tanimoto similarity: the {TOP} nearest of {result['molecules']:,} molecules", "",
        "| | ms per query, median of the rounds | queries/s | same similarities |", "|---|---|---|---|",
    ]  # fmt: skip
    for name, times in result["seconds"].items():
        seconds = float(np.median(times))
        identical = "yes" if result["identical"][name] else "NO"
        lines.append(f"| {name} | {1e3 * seconds:.1f} | {1 / seconds:.1f} | {identical} |")
    single = f"A single query takes {1e3 * result['single_query']:.1f} ms."
    return [*lines, "", f"{single} {_versions(result)}; one thread each.", ""]


def _latent_section(result: dict[str, Any]) -> list[str]:
    return [
        f"## Latents: the {TOP} nearest of {result['molecules']:,} by cosine similarity", "",
        *_probe_table(result), "",
        f"Recall of the exact search against brute force in double precision: {result['exact_recall']:.4f}. The "
        f"inverted file is built once, in {result['build_seconds']:.0f} s.", "",
    ]  # fmt: skip


def _library_section(result: dict[str, Any]) -> list[str]:
    lines = [
        f"## Libraries for approximate search: the {TOP} nearest of {result['molecules']:,}", "",
        "| | s to build | MB | probed lists or candidates | recall | queries/s |", "|---|---|---|---|---|---|",
    ]  # fmt: skip
    for row in result["rows"]:
        lines.append(
            f"| {row['name']} | {row['build_seconds']:.0f} | {row['mb']:.0f} | {row['effort']} | {row['recall']:.3f} | "
            f"{1 / row['seconds']:,.0f} |"
        )
    settings = f"all cores, {N_QUERIES} queries at once; graphs with 16 links per vector, built with 200 candidates"
    return [*lines, "", f"{_versions(result)}; {settings}.", ""]


def _vector_section(result: dict[str, Any]) -> list[str]:
    return [
        f"## {result['molecules']:,} vectors (latents of a library with added noise)", "",
        *_probe_table(result), "",
        f"A single exact query takes {result['single_query']:.1f} s. Peak memory of the searching process "
        f"{result['peak_mb']:.0f} MB, including the construction of the inverted file ({result['build_seconds']:.0f} "
        f"s); {result['disk_mb'] / 1024:.1f} GB on disk.", "",
    ]  # fmt: skip


def _probe_table(result: dict[str, Any]) -> list[str]:
    return [
        "| | recall | ms per query | queries/s |", "|---|---|---|---|",
        f"| exact, {result['queries']} at once | 1 | {1e3 * result['exact']:.1f} | {1 / result['exact']:.1f} |",
        *(
            f"| {row['nprobe']} probed lists | {row['recall']:.3f} | {1e3 * row['seconds']:.2f} | "
            f"{1 / row['seconds']:.0f} |"
            for row in result["probes"]
        ),
    ]  # fmt: skip


def _versions(result: dict[str, Any]) -> str:
    return ", ".join(f"{name} {number}" for name, number in result["versions"].items())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    subparsers = parser.add_subparsers(required=True)
    for name, function in (
        ("fingerprints", measure_fingerprints),
        ("latents", measure_latents),
        ("libraries", measure_libraries),
        ("vectors", measure_vectors),
    ):
        sub = subparsers.add_parser(name)
        sub.add_argument("library", type=Path, help="folder written by `molvae index`")
        sub.add_argument("--output", type=Path, required=True, help="result file (.json)")
        sub.set_defaults(function=function)
        if name == "fingerprints":
            sub.add_argument("--peer", type=Path, required=True, help="FPSim2 database (.h5)")
            sub.add_argument("--rounds", type=int, default=3)
        if name == "vectors":
            sub.add_argument("--molecules", type=int, default=10_000_000, help="number of vectors")
            sub.add_argument("--folder", type=Path, required=True, help="folder of the noisy library")
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
