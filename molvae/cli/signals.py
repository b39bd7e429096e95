"""SIGTERM and SIGHUP end a command as Ctrl+C does: temporary files are removed, and worker processes ended."""

from __future__ import annotations

import signal
import sys
from types import FrameType


class Terminated(SystemExit):
    """The process was asked to end by a signal; its exit code is 128 plus the number of the signal."""


def handle_termination() -> None:
    """Raise `Terminated` on SIGTERM and SIGHUP. A signal that is ignored, as by nohup, stays ignored."""
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)  # Windows has no SIGHUP
        if number is not None and signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, _raise_terminated)


def _raise_terminated(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
    sys.stderr.write(f"molvae: ended by {signal.Signals(number).name}\n")
    raise Terminated(128 + number)
