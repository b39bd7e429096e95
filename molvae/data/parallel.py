"""Worker processes: apply a function to many items in parallel. The results do not depend on the number of workers.

`map_chunks` processes a stream of chunks with worker processes that exist for one call. On Linux they are forked, so
that large data can be shared with them without a copy.

`WorkerPool` keeps its processes for later calls and isolates crashes: if an item crashes a worker process, only this
item has no result.

Workers of both kinds exit when their parent process ends, even if it is killed, and import nothing from the working
directory. They are not one pool: a worker of `map_chunks` needs a fork of its own for the data of each call, and the
process that owns a `WorkerPool` runs threads of torch, which do not survive a fork.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from importlib import import_module
from itertools import islice
from math import inf
from multiprocessing.util import Finalize
from pathlib import Path
from typing import Any, Generic, TypeVar

from molvae.data.processes import safe_environment, safe_environment_set, signals_blocked, start_worker
from molvae.errors import MolvaeError

Item = TypeVar("Item")
Result = TypeVar("Result")

CHUNK_SIZE = 512
"""Default number of items in a chunk of `chunked`."""

POOL_CHUNK_SIZE = 128
"""Default number of items that `WorkerPool.submit` sends to a worker at once."""

FORK_IS_SAFE = sys.platform == "linux"
"""Whether workers are forked. A fork starts in milliseconds, and the workers run RDKit only, no torch threads."""

_MAX_ATTEMPTS = 3  # attempts to compute a single item that crashes its worker process
_IDLE_SECONDS = 60  # idle workers of a pool exit after this time
_SIGNAL_SECONDS = 0.2  # within this time a signal to all processes of a group reaches this one, too
_ROOT = Path("/")  # root of the file system; tests replace it


def worker_count(workers: int | None = None) -> int:
    """Return the number of worker processes to use.

    Parameters
    ----------
    workers : int, optional
        Requested number; None means one per CPU core that this process may use.

    Returns
    -------
    int
        0 in a daemonic process, which must not have child processes.
    """
    if multiprocessing.current_process().daemon:
        return 0
    if workers is not None:
        return max(0, workers)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def chunked(items: Iterable[Item], size: int = CHUNK_SIZE) -> Iterator[list[Item]]:
    """Split items into lists of `size` items; the last list may be shorter.

    >>> list(chunked(range(5), 2))
    [[0, 1], [2, 3], [4]]
    """
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk


# --- one call: a stream of chunks ---------------------------------------------------------------------------------

_shared: Any = None
"""Data for every call, in a worker of `map_chunks`."""


def map_chunks(
    function: Callable[..., Result], chunks: Iterable[list[Item]], workers: int | None = None, *, shared: Any = None
) -> Iterator[Result]:
    """Apply a function to each chunk and yield the results in order.

    Only a few chunks are read ahead, so that memory use does not depend on the length of the stream.

    Parameters
    ----------
    function : callable
        Called as `function(chunk)`, or as `function(shared, chunk)` if `shared` is given. Must be picklable.
    chunks : iterable of list
        The input, such as `chunked(items)`.
    workers : int, optional
        Number of processes, as in `worker_count`; with 0 or 1 everything runs in this process.
    shared : object, optional
        Data for every call. Each worker receives it once; forked workers share it with the parent without a copy.

    Raises
    ------
    MolvaeError
        If a worker process dies, for example because the system is out of memory. Exceptions of `function` are raised
        unchanged.
    """
    count = worker_count(workers)
    if count <= 1:
        yield from (function(chunk) if shared is None else function(shared, chunk) for chunk in chunks)
        return
    pending: deque[Future[Result]] = deque()
    task = function if shared is None else partial(_call_with_shared, function)
    executor, kill = _executor(count, shared)
    try:
        for chunk in chunks:
            with signals_blocked():
                future = executor.submit(task, chunk)
            pending.append(future)
            if len(pending) > 2 * count:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
        executor.shutdown()
    except BrokenProcessPool:
        time.sleep(_SIGNAL_SECONDS)  # raises an exception here if a signal ended the worker
        raise MolvaeError(
            "a worker process died, most likely because the system ran out of memory; "
            f"run with fewer workers than {count}"
        ) from None
    except BaseException:  # the consumer may stop early; this does not wait, as it may run in a finalizer
        kill()
        executor.shutdown(wait=False)
        raise


def _executor(count: int, shared: Any) -> tuple[Executor, Callable[[], None]]:
    """Return worker processes and how to kill them.

    They do not import the main module, so scripts need no `__main__` guard.
    """
    initargs = (os.getpid(), shared)
    if not FORK_IS_SAFE:
        executor = _loky_executor(count, _start_mapper, initargs)
        return executor, partial(executor.shutdown, kill_workers=True)
    context = _ForkContext()
    return ProcessPoolExecutor(count, mp_context=context, initializer=_start_mapper, initargs=initargs), context.kill


class _ForkContext(multiprocessing.context.ForkContext if FORK_IS_SAFE else object):  # type: ignore[misc]
    """Starts processes by a fork, and kills them; the executor does not know those that are just starting."""

    def __init__(self) -> None:
        super().__init__()
        self.started: list[Any] = []

    def Process(self, *args: Any, **kwargs: Any) -> Any:
        """Return a new process."""
        process = multiprocessing.context.ForkProcess(*args, **kwargs)
        self.started.append(process)
        return process

    def kill(self) -> None:
        """Kill the processes that have started."""
        for process in self.started:
            if process.pid is not None:
                process.kill()


def _start_mapper(parent: int, shared: Any) -> None:
    """Initialize a worker of `map_chunks`."""
    global _shared
    _shared = shared
    start_worker(parent)
    gc.disable()  # molecules and graphs contain no reference cycles; collection passes only cost time


def _call_with_shared(function: Callable[[Any, list[Item]], Result], chunk: list[Item]) -> Result:
    return function(_shared, chunk)


# --- many calls: a pool that isolates crashes ---------------------------------------------------------------------


class WorkerPool:
    """Worker processes that are kept between calls and survive the crash of any of them.

    Pools with the same arguments share their processes, which start when they are first needed.

    Parameters
    ----------
    count : int
        Number of processes; with 0 everything runs in this process when it is submitted.
    modules : tuple of str
        Modules that every worker imports when it starts. Without this, a large import during the first task looks like
        a memory leak to loky, which then replaces the process.
    """

    def __init__(self, count: int = 0, modules: tuple[str, ...] = ()) -> None:
        self.count, self.modules = count, modules

    def submit(
        self, function: Callable[[list[Item]], list[Result]], items: Sequence[Item], size: int = POOL_CHUNK_SIZE
    ) -> PendingResults[Result]:
        """Start the computation of a function of many items, and return at once.

        Parameters
        ----------
        function : callable
            Maps a list of items to a list of results of the same length. Must be picklable.
        items : sequence
            The input.
        size : int
            Number of items that are sent to a worker at once.
        """
        return PendingResults(self, function, items, size)

    def submit_chunk(self, function: Callable[[list[Item]], list[Result]], chunk: list[Item]) -> Future[list[Result]]:
        """Start computing one chunk in one worker."""
        from loky.process_executor import ShutdownExecutorError

        with signals_blocked():  # inherited by the workers that this starts
            executor = _Executors.get(self.count, self.modules)
            try:
                future: Future[list[Result]] = executor.submit(function, chunk)
            except (BrokenProcessPool, ShutdownExecutorError):  # it failed after `get` returned it
                future = _Executors.get(self.count, self.modules, replacing=executor).submit(function, chunk)
        return future

    def stop(self) -> None:
        """Kill the processes. `result` of pending results then raises loky's `ShutdownExecutorError`."""
        _Executors.stop(self.count, self.modules)


