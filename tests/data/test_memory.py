"""Available memory of the machine and of its control groups."""

from __future__ import annotations

from math import inf

import pytest

from molvae.data import parallel

MACHINE = {"proc/meminfo": "MemTotal: 64 kB\nMemAvailable:      32 kB\n"}
GROUP = {"proc/self/cgroup": "0::/jobs/job_1\n"}


def _limit(group, maximum, used):
    return {f"sys/fs/cgroup{group}/memory.max": f"{maximum}\n", f"sys/fs/cgroup{group}/memory.current": f"{used}\n"}


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, inf),
        (MACHINE, 32 * 1024),
        (MACHINE | _limit("", 5000, 1000), 4000),  # a container
        (MACHINE | GROUP | _limit("/jobs/job_1", "max", 10), 32 * 1024),
        (MACHINE | GROUP | _limit("/jobs/job_1", "max", 10) | _limit("/jobs", 900, 600), 300),
        (MACHINE | GROUP | _limit("/jobs/job_1", 100, 200), 0),
        (MACHINE | {"proc/self/cgroup": "4:memory:/old\n"}, 32 * 1024),
    ],
)
def test_available_memory_is_the_smallest_limit(tmp_path, monkeypatch, files, expected):
    monkeypatch.setattr(parallel, "_ROOT", tmp_path)
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert parallel.available_memory() == expected


def test_available_memory_of_this_machine():
    assert parallel.available_memory() > 0
