"""How many rows a file holds, roughly and at once: for a progress bar, which needs no more."""

from __future__ import annotations

import gzip
from collections.abc import Iterable
from pathlib import Path

from molvae.data.rows import format_of

_SAMPLE = 1 << 20  # bytes from the beginning of a file


def expected_rows(files: Iterable[Path]) -> int | None:
    """Rows of all files, from how long those at the beginning of each are; None where one cannot be told."""
    total = 0
    for path in files:
        rows = _rows(path)
        if rows is None:
            return None
        total += rows
    return total


def _rows(path: Path) -> int | None:
    kind = format_of(path.name)
    if not path.is_file() or kind is None:
        return None
    if kind == "parquet":
        import pyarrow.parquet as pq

        return int(pq.read_metadata(path).num_rows)
    return _text_rows(path, b"\n$$$$" if kind == "sdf" else b"\n")


def _text_rows(path: Path, end: bytes) -> int | None:
    """The rows in the first bytes, times how often the file is longer than those, as it lies on disk."""
    with path.open("rb") as raw:
        if path.suffix.lower() == ".gz":
            with gzip.open(raw) as unpacked:
                try:
                    sample = unpacked.read(_SAMPLE)
                except (OSError, EOFError):  # damaged; whoever reads it says so
                    return None
            read = raw.tell()
        else:
            sample = raw.read(_SAMPLE)
            read = len(sample)
        size = path.stat().st_size
    whole = len(sample) < _SAMPLE
    rows = sample.count(end) + (whole and not sample.endswith(b"\n"))
    return int(rows if whole else rows * size / max(read, 1))
