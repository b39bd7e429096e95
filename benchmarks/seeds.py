"""Seeds for the benchmarks of sampling, and what was spent on each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from molvae.data.readers import Record, read_records


def drawn(source: Path, count: int | None = None, seed: int = 0) -> list[str]:
    """Molecules of a file, drawn at random; all of them in random order where no count is given."""
    smiles = [row.smiles for row in read_records(source) if isinstance(row, Record)]
    return [smiles[row] for row in np.random.default_rng(seed).permutation(len(smiles))[:count]]


def spent(statistics: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """The statistics of a table of analogs as a table: molecules found, samples, and valid samples of each seed."""
    return pd.DataFrame(statistics, columns=["found", "samples", "valid"])
