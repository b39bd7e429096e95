"""The first hundred analogs of a fresh process: how long they take, and where the time goes.

    python benchmarks/sampling_cold_start.py SMILES [MODULE ...]     # one process and its stages, as a line of JSON

Imports nothing heavy by itself: that is what is measured.
"""

from __future__ import annotations

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
"""Imported before molvae, in this order, if it imports them at all: each is timed without those before it."""
STARTED = "STARTED"  # the variable that tells the child when it was started


def cold(rounds: int) -> list[dict[str, Any]]:
    """Medians over fresh processes: the command as users type it, then the stages of one that watches itself."""
    plain, watched, modules = [], [], _needed()
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "molvae", "analogs", SEED, "-n", "100", "-o", f"{folder}/analogs.csv"]
        for _ in range(rounds):
            start = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True)
            plain.append(time.perf_counter() - start)
            watched.append(_watched(modules))
    stages = [{"name": name, "seconds": statistics.median(run[name] for run in watched)} for name in watched[0]]
    return [{"name": "molvae analogs SEED -n 100", "seconds": statistics.median(plain), "all": plain}, *stages]


def _needed() -> list[str]:
    look = f"import sys, molvae.generator; print(*[name for name in {MODULES} if name in sys.modules])"
    return subprocess.run([sys.executable, "-c", look], check=True, capture_output=True, text=True).stdout.split()


def _watched(modules: list[str]) -> dict[str, float]:
    environment = {**os.environ, STARTED: str(time.time())}
    child = subprocess.run(
        [sys.executable, __file__, SEED, *modules], check=True, capture_output=True, text=True, env=environment
    )
    found: dict[str, float] = json.loads(child.stdout)
    return found


def stages(seed: str, modules: list[str]) -> dict[str, float]:
    """Seconds of the parts of `molvae analogs SEED -n 100`, in this process, which has done nothing yet."""
    now = time.time()
    spent = {"start of Python": now - float(os.environ.get(STARTED, now))}
    for name in [*modules, "molvae.generator"]:
        start = time.perf_counter()
        importlib.import_module(name)
        spent[f"import {name}"] = time.perf_counter() - start
    from molvae.generation.codec import Codec
    from molvae.generation.engine import Engine
    from molvae.generator import Generator

    with contextlib.ExitStack() as watches:
        for owner, name, stage in (
            (Generator, "load", "load the model"),
            (Codec, "featurize", "featurize and encode the seed"),
            (Codec, "encode", "featurize and encode the seed"),
            ("molvae.generation.analogs", "read", "RDKit: parse, write, fingerprint"),
            ("molvae.generation.runner", "figures", "RDKit: properties"),
        ):
            place = importlib.import_module(owner) if isinstance(owner, str) else owner
            watches.enter_context(patch.object(place, name, _timed(getattr(place, name), stage, spent)))
        watches.enter_context(patch.object(Engine, "stream", _timed_stream(Engine.stream, spent)))
        start, before = time.perf_counter(), sum(spent.values())
        _command(seed)
        spent["command line, tables, the rest"] = time.perf_counter() - start - (sum(spent.values()) - before)
    return spent


def _timed(function: Callable[..., Any], stage: str, spent: dict[str, float]) -> Callable[..., Any]:
    spent.setdefault(stage, 0.0)

    def timed(*arguments: Any, **options: Any) -> Any:
        start = time.perf_counter()
        try:
            return function(*arguments, **options)
        finally:
            spent[stage] += time.perf_counter() - start

    return timed


def _timed_stream(stream: Callable[..., Iterator[Any]], spent: dict[str, float]) -> Callable[..., Iterator[Any]]:
    """A generator's own time, not that of who uses it."""
    advance = _timed(next, "decode", spent)

    def timed(*arguments: Any, **options: Any) -> Iterator[Any]:
        blocks = stream(*arguments, **options)
        while (block := advance(blocks, None)) is not None:
            yield block

    return timed


def _command(seed: str) -> None:
    from molvae.cli.app import app

    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()):
        output = Path(folder) / "analogs.csv"
        app(["analogs", seed, "-n", "100", "-o", str(output)], standalone_mode=False)
        assert output.read_text(encoding="utf-8").count("\n") == 101


if __name__ == "__main__":
    print(json.dumps(stages(sys.argv[1], sys.argv[2:])))
