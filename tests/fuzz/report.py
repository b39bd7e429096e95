"""What a fuzz target found: inputs that broke a rule, how many inputs were accepted, and the slowest one."""

from __future__ import annotations

import faulthandler
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

MAX_SECONDS = 2.0
"""CPU time that a step may take for one input."""

MAX_HANG = 600
"""Seconds after which an input hangs."""

WATCH_FILE = "FUZZ_WATCH_FILE"
"""Environment variable with the path, without process id, of the files with the current inputs of the processes."""

_MAX_KEPT = 200  # failures kept with their input; all are counted


@dataclass(frozen=True)
class Failure:
    """An input that broke a rule.

    Attributes
    ----------
    rule : str
        The rule and where it was broken, such as "exception RuntimeError in write"; the key of the counts.
    value : str
        The input, as by `repr`.
    detail : str
        What happened.
    """

    rule: str
    value: str
    detail: str = ""


@dataclass
class Report:
    """Results of a target for some inputs; reports of parts are added up by `merge`."""

    n_inputs: int = 0
    n_accepted: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)
    slowest: float = 0.0
    slowest_input: str = ""

    def fail(self, rule: str, value: object, detail: object = "") -> None:
        """Count a failure, and keep it unless there are many already."""
        self.counts[rule] += 1
        if self.counts[rule] <= _MAX_KEPT // 10 and len(self.failures) < _MAX_KEPT:
            self.failures.append(Failure(rule, repr(value), str(detail)[:500]))

    def took(self, seconds: float, value: object, step: str) -> None:
        """Record the CPU time of a step for one input; more than `MAX_SECONDS` is a failure."""
        if seconds > self.slowest:
            self.slowest, self.slowest_input = seconds, f"{step}: {value!r}"
        if seconds > MAX_SECONDS:
            self.fail(f"slow {step}", value, f"{seconds:.1f} s")

    def merge(self, other: Report) -> None:
        """Add the results of other inputs."""
        self.n_inputs += other.n_inputs
        self.n_accepted += other.n_accepted
        self.counts.update(other.counts)
        self.failures += other.failures[: max(0, _MAX_KEPT - len(self.failures))]
        if other.slowest > self.slowest:
            self.slowest, self.slowest_input = other.slowest, other.slowest_input

    def summary(self) -> str:
        """The numbers in one line."""
        return (
            f"{self.n_inputs:,} inputs, {self.n_accepted:,} accepted, {self.counts.total():,} failures, "
            f"slowest {self.slowest:.2f} s"
        )


@contextmanager
def timed(report: Report, value: object, step: str = "") -> Iterator[None]:
    """Record the CPU time of the block, in all threads of the process."""
    start = time.process_time()
    try:
        yield
    finally:
        report.took(time.process_time() - start, value, step)


def watch(value: object) -> None:
    """Note the input that is run next, for the case that the process dies or hangs: see `WATCH_FILE`.

    After `MAX_HANG` seconds without a new input the process prints its traceback and ends.
    """
    if path := os.environ.get(WATCH_FILE):
        Path(f"{path}.{os.getpid()}").write_text(repr(value), encoding="utf-8")
        faulthandler.dump_traceback_later(MAX_HANG, exit=True)


@contextmanager
def stderr_lines() -> Iterator[list[str]]:
    """The lines that the block writes to file descriptor 2, from Python or C++, in the list when the block ends."""
    lines: list[str] = []
    sys.stderr.flush()
    saved = os.dup(2)
    with tempfile.TemporaryFile() as captured:
        os.dup2(captured.fileno(), 2)
        try:
            yield lines
        finally:
            sys.stderr.flush()
            os.dup2(saved, 2)
            os.close(saved)
            captured.seek(0)
            lines += captured.read().decode("utf-8", "replace").splitlines()
