"""Approximate nearest neighbors by latent with an inverted file (IVF) index of faiss.

The latents are assigned to lists around some thousand centroids, and a query is compared with the latents in the few
lists whose centroids are nearest [1]_ [2]_. Latents are stored in half precision as in the library, so that
the only error is from the lists that are not searched.

References
----------
.. [1] Sivic and Zisserman, ICCV 2003, 1470.
.. [2] Johnson, Douze and Jegou, "Billion-scale similarity search with GPUs", IEEE Trans. Big Data 2019, 7, 535.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from molvae.chem.expressions import PropertyFilter
from molvae.data.files import atomic_write
from molvae.data.json_files import check_regular_file, from_json, option, read_json, reading
from molvae.errors import InputError, import_extra
from molvae.library.manifest import write_json
from molvae.library.nearest_neighbors import LatentSearcher
from molvae.library.storage import LibraryStorage
from molvae.similarity.top_k import TopK

_TRAINING_LATENTS = 64  # number of latents per centroid that the centroids are trained on
_ID_BYTES = 8  # of a row number in a list
_LATENTS_PER_LIST = 39  # minimum; faiss needs as many to train a centroid


class IVFSearcher(LatentSearcher):
    """`LatentSearcher`, approximately: only the lists around the nearest centroids are searched.

    The index is built when it is first needed and stored in the folder of the library.

    Parameters
    ----------
    latents : ndarray of shape (Q, D), float32
        Latents of the queries.
    metric : {"cosine", "l2"}
        Cosine similarity or Euclidean distance.
    nprobe : int
        Lists to search for each query; more lists find more of the nearest neighbors and take longer.

    Raises
    ------
    MissingExtraError
        At the first search, if faiss is not installed.
    """

    def __init__(self, latents: NDArray[np.float32], metric: str = "cosine", *, nprobe: int = 64) -> None:
        super().__init__(latents, metric)
        if nprobe < 1:
            raise InputError(f"nprobe must be at least 1, got {nprobe}")
        self.nprobe = nprobe

    def nearest(self, library: LibraryStorage, k: int, conditions: Sequence[PropertyFilter] = ()) -> list[TopK]:
        """Return for each query the k nearest rows in the searched lists."""
        if not len(library):
            return [TopK(k) for _ in self.latents]
        faiss = _faiss()
        path = ivf_index(library, self.metric)
        with reading(path, InputError, "delete the file, which is built again when it is needed"):
            try:
                index = faiss.read_index(str(path), faiss.IO_FLAG_MMAP)
            except RuntimeError as error:
                raise InputError(f"faiss cannot read it ({str(error)[-200:]})") from None
            if index.ntotal != len(library) or index.d != self.latents.shape[1]:
                raise InputError(f"it has {index.ntotal:,} latents of {index.d} dimensions")
        options = {"nprobe": self.nprobe}
        if conditions:
            passing = np.concatenate([library.passing(shard, conditions) for shard in library.shards])
            options["sel"] = faiss.IDSelectorBatch(np.flatnonzero(passing))
        queries = normalize_for_metric(self.latents, self.metric)
        scores, rows = index.search(queries, min(k, len(library)), params=faiss.SearchParametersIVF(**options))
        found = [TopK(k) for _ in self.latents]
        for best, query_scores, query_rows in zip(found, scores.astype(np.float64), rows, strict=True):
            valid = query_rows >= 0  # faiss fills up with -1
            if (query_rows >= len(library)).any() or not np.isfinite(query_scores[valid]).all():
                raise InputError(f"{path} is damaged: delete the file, which is built again when it is needed")
            best.add(query_rows[valid], query_scores[valid] if self.metric == "cosine" else -query_scores[valid])
        return found


def ivf_index(library: LibraryStorage, metric: str) -> Path:
    """Return the index file of a library. The first call builds it: one minute for a million molecules on 2 cores.

    A JSON file next to it has its size and the sha256 of everything but the lists, which faiss maps into memory without
    checking it; an index with another size or sha256 is built again.
    """
    path = library.folder / f"ivf-{metric}.faiss"
    record = path.with_suffix(".json")
    if not _is_undamaged(path, record):
        with atomic_write(path) as draft:
            _faiss().write_index(_build_index(library, metric), str(draft))
        size = path.stat().st_size
        head = size - len(library) * (2 * library.manifest.settings.model.latent_dim + _ID_BYTES)
        stored = _IndexRecord(size, head, _head_sha256(path, head))
        write_json(record, asdict(stored))
    return path


@dataclass(frozen=True)
class _IndexRecord:
    """Size of an index file, and size and sha256 of the part before the contents of the lists."""

    bytes: int = field(metadata=option(min=0))
    head_bytes: int = field(metadata=option(min=0))
    head_sha256: str
    settings_sha256: str = ""


def _is_undamaged(path: Path, record: Path) -> bool:
    try:
        stored = from_json(_IndexRecord, read_json(record))
        size = check_regular_file(path)
        return size == stored.bytes and _head_sha256(path, stored.head_bytes) == stored.head_sha256
    except (OSError, InputError):
        return False


def _head_sha256(path: Path, size: int) -> str:
    with path.open("rb") as file:
        return hashlib.sha256(file.read(size)).hexdigest()


def normalize_for_metric(latents: NDArray[Any], metric: str) -> NDArray[np.float32]:
    """Return latents in single precision, scaled to length 1 for the cosine, which is then their inner product."""
    single: NDArray[np.float32] = latents.astype(np.float32)
    if metric == "cosine":
        single /= np.maximum(np.linalg.norm(single, axis=1, keepdims=True), 1e-12)
    return single


def list_count(molecules: int) -> int:
    """Return the number of lists, 4 sqrt(N): choosing the lists then takes as long as searching them."""
    return max(1, min(int(4 * sqrt(molecules)), molecules // _LATENTS_PER_LIST))


def _build_index(library: LibraryStorage, metric: str) -> Any:
    faiss = _faiss()
    size, lists = library.manifest.settings.model.latent_dim, list_count(len(library))
    kind = faiss.METRIC_INNER_PRODUCT if metric == "cosine" else faiss.METRIC_L2
    index = faiss.index_factory(size, f"IVF{lists},SQfp16", kind)
    index.cp.min_points_per_centroid = 1  # otherwise faiss writes warnings to the terminal
    index.train(normalize_for_metric(_training_latents(library, _TRAINING_LATENTS * lists), metric))
    for shard in library.shards:
        index.add(normalize_for_metric(library.latents(shard), metric))
    return index


def _training_latents(library: LibraryStorage, count: int) -> NDArray[np.float16]:
    """Return latents at regular intervals from the whole library: about (count, D)."""
    step = max(1, len(library) // count)
    return np.concatenate([library.latents(shard)[::step] for shard in library.shards])


def _faiss() -> Any:
    return import_extra("faiss", "search")
