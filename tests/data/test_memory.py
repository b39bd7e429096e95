"""Available memory of the machine and of its control groups."""

from __future__ import annotations

from math import inf

import pytest

from molvae.data import parallel as memory

MACHINE = {"proc/meminfo": "MemTotal: 64 kB\nMemAvailable:      32 kB\n"}
GROUP = {"proc/self/cgroup": "0::/jobs/mine\n"}


def _limit(group, most, used):
    return {f"sys/fs/cgroup{group}/memory.max": f"{most}\n", f"sys/fs/cgroup{group}/memory.current": f"{used}\n"}


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, inf),
        (MACHINE, 32 * 1024),
        (MACHINE | _limit("", 5000, 1000), 4000),  # inside a container
        (MACHINE | GROUP | _limit("/jobs/mine", "max", 10), 32 * 1024),
        (MACHINE | GROUP | _limit("/jobs/mine", "max", 10) | _limit("/jobs", 900, 600), 300),
        (MACHINE | GROUP | _limit("/jobs/mine", 100, 200), 0),
        (MACHINE | {"proc/self/cgroup": "4:memory:/old\n"}, 32 * 1024),
    ],
)
def test_smallest_limit_counts(tmp_path, monkeypatch, files, expected):
    monkeypatch.setattr(memory, "_ROOT", tmp_path)
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert memory.available_memory() == expected


def test_this_machine_has_memory():
    assert memory.available_memory() > 0
