"""Child processes: they import nothing from the working directory, leave signals to their parent, and end with it.

Python puts the working directory on the import path of `python -m ...` and `python -c ...`. The worker processes of
loky, the resource trackers of multiprocessing and pip are started like this, so a file such as `random.py` in the
working directory would be executed. The option `-P` and the variable PYTHONSAFEPATH prevent it.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

_PARENT_CHECK_SECONDS = 1
_SIGNALS = {getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)}

PYTHON = (sys.executable, "-P")
"""How a command line that runs Python begins."""


def safe_environment() -> dict[str, str]:
    """Return the environment variables that keep the working directory off the import path of a Python process.

    The working directory is removed from PYTHONPATH, too: an empty entry, as in `PYTHONPATH=/a:$PYTHONPATH`, means it.
    """
    entries = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    return {"PYTHONSAFEPATH": "1", "PYTHONPATH": os.pathsep.join(entry for entry in entries if entry not in ("", "."))}


@contextmanager
def safe_environment_set() -> Iterator[None]:
    """Set the variables of `safe_environment` for the block, for libraries that start processes by themselves."""
    before = {name: os.environ.get(name) for name in safe_environment()}
    os.environ.update(safe_environment())
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def signals_blocked() -> Iterator[None]:
    """Block SIGINT, SIGTERM and SIGHUP in this thread, and in processes and threads that are started in the block.

    A process that starts would otherwise print a traceback if Ctrl+C is pressed before it has set its own handlers.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def start_worker(parent: int) -> None:
    """Initialize a worker process: it ends with process `parent`, which also handles Ctrl+C for it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for number in _SIGNALS - {signal.SIGINT}:
        signal.signal(number, signal.SIG_DFL)  # a forked process inherits the handlers of the command line
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    threading.Thread(target=_watch_parent, args=(parent,), daemon=True).start()


def _watch_parent(parent: int) -> None:
    """Exit when process `parent` ends: a killed parent cannot stop its workers."""
    while os.getppid() == parent:
        time.sleep(_PARENT_CHECK_SECONDS)
    os._exit(1)
