"""Time of the first 100 analogs in a new process, and of its stages.

    python benchmarks/sampling_cold_start.py SMILES [MODULE ...]     # one process, its stages as a line of JSON

This module imports nothing that takes long, because imports are measured.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

SEED = "Cc1ccc(NC(=O)c2ccc(CN3CCN(C)CC3)cc2)cc1Nc1nccc(-c2cccnc2)n1"  # imatinib
MODULES = ("numpy", "pandas", "rdkit.Chem", "torch", "torch_geometric")
"""Imported before molvae, in this order, if molvae imports them: the time of each excludes those before it."""
START_TIME = "MOLVAE_BENCHMARK_START"
"""Environment variable with the time at which the child process was started."""


def measure(n_rounds: int) -> list[dict[str, Any]]:
    """Medians over new processes: the command as users run it, then the stages of an instrumented process."""
    command_seconds, stage_seconds, modules = [], [], _imported_modules()
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "molvae", "analogs", SEED, "-n", "100", "-o", f"{folder}/analogs.csv"]
        for _ in range(n_rounds):
            start = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True)
            command_seconds.append(time.perf_counter() - start)
            stage_seconds.append(_run_instrumented(modules))
    stages = [
        {"name": name, "seconds": statistics.median(run[name] for run in stage_seconds)} for name in stage_seconds[0]
    ]
    whole = {
        "name": "molvae analogs SEED -n 100",
        "seconds": statistics.median(command_seconds),
        "all": command_seconds,
    }
    return [whole, *stages]


def _imported_modules() -> list[str]:
    code = f"import sys, molvae.generator; print(*[name for name in {MODULES} if name in sys.modules])"
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()


def _run_instrumented(modules: list[str]) -> dict[str, float]:
    environment = {**os.environ, START_TIME: str(time.time())}
    command = [sys.executable, __file__, SEED, *modules]
    process = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    stages: dict[str, float] = json.loads(process.stdout)
    return stages


def measure_stages(seed: str, modules: list[str]) -> dict[str, float]:
    """Seconds of each stage of `molvae analogs SEED -n 100` in this process, which must be new."""
    now = time.time()
    seconds = {"start of Python": now - float(os.environ.get(START_TIME, now))}
    for name in [*modules, "molvae.generator"]:
        start = time.perf_counter()
        importlib.import_module(name)
        seconds[f"import {name}"] = time.perf_counter() - start
    from molvae import Generator
    from molvae.generation import analogs, runner
    from molvae.generation.codec import Codec
    from molvae.generation.engine import Engine

    with contextlib.ExitStack() as patches:
        for owner, name, stage in (
            (Generator, "load", "load the model"),
            (Codec, "featurize", "featurize and encode the seed"),
            (Codec, "encode", "featurize and encode the seed"),
            (analogs, "parse_samples", "RDKit: parse, write, fingerprint"),
            (runner, "property_rows", "RDKit: properties"),
        ):
            patches.enter_context(patch.object(owner, name, _timed(getattr(owner, name), stage, seconds)))
        patches.enter_context(patch.object(Engine, "stream", _timed_stream(Engine.stream, seconds)))
        start, before = time.perf_counter(), sum(seconds.values())
        _run_command(seed)
        staged = sum(seconds.values()) - before
        seconds["command line, tables, other"] = time.perf_counter() - start - staged
    return seconds


def _timed(function: Callable[..., Any], stage: str, seconds: dict[str, float]) -> Callable[..., Any]:
    """The function, which adds its time to a stage."""
    seconds.setdefault(stage, 0.0)

    def timed(*arguments: Any, **options: Any) -> Any:
        start = time.perf_counter()
        try:
            return function(*arguments, **options)
        finally:
            seconds[stage] += time.perf_counter() - start

    return timed


def _timed_stream(stream: Callable[..., Iterator[Any]], seconds: dict[str, float]) -> Callable[..., Iterator[Any]]:
    """The iterator, whose time excludes that of its consumer."""
    advance = _timed(next, "decode", seconds)

    def timed(*arguments: Any, **options: Any) -> Iterator[Any]:
        blocks = stream(*arguments, **options)
        while (block := advance(blocks, None)) is not None:
            yield block

    return timed


def _run_command(seed: str) -> None:
    from molvae.cli.app import app

    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()):
        output = Path(folder) / "analogs.csv"
        app(["analogs", seed, "-n", "100", "-o", str(output)], standalone_mode=False)
        assert output.read_text(encoding="utf-8").count("\n") == 101


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("smiles")
    parser.add_argument("modules", nargs="*", help="modules to import before molvae")
    options = parser.parse_args()
    print(json.dumps(measure_stages(options.smiles, options.modules)))
