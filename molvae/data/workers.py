"""Worker processes for functions of this package, which ask nothing of the caller and survive a crash.

They are started by loky: they never import the caller's main module, so that a script needs no `__main__` guard and a
notebook is no exception, on any system. A worker that is killed takes its work with it, and that is done again.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from importlib import import_module
from typing import Any, Generic, TypeVar

from molvae.data.featurise import end_with, in_chunks

Item = TypeVar("Item")
Result = TypeVar("Result")

CHUNK = 128  # items that go to a worker at once
DEATHS = 3  # of a worker with one item alone, after which the item is to blame
IDLE_SECONDS = 60  # after which workers without work end


class Workers:
    """`count` processes, shared by all that ask for the same; 0: what is submitted is done here and at once.

    `modules` are imported by each of them at its start: what is large and comes in later looks like a leak of memory,
    for which loky starts a process anew.
    """

    def __init__(self, count: int = 0, modules: tuple[str, ...] = ()) -> None:
        self.count, self.modules, self._started = count, modules, False

    def submit(self, function: Callable[[list[Item]], list[Result]], items: Sequence[Item]) -> Pending[Result]:
        """Begin `function`, which gives a result for each of its items, on all of them, in chunks."""
        return Pending(self, function, items)

    def stop(self) -> None:
        """End the processes, whatever they are at: for when the user has had enough."""
        if self._started:
            self._executor().shutdown(kill_workers=True)

    def start(self, function: Callable[[list[Item]], list[Result]], chunk: list[Item]) -> Future[list[Result]]:
        """One chunk, in some worker. The processes are started when they are first needed."""
        self._started = True
        future: Future[list[Result]] = self._executor().submit(function, chunk)
        return future

    def _executor(self) -> Any:
        from loky import get_reusable_executor

        return get_reusable_executor(
            max_workers=self.count, timeout=IDLE_SECONDS, initializer=_begin, initargs=(os.getpid(), self.modules)
        )


def _begin(parent: int, modules: tuple[str, ...]) -> None:
    end_with(parent)
    for name in modules:
        import_module(name)


HERE = Workers(0)


class Pending(Generic[Result]):
    """Results that are on their way."""

    def __init__(self, workers: Workers, function: Callable[[list[Any]], list[Result]], items: Sequence[Any]) -> None:
        self.workers, self.function = workers, function
        self.done: list[Result | None] | None = None
        self.parts: list[tuple[list[Any], Future[list[Result]] | None]] = []
        if workers.count:
            self.parts = [(chunk, self._started(chunk)) for chunk in in_chunks(items, CHUNK)]
        else:
            self.done = list(function(list(items)))

    def result(self) -> list[Result | None]:
        """A result for each item, in order; None where an item brings down whatever process works on it."""
        if self.done is None:
            self.done = [result for chunk, future in self.parts for result in self._collected(chunk, future)]
            self.parts = []
        return self.done

    def cancel(self) -> None:
        """Let go of what is not begun: nobody will ask for it."""
        for _, future in self.parts:
            if future is not None:
                future.cancel()

    def _started(self, chunk: list[Any]) -> Future[list[Result]] | None:
        try:
            return self.workers.start(self.function, chunk)
        except BrokenProcessPool:  # of just this moment
            return None

    def _collected(self, chunk: list[Any], future: Future[list[Result]] | None) -> Sequence[Result | None]:
        try:
            return self._again(chunk) if future is None else future.result()
        except BrokenProcessPool:  # also for the chunks that were only waiting while another's worker died
            return self._again(chunk)

    def _again(self, chunk: list[Any]) -> Sequence[Result | None]:
        """Once more in new processes; and if these die too, one by one, so that only the item to blame is lost.

        To be blamed it has to be there as often as `DEATHS`: now and then another program has a process killed.
        """
        for _ in range(DEATHS if len(chunk) == 1 else 1):
            try:
                return self.workers.start(self.function, chunk).result()
            except BrokenProcessPool:
                continue
        return [None] if len(chunk) == 1 else [result for item in chunk for result in self._again([item])]
