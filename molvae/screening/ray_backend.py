"""Screening on a Ray cluster: Ray Data reads the files, actors screen them, and this process merges the hits.

Scheduling, retries and spilling to disk are left to Ray.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from molvae.data.parallel import chunked
from molvae.data.processes import safe_environment_set
from molvae.data.readers import read_records
from molvae.data.rows import InvalidRow, Record
from molvae.errors import InputError, import_extra
from molvae.library.embedding import BATCH_SIZE
from molvae.screening.pipeline import PartialResult, Row, RowBatch, ScreenCounts, process_batch
from molvae.screening.query import LatentEncoder, ScreenQuery
from molvae.screening.shortlist import Hit, Shortlist

BLOCK = 16 * BATCH_SIZE
"""Rows of a block: whole batches, so that every latent is computed in the same batch as on one machine."""

CPUS_PER_ACTOR = 0.5
"""With one actor per core, the actors take half of the cores; the rest reads files. Otherwise no task could read."""


def screen_on_ray(
    files: Sequence[Path],
    query: ScreenQuery,
    *,
    address: str,
    column: str | None = None,
    name_column: str | None = None,
    encoder: LatentEncoder | None = None,
    on_part: Callable[[PartialResult], None] = lambda _: None,
) -> list[Hit]:
    """Screen files on a Ray cluster; the hits are those of `screen_rows`, for any number of machines.

    Parameters
    ----------
    files : sequence of Path
        Files that every machine of the cluster can read under the same path.
    query : ScreenQuery
        Filters and scores.
    address : str
        Address of the cluster; "auto" for the one that this machine belongs to, "local" to start a new one.
    column, name_column : str, optional
        Columns of the SMILES and of the names.
    encoder : LatentEncoder, optional
        Needed for scores of latents. There is one actor for each GPU if it is on a GPU, else for each core.
    on_part : callable
        Called with the `PartialResult` of every batch.

    Returns
    -------
    list of Hit
        At most `query.top` distinct molecules, the best first.

    Raises
    ------
    MissingExtraError
        If Ray is not installed.
    InputError
        If there is no cluster at `address`.
    """
    ray = _connect(address)
    blocks = ray.data.read_datasource(_datasource(files, column, name_column))
    on_gpu = encoder is not None and encoder.device.type != "cpu"
    actors = int(ray.cluster_resources().get("GPU" if on_gpu else "CPU", 1))
    tables = blocks.map_batches(
        _ScreenActor,
        fn_constructor_args=(query, encoder),
        batch_size=None,  # whole blocks, as they were read
        batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(min_size=1, max_size=max(1, actors)),
        num_cpus=CPUS_PER_ACTOR,
        num_gpus=int(on_gpu),
    )
    shortlist = Shortlist(query.top, query.seeds)
    for table in tables.iter_batches(batch_size=None, batch_format="pyarrow"):
        for result in _results_from_table(table):
            shortlist.add(result.hits)
            on_part(result)
    return shortlist.hits()


def _connect(address: str) -> Any:
    """Import Ray and connect to the cluster."""
    ray = import_extra("ray", "ray")
    import_extra("ray.data", "ray")
    if not ray.is_initialized():
        job = ray.job_config.JobConfig()
        job._py_driver_sys_path = _ImportPath()
        try:
            with safe_environment_set():  # for the processes of a new cluster
                ray.init(address=address, logging_level=logging.WARNING, log_to_driver=False, job_config=job)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise InputError(f"no Ray cluster at {address!r}: {error}; start one with `ray start --head`") from None
    logging.getLogger("ray.data").setLevel(logging.WARNING)  # it logs the plan of every dataset otherwise
    ray.data.DataContext.get_current().enable_progress_bars = False
    return ray


class _ImportPath(list[str]):
    """The folders that Ray adds to the import path of its workers, without the working directory of this process.

    Ray always adds it. A file such as `random.py` there would be executed by the workers.
    """

    def extend(self, folders: Iterable[str]) -> None:
        """Add folders that this process imports modules from."""
        super().extend(folder for folder in folders if folder in sys.path)


def _datasource(files: Sequence[Path], column: str | None, name_column: str | None) -> Any:
    """Return a Ray datasource of the rows: a task for each file, which yields block after block."""
    from ray.data import Datasource, ReadTask
    from ray.data.block import BlockMetadata

    class Library(Datasource):  # type: ignore[misc]
        def estimate_inmemory_data_size(self) -> int:
            return sum(path.stat().st_size for path in files)

        def get_read_tasks(self, *_: Any, **__: Any) -> list[Any]:
            return [
                ReadTask(partial(_read_blocks, path, column, name_column), _metadata(BlockMetadata, path))
                for path in files
            ]

    return Library()  # type: ignore[no-untyped-call]


def _metadata(block_metadata: Any, path: Path) -> Any:
    return block_metadata(num_rows=None, size_bytes=path.stat().st_size, input_files=[str(path)], exec_stats=None)


def _read_blocks(path: Path, column: str | None, name_column: str | None) -> Iterator[Any]:
    """Yield tables of `BLOCK` rows: smiles, name, source, row, and the reason of an invalid row."""
    for rows in chunked(read_records(path, column=column, name_column=name_column), BLOCK):
        yield _table([_row_to_dict(row) for row in rows])


class _ScreenActor:
    """A Ray actor that screens a block of rows and returns its hits, its invalid rows and the counts of each batch."""

    def __init__(self, query: ScreenQuery, encoder: LatentEncoder | None) -> None:
        self.query, self.encoder = query, encoder
        # the shortlist of the rows of this actor, whose threshold applies to later batches
        self.shortlist = Shortlist(query.top, query.seeds)

    def __call__(self, block: Any) -> Any:
        entries: list[dict[str, Any]] = []
        for rows in chunked(map(_row_from_dict, block.to_pylist()), BATCH_SIZE):
            result = process_batch(self.query, self.encoder, RowBatch(rows, self.shortlist.threshold))
            self.shortlist.add(result.hits)
            entries += [_hit_to_dict(hit) for hit in result.hits]
            entries += [_row_to_dict(row) for row in result.invalid_rows]
            entries += [{**_row_to_dict(row), "reason": None, "note": row.reason} for row in result.notes]
            entries.append({"scored": result.counts.scored, "filtered": result.counts.filtered})
        return _table(entries)


def _results_from_table(table: Any) -> Iterable[PartialResult]:
    """Yield the results of the batches in an actor's table; an entry with counts is the last of its batch."""
    result = PartialResult()
    for entry in table.to_pylist():
        if entry["scored"] is not None:
            result.counts = ScreenCounts(
                entry["scored"], entry["filtered"], len(result.invalid_rows), len(result.notes)
            )
            yield result
            result = PartialResult()
        elif entry["reason"] is not None:
            result.invalid_rows.append(InvalidRow(entry["source"], entry["row"], entry["smiles"], entry["reason"]))
        elif entry["note"] is not None:
            result.notes.append(InvalidRow(entry["source"], entry["row"], entry["smiles"], entry["note"]))
        else:
            result.hits.append(Hit(entry["score"], entry["smiles"], entry["name"], entry["source"], entry["row"]))


