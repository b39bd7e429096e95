"""The device that networks and matrix products run on."""

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

MOST_LANES = 16
"""Python's own part of a decoder's step is about a tenth, and with it lanes take turns: more would only wait."""

Item = TypeVar("Item")
Result = TypeVar("Result")


def find_device(name: str) -> torch.device:
    """cpu, cuda, cuda:1 ...; auto is a GPU where there is one. Raises `InputError` for one that is not there."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device, dtype=torch.float64).item()  # which "meta" cannot give, and "mps" has not
    except (RuntimeError, TypeError, AssertionError, NotImplementedError, ImportError, ValueError) as error:
        reason = (str(error).strip() or repr(error)).splitlines()[0]
        raise InputError(f"cannot use the device {name!r}: {reason}; auto takes what there is") from None
    return device


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread for torch's own work on a CPU in this thread, and afterwards as many as before.

    Threads wait for each other at every layer of a small network: on idle cores two are a fifth quicker than one, on
    busy ones they took thirty times as long, and in a forked process they wait forever. And their number shows in the
    last digit.

    Threads that begin meanwhile begin with one, too. Callers take turns, so that each finds what there was.
    """
    with _Turn.lock:
        before = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(before)


@contextmanager
def repeatable(device: torch.device) -> Iterator[None]:
    """Where the same batch gives the same numbers to the last digit: one thread on a CPU, a fixed order on a GPU.

    A GPU adds up in any order unless asked not to. Of the few operations that have no fixed one it would warn.
    """
    if device.type == "cpu":
        with one_thread():
            yield
        return
    before, warned = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(True, warn_only=warned or not before)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*determinis", category=UserWarning)
            yield
    finally:
        torch.use_deterministic_algorithms(before, warn_only=warned)


class _Turn:
    """Who may change the number of threads; in a forked process nobody else is there."""

    lock = threading.RLock()

    @classmethod
    def renew(cls) -> None:
        cls.lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_Turn.renew)


class Lanes:
    """Threads side by side, each with one of torch's own; a context. On a GPU the caller's thread alone.

    torch lets go of Python while it computes. Lanes that share nothing but weights wait for each other only at the end
    of a `map`, where torch's own threads would at every layer of what is a small network.
    """

    def __init__(self, device: torch.device, most: int) -> None:
        """As many as torch has threads, but no more than `most`, and `MOST_LANES`."""
        self.count = max(1, min(torch.get_num_threads(), most, MOST_LANES)) if device.type == "cpu" else 1
        self._pool = _single_threads(self.count) if device.type == "cpu" else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
        """The results in order. They do not depend on how many lanes there are."""
        return list(map(function, items) if self._pool is None else self._pool.map(function, items))


def _single_threads(count: int) -> ThreadPoolExecutor:
    """Threads with one of torch's own. A thread has a number of its own, taken over when it first asks for it."""
    pool = ThreadPoolExecutor(count, initializer=torch.get_num_threads)
    with one_thread():
        born = threading.Barrier(count)
        list(pool.map(lambda _: born.wait(), range(count)))
    return pool