SERIAL = WorkerPool(0)
"""A pool without processes: every function runs in this process when it is submitted."""


class PendingResults(Generic[Result]):
    """Results that workers are computing, returned by `WorkerPool.submit`."""

    def __init__(
        self,
        pool: WorkerPool,
        function: Callable[[list[Any]], list[Result]],
        items: Sequence[Any],
        size: int = POOL_CHUNK_SIZE,
    ) -> None:
        self.pool, self.function = pool, function
        self.done: list[Result | None] | None = None
        self.chunks: list[list[Any]] = []
        self.futures: list[Future[list[Result]]] = []
        self.resubmitted = False
        if pool.count:
            self.chunks = list(chunked(items, size))
            self.futures = [pool.submit_chunk(function, chunk) for chunk in self.chunks]
        else:
            self.done = list(function(list(items)))

    def result(self, progress: Callable[[list[Result | None]], None] | None = None) -> list[Result | None]:
        """Wait for the results, in the order of the items.

        Parameters
        ----------
        progress : callable, optional
            Called with the list of results so far, after every chunk.

        Returns
        -------
        list
            One result per item; None for an item that crashes every worker process that computes it.

        Raises
        ------
        MolvaeError
            If worker processes die even when they compute nothing. Exceptions of the function are raised unchanged.
        """
        if self.done is None:
            done: list[Result | None] = []
            for index in range(len(self.chunks)):
                done += self._collect(index)
                if progress:
                    progress(done)
            self.done, self.chunks, self.futures = done, [], []
        return self.done

    def finished(self) -> list[Result | None]:
        """Return the results that are available without waiting; None for the other items."""
        if self.done is not None:
            return self.done
        available: list[Result | None] = []
        for chunk, future in zip(self.chunks, self.futures, strict=True):
            is_done = future.done() and not future.cancelled() and future.exception() is None
            available += future.result() if is_done else [None] * len(chunk)
        return available

    def cancel(self) -> None:
        """Cancel the chunks that are not running yet."""
        for future in self.futures:
            future.cancel()

    def _collect(self, index: int) -> Sequence[Result | None]:
        """Wait for one chunk.

        A crash fails all running chunks. After the first one they are resubmitted; after a second one, chunks are
        computed one at a time.
        """
        from loky.process_executor import TerminatedWorkerError

        try:
            return self.futures[index].result()
        except TerminatedWorkerError:
            if self.resubmitted:
                return self._retry(self.chunks[index])
        self.resubmitted = True
        for later in range(index, len(self.chunks)):
            future = self.futures[later]
            if not future.done() or future.exception() is not None:
                self.futures[later] = self.pool.submit_chunk(self.function, self.chunks[later])
        return self._collect(index)

    def _retry(self, chunk: list[Any]) -> Sequence[Result | None]:
        """Compute a chunk alone; if it crashes again, compute its items one by one, so that only one of them is lost.

        A single item is tried several times, because a worker may also be killed for other reasons.
        """
        from loky.process_executor import TerminatedWorkerError

        for _ in range(_MAX_ATTEMPTS if len(chunk) == 1 else 1):
            try:
                return self.pool.submit_chunk(self.function, chunk).result()
            except TerminatedWorkerError:
                continue
        if len(chunk) > 1:
            return [result for item in chunk for result in self._retry([item])]
        try:
            self.pool.submit_chunk(_identity, chunk[:0]).result()
        except TerminatedWorkerError:
            raise MolvaeError(
                "worker processes die before they compute anything: standard error may show the reason, or there is "
                f"not enough memory for {self.pool.count} of them; workers=0 runs without worker processes"
            ) from None
        return [None]


