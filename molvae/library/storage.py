"""A library on disk, opened: its molecules by row, its latents and fingerprints shard by shard, in flat memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from molvae.chem.expressions import PropertyFilter
from molvae.errors import InputError
from molvae.library.manifest import Manifest
from molvae.library.shards import LATENT, files_of, groups_of, latents_of, read_columns
from molvae.similarity.bit_slicing import BitPlanes

Rows = NDArray[np.int64]


class Library:
    """N molecules in the order in which they were read; a row number, 0 to N - 1, stands for each.

    Raises `InputError` where there is no library, or one that is not finished.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.manifest = Manifest.load(self.folder)
        kept = [shard.kept for shard in self.manifest.shards]
        self._planes: dict[int, BitPlanes] = {}
        self.starts = np.concatenate([[0], np.cumsum(kept, dtype=np.int64)])

    def __len__(self) -> int:
        return int(self.starts[-1])

    @property
    def shards(self) -> range:
        return range(len(self.manifest.shards))

    @property
    def properties(self) -> tuple[str, ...]:
        return self.manifest.settings.properties

    def latents(self, shard: int) -> NDArray[np.float16]:
        """The latents of a shard, (K, D)."""
        return latents_of(read_columns(self._parquet(shard), [LATENT]))

    def planes(self, shard: int) -> BitPlanes:
        """The fingerprints of a shard, mapped."""
        if shard not in self._planes:  # mapping is quick, but the sizes of the molecules are worth keeping: 128 KB
            self._planes[shard] = BitPlanes.load(self._files(shard)["bits.npy"], self.manifest.shards[shard].kept)
        return self._planes[shard]

    def accepted(self, shard: int, windows: Sequence[PropertyFilter]) -> NDArray[np.bool_]:
        """Which molecules of a shard have properties in all of the windows, (K,). Raises `InputError`."""
        for window in windows:
            if window.name not in self.properties:
                raise InputError(
                    f"{self.folder} holds {', '.join(self.properties)}, and not {window.name}: "
                    f"index it again with --properties {','.join([*self.properties, window.name])}"
                )
        inside = np.ones(self.manifest.shards[shard].kept, dtype=bool)
        if windows:
            table = read_columns(self._parquet(shard), list({window.name for window in windows}))
            for window in windows:
                inside &= _inside(window, table.column(window.name).to_numpy())
        return inside

    def molecules(self, rows: Rows, columns: Sequence[str] = ()) -> pd.DataFrame:
        """Columns of these molecules (smiles, id, file, row and the properties if none are named), in their order."""
        wanted = list(columns) or ["smiles", "id", "file", "row", *self.properties]
        parts = [
            read_columns(self._parquet(shard), wanted, groups).take(places).to_pandas()
            for shard, groups, places in self._located(rows)
        ]
        frame = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=wanted)
        return frame.set_index(np.argsort(rows, kind="stable")).sort_index()

    def latents_at(self, rows: Rows) -> NDArray[np.float16]:
        """The latents of these molecules, (M, D)."""
        parts = [np.zeros((0, self.manifest.settings.model.latent_dim), np.float16)]
        for shard, groups, places in self._located(rows):
            parts.append(latents_of(read_columns(self._parquet(shard), [LATENT], groups))[places])
        latents = np.empty((len(rows), parts[0].shape[1]), np.float16)
        latents[np.argsort(rows, kind="stable")] = np.concatenate(parts)
        return latents

    def _located(self, rows: Rows) -> Iterator[tuple[int, list[int], NDArray[np.int64]]]:
        """The rows in ascending order, shard by shard: its row groups, and the rows' places in them together."""
        ascending = np.sort(rows, kind="stable")
        of_shard = np.searchsorted(self.starts, ascending, side="right") - 1
        for shard in np.unique(of_shard).tolist():
            yield shard, *groups_of(ascending[of_shard == shard] - self.starts[shard])

    def _files(self, shard: int) -> dict[str, Path]:
        return files_of(self.folder, self.manifest.shards[shard].name)

    def _parquet(self, shard: int) -> Path:
        return self._files(shard)["parquet"]


def _inside(window: PropertyFilter, values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """`PropertyFilter.admits` of many values."""
    if window.exclusive:
        return (window.low < values) & (values < window.high)
    return (window.low <= values) & (values <= window.high)
