"""The seeds of `molvae analogs` on their way through the generator: names, IDs of the analogs, and counts of rows."""

from __future__ import annotations

import os
import sys
import warnings
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, NamedTuple

import typer

from molvae.cli.signals import partial_results
from molvae.viz.progress import progress_bar

if TYPE_CHECKING:
    import pandas as pd

    from molvae.cli.inputs import InputRows
    from molvae.data.rows import Record
    from molvae.generator import Generator

MAX_BYTES_COUNTED = 50e6
"""Size of input files up to which their rows are counted for the progress bar."""


class _Seed(NamedTuple):
    """A seed that the generator has been given."""

    row: Record
    label: str  # first part of the IDs of its analogs
    n_invalid: int  # invalid rows since the seed before it


class SeedStream:
    """Passes seeds to the generator, and counts how many were used and rejected.

    Parameters
    ----------
    rows
        The rows of all inputs, whose further columns are added to the analogs.
    counts
        The counts of an interrupted run; its rows are skipped.
    named
        Add the names of the seeds as a column.
    """

    def __init__(self, rows: InputRows, counts: Mapping[str, int], *, named: bool) -> None:
        self.counts, self.named, self.rows = Counter(counts), named, rows
        self.n_skipped = self.counts["used"] + self.counts["rejected"]
        self.pending: deque[_Seed] = deque()  # seeds in the generator
        self.labels: set[str] = set()
        self.n_invalid = 0  # number of invalid rows since the last seed
        self.n_tables = 0

    def tables(
        self,
        generator: Generator,
        n: int,
        analog_options: dict[str, Any],
        n_rows: int | None = None,
        *,
        keep_partial: bool = False,
    ) -> Iterator[pd.DataFrame]:
        """A table for every few seeds; `attrs["counts"]` has the counts of the rows that it covers.

        `n_rows` is the number of all rows, if it is known, for the progress bar. With `keep_partial`, an interruption
        (Ctrl+C) is raised after a last table with what was found so far.
        """
        from molvae.chem.scoring_functions import ScoringFunctionWarning
        from molvae.errors import MolvaeWarning
        from molvae.generation.interruption import AnalogsInterrupted

        total = None if n_rows is None else n * max(0, n_rows - self.n_skipped)
        with warnings.catch_warnings(), progress_bar(total, "molecules") as advance:
            warnings.simplefilter("ignore", MolvaeWarning)  # reported below with file and line
            warnings.simplefilter("default", ScoringFunctionWarning)
            try:
                with partial_results() if keep_partial else nullcontext():
                    for frame in generator.iter_analogs(self._seeds(), n, **analog_options, progress=advance):
                        yield self._finish(frame)
            except AnalogsInterrupted as error:
                if keep_partial and len(error.frame):
                    yield self._finish(error.frame)
                raise
        self.counts["rejected"] += self.n_invalid

    def seed_table(self, frame: pd.DataFrame, seeds: Sequence[Record] = ()) -> pd.DataFrame:
        """A table with the names of the seed of each row, if seeds have names, and with its further columns."""
        from molvae.data.carried_columns import add_columns

        if self.named:
            frame.insert(1, "name", [seed.name for seed in seeds])
        return add_columns(frame, seeds, self.rows.columns)

    def _seeds(self) -> Iterator[str]:
        from molvae.cli.inputs import report_row
        from molvae.data.rows import Record

        for position, row in enumerate(self.rows, start=1):
            is_new = position > self.n_skipped
            if isinstance(row, Record):
                label = seed_label(row.name, position, self.labels)
                if is_new:
                    self.pending.append(_Seed(row, label, self.n_invalid))
                    self.n_invalid = 0
                    yield row.smiles
            elif is_new:
                report_row(row)
                self.n_invalid += 1

    def _finish(self, frame: pd.DataFrame) -> pd.DataFrame:
        """A table with the names and IDs of its seeds; its summary is printed, and its rows are counted."""
        from molvae.cli.inputs import report_note, report_row
        from molvae.generation.options import analog_ids

        counts, seeds, ids = Counter(molecules=len(frame)), list["Record"](), list[str]()
        lines = iter(frame.attrs["summary"])
        for n_found in frame.attrs["rows_per_seed"]:
            seed = self.pending.popleft()
            seeds += [seed.row] * n_found
            ids += analog_ids(seed.label, n_found)
            counts["rejected"] += seed.n_invalid
            reason = frame.attrs["errors"].get(seed.row.smiles)
            if reason is not None:
                report_row(seed.row, reason)
            elif line := next(lines, ""):
                typer.echo(_with_name(line, seed.row.name), err=True)
            counts["changed"] += reason is None and report_note(seed.row, frame.attrs["notes"].get(seed.row.smiles, ""))
            counts["used" if reason is None else "rejected"] += 1
        self.counts.update(counts)
        self.n_tables += 1
        frame["id"] = ids
        frame = self.seed_table(frame, seeds)
        frame.attrs = {"counts": dict(counts)}
        return frame

    def summary(self) -> str:
        """One line, such as "3 seeds: 2 used, 1 rejected; 200 molecules"."""
        from molvae.cli.inputs import changed_summary

        used, rejected = self.counts["used"], self.counts["rejected"]
        seeds = "seed" if used + rejected == 1 else "seeds"
        return (
            f"{used + rejected:,} {seeds}: {used:,} used, {rejected:,} rejected; {self.counts['molecules']:,} molecules"
            f"{changed_summary(self.counts['changed'])}"
        )


def seed_label(name: str, position: int, used: set[str]) -> str:
    """The first part of the IDs of the analogs of a seed: its name or position, different from those `used` so far.

    >>> used = set()
    >>> [seed_label(name, position, used) for position, name in enumerate(["", "Z7", "Z7"], start=1)]
    ['seed1', 'Z7', 'Z7_3']
    """
    label = name or f"seed{position}"
    if label in used:
        label = f"{label}_{position}"
    used.add(label)
    return label


def count_rows(arguments: Sequence[str], column: str | None) -> int | None:
    """Number of rows of SMILES and files for a progress bar; None if none is shown, or if counting would take long."""
    from molvae.data.readers import looks_like_file, read_records

    files = [text for text in arguments if looks_like_file(text)]
    if not sys.stderr.isatty() or not all(map(os.path.isfile, files)):
        return None
    if sum(map(os.path.getsize, files)) > MAX_BYTES_COUNTED:
        return None
    return len(arguments) - len(files) + sum(1 for file in files for _ in read_records(file, column=column))


def _with_name(line: str, name: str) -> str:
    """A summary line that begins with the name of the seed instead of its SMILES, if it has one."""
    return f"{name}: {line.partition(': ')[2]}" if name else line
