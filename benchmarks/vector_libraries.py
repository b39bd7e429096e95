"""Libraries for the nearest vectors, behind one interface; `search.py libraries` compares them."""

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
GRAPH = (100, 200, 400, 800)
"""Neighbors that a search in a graph keeps at hand; it was made with 200, and has 16 links a vector."""


def compared(z: Vectors, queries: Vectors, top: int) -> list[dict[str, Any]]:
    """Of each library and effort the time of a query and the recall of the `top` nearest; all have length 1."""
    wanted = np.argsort(-(queries @ z.T), axis=1)[:, :top]
    rows = []
    for name, make in CONTENDERS.items():
        start = time.perf_counter()
        contender = make(z)
        making = time.perf_counter() - start
        with tempfile.TemporaryDirectory() as folder:
            contender.save(Path(folder) / "it")
            size = (Path(folder) / "it").stat().st_size
        for effort in contender.efforts:
            contender.search(queries, top, effort)  # the first search is slower
            start = time.perf_counter()
            found = contender.search(queries, top, effort)
            seconds = (time.perf_counter() - start) / len(queries)
            hits = [len(set(a) & set(b)) / top for a, b in zip(found.tolist(), wanted.tolist(), strict=True)]
            row = {"name": name, "making": making, "mb": size / 2**20, "effort": effort, "seconds": seconds}
            rows.append({**row, "recall": float(np.mean(hits))})
            print(rows[-1], file=sys.stderr)
    return rows


class _Contender(Protocol):
    """Made of vectors. `efforts`: how far it looks, in cells or neighbors."""

    efforts: tuple[int, ...]

    def save(self, path: Path) -> None: ...

    def search(self, queries: Vectors, top: int, effort: int) -> NDArray[Any]: ...


class _Faiss:
    def __init__(self, z: Vectors, kind: str) -> None:
        import faiss

        self.index = faiss.index_factory(z.shape[1], kind, faiss.METRIC_INNER_PRODUCT)

    def save(self, path: Path) -> None:
        import faiss

        faiss.write_index(self.index, str(path))


class _FaissCells(_Faiss):
    efforts = (4, 16, 64, 256)

    def __init__(self, z: Vectors) -> None:
        cells = list_count(len(z))
        super().__init__(z, f"IVF{cells},SQfp16")
        self.index.train(z[:: max(1, len(z) // (64 * cells))])
        self.index.add(z)

    def search(self, queries: Vectors, top: int, effort: int) -> NDArray[Any]:
        self.index.nprobe = effort
        return np.asarray(self.index.search(queries, top)[1])


class _FaissGraph(_Faiss):
    efforts = GRAPH

    def __init__(self, z: Vectors) -> None:
        super().__init__(z, "HNSW16_SQfp16")
        self.index.hnsw.efConstruction = 200
        self.index.train(z[:65_536])
        self.index.add(z)

    def search(self, queries: Vectors, top: int, effort: int) -> NDArray[Any]:
        self.index.hnsw.efSearch = effort
        return np.asarray(self.index.search(queries, top)[1])


class _Usearch:
    efforts = GRAPH

    def __init__(self, z: Vectors) -> None:
        from usearch.index import Index

        self.index = Index(ndim=z.shape[1], metric="cos", dtype="f16", connectivity=16, expansion_add=200)
        self.index.add(np.arange(len(z)), z)

    def save(self, path: Path) -> None:
        self.index.save(str(path))

    def search(self, queries: Vectors, top: int, effort: int) -> NDArray[Any]:
        self.index.expansion_search = effort
        return np.asarray(self.index.search(queries, top).keys)


class _Hnswlib:
    efforts = GRAPH

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


CONTENDERS: dict[str, Callable[[Vectors], _Contender]] = {
    "faiss, cells, half precision": _FaissCells,
    "faiss, graph, half precision": _FaissGraph,
    "usearch, graph, half precision": _Usearch,
    "hnswlib, graph": _Hnswlib,
}
