"""The same screen on a Ray cluster: Ray Data reads, actors hold the network, the shortlist is put together here.

What is a cluster's business (where tasks run, what is tried again, what is spilled to disk) is left to Ray.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from molvae.data.parallel import chunked
from molvae.data.readers import read_records
from molvae.data.rows import InvalidRow, Record
from molvae.errors import InputError, import_extra
from molvae.library.embedding import BATCH
from molvae.screening.pipeline import Part, Row, ScreenCounts, Task, examine
from molvae.screening.query import Encoder, Question
from molvae.screening.shortlist import Hit, Shortlist

BLOCK = 16 * BATCH
"""Rows of a block: whole batches, so that each latent is computed beside the same neighbors as on one machine."""

CPUS = 0.5
"""Of an actor: one for every core, and half of the cores free for those who read. Actors that hold every core would
wait for rows for ever."""


def screen_on_ray(
    files: Sequence[Path],
    question: Question,
    *,
    address: str,
    column: str | None = None,
    encoder: Encoder | None = None,
    taken: Callable[[Part], None] = lambda _: None,
) -> list[Hit]:
    """`screen` of files on the cluster at `address` ("auto": the one that this machine belongs to; "local": a new one).

    Every machine reads the files under the same path. The same hits as on one machine, whatever the number of
    machines. With an encoder on a GPU there is an actor for each GPU, else for each core. Raises `MissingExtraError`
    without Ray, `InputError` where there is no cluster.
    """
    ray = _connected(address)
    blocks = ray.data.read_datasource(_source(files, column))
    on_gpu = encoder is not None and encoder.device.type != "cpu"
    actors = int(ray.cluster_resources().get("GPU" if on_gpu else "CPU", 1))
    parts = blocks.map_batches(
        _Screener,
        fn_constructor_args=(question, encoder),
        batch_size=None,  # a block as it was read
        batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(min_size=1, max_size=max(1, actors)),
        num_cpus=CPUS,
        num_gpus=int(on_gpu),
    )
    shortlist = Shortlist(question.top, question.seeds)
    for table in parts.iter_batches(batch_size=None, batch_format="pyarrow"):
        for part in _parts(table):
            shortlist.add(part.hits)
            taken(part)
    return shortlist.hits()


def _connected(address: str) -> Any:
    ray = import_extra("ray", "ray")
    import_extra("ray.data", "ray")
    if not ray.is_initialized():
        try:
            ray.init(address=address, logging_level=logging.WARNING, log_to_driver=False)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise InputError(f"no Ray cluster at {address!r}: {error}; start one with `ray start --head`") from None
    logging.getLogger("ray.data").setLevel(logging.WARNING)  # of every data set it tells begin, plan and end
    ray.data.DataContext.get_current().enable_progress_bars = False
    return ray


def _source(files: Sequence[Path], column: str | None) -> Any:
    """The rows of the files as Ray reads them: a task for each file, which gives block after block."""
    from ray.data import Datasource, ReadTask
    from ray.data.block import BlockMetadata

    class Library(Datasource):  # type: ignore[misc]
        def estimate_inmemory_data_size(self) -> int:
            return sum(path.stat().st_size for path in files)

        def get_read_tasks(self, *_: Any, **__: Any) -> list[Any]:
            return [ReadTask(partial(_blocks, path, column), _metadata(BlockMetadata, path)) for path in files]

    return Library()  # type: ignore[no-untyped-call]


def _metadata(kind: Any, path: Path) -> Any:
    return kind(num_rows=None, size_bytes=path.stat().st_size, input_files=[str(path)], exec_stats=None)


def _blocks(path: Path, column: str | None) -> Iterator[Any]:
    """Tables of `BLOCK` rows: smiles, name, source, row, and the reason of those that are invalid rows."""
    for rows in chunked(read_records(path, column=column), BLOCK):
        yield _table([_cells(row) for row in rows])


def _cells(row: Row) -> dict[str, Any]:
    if isinstance(row, Record):
        return {"smiles": row.smiles, "name": row.name, "source": row.source, "row": row.row, "reason": None}
    return {"smiles": row.value, "name": "", "source": row.source, "row": row.row, "reason": row.reason}


def _table(cells: list[dict[str, Any]]) -> Any:
    import pyarrow as pa

    text, number = pa.string(), pa.int64()
    schema = {"smiles": text, "name": text, "source": text, "row": number, "reason": text, "score": pa.float64(),
              "scored": number, "filtered": number}  # fmt: skip
    return pa.Table.from_pylist(cells, pa.schema(schema))


class _Screener:
    """An actor: a block of rows in, its hits and invalid rows out, and a row with the counts."""

    def __init__(self, question: Question, encoder: Encoder | None) -> None:
        self.question, self.encoder = question, encoder
        self.shortlist = Shortlist(question.top, question.seeds)  # what it has seen so far: a floor for what comes

    def __call__(self, block: Any) -> Any:
        cells: list[dict[str, Any]] = []
        for rows in chunked(map(_row, block.to_pylist()), BATCH):
            part = examine(self.question, self.encoder, Task(rows, self.shortlist.floor))
            self.shortlist.add(part.hits)
            cells += [_hit_cells(hit) for hit in part.hits] + [_cells(invalid_row) for invalid_row in part.invalid_rows]
            cells.append({"scored": part.counts.scored, "filtered": part.counts.filtered})
        return _table(cells)


def _row(cells: dict[str, Any]) -> Row:
    if cells["reason"] is None:
        return Record(cells["smiles"], cells["name"], cells["source"], cells["row"])
    return InvalidRow(cells["source"], cells["row"], cells["smiles"], cells["reason"])


def _hit_cells(hit: Hit) -> dict[str, Any]:
    return {"score": hit.score, "smiles": hit.smiles, "name": hit.name, "source": hit.source, "row": hit.row}


def _parts(table: Any) -> Iterable[Part]:
    """What an actor wrote, as it would have been handed over on one machine."""
    part = Part()
    for cells in table.to_pylist():
        if cells["scored"] is not None:
            part.counts = ScreenCounts(cells["scored"], cells["filtered"], len(part.invalid_rows))
            yield part
            part = Part()
        elif cells["reason"] is not None:
            part.invalid_rows.append(InvalidRow(cells["source"], cells["row"], cells["smiles"], cells["reason"]))
        else:
            part.hits.append(Hit(cells["score"], cells["smiles"], cells["name"], cells["source"], cells["row"]))
