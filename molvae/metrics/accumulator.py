"""What a stream of scored rows leaves behind: counts, who was there, and a sample to describe the set by."""

from __future__ import annotations

import numpy as np
import pandas as pd

from molvae.data.hashing import hash_texts
from molvae.errors import InputError
from molvae.metrics.reference import Keys

INVALID_KEPT = 20


class Tally:
    """Of a stream of any length, in memory that grows by 8 bytes a valid row.

    The sample is `size` valid rows drawn at random, each as likely; all of them where there are no more. It depends on
    `random_state` and on the order of the rows, not on how they were cut into tables. Raises `InputError` for a `size` below 1.
    """

    def __init__(self, size: int, random_state: int) -> None:
        if size < 1:
            raise InputError(f"a sample holds at least 1 molecule, got {size}")
        self.size, self.random_state, self.random = size, random_state, np.random.default_rng(random_state)
        self.read = self.valid = self.incomplete = 0
        self._keys: list[Keys] = []
        self._kept: list[pd.DataFrame] = []
        self._invalid: list[pd.DataFrame] = []

    def add(self, rows: pd.DataFrame) -> None:
        """Rows as `molecules.describe` makes them, and any columns beside."""
        good = (rows["canonical"] != "").to_numpy()
        valid = rows[good]
        self._keys.append(hash_texts(valid["canonical"]))
        kept = valid.assign(_place=np.arange(self.valid, self.valid + len(valid)), _lot=self.random.random(len(valid)))
        self._kept.append(kept)
        if sum(map(len, self._kept)) > 2 * self.size:
            self._kept = [_first_lots(self._kept, self.size)]
        if sum(map(len, self._invalid)) < INVALID_KEPT:
            self._invalid.append(rows[~good].head(INVALID_KEPT))
        self.read += len(rows)
        self.valid += len(valid)
        self.incomplete += int((valid["error"] != "").sum())

    @property
    def invalid(self) -> int:
        return self.read - self.valid

    def keys(self) -> Keys:
        """`hash_texts` every valid row, in order."""
        return np.concatenate(self._keys) if self._keys else np.empty(0, np.uint64)

    def sample(self) -> pd.DataFrame:
        """The sampled rows in the order they came."""
        if not self._kept:
            return pd.DataFrame({"smiles": [], "error": [], "canonical": []}, dtype=object)
        drawn = _first_lots(self._kept, self.size).sort_values("_place", ignore_index=True)
        return drawn.drop(columns=["_place", "_lot"])

    def first_invalid(self) -> pd.DataFrame:
        """The first few rows that are no molecule, for showing why."""
        return pd.concat(self._invalid).head(INVALID_KEPT) if self._invalid else self.sample().head(0)


def _first_lots(parts: list[pd.DataFrame], size: int) -> pd.DataFrame:
    rows = pd.concat([part for part in parts if len(part)] or parts[:1], ignore_index=True)
    return rows if len(rows) <= size else rows.nsmallest(size, "_lot")
