"""Work of a job on molecules, in small pieces: between them the job may be cancelled, and others have their turn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from molvae.data.parallel import POOL_CHUNK_SIZE, PendingResults, WorkerPool, chunked
from molvae.serve.turns import current_turn

Item = TypeVar("Item")
Result = TypeVar("Result")

PIECE = 16
"""Molecules of a piece of work, which takes some hundredths of a second."""


class TurnPool(WorkerPool):
    """A pool that computes in the thread of the job, piece by piece, or in worker processes.

    Parameters
    ----------
    count
        Worker processes; 0 for none. A molecule that crashes a process has no result, and costs nothing else.
    """

    def __init__(self, count: int = 0) -> None:
        super().__init__(count)

    def submit(
        self, function: Callable[[list[Item]], list[Result]], items: Sequence[Item], size: int = POOL_CHUNK_SIZE
    ) -> PendingResults[Result]:
        """As `WorkerPool.submit`."""
        if self.count:
            return _WaitingResults(self, function, items, size)
        return PendingResults(WorkerPool(0), in_pieces(function, min(size, PIECE)), items)


class _WaitingResults(PendingResults[Result]):
    """Results of worker processes; a job gives up its turn while it waits for them."""

    def result(self, progress: Callable[[list[Result | None]], None] | None = None) -> list[Result | None]:
        turn = current_turn.get()
        if turn is None:
            return super().result(progress)
        turn.check()
        with turn.released():
            return super().result(progress)


def in_pieces(function: Callable[[list[Any]], list[Result]], size: int = PIECE) -> Callable[[list[Any]], list[Result]]:
    """The function, applied to a few items at a time, with a pause of the job's turn after each of them."""

    def apply(items: list[Any]) -> list[Result]:
        results = list[Result]()
        for piece in chunked(items, size):
            results += function(piece)
            if turn := current_turn.get():
                turn.pause()
        return results

    return apply
