"""Seeds for the benchmarks of sampling, and what was spent on each."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from molvae.data.readers import Record, read_records

_SUMMARY = re.compile(r": (\d+) of \d+ distinct molecules .*?from (\d+) strings \((\d+) valid\)")


def drawn(source: Path, count: int | None = None, seed: int = 0) -> list[str]:
    """Molecules of a file, drawn at random; all of them in random order where no count is given."""
    smiles = [row.smiles for row in read_records(source) if isinstance(row, Record)]
    return [smiles[row] for row in np.random.default_rng(seed).permutation(len(smiles))[:count]]


def spent(summary: Sequence[str]) -> pd.DataFrame:
    """From the summary of a table of analogs, a row per seed: molecules found, strings spent, of these valid."""
    matches = [(line, _SUMMARY.search(line)) for line in summary]
    for line, match in matches:
        assert match is not None, line
    rows = [[int(number) for number in match.groups()] for _, match in matches if match]
    return pd.DataFrame(rows, columns=["found", "strings", "valid"])
