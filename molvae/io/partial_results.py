"""The tables of a long run, kept as they come: killed at any moment and begun again, it goes on after the last one.

FOLDER/settings.json      written first: all that the tables depend on
FOLDER/run                whose the folder is, should the same run be begun twice
FOLDER/000000.parquet     a table, which is there whole or not at all; its `attrs` have the counts of what it is about

Where a table begins must depend on nothing but the input, and every table on its own rows and the settings.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

import pandas as pd

from molvae.data.files import FolderLock, abandoned_drafts, atomic_write
from molvae.errors import InputError

SETTINGS = "settings.json"
COUNTS = "counts"
RUN = "run"


class Parts:
    """The finished tables of a run that is not: how many (`tables`), and the sum of their counts (`counts`)."""

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        """Begin a run, or find what an earlier one has left. `settings` must fit into JSON.

        Raises `InputError`, naming what changed, where `folder` holds tables of other settings; or something else.
        """
        self.folder = folder
        done = list(self._finished())
        self.tables = len(done)
        self.counts: Counter[str] = sum((Counter(counts) for counts in done), Counter())
        self._check(json.loads(json.dumps(settings)))  # as it will be read back: tuples are lists
        folder.mkdir(parents=True, exist_ok=True)
        self._remove_after(self.tables)
        with atomic_write(folder / SETTINGS) as draft:
            draft.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
        self.claim = FolderLock(folder / RUN)

    def keep(self, tables: Iterable[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        """Store these tables as they come; then all there are, the earlier ones first, read back one by one."""
        for table in tables:
            self._add(table)
        return (pd.read_parquet(self._file(number)) for number in range(self.tables))

    def remove(self) -> None:
        """Called when the tables have found another place; the last goes first, so that no gap is ever left."""
        self.claim.check()
        self._remove_after(0)
        self.claim.release()
        (self.folder / SETTINGS).unlink(missing_ok=True)
        with suppress(OSError):  # somebody put something of their own there
            self.folder.rmdir()

    def _add(self, table: pd.DataFrame) -> None:
        self.claim.check()
        with atomic_write(self._file(self.tables)) as draft:
            table.to_parquet(draft, index=False)
        self.tables += 1
        self.counts.update(table.attrs[COUNTS])

    def _file(self, number: int) -> Path:
        return self.folder / f"{number:06d}.parquet"

    def _finished(self) -> Iterator[dict[str, int]]:
        """The counts of the tables, up to the first that is not there or, after a power failure, not whole."""
        for number in count():
            try:
                yield pd.read_parquet(self._file(number), columns=[]).attrs[COUNTS]
            except (OSError, ValueError):
                return

    def _check(self, settings: dict[str, Any]) -> None:
        if not (self.folder / SETTINGS).exists():
            if self.folder.exists() and (not self.folder.is_dir() or any(self.folder.iterdir())):
                raise InputError(f"{self.folder} exists and is no unfinished run: choose another output")
            return
        before = self._settings()
        names = [name for name in {**before, **settings} if before.get(name) != settings.get(name)]
        if names and self.tables:
            changes = "; ".join(f"{name}: {before.get(name)} before, now {settings.get(name)}" for name in names)
            raise InputError(
                f"{self.folder} holds an unfinished run with other settings ({changes}): "
                "give those again to go on, delete the folder to start again, or choose another output"
            )

    def _settings(self) -> dict[str, Any]:
        try:
            found: dict[str, Any] = json.loads((self.folder / SETTINGS).read_text(encoding="utf-8"))
        except ValueError:
            raise InputError(f"{self.folder / SETTINGS} is damaged: delete the folder to start again") from None
        return found

    def _remove_after(self, number: int) -> None:
        """All tables from this one on, and what writers that were killed have left."""
        tables = [path for path in sorted(self.folder.glob("*.parquet")) if path >= self._file(number)]
        for path in [*reversed(tables), *abandoned_drafts(self.folder)]:
            path.unlink(missing_ok=True)
