"""Fair turns: of the jobs of a server, one computes at a time, in short slices.

A job that has not answered yet is first, in the order of arrival: sharing the time evenly among new jobs would make all
of them wait for their first molecules until the last one has some. Of the others, the one that has computed least is
next.

RDKit and Python hold the interpreter lock, so that threads would only slow each other down, and the thread that answers
requests most of all. A job gives its turn up while it waits for the decoder (`molvae.serve.shared_engine`).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from math import inf
from types import TracebackType
from typing import Self

SLICE_SECONDS = 0.02
"""Time that a job may compute before it gives way to one that is before it."""


FIRST_SECONDS = 2.0
"""Time that a job may compute before those that have answered, while it has no result itself."""


class JobCancelled(BaseException):
    """Raised inside a job that was cancelled. Not an `Exception`, so that no handler of errors catches it."""


class TimeLimitReached(KeyboardInterrupt):
    """Raised inside a job at the end of its time: searches end as on Ctrl+C and return what they have found."""


class Turns:
    """Gives the turn to one job at a time."""

    def __init__(self) -> None:
        self._lock, self._n_joined = threading.Lock(), 0
        self._members: set[Turn] = set()
        self._waiting: list[Turn] = []
        self._holder: Turn | None = None

    def join(self, seconds: float = inf) -> Turn:
        """The turn of a new job with a time limit.

        It has computed as little as the job that has computed least, so that it is next, and does not keep the others
        waiting until it has caught up with them.
        """
        with self._lock:
            self._n_joined += 1
            used = min((member.used for member in self._members), default=0.0)
            turn = Turn(self, self._n_joined, used, seconds)
            self._members.add(turn)
        return turn

    def _acquire(self, turn: Turn) -> None:
        with self._lock:
            if self._holder is None:
                self._holder = turn
                turn.granted.set()
            else:
                self._waiting.append(turn)
        turn.granted.wait()
        turn.since = time.thread_time()

    def _release(self, turn: Turn) -> None:
        with self._lock:
            turn.granted.clear()
            turn.used += time.thread_time() - turn.since
            self._holder = min(self._waiting, key=lambda waiting: waiting.rank(), default=None)
            if self._holder is not None:
                self._waiting.remove(self._holder)
                self._holder.granted.set()

    def _leave(self, turn: Turn) -> None:
        with self._lock:
            self._members.discard(turn)

    def _first_rank(self) -> tuple[int, float]:
        """The rank of the job that is next."""
        with self._lock:
            return min((waiting.rank() for waiting in self._waiting), default=(2, 0.0))


class Turn:
    """The turn of one job: a context manager inside which the job computes, in its own thread.

    Parameters
    ----------
    turns
        The turns of all jobs.
    number
        Number of the job, in the order of arrival.
    used
        Seconds of computation that the job starts with.
    seconds
        Time limit, from now.

    Attributes
    ----------
    answered
        Whether the job has a result, or a part of one.
    """

    def __init__(self, turns: Turns, number: int, used: float, seconds: float) -> None:
        self.used, self.since, self.granted, self.answered = used, 0.0, threading.Event(), False
        self._number, self._first = number, used
        self._turns, self._deadline, self._cancelled = turns, time.monotonic() + seconds, threading.Event()

    @property
    def cancelled(self) -> bool:
        """Whether the job has been cancelled."""
        return self._cancelled.is_set()

    def cancel(self) -> None:
        """Let the next `check` of the job raise `JobCancelled`."""
        self._cancelled.set()

    def rank(self, seconds: float = 0.0) -> tuple[int, float]:
        """Key by which turns are given, the lowest first; `seconds` have been computed since the last turn began."""
        used = self.used + seconds
        return (1, used) if self.answered or used - self._first > FIRST_SECONDS else (0, self._number)

    def check(self) -> None:
        """Raise `JobCancelled` or `TimeLimitReached`, if it applies; the latter once."""
        if self.cancelled:
            raise JobCancelled
        if time.monotonic() > self._deadline:
            self._deadline = inf
            raise TimeLimitReached

    def pause(self) -> None:
        """Between two pieces of work: `check`, and give way to a job that is before this one."""
        self.check()
        seconds = time.thread_time() - self.since
        if seconds > SLICE_SECONDS and self._turns._first_rank() < self.rank(seconds):
            with self.released():
                pass
            self.check()

    @contextmanager
    def released(self) -> Iterator[None]:
        """Context manager: the job waits for something, and others may compute."""
        self._turns._release(self)
        try:
            yield
        finally:
            self._turns._acquire(self)

    def __enter__(self) -> Self:
        self._turns._acquire(self)
        self._token = current_turn.set(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        current_turn.reset(self._token)
        self._turns._release(self)
        self._turns._leave(self)


current_turn: ContextVar[Turn | None] = ContextVar("current_turn", default=None)
"""The turn of the job that runs in this thread; None outside of jobs."""
