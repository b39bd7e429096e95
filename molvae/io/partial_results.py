"""Partial results of a long run: finished tables are stored, so that a killed run resumes after the last of them.

Files of a folder::

    settings.json      settings and inputs that the tables depend on, written first
    run                lock of the process that uses the folder
    000000.parquet     one table, written atomically; its `attrs` contain the counts of the rows it covers

A table must depend on its own input rows and the settings only, and must start at the same row in every run.
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

from molvae.data.files import FolderLock, atomic_write, leftover_temporary_files, remove_leftover
from molvae.data.json_files import read_object, reading
from molvae.errors import InputError, MolvaeError

SETTINGS = "settings.json"
COUNTS = "counts"
LOCK = "run"


class PartialResults:
    """The stored tables of an unfinished run.

    Parameters
    ----------
    folder : Path
        Where the tables are stored; created if it does not exist.
    settings : mapping
        What the tables depend on; must be serializable to JSON.

    Attributes
    ----------
    n_tables : int
        Number of stored tables.
    counts : Counter
        Sum of the tables' counts.

    Raises
    ------
    InputError
        If the folder contains tables of other settings (the message names them), or other files.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        self.folder = folder
        stored = list(self._stored_counts())
        self.n_tables = len(stored)
        self.counts: Counter[str] = sum((Counter(counts) for counts in stored), Counter())
        self._check(json.loads(json.dumps(settings)))  # tuples become lists, as in the stored settings
        folder.mkdir(parents=True, exist_ok=True)
        self._remove_from(self.n_tables)
        with atomic_write(folder / SETTINGS) as draft:
            draft.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
        self.lock = FolderLock(folder / LOCK)

    def extend(self, tables: Iterable[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        """Store tables as they are computed, then iterate over all stored tables, the earlier ones first."""
        for table in tables:
            self._store(table)
        return (pd.read_parquet(self._file(number)) for number in range(self.n_tables))

    def remove(self) -> None:
        """Delete the tables, once the output is written; the last table first, so that there is never a gap."""
        self.lock.check()
        self._remove_from(0)
        self.lock.release()
        (self.folder / SETTINGS).unlink(missing_ok=True)
        with suppress(OSError):  # not empty: it contains files of other programs
            self.folder.rmdir()

    def keep(self) -> None:
        """Leave the tables to a later run: release the lock of the folder, unless another run has taken it."""
        with suppress(MolvaeError, OSError):
            self.lock.release()

    def _store(self, table: pd.DataFrame) -> None:
        self.lock.check()
        with atomic_write(self._file(self.n_tables)) as draft:
            table.to_parquet(draft, index=False)
        self.n_tables += 1
        self.counts.update(table.attrs[COUNTS])

    def _file(self, number: int) -> Path:
        return self.folder / f"{number:06d}.parquet"

    def _stored_counts(self) -> Iterator[dict[str, int]]:
        """The counts of each table, up to the first that is missing or, after a power failure, incomplete."""
        for number in count():
            try:
                yield pd.read_parquet(self._file(number), columns=[]).attrs[COUNTS]
            except (OSError, ValueError):
                return

    def _check(self, settings: dict[str, Any]) -> None:
        """Raise `InputError` unless the folder is new or belongs to a run with the same settings."""
        if not (self.folder / SETTINGS).exists():
            if self.folder.exists() and (not self.folder.is_dir() or any(self.folder.iterdir())):
                raise InputError(f"{self.folder} exists and is not an unfinished run: choose another output")
            return
        stored = self._stored_settings()
        changed = [name for name in {**stored, **settings} if stored.get(name) != settings.get(name)]
        if changed and self.n_tables:
            changes = "; ".join(f"{name}: {stored.get(name)} before, now {settings.get(name)}" for name in changed)
            raise InputError(
                f"{self.folder} holds an unfinished run with other settings ({changes}): "
                "repeat those settings to resume it, delete the folder to start again, or choose another output"
            )

    def _stored_settings(self) -> dict[str, Any]:
        with reading(self.folder / SETTINGS, InputError, "delete the folder to start again"):
            return read_object(self.folder / SETTINGS, surrogates=True)

    def _remove_from(self, number: int) -> None:
        """Delete the tables from this one on, and temporary files of killed processes."""
        tables = [path for path in sorted(self.folder.glob("*.parquet")) if path >= self._file(number)]
        for path in reversed(tables):
            path.unlink(missing_ok=True)
        for path in leftover_temporary_files(self.folder):
            remove_leftover(path)
