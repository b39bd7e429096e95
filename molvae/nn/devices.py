"""Devices and threads of torch: device selection, determinism, and a pool of single-threaded workers."""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Self, TypeVar

import torch

from molvae.errors import InputError
from molvae.nn.device_names import check_device_name

MAX_THREADS = 16
"""Upper bound of a `TorchThreadPool`. A tenth of a decoding step holds the GIL, so more threads would only wait."""

Item = TypeVar("Item")
Result = TypeVar("Result")


def find_device(name: str) -> torch.device:
    """Return a usable device.

    Parameters
    ----------
    name : str
        "cpu", "cuda", "cuda:1" and so on, or "auto" for a GPU if one is available.

    Raises
    ------
    InputError
        If the device does not exist or cannot be used, as a GPU in a process that was forked after its use.
    """
    check_device_name(name)
    if name == "auto":
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        _check_fork(device)
        return device
    try:
        device = torch.device(name)
        _check_fork(device)
        # fails on "meta", which stores no data, and on "mps", which has no float64
        torch.zeros(1, device=device, dtype=torch.float64).item()
    except InputError:
        raise
    except (RuntimeError, TypeError, AssertionError, NotImplementedError, ImportError, ValueError) as error:
        reason = (str(error).strip() or repr(error)).splitlines()[0]
        raise InputError(f"cannot use the device {name!r}: {reason}; use 'auto' or 'cpu'") from None
    return device


def _check_fork(device: torch.device) -> None:
    """Raise `InputError` for a GPU in a process that was forked after its use: CUDA does not work there."""
    if device.type == "cuda" and torch.cuda._is_in_bad_fork():
        raise InputError(
            "the GPU cannot be used in a process that was forked from one that has used it: start processes with "
            "multiprocessing.get_context('spawn'), or load the model with device='cpu' here"
        )


@contextmanager
def single_threaded() -> Iterator[None]:
    """Run torch's CPU operations in one thread within this context, and restore the number of threads afterwards.

    The threads of torch synchronize at every layer of a small network: on idle cores two threads are 20% faster than
    one, on busy cores they were 30 times slower, and in a forked process they can deadlock. The number of threads also
    changes the last digit of a sum.

    Python threads that start within the context also run torch in one thread. Concurrent callers wait for each other,
    so that each restores the original number.
    """
    with _ThreadCountLock.lock:
        before = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(before)


@contextmanager
def deterministic(device: torch.device) -> Iterator[None]:
    """Make results reproducible to the last bit: one thread on a CPU, deterministic algorithms on a GPU.

    Operations without a deterministic algorithm are allowed, and torch's warnings about them are suppressed.
    """
    if device.type == "cpu":
        with single_threaded():
            yield
        return
    _check_fork(device)
    before = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(True, warn_only=warn_only or not before)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*determinis", category=UserWarning)
            yield
    finally:
        torch.use_deterministic_algorithms(before, warn_only=warn_only)


class _ThreadCountLock:
    """Lock of torch's number of threads; replaced in a forked process, where no other thread can hold it."""

    lock = threading.RLock()

    @classmethod
    def replace(cls) -> None:
        cls.lock = threading.RLock()


def _prepare_forked_process() -> None:
    """Run torch in one thread in a forked process: it would wait forever for the threads that only its parent has."""
    _ThreadCountLock.replace()
    torch.set_num_threads(1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_prepare_forked_process)


class TorchThreadPool:
    """Context manager: a pool of threads that each run torch single-threaded. On a GPU, the calling thread alone.

    torch releases the GIL while it computes. Threads that share only weights wait for each other at the end of a
    `map`, whereas torch's own threads wait at every layer.

    Parameters
    ----------
    device : torch.device
        Device that the tasks use.
    n_tasks : int
        Number of independent tasks, an upper bound for the number of threads.

    Attributes
    ----------
    n_threads : int
        Number of threads: at most torch's number of threads, `n_tasks` and `MAX_THREADS`.
    """

    def __init__(self, device: torch.device, n_tasks: int) -> None:
        on_cpu = device.type == "cpu"
        self.n_threads = max(1, min(torch.get_num_threads(), n_tasks, MAX_THREADS)) if on_cpu else 1
        self._pool = _single_threaded_executor(self.n_threads) if on_cpu else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
        """Apply a function to each item; the results are in order and do not depend on the number of threads."""
        return list(map(function, items) if self._pool is None else self._pool.map(function, items))


def _single_threaded_executor(count: int) -> ThreadPoolExecutor:
    """Start `count` threads, each of which runs torch single-threaded.

    torch keeps its number of threads per thread, and copies the current one when a thread first asks for it. The
    barrier ensures that all threads start while the number is 1.
    """
    pool = ThreadPoolExecutor(count, initializer=torch.get_num_threads)
    with single_threaded():
        started = threading.Barrier(count)
        list(pool.map(lambda _: started.wait(), range(count)))
    return pool
