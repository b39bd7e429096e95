"""Run the fuzz targets in worker processes, in chunks of inputs that are made from a seed."""

from __future__ import annotations

import faulthandler
import json
import multiprocessing
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import count
from pathlib import Path
from random import Random

from fuzz.report import WATCH_FILE, Report
from fuzz.targets import TARGETS

CHUNK = 500
"""Inputs of one task of a process."""

Task = tuple[str, int, int]  # target, chunk number, inputs


def run_chunk(target: str, seed: int, chunk: int, n: int) -> Report:
    """Run one chunk of a target. A crash of the interpreter prints its traceback."""
    faulthandler.enable()
    try:
        return TARGETS[target][0](Random(f"{target} {seed} {chunk}"), n)
    finally:
        faulthandler.cancel_dump_traceback_later()


def tasks(names: list[str], n: int | None) -> Iterator[Task]:
    """The chunks of all targets in turn: n inputs each in proportion to their shares, or without end."""
    left = {name: (n or 0) * TARGETS[name][1] for name in names}
    credit = dict.fromkeys(names, 0.0)
    for chunk in count():
        for name in names:
            credit[name] += TARGETS[name][1] * CHUNK
            size = int(credit[name] if n is None else min(credit[name], left[name]))
            if size >= 1:
                credit[name] -= size
                left[name] -= size
                yield name, chunk, size
        if n is not None and all(value < 1 for value in left.values()):
            return


def run(names: list[str], n: int | None, hours: float | None, seed: int, processes: int) -> dict[str, Report]:
    """Run the targets in worker processes and return the report of each."""
    reports = {name: Report() for name in names}
    deadline = time.monotonic() + hours * 3600 if hours else None
    todo, running = tasks(names, n), dict[Future[Report], Task]()
    context = multiprocessing.get_context("spawn")
    last = time.monotonic()
    while True:
        with ProcessPoolExecutor(processes, mp_context=context) as pool:
            exhausted = False
            while not exhausted or running:
                while not exhausted and len(running) < 2 * processes:
                    task = next(todo, None)
                    if task is None or (deadline and time.monotonic() > deadline):
                        exhausted = True
                        break
                    running[pool.submit(run_chunk, task[0], seed, task[1], task[2])] = task
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                crashed = False
                for future in done:
                    name = running.pop(future)[0]
                    try:
                        result = future.result()
                        reports[name].merge(result)
                        print_failures(result)
                    except BrokenProcessPool:
                        crashed = True
                if crashed:
                    _report_crash(reports[name])
                    running.clear()
                    break
                if time.monotonic() - last > 60:
                    last = time.monotonic()
                    print("; ".join(f"{k}: {v.summary()}" for k, v in reports.items()), file=sys.stderr, flush=True)
            if exhausted and not running:
                return reports


def print_failures(report: Report) -> None:
    """Print one line on stderr for each failure."""
    for failure in report.failures:
        line = {"rule": failure.rule, "detail": failure.detail, "value": failure.value}
        print(json.dumps(line), file=sys.stderr, flush=True)


def _report_crash(report: Report) -> None:
    """Count a process that died, with the inputs that the processes were running."""
    report.counts["a process died"] += 1
    for path in Path(os.environ[WATCH_FILE]).parent.iterdir():
        report.fail("running when a process died", path.read_text(encoding="utf-8"))
        path.unlink()
    print_failures(report)
