"""Functions that several benchmarks share: test molecules, statistics of analog searches, memory, page headers."""

from __future__ import annotations

import os
import platform
import shlex
import sys
import warnings
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from molvae import Generator, checkpoint
from molvae.data.files import checksum
from molvae.data.readers import Record, read_records

DRUGS = {
    "imatinib": "Cc1ccc(NC(=O)c2ccc(CN3CCN(C)CC3)cc2)cc1Nc1nccc(-c2cccnc2)n1",
    "celecoxib": "Cc1ccc(-c2cc(C(F)(F)F)nn2-c2ccc(S(N)(=O)=O)cc2)cc1",
    "sildenafil": "CCCc1nn(C)c2c(=O)[nH]c(-c3cc(S(=O)(=O)N4CCN(C)CC4)ccc3OCC)nc12",
    "warfarin": "CC(=O)CC(c1ccccc1)c1c(O)c2ccccc2oc1=O",
    "linezolid": "CC(=O)NC[C@H]1CN(c2ccc(N3CCOCC3)c(F)c2)C(=O)O1",
    "zolpidem": "Cc1ccc(-c2nc3ccc(C)cn3c2CC(=O)N(C)C)cc1",
    "ibuprofen": "CC(C)Cc1ccc(C(C)C(=O)O)cc1",
    "upadacitinib": "CC[C@@H]1CN(C(=O)NCC(F)(F)F)C[C@@H]1c1cnc2cnc3[nH]ccc3n12",
}
"""Query molecules."""


def read_smiles(path: Path) -> list[str]:
    """SMILES of the valid rows of a file."""
    return [row.smiles for row in read_records(path) if isinstance(row, Record)]


def random_molecules(path: Path, n: int | None = None, random_state: int = 0) -> list[str]:
    """`n` random SMILES of a file; None: all of them, in random order."""
    smiles = read_smiles(path)
    return [smiles[row] for row in np.random.default_rng(random_state).permutation(len(smiles))[:n]]


def generate_analogs(
    generator: Generator, seeds: Sequence[str], n: int, **options: Any
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Generate analogs of many seeds.

    Returns
    -------
    analogs : pandas.DataFrame
        As from `Generator.analogs`.
    statistics : pandas.DataFrame
        A row for each seed that the model can encode: `seed`, and the numbers `found`, `samples` and `valid` (samples).
    """
    tables, statistics = [], []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about seeds that cannot be encoded or have fewer analogs than requested
        for table in generator.iter_analogs(seeds, n, **options):
            tables.append(table)
            statistics += table.attrs["statistics"]
    return pd.concat(tables, ignore_index=True), pd.DataFrame(statistics, columns=["seed", "found", "samples", "valid"])


def memory_of_process_tree(pid: int) -> int:
    """Memory of a process and its children in bytes, shared pages counted once; 0 while one of them exits."""
    import psutil

    try:
        tree = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
        return sum(process.memory_full_info().pss for process in tree)
    except psutil.Error:
        return 0


def machine(*packages: str) -> str:
    """Cores, architecture, and the versions of Python, molvae and the given packages that are installed."""
    versions = []
    for name in ("molvae", *packages):
        try:
            versions.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return f"{os.cpu_count()} cores ({platform.machine()}), Python {platform.python_version()}, {', '.join(versions)}"


def command() -> str:
    """The command that runs, with file names instead of absolute paths."""
    arguments = [Path(text).name if Path(text).is_absolute() else text for text in sys.argv[1:]]
    return shlex.join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *arguments])


def header(title: str, *packages: str, model: str | Path | None = None, device: str = "") -> list[str]:
    """The first lines of a result page: title, command, machine and model version."""
    lines = [
        f"# {title}",
        "",
        f"- Command: `{command()}`",
        f"- Machine: {device and device + '; '}{machine(*packages)}",
    ]
    if model is not None:
        weights = checkpoint.find_model(model) / checkpoint.WEIGHTS_FILE
        lines.append(f"- Model: `{model}`, sha256 of the weights {checksum(weights)[:12]}")
    return [*lines, ""]
