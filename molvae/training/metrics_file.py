"""metrics.csv, the curve of a run: it survives kills, and a resumed run goes on where its checkpoint was."""

from __future__ import annotations

import csv
import os
from pathlib import Path

from molvae.data.files import Claim

Row = dict[str, float]


class MetricsFile:
    """A table with a column `step` and one per figure; a row is on disk as soon as it is added.

    `step` counts from 0. A row has blanks where it says nothing; a new figure adds a column. A run whose folder is
    another's by now (`claim`) ends here.
    """

    def __init__(self, path: Path, claim: Claim | None = None) -> None:
        self.path, self.claim = path, claim
        self._columns: list[str] = []

    def add(self, step: int, figures: Row) -> None:
        if self.claim is not None:
            self.claim.check()
        if not self._columns:
            self._columns = _header(self.path)
        if new := sorted(set(figures) - set(self._columns)):
            self._write(read_metrics(self.path), ["step", *sorted({*self._columns, *new} - {"step"})])
        with self.path.open("a", newline="", encoding="utf-8") as file:
            csv.DictWriter(file, self._columns, lineterminator="\n").writerow({"step": step, **figures})

    def keep_before(self, step: int) -> None:
        """Forget what a killed run did after its last checkpoint, which will be done again."""
        rows = [row for row in read_metrics(self.path) if row["step"] < step]
        if rows:
            self._write(rows, ["step", *sorted({name for row in rows for name in row} - {"step"})])
        else:
            self.path.unlink(missing_ok=True)
            self._columns = []

    def _write(self, rows: list[Row], columns: list[str]) -> None:
        part = self.path.with_name(self.path.name + ".part")
        with part.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns, lineterminator="\n")
            writer.writeheader()
            writer.writerows({**row, "step": int(row["step"])} for row in rows)
        os.replace(part, self.path)
        self._columns = columns


def read_metrics(path: Path) -> list[Row]:
    """The rows of a metrics.csv, blanks left out; a last line that a kill cut short is no row."""
    if not path.exists():
        return []
    text = path.read_text(encoding="utf-8")
    whole = text[: text.rfind("\n") + 1].splitlines()
    return [{k: float(v) for k, v in row.items() if v} for row in csv.DictReader(whole)]


def last_figures(rows: list[Row]) -> Row:
    """The newest value of every figure."""
    found: Row = {}
    for row in rows:
        found.update(row)
    found.pop("step", None)
    return found


def _header(path: Path) -> list[str]:
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return next(csv.reader(file), [])
