"""Jobs: requests in progress, their events and results."""

from __future__ import annotations

import asyncio
import secrets
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from molvae.errors import InputError, MolvaeError, one_line
from molvae.serve.limits import Limits
from molvae.serve.turns import JobCancelled, TimeLimitReached, Turns

Status = Literal["queued", "running", "done", "failed", "cancelled"]
Rows = list[dict[str, Any]]

PROGRESS_SECONDS = 0.2
"""Time between two events of progress."""

JOB_ROWS = 100
"""Rows that an ended job counts besides those of its result, when old ones are forgotten."""


@dataclass(frozen=True)
class Part:
    """A part of the result of a job: rows, one entry for each of the seeds that they belong to, and further fields."""

    rows: Rows = field(default_factory=list)
    seeds: Rows = field(default_factory=list)
    fields: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Event:
    """An event of a job: its name, and data that can be written as JSON."""

    name: str
    data: dict[str, Any]


class TooManyJobs(MolvaeError):
    """The server has as many jobs in progress as it may have, or is stopping."""


class Job:
    """A request that is computed in a thread of its own.

    Events, in this order: "start"; any number of "progress" (`done`, `total`, `unit`), "found" (molecules before the
    selection from them), "best" (the best score so far) and "rows" (`rows` and `seeds`, final); and "end".

    Parameters
    ----------
    kind
        What is done, such as "analogs".
    work
        The function that computes the result in parts.
    turns
        The turns of all jobs.
    max_seconds
        Time limit.
    """

    def __init__(self, kind: str, work: Callable[[Job], Iterator[Part]], turns: Turns, max_seconds: float) -> None:
        self.id, self.kind = secrets.token_urlsafe(16), kind
        self.status: Status = "queued"
        self.created, self.started, self.finished = time.time(), 0.0, 0.0
        self.error, self.error_status, self.incomplete = "", 500, ""
        self.events: list[Event] = []
        self.parts: list[Part] = []
        self.progress: dict[str, Any] = {}
        self.turn = turns.join(max_seconds)
        self._work, self._max_seconds = work, max_seconds
        self._lock, self._listeners = threading.Lock(), set[tuple[asyncio.AbstractEventLoop, asyncio.Event]]()
        self._last_progress = 0.0
        self._on_end: Callable[[Job], None] = _ignore

    # --- in the thread of the job ---

    def start(self, on_end: Callable[[Job], None]) -> None:
        """Start the thread; `on_end` is called when the job has ended."""
        self._on_end = on_end
        threading.Thread(target=self._run, name=f"molvae-{self.kind}", daemon=True).start()

    def _run(self) -> None:
        status: Status = "failed"
        try:
            with self.turn:
                self.started, self.status = time.time(), "running"
                self.emit("start", {"id": self.id, "kind": self.kind})
                self.turn.check()
                for part in self._work(self):
                    self.parts.append(part)
                    self.emit("rows", {"rows": part.rows, "seeds": part.seeds})
                    self.turn.pause()
            status = "done"
        except JobCancelled:
            status, self.error, self.error_status = "cancelled", "the job was cancelled", 409
        except TimeLimitReached:
            self.error, self.error_status = f"the time limit of {self._max_seconds:g} s was reached", 504
        except InputError as error:
            self.error, self.error_status = str(error), 422
        except MemoryError:
            self.error, self.error_status = "out of memory: ask for fewer molecules at a time", 503
        except MolvaeError as error:
            self.error = str(error)
        except BaseException as error:  # of any kind: the other jobs go on
            print(f"molvae serve: job {self.kind} failed:\n{traceback.format_exc()}", file=sys.stderr, flush=True)
            self.error = f"internal error: {type(error).__name__}"
        self.finished = time.time()
        self._work = _no_work
        with self._lock:  # a listener sees the status and the last event together
            self.status = status
            self._add_event("end", self.summary())
        self._on_end(self)

    def advance(self, n_done: int, total: int, unit: str) -> None:
        """Report progress, and pause. Events of progress are not sent more often than every fifth of a second."""
        self.progress = {"done": n_done, "total": total, "unit": unit}
        if time.monotonic() - self._last_progress > PROGRESS_SECONDS:
            self._last_progress = time.monotonic()
            self.emit("progress", self.progress)
        self.turn.pause()

    def reporter(self, total: int, unit: str, before: int = 0) -> Callable[[int], None]:
        """A callback that reports progress, `before` items of which earlier calls have finished."""
        return lambda n_done: self.advance(before + n_done, total, unit)

    def emit(self, name: str, data: dict[str, Any]) -> None:
        """Add an event."""
        self.turn.answered = self.turn.answered or name in ("found", "best", "rows")
        with self._lock:
            self._add_event(name, data)

    def _add_event(self, name: str, data: dict[str, Any]) -> None:
        self.events.append(Event(name, data))
        for loop, changed in self._listeners:
            if not loop.is_closed():
                loop.call_soon_threadsafe(changed.set)

    # --- for requests ---

    @property
    def ended(self) -> bool:
        """Whether the job is done, failed or cancelled."""
        return self.status in ("done", "failed", "cancelled")

    @property
    def n_rows(self) -> int:
        """Number of rows of the result so far."""
        return sum(len(part.rows) for part in self.parts)

    def cancel(self) -> None:
        """Cancel the job, within a fraction of a second."""
        self.turn.cancel()

    @contextmanager
    def changes(self) -> Iterator[asyncio.Event]:
        """Context manager: an event of asyncio that is set whenever there are new events."""
        listener = (asyncio.get_running_loop(), asyncio.Event())
        with self._lock:
            self._listeners.add(listener)
        try:
            yield listener[1]
        finally:
            with self._lock:
                self._listeners.discard(listener)

    async def wait(self, seconds: float) -> bool:
        """Wait until the job has ended, at most this long; whether it has."""
        end = time.monotonic() + seconds
        with self.changes() as changed:
            while not self.ended and (left := end - time.monotonic()) > 0:
                try:
                    await asyncio.wait_for(changed.wait(), left)
                except TimeoutError:
                    break
                changed.clear()
        return self.ended

    def summary(self) -> dict[str, Any]:
        """Status, times and progress."""
        return {
            "id": self.id,
            "kind": self.kind,
            "status": self.status,
            "error": one_line(self.error, 2000),
            "incomplete": self.incomplete,
            "n_rows": self.n_rows,
            "progress": self.progress,
            "created": self.created,
            "seconds": round((self.finished or time.time()) - (self.started or self.created), 3),
        }

    def result(self) -> dict[str, Any]:
        """The parts as one: rows, seeds and further fields."""
        parts = list(self.parts)
        content: dict[str, Any] = {"rows": [row for part in parts for row in part.rows]}
        if seeds := [seed for part in parts for seed in part.seeds]:
            content["seeds"] = seeds
        for part in parts:
            content |= part.fields
        return {**content, "incomplete": self.incomplete}


