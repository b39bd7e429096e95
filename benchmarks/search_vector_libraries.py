"""Approximate nearest-neighbor search with faiss, usearch and hnswlib, for `search.py libraries`."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from molvae.library.ivf import list_count

Vectors = NDArray[np.float32]
LIST_PROBES = (4, 16, 64, 256)
"""Lists of an inverted file that a query searches."""
GRAPH_CANDIDATES = (100, 200, 400, 800)
"""Candidates of a query in a graph (efSearch), which is built with efConstruction = 200 and 16 links per vector."""


def compare(z: Vectors, queries: Vectors, top: int) -> list[dict[str, Any]]:
    """Build time, size, and for each search effort the time per query and the recall of the `top` nearest.

    All vectors must have length 1.
    """
    expected = np.argsort(-(queries @ z.T), axis=1)[:, :top]
    rows = []
    for name, build in INDEXES.items():
        start = time.perf_counter()
        index = build(z)
        build_seconds = time.perf_counter() - start
        with tempfile.TemporaryDirectory() as folder:
            index.save(Path(folder) / "index")
            size = (Path(folder) / "index").stat().st_size
        for effort in index.efforts:
            index.search(queries, top, effort)  # warm-up
            start = time.perf_counter()
            found = index.search(queries, top, effort)
            seconds = (time.perf_counter() - start) / len(queries)
            recall = [len(set(a) & set(b)) / top for a, b in zip(found.tolist(), expected.tolist(), strict=True)]
            row = {"name": name, "build_seconds": build_seconds, "mb": size / 2**20, "effort": effort}
            rows.append({**row, "seconds": seconds, "recall": float(np.mean(recall))})
            print(rows[-1], file=sys.stderr)
    return rows


class VectorIndex(Protocol):
    """An index of vectors; `efforts` are the lists or candidates that a query searches."""

    efforts: tuple[int, ...]

    def save(self, path: Path) -> None: ...

    def search(self, queries: Vectors, top: int, effort: int) -> NDArray[Any]: ...


class _Faiss:
    def __init__(self, z: Vectors, factory: str) -> None:
        import faiss

        self.index = faiss.index_factory(z.shape[1], factory, faiss.METRIC_INNER_PRODUCT)

    def save(self, path: Path) -> None:
        import faiss

        faiss.write_index(self.index, str(path))


class FaissIVF(_Faiss):
    efforts = LIST_PROBES

    def __init__(self, z: Vectors) -> None:
        n_lists = list_count(len(z))
        super().__init__(z, f"IVF{n_lists},SQfp16")
        self.index.train(z[:: max(1, len(z) // (64 * n_lists))])
        self.index.add(z)

    def search(self, queries: Vectors, top: int, effort: int) -> NDArray[Any]:
        self.index.nprobe = effort
        return np.asarray(self.index.search(queries, top)[1])


class FaissHNSW(_Faiss):
    efforts = GRAPH_CANDIDATES

    def __init__(self, z: Vectors) -> None:
        super().__init__(z, "HNSW16_SQfp16")
        self.index.hnsw.efConstruction = 200
        self.index.train(z[:65_536])
        self.index.add(z)

    def search(self, queries: Vectors, top: int, effort: int) -> NDArray[Any]:
        self.index.hnsw.efSearch = effort
        return np.asarray(self.index.search(queries, top)[1])


class Usearch:
    efforts = GRAPH_CANDIDATES

    def __init__(self, z: Vectors) -> None:
        from usearch.index import Index

        self.index = Index(ndim=z.shape[1], metric="cos", dtype="f16", connectivity=16, expansion_add=200)
        self.index.add(np.arange(len(z)), z)

    def save(self, path: Path) -> None:
        self.index.save(str(path))

    def search(self, queries: Vectors, top: int, effort: int) -> NDArray[Any]:
        self.index.expansion_search = effort
        return np.asarray(self.index.search(queries, top).keys)


class Hnswlib:
    efforts = GRAPH_CANDIDATES

    def __init__(self, z: Vectors) -> None:
        import hnswlib

        self.index = hnswlib.Index(space="cosine", dim=z.shape[1])
        self.index.init_index(max_elements=len(z), ef_construction=200, M=16)
        self.index.add_items(z)

    def save(self, path: Path) -> None:
        self.index.save_index(str(path))

    def search(self, queries: Vectors, top: int, effort: int) -> NDArray[Any]:
        self.index.set_ef(effort)
        return np.asarray(self.index.knn_query(queries, k=top)[0])


INDEXES: dict[str, Callable[[Vectors], VectorIndex]] = {
    "faiss, IVF, half precision": FaissIVF,
    "faiss, HNSW, half precision": FaissHNSW,
    "usearch, HNSW, half precision": Usearch,
    "hnswlib, HNSW": Hnswlib,
}
