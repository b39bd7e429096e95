"""How much memory there is to use."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from importlib import import_module
from math import inf
from multiprocessing.util import Finalize
from pathlib import Path
from typing import Any, Generic, TypeVar

from molvae.data.featurize import end_with, in_chunks
from molvae.errors import MolvaeError

ROOT = Path("/")


def memory_left() -> float:
    """Bytes that this process and its children may still take; inf where that cannot be told, as on macOS.

    That is of the machine's memory or of a control group's, which a container or a batch job has, whichever is less.
    """
    return min(_of_machine(), *map(_of_group, _groups()))


def _of_machine() -> float:
    for line in _text("proc/meminfo").splitlines():
        if line.startswith("MemAvailable:"):
            return 1024.0 * int(line.split()[1])
    return inf


def _groups() -> list[Path]:
    """The control group of this process and those around it, each of which may have a limit (version 2)."""
    own = next((line[3:] for line in _text("proc/self/cgroup").splitlines() if line.startswith("0::")), "/")
    path = Path(own.strip("/"))
    return [Path("sys/fs/cgroup") / group for group in (path, *path.parents)]


def _of_group(group: Path) -> float:
    limit, used = _text(group / "memory.max").strip(), _text(group / "memory.current").strip()
    return max(0.0, float(limit) - float(used)) if limit.isdecimal() and used.isdecimal() else inf


def _text(path: str | Path) -> str:
    try:
        return (ROOT / path).read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""


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
        self.count, self.modules = count, modules

    def submit(
        self, function: Callable[[list[Item]], list[Result]], items: Sequence[Item], size: int = CHUNK
    ) -> Pending[Result]:
        """Begin `function`, which gives a result for each of its items, on all of them, in chunks of this `size`."""
        return Pending(self, function, items, size)

    def start(self, function: Callable[[list[Item]], list[Result]], chunk: list[Item]) -> Future[list[Result]]:
        """One chunk, in some worker. The processes are started when they are first needed."""
        from loky.process_executor import ShutdownExecutorError

        pool = _Pools.find(self.count, self.modules)
        try:
            future: Future[list[Result]] = pool.submit(function, chunk)
        except (BrokenProcessPool, ShutdownExecutorError):  # since it was last asked
            future = _Pools.find(self.count, self.modules, instead_of=pool).submit(function, chunk)
        return future

    def stop(self) -> None:
        """End the processes, whatever they are at; who waits for their answer gets a `ShutdownExecutorError`."""
        _Pools.stop(self.count, self.modules)


HERE = Workers(0)


class Pending(Generic[Result]):
    """Results that are on their way."""

    def __init__(
        self, workers: Workers, function: Callable[[list[Any]], list[Result]], items: Sequence[Any], size: int = CHUNK
    ) -> None:
        self.workers, self.function = workers, function
        self.done: list[Result | None] | None = None
        self.chunks: list[list[Any]] = []
        self.futures: list[Future[list[Result]]] = []
        self.begun_again = False
        if workers.count:
            self.chunks = list(in_chunks(items, size))
            self.futures = [workers.start(function, chunk) for chunk in self.chunks]
        else:
            self.done = list(function(list(items)))

    def result(self, progress: Callable[[list[Result | None]], None] | None = None) -> list[Result | None]:
        """A result for each item, in order; None where an item brings down whatever process works on it.

        `progress` is told the results so far. Raises what the function raises, and `MolvaeError` where processes end
        without being given anything.
        """
        if self.done is None:
            done: list[Result | None] = []
            for place in range(len(self.chunks)):
                done += self._collected(place)
                if progress:
                    progress(done)
            self.done, self.chunks, self.futures = done, [], []
        return self.done

    def cancel(self) -> None:
        """Let go of what is not begun: nobody will ask for it."""
        for future in self.futures:
            future.cancel()

    def _collected(self, place: int) -> Sequence[Result | None]:
        from loky.process_executor import TerminatedWorkerError

        try:
            return self.futures[place].result()
        except TerminatedWorkerError:  # it takes with it all that was under way
            if self.begun_again:
                return self._again(self.chunks[place])
        self.begun_again = True
        for later in range(place, len(self.chunks)):
            future = self.futures[later]
            if not future.done() or future.exception() is not None:
                self.futures[later] = self.workers.start(self.function, self.chunks[later])
        return self._collected(place)

    def _again(self, chunk: list[Any]) -> Sequence[Result | None]:
        """Alone, in new processes; and if these die too, one by one, so that only the item to blame is lost.

        To be blamed it has to be there as often as `DEATHS`: now and then another program has a process killed.
        """
        from loky.process_executor import TerminatedWorkerError

        for _ in range(DEATHS if len(chunk) == 1 else 1):
            try:
                return self.workers.start(self.function, chunk).result()
            except TerminatedWorkerError:
                continue
        if len(chunk) > 1:
            return [result for item in chunk for result in self._again([item])]
        try:
            self.workers.start(_nothing, chunk[:0]).result()
        except TerminatedWorkerError:
            raise MolvaeError(
                f"worker processes end before they do anything: stderr may tell why, or memory is short of what "
                f"{self.workers.count} take; workers=0 does without"
            ) from None
        return [None]


class _Pools:
    """The processes of each kind that there are; a forked process has none of them."""

    lock = threading.Lock()
    known: dict[tuple[int, tuple[str, ...]], Any] = {}  # noqa: RUF012 - shared is what they are to be

    @classmethod
    def find(cls, count: int, modules: tuple[str, ...], instead_of: Any = None) -> Any:
        import loky

        with cls.lock:
            pool = cls.known.get((count, modules))
            if pool is None or pool is instead_of:
                if not cls.known:  # before multiprocessing waits for its children, which would wait for work
                    Finalize(None, cls.end, exitpriority=20)
                start = {"initializer": _begin, "initargs": (os.getpid(), modules)}
                pool = loky.ProcessPoolExecutor(count, timeout=IDLE_SECONDS, **start)
                cls.known[count, modules] = pool
        return pool

    @classmethod
    def stop(cls, count: int, modules: tuple[str, ...]) -> None:
        with cls.lock:
            pool = cls.known.get((count, modules))
        if pool is not None:
            pool.shutdown(kill_workers=True)

    @classmethod
    def end(cls) -> None:
        for pool in cls.known.values():
            pool.shutdown(kill_workers=True)

    @classmethod
    def renew(cls) -> None:
        cls.lock, cls.known = threading.Lock(), {}


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_Pools.renew)


def _begin(parent: int, modules: tuple[str, ...]) -> None:
    """What each process does first. Ctrl+C is for its parent to answer."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with(parent)
    for name in modules:
        import_module(name)


def _nothing(items: list[Any]) -> list[Any]:
    return items
