"""SIGTERM and SIGHUP end a command as Ctrl+C does: temporary files are removed, and worker processes ended.

A signal raises an exception wherever the command is. If that is in a finalizer or in a callback of a library, Python
drops the exception; the signal is then sent again. A long call of a library delays it. Therefore a thread ends the
process after a few seconds in any case.
"""

from __future__ import annotations

import _thread
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

SECONDS_TO_END = 3.0
SECONDS_FOR_PARTIAL_RESULTS = 120.0
_SECONDS_TO_REPEAT = 0.05
_is_ending = False
_has_partial_results = False


class Terminated(SystemExit):
    """The process was asked to end by a signal; its exit code is 128 plus the number of the signal."""

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.number = number


def handle_termination() -> None:
    """Handle SIGINT, SIGTERM and SIGHUP. A signal that is ignored, as by nohup, stays ignored."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)  # Windows has no SIGHUP
        if number is not None and signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
            signal.signal(number, _end_command)
    sys.unraisablehook = _repeat_dropped_signal


@contextmanager
def partial_results() -> Iterator[None]:
    """Give the command time after the first Ctrl+C inside the block to output what it has found; a second one ends it.

    Properties of a few thousand molecules that were found have to be computed first.
    """
    global _has_partial_results
    before, _has_partial_results = _has_partial_results, True
    try:
        yield
    finally:
        _has_partial_results = before


def _end_command(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
    global _is_ending, _has_partial_results
    if number == signal.SIGINT and _has_partial_results:
        _has_partial_results = False
        _thread.start_new_thread(_end_process, (128 + number, SECONDS_FOR_PARTIAL_RESULTS))
        os.write(2, b"molvae: ending with what was found so far; Ctrl+C again ends at once\n")
    elif not _is_ending:
        _is_ending = True
        # the signal may have interrupted `threading` or a write to stderr, whose locks are not to be waited for
        _thread.start_new_thread(_end_process, (128 + number,))
        if number != signal.SIGINT:
            os.write(2, f"molvae: ended by {signal.Signals(number).name}\n".encode())
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise Terminated(number)


def _repeat_dropped_signal(dropped: Any) -> None:
    """Replace the traceback of a dropped exception of a signal by the same signal, a moment later."""
    if isinstance(dropped.exc_value, Terminated | KeyboardInterrupt):
        _thread.start_new_thread(_send, (getattr(dropped.exc_value, "number", signal.SIGINT),))
    else:
        sys.__unraisablehook__(dropped)


def _send(number: int) -> None:
    time.sleep(_SECONDS_TO_REPEAT)
    os.kill(os.getpid(), number)


def _end_process(code: int, seconds: float = SECONDS_TO_END) -> None:
    """Give the command time to end by itself, then end it. Its worker processes end with it."""
    time.sleep(seconds)
    files = sys.modules.get("molvae.data.files")  # not imported here: the main thread may be in an import
    if files is not None:
        files.remove_own_temporary_files()
    os._exit(code)
