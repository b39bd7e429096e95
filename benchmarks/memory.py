"""The memory of a program and all the processes it has started."""

from __future__ import annotations

import psutil


def memory_of(pid: int) -> int:
    """Bytes of a process and its children; what they share is counted once. 0 while one of them is just ending."""
    try:
        tree = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
        return sum(process.memory_full_info().pss for process in tree)
    except psutil.Error:
        return 0
