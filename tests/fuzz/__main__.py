"""Long runs of the fuzz targets: `make fuzz`, or `PYTHONPATH=.:tests python -m fuzz --n 100000 --processes 2`.

Each target is run in chunks, in worker processes. A chunk is reproduced by its seed: `--target NAME --seed SEED
--chunk NUMBER`. A process that dies or takes longer than `--timeout` for a chunk is a failure of that chunk.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import count
from random import Random

from fuzz.report import Report
from fuzz.targets import TARGETS

CHUNK = 500
"""Inputs of one task of a process."""

Task = tuple[str, int, int]  # target, chunk number, inputs


def run_chunk(target: str, seed: int, chunk: int, n: int) -> Report:
    """Run one chunk of a target. A crash of the interpreter prints its traceback."""
    import faulthandler

    faulthandler.enable()
    return TARGETS[target][0](Random(f"{target} {seed} {chunk}"), n)


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
                    name, chunk, size = running.pop(future)
                    try:
                        reports[name].merge(future.result())
                    except BrokenProcessPool:
                        crashed = True
                        reports[name].fail("a process died in one of these chunks", f"chunk {chunk} of {size}")
                if crashed:
                    running.clear()
                    break
                if time.monotonic() - last > 60:
                    last = time.monotonic()
                    print("; ".join(f"{k}: {v.summary()}" for k, v in reports.items()), file=sys.stderr, flush=True)
            if exhausted and not running:
                return reports


def main() -> int:
    """Run the targets and print a JSON report; the exit status is 1 if an input broke a rule."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", action="append", choices=list(TARGETS), help="default: all")
    parser.add_argument("--n", type=int, help="inputs, for a target of share 1; default 100,000 without --hours")
    parser.add_argument("--hours", type=float, help="time instead of, or in addition to, a number of inputs")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--chunk", type=int, help="run only this chunk, in this process")
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    names = options.target or list(TARGETS)
    n = options.n if options.n or options.hours else 100_000
    if options.chunk is not None:
        reports = {name: run_chunk(name, options.seed, options.chunk, options.n or CHUNK) for name in names}
    else:
        reports = run(names, n, options.hours, options.seed, options.processes)
    for name, report in reports.items():
        print(f"{name}: {report.summary()}")
        print(f"  slowest input: {report.slowest_input[:200]}")
        for rule, number in report.counts.most_common():
            print(f"  {number:,} x {rule}")
        for failure in report.failures:
            print("  " + json.dumps({"rule": failure.rule, "detail": failure.detail, "value": failure.value}))
    return int(any(report.counts for report in reports.values()))


if __name__ == "__main__":
    sys.exit(main())