def _no_work(_: Job) -> Iterator[Part]:
    yield from ()


def _ignore(_: Job) -> None:
    pass


class JobStore:
    """The jobs in progress, and those whose result can still be fetched.

    Parameters
    ----------
    limits
        How many jobs there may be, and how long results are kept.
    on_end
        Called with each job that has ended.
    """

    def __init__(self, limits: Limits, on_end: Callable[[Job], None] = _ignore) -> None:
        self.limits, self.turns, self.closing = limits, Turns(), False
        self._on_end, self._lock = on_end, threading.Lock()
        self._jobs: dict[str, Job] = {}

    @property
    def active(self) -> list[Job]:
        """The jobs in progress."""
        with self._lock:
            return [job for job in self._jobs.values() if not job.ended]

    def submit(self, kind: str, work: Callable[[Job], Iterator[Part]]) -> Job:
        """Start a job. Raises `TooManyJobs`."""
        job = None
        with self._lock:
            self._forget_old()
            if self.closing:
                raise TooManyJobs("the server is stopping")
            n_active = sum(not job.ended for job in self._jobs.values())
            if n_active >= self.limits.max_jobs:
                raise TooManyJobs(f"the server has {n_active} jobs in progress, which is its limit: try again later")
            job = Job(kind, work, self.turns, self.limits.max_seconds)
            self._jobs[job.id] = job
        job.start(self._on_end)
        return job

    def get(self, job_id: str) -> Job | None:
        """The job with this ID; None if there is none, or if its result is no longer kept."""
        with self._lock:
            self._forget_old()
            return self._jobs.get(job_id)

    def forget(self, job: Job) -> None:
        """Do not keep the result of a job."""
        with self._lock:
            self._jobs.pop(job.id, None)

    def _forget_old(self) -> None:
        ended = sorted((job for job in self._jobs.values() if job.ended), key=lambda job: job.finished)
        size, now = sum(job.n_rows + JOB_ROWS for job in ended), time.time()
        for job in ended:
            if now - job.finished > self.limits.keep_seconds or size > self.limits.keep_rows:
                del self._jobs[job.id]
                size -= job.n_rows + JOB_ROWS

    def close(self, seconds: float) -> tuple[int, int]:
        """Accept no more jobs, wait for those in progress, then cancel them; how many finished, and were cancelled."""
        self.closing = True
        jobs, end = self.active, time.monotonic() + seconds
        while any(not job.ended for job in jobs) and time.monotonic() < end:
            time.sleep(0.02)
        cancelled = [job for job in jobs if not job.ended]
        for job in cancelled:
            job.cancel()
        end = time.monotonic() + 1
        while any(not job.ended for job in cancelled) and time.monotonic() < end:
            time.sleep(0.02)
        return len(jobs) - len(cancelled), len(cancelled)