def _table(entries: list[dict[str, Any]]) -> Any:
    """Return an Arrow table of rows, hits and counts; missing values are null."""
    import pyarrow as pa

    text, integer = pa.string(), pa.int64()
    schema = {"smiles": text, "name": text, "source": text, "row": integer, "reason": text, "note": text,
              "score": pa.float64(), "scored": integer, "filtered": integer}  # fmt: skip
    return pa.Table.from_pylist(entries, pa.schema(schema))


def _row_to_dict(row: Row) -> dict[str, Any]:
    if isinstance(row, Record):
        entry = {"smiles": row.smiles, "name": row.name, "source": row.source, "row": row.row, "reason": None}
        return {**entry, "note": row.note or None}
    return {"smiles": row.value, "name": "", "source": row.source, "row": row.row, "reason": row.reason}


def _row_from_dict(entry: dict[str, Any]) -> Row:
    if entry["reason"] is None:
        return Record(entry["smiles"], entry["name"], entry["source"], entry["row"], note=entry["note"] or "")
    return InvalidRow(entry["source"], entry["row"], entry["smiles"], entry["reason"])


def _hit_to_dict(hit: Hit) -> dict[str, Any]:
    return {"score": hit.score, "smiles": hit.smiles, "name": hit.name, "source": hit.source, "row": hit.row}
