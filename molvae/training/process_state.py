"""Training leaves the process as it found it."""

from __future__ import annotations

import logging
import signal
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch

ROUNDED = {"bf16": "medium", "tf32": "high"}
"""What torch calls the rounding of a matrix product's inputs."""


@contextmanager
def left_as_it_was() -> Iterator[None]:
    """Afterwards random states, warning filters, log levels and Ctrl+C are as they were.

    Lightning's notices on hardware and workers are about settings that are chosen here on purpose. On Ctrl+C it
    would end the process; a caller of a library wants the exception.
    """
    interrupt = signal.getsignal(signal.SIGINT)
    gpus = list(range(torch.cuda.device_count()))
    quiet = _errors_only("lightning.pytorch", "lightning.fabric")
    with quiet, warnings.catch_warnings(), torch.random.fork_rng(gpus):
        warnings.filterwarnings("ignore", module="lightning")
        try:
            yield
        except SystemExit:
            if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
                raise KeyboardInterrupt from None
            raise
        finally:
            if threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGINT, interrupt)


@contextmanager
def matrix_products(precision: str) -> Iterator[None]:
    """With "bf16", products of float32 matrices round their inputs to bfloat16 where a CPU has instructions for it.

    Everything else stays in float32. For a CPU this is better than autocast, whose casts cost more than they gain.
    With "tf32" they round them to TensorFloat-32 on a GPU.
    """
    before = torch.get_float32_matmul_precision()
    if precision in ROUNDED:
        torch.set_float32_matmul_precision(ROUNDED[precision])
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


@contextmanager
def _errors_only(*names: str) -> Iterator[None]:
    levels = {name: logging.getLogger(name).level for name in names}
    for name in names:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
