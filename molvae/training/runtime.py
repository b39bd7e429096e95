"""Process state, precision, random numbers and step times during training."""

from __future__ import annotations

import logging
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch

Log = Callable[[str], None]
"""Receives progress messages, one line each."""

MATMUL_PRECISION = {"bf16": "medium", "tf32": "high"}
"""Precision of a training run -> argument of `torch.set_float32_matmul_precision`."""


@contextmanager
def restored_process_state() -> Iterator[None]:
    """Restore random states, warning filters, log levels and the SIGINT handler when the block ends.

    Inside the block, Lightning's notices about hardware and workers are silenced: they concern settings that are
    chosen here on purpose. Lightning ends the process on Ctrl+C; this raises `KeyboardInterrupt` instead.
    """
    sigint_handler = signal.getsignal(signal.SIGINT)
    gpus = list(range(torch.cuda.device_count()))
    errors_only = _log_errors_only("lightning.pytorch", "lightning.fabric")
    with errors_only, warnings.catch_warnings(), torch.random.fork_rng(gpus):
        warnings.filterwarnings("ignore", module="lightning")
        try:
            yield
        except SystemExit:
            if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
                raise KeyboardInterrupt from None
            raise
        finally:
            if threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGINT, sigint_handler)


@contextmanager
def matmul_precision(precision: str) -> Iterator[None]:
    """Set the precision of float32 matrix products for the block.

    "bf16" rounds their inputs to bfloat16 on CPUs that have instructions for it; everything else stays in float32.
    On a CPU this is faster than autocast, whose casts cost more than they save. "tf32" rounds the inputs to
    TensorFloat-32 on a GPU. Other values change nothing.
    """
    before = torch.get_float32_matmul_precision()
    if precision in MATMUL_PRECISION:
        torch.set_float32_matmul_precision(MATMUL_PRECISION[precision])
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


@contextmanager
def seeded(entropy: list[int], device: torch.device) -> Iterator[None]:
    """Seed torch's generators of the CPU and of `device` from integers; restore their states afterwards."""
    state = np.random.SeedSequence(entropy).generate_state(1, np.uint64)
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(int(state[0] >> 1))
        yield


class StepTimer:
    """Measures the seconds spent in training steps and how many of them were spent on gathering batches.

    A step lasts from the end of the previous step, so it includes the trainer's work between steps; `pause`
    excludes what does not belong to a step (a validation, the writing of a checkpoint). On a GPU the time of a batch
    is measured with CUDA events: the host only enqueues kernels, and its clock would count the time that it waits for
    the network.
    """

    def __init__(self) -> None:
        self.step_seconds = self._batch_seconds = 0.0
        self._previous_end: float | None = None
        self._events: tuple[torch.cuda.Event, torch.cuda.Event] | None = None

    def start_step(self) -> None:
        if self._previous_end is None:
            self._previous_end = time.perf_counter()

    def end_step(self) -> None:
        now = time.perf_counter()
        self.step_seconds += now - (self._previous_end if self._previous_end is not None else now)
        self._previous_end = now

    def pause(self) -> None:
        self._previous_end = None

    @contextmanager
    def gathering_batch(self, device: torch.device) -> Iterator[None]:
        """Measure the block as the gathering of a batch on `device`."""
        if device.type != "cuda":
            start = time.perf_counter()
            yield
            self._batch_seconds += time.perf_counter() - start
            return
        self._read_events()
        start_event, end_event = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start_event.record()
        yield
        end_event.record()
        self._events = (start_event, end_event)

    @property
    def batch_fraction(self) -> float:
        """Fraction of the time of steps that was spent on gathering batches."""
        self._read_events()
        return self._batch_seconds / self.step_seconds if self.step_seconds else 0.0

    def _read_events(self) -> None:
        """Add the time between the events of the previous step, which are complete when the next step begins."""
        if self._events is not None:
            start_event, end_event = self._events
            end_event.synchronize()
            self._batch_seconds += start_event.elapsed_time(end_event) / 1000
            self._events = None


@contextmanager
def _log_errors_only(*names: str) -> Iterator[None]:
    levels = {name: logging.getLogger(name).level for name in names}
    for name in names:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