class _Executors:
    """The loky executors of this process, by number of workers and modules. A forked child process has none."""

    lock = threading.Lock()
    running: dict[tuple[int, tuple[str, ...]], Any] = {}  # noqa: RUF012 - shared on purpose
    inherited: list[Any] = []  # noqa: RUF012

    @classmethod
    def get(cls, count: int, modules: tuple[str, ...], replacing: Any = None) -> Any:
        """Return the running executor, or start one if there is none or if it is `replacing`."""
        with cls.lock:
            executor = cls.running.get((count, modules))
            if executor is None or executor is replacing:
                if not cls.running:  # shut down before multiprocessing joins its children, which would wait for tasks
                    Finalize(None, cls.stop_all, exitpriority=20)
                executor = _loky_executor(count, initializer=_start_pool_worker, initargs=(os.getpid(), modules))
                cls.running[count, modules] = executor
        return executor

    @classmethod
    def stop(cls, count: int, modules: tuple[str, ...]) -> None:
        """Kill the processes of an executor."""
        with cls.lock:
            executor = cls.running.get((count, modules))
        if executor is not None:
            executor.shutdown(kill_workers=True)

    @classmethod
    def stop_all(cls) -> None:
        """Kill the processes of all executors."""
        for executor in cls.running.values():
            executor.shutdown(kill_workers=True)

    @classmethod
    def reset(cls) -> None:
        """Set the executors of the parent process aside, after a fork. If deleted, they would write to its pipes."""
        cls.inherited.append(cls.running)
        for executor in cls.running.values():  # multiprocessing would try to wait for them when this process exits
            multiprocessing.process._children.difference_update(dict(executor._processes or {}).values())  # type: ignore
        cls.lock, cls.running = threading.Lock(), {}


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_Executors.reset)


def _loky_executor(count: int, initializer: Callable[..., None], initargs: tuple[Any, ...]) -> Any:
    """Return an executor of loky whose processes import nothing from the working directory."""
    import loky
    from loky.backend import resource_tracker

    with safe_environment_set():  # the resource trackers have no parameter for their environment
        executor = loky.ProcessPoolExecutor(
            count, timeout=_IDLE_SECONDS, initializer=initializer, initargs=initargs, env=safe_environment()
        )
        resource_tracker.ensure_running()
        if os.name == "posix":
            from multiprocessing.resource_tracker import ensure_running

            ensure_running()
    return executor


def _start_pool_worker(parent: int, modules: tuple[str, ...]) -> None:
    """Initialize a worker of `WorkerPool`."""
    start_worker(parent)
    for name in modules:
        import_module(name)


def _identity(items: list[Any]) -> list[Any]:
    return items


# --- memory -------------------------------------------------------------------------------------------------------


def available_memory() -> float:
    """Return the memory in bytes that this process and its children may still allocate; inf if unknown, as on macOS.

    This is the smallest of the available memory of the machine and the remaining limits of the control groups (cgroup
    v2) that a container or a batch job runs in.
    """
    return min(_machine_memory(), *map(_cgroup_memory, _cgroups()))


def _machine_memory() -> float:
    for line in _read_text("proc/meminfo").splitlines():
        if line.startswith("MemAvailable:"):
            return 1024.0 * int(line.split()[1])
    return inf


def _cgroups() -> list[Path]:
    """Return the control group of this process and its ancestors, each of which may have a limit."""
    own = next((line[3:] for line in _read_text("proc/self/cgroup").splitlines() if line.startswith("0::")), "/")
    path = Path(own.strip("/"))
    return [Path("sys/fs/cgroup") / group for group in (path, *path.parents)]


def _cgroup_memory(group: Path) -> float:
    limit, used = _read_text(group / "memory.max").strip(), _read_text(group / "memory.current").strip()
    return max(0.0, float(limit) - float(used)) if limit.isdecimal() and used.isdecimal() else inf


def _read_text(path: str | Path) -> str:
    try:
        return (_ROOT / path).read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""
