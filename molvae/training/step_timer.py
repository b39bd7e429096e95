"""How the time of a training step divides into getting its batch and the rest."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch


class StepClock:
    """Seconds of steps, and those of them that went into data.

    A step lasts from the end of the one before, so the trainer's own work between steps is in it;
    `pause` leaves out what is no step (a validation, the writing of a checkpoint). On a GPU the data's part is
    measured on the GPU, from the end of the work before it: the host only queues work there, and its clock would
    count waiting for the network as data.
    """

    def __init__(self) -> None:
        self.steps = self._data = 0.0
        self._mark: float | None = None
        self._events: tuple[torch.cuda.Event, torch.cuda.Event] | None = None

    def step_begins(self) -> None:
        if self._mark is None:
            self._mark = time.perf_counter()

    def step_ends(self) -> None:
        now = time.perf_counter()
        self.steps += now - (self._mark if self._mark is not None else now)
        self._mark = now

    def pause(self) -> None:
        self._mark = None

    @contextmanager
    def data(self, device: torch.device) -> Iterator[None]:
        """What runs in this block is the data's part of a step on `device`."""
        if device.type != "cuda":
            begin = time.perf_counter()
            yield
            self._data += time.perf_counter() - begin
            return
        self._settle()
        first, last = _event(), _event()
        first.record()
        yield
        last.record()
        self._events = (first, last)

    @property
    def share(self) -> float:
        """Of the time in steps, the share that data took."""
        self._settle()
        return self._data / self.steps if self.steps else 0.0

    def _settle(self) -> None:
        """Read the events of the last step, which are over by the time the next one begins."""
        if self._events is not None:
            first, last = self._events
            last.synchronize()
            self._data += first.elapsed_time(last) / 1000
            self._events = None


def _event() -> torch.cuda.Event:
    return torch.cuda.Event(enable_timing=True)
