"""How much memory there is to use."""

from __future__ import annotations

from math import inf
from pathlib import Path

ROOT = Path("/")


def memory_left() -> float:
    """Bytes that this process and its children may still take; inf where that cannot be told, as on macOS.

    That is of the machine's memory or of a control group's, which a container or a batch job has, whichever is less.
    """
    return min(_of_machine(), *map(_of_group, _groups()))


def _of_machine() -> float:
    for line in _text("proc/meminfo").splitlines():
        if line.startswith("MemAvailable:"):
            return 1024.0 * int(line.split()[1])
    return inf


def _groups() -> list[Path]:
    """The control group of this process and those around it, each of which may have a limit (version 2)."""
    own = next((line[3:] for line in _text("proc/self/cgroup").splitlines() if line.startswith("0::")), "/")
    path = Path(own.strip("/"))
    return [Path("sys/fs/cgroup") / group for group in (path, *path.parents)]


def _of_group(group: Path) -> float:
    limit, used = _text(group / "memory.max").strip(), _text(group / "memory.current").strip()
    return max(0.0, float(limit) - float(used)) if limit.isdecimal() and used.isdecimal() else inf


def _text(path: str | Path) -> str:
    try:
        return (ROOT / path).read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""
