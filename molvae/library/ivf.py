"""Nearest by latent without looking at every molecule: an inverted file, as faiss has it.

The latents are sorted into cells around some thousand centroids (Sivic and Zisserman 2003; Johnson, Douze and Jegou
2019, "Billion-scale similarity search with GPUs"), and a query looks into the few cells that are nearest to it. They
are kept in half precision, as in the library: what is lost is lost by not looking, and more cells find it.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from molvae.chem.expressions import PropertyFilter
from molvae.data.files import atomic_write
from molvae.errors import InputError, import_extra
from molvae.library.measures import ByLatent
from molvae.library.storage import Library
from molvae.similarity.top_k import TopK

_POINTS = 64  # latents for each centroid to learn from


class ByLatentCells(ByLatent):
    """`ByLatent`, approximately: the nearest of those in the `nprobe` nearest cells.

    The cells are made when first needed, and kept in the library's folder. Raises `MissingExtraError` without faiss.
    """

    def __init__(self, latents: NDArray[np.float32], metric: str = "cosine", *, nprobe: int = 64) -> None:
        super().__init__(latents, metric)
        if nprobe < 1:
            raise InputError(f"at least one cell is looked into, got {nprobe}")
        self.nprobe = nprobe

    def best(self, library: Library, most: int, windows: Sequence[PropertyFilter] = ()) -> list[TopK]:
        if not len(library):
            return [TopK(most) for _ in self.latents]
        faiss = import_extra("faiss", "search")
        cells = faiss.read_index(str(cells_of(library, self.metric)), faiss.IO_FLAG_MMAP)
        options = {"nprobe": self.nprobe}
        if windows:
            inside = np.concatenate([library.accepted(shard, windows) for shard in library.shards])
            options["sel"] = faiss.IDSelectorBatch(np.flatnonzero(inside))
        queries = comparable(self.latents, self.metric)
        figures, rows = cells.search(queries, min(most, len(library)), params=faiss.SearchParametersIVF(**options))
        found = [TopK(most) for _ in self.latents]
        for best, of_query, at in zip(found, figures.astype(np.float64), rows, strict=True):
            there = at >= 0
            best.add(at[there], of_query[there] if self.metric == "cosine" else -of_query[there])
        return found


def cells_of(library: Library, metric: str) -> Path:
    """The file of a library's cells, made where there is none yet: a minute for a million molecules on two cores."""
    path = library.folder / f"cells-{metric}.faiss"
    if not path.exists():
        with atomic_write(path) as draft:
            import_extra("faiss", "search").write_index(_sorted_into_cells(library, metric), str(draft))
    return path


def comparable(latents: NDArray[Any], metric: str) -> NDArray[np.float32]:
    """Latents whose inner product, or distance, is the metric's: for the cosine they have length 1."""
    single: NDArray[np.float32] = latents.astype(np.float32)
    if metric == "cosine":
        single /= np.maximum(np.linalg.norm(single, axis=1, keepdims=True), 1e-12)
    return single


def _sorted_into_cells(library: Library, metric: str) -> Any:
    faiss = import_extra("faiss", "search")
    size, cells = library.manifest.settings.model.latent_dim, cell_count(len(library))
    kind = faiss.METRIC_INNER_PRODUCT if metric == "cosine" else faiss.METRIC_L2
    index = faiss.index_factory(size, f"IVF{cells},SQfp16", kind)
    index.cp.min_points_per_centroid = 1  # or it writes warnings of its own
    index.train(comparable(_sample(library, _POINTS * cells), metric))
    for shard in library.shards:
        index.add(comparable(library.latents(shard), metric))
    return index


def cell_count(molecules: int) -> int:
    """Four times the square root: as much time goes into finding cells as into looking through them."""
    return max(1, min(int(4 * sqrt(molecules)), molecules // 39))


def _sample(library: Library, most: int) -> NDArray[np.float16]:
    """Latents of molecules from all over the library, at regular steps."""
    step = max(1, len(library) // most)
    return np.concatenate([library.latents(shard)[::step] for shard in library.shards])
