"""MOSES's metrics as molvae computes them: do they agree with the paper and with the authors' program, and how fast?

    python benchmarks/score.py agree --out agree.json DRAW.smi ...       # once; the references take a while
    python benchmarks/score.py speed --peer FOLDER --out speed.json DRAW.smi
    python benchmarks/score.py million --out million.json train.csv
    python benchmarks/score.py sizes --peer FOLDER --out sizes.json train.csv
    python benchmarks/score.py table agree.json speed.json million.json sizes.json --out benchmarks/score.md

DRAW: 30,000 molecules drawn at random from MOSES train. FOLDER holds the `moses` package of the molsets 0.3.1 wheel,
mended where it no longer imports; its own reference statistics come with it, ours are computed before the clock starts.
Both sides then take turns on the same molecules with the same number of processes. FCD is left out of the race: both
would call the same network. `million` scores the first 990,000 molecules of MOSES train with 10,000 bad rows strewn in
and watches the memory of all its processes.
`sizes` asks how Scaf and FCD depend on the number of molecules drawn from MOSES train; FCD is to the authors' own
statistics of the test set, and of no more than `--chemnet-most` molecules, as ChemNet takes its time.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from memory import memory_of

from molvae.chem.smiles import parse, silence_rdkit
from molvae.data.parallel import chunked, map_chunks
from molvae.data.readers import Record, read_records
from molvae.metrics import fcd
from molvae.metrics.moses import cosine_similarity, multi_ring_scaffold
from molvae.metrics.score import load_references, score
from molvae.metrics.set_metrics import ReferenceSets

COLUMNS = ("qed", "sa", "logp", "mw", "moses_filters")
PAPER = {
    "FCD/Test": 0.008, "FCD/TestSF": 0.4755, "SNN/Test": 0.6419, "SNN/TestSF": 0.5859, "Frag/Test": 1.0,
    "Frag/TestSF": 0.9986, "Scaf/Test": 0.9907, "Scaf/TestSF": 0.0, "IntDiv": 0.8567, "IntDiv2": 0.8508,
    "Filters": 1.0, "valid": 1.0, "unique@1000": 1.0, "unique@10000": 1.0,
}  # fmt: skip
"""The row "Train" of the MOSES paper (Polykovskiy et al. 2020, tables 2 and 3)."""


TRAIN, TEST = 1_584_663, 176_074
"""Molecules of MOSES train and test."""


def molecules(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").split()


def moses_sets() -> ReferenceSets:
    return load_references(
        "moses:train", "moses:test", "moses:test_scaffolds", progress=lambda line: print(line, file=sys.stderr)
    )


def ours(smiles: list[str], against: ReferenceSets, chemnet: bool) -> dict[str, float | None]:
    done = score(
        smiles, train=against.train, test=against.test, test_scaffolds=against.test_scaffolds, columns=COLUMNS,
        nearest=False, fcd=chemnet, benchmarks=("moses",),
    )  # fmt: skip
    return done.figures["MOSES"]


def agree(options: argparse.Namespace) -> dict[str, Any]:
    """Draws of the training set against the paper; the test set against itself."""
    against = moses_sets()
    assert against.test is not None
    draws = {path.name: ours(molecules(path), against, chemnet=True) for path in options.draws}
    rows = np.random.default_rng(0).permutation(len(against.test.smiles))[:30_000]  # the file is in no random order
    return {"draws": draws, "test": ours([against.test.smiles[row] for row in rows], against, chemnet=True)}


def speed(options: argparse.Namespace) -> dict[str, Any]:
    """Seconds of each contestant, in turns, and the values that each found."""
    sys.path.insert(0, str(options.peer))
    import moses.metrics.metrics as peer

    peer.FCDMetric = _NoFcd  # the race is without it
    smiles, jobs = molecules(options.draws[0]), options.jobs
    against = moses_sets()
    ours(smiles[:2000], against, chemnet=False)  # whatever is still to be computed of the references, or to be loaded
    found: dict[str, Any] = {"molvae": [], "moses": [], "parse": [], "jobs": jobs, "molecules": len(smiles)}
    for _ in range(options.rounds):
        start = time.perf_counter()
        found["values of molvae"] = ours(smiles, against, chemnet=False)
        found["molvae"].append(time.perf_counter() - start)
        start = time.perf_counter()
        assert sum(map_chunks(_parsed, chunked(smiles), jobs)) == len(smiles)
        found["parse"].append(time.perf_counter() - start)
        start = time.perf_counter()
        found["values of moses"] = peer.get_all_metrics(smiles, n_jobs=jobs)
        found["moses"].append(time.perf_counter() - start)
        print({name: found[name] for name in ("molvae", "parse", "moses")}, file=sys.stderr)
    return found


def _parsed(smiles: list[str]) -> int:
    with silence_rdkit():
        return sum(parse(text) is not None for text in smiles)


class _NoFcd:
    def __init__(self, **_: Any) -> None: ...

    def __call__(self, **_: Any) -> float:
        return float("nan")


def sizes(options: argparse.Namespace) -> list[dict[str, float]]:
    """Scaf and FCD to MOSES test of ever more of MOSES train."""
    theirs = np.load(options.peer / "moses/dataset/data/test_stats.npz", allow_pickle=True)["stats"].item()
    test = fcd.ActivationStatistics(theirs["FCD"]["mu"], theirs["FCD"]["sigma"], count=TEST)
    scaffolds = load_references(test="moses:test").test.structures.scaffolds
    train = [row.smiles for row in read_records(options.draws[0]) if isinstance(row, Record)]
    order, found = np.random.default_rng(0).permutation(len(train)), list[dict[str, float]]()
    for size in options.sizes:
        drawn = [train[row] for row in order[:size]]
        counted = Counter(chain.from_iterable(map_chunks(_scaffolds, chunked(drawn), options.jobs)))
        found.append({"molecules": len(drawn), "Scaf/Test": cosine_similarity(counted, scaffolds) or 0.0})
        if size <= options.chemnet_most:
            found[-1]["FCD/Test"] = fcd.frechet_distance(fcd.activation_statistics(drawn), test)
        print(found[-1], file=sys.stderr)
    return found


def _scaffolds(smiles: list[str]) -> list[str]:
    with silence_rdkit():
        return [scaffold for text in smiles if (scaffold := multi_ring_scaffold(parse(text)))]


BAD = ("C1CC", "c1ccc", "", "CC(C", "C(C)(C)(C)(C)C", "no molecule", "[Xx]C", "\udcff\udcfe", "C" * 6_000, "N#N#N")
LIGHT = ("mw", "logp", "tpsa", "hbd", "hba", "rings", "rotatable_bonds", "sa", "lipinski", "veber")


def million(options: argparse.Namespace) -> dict[str, Any]:
    """A million rows, one in a hundred bad, through the command line: what came out, how fast, in how much memory."""
    with tempfile.TemporaryDirectory() as scratch:
        source, page, rows = (Path(scratch) / name for name in ("million.csv", "page.json", "rows.csv"))
        good = (row.smiles for row in read_records(options.draws[0]) if isinstance(row, Record))
        with source.open("w", encoding="utf-8", errors="surrogateescape") as file:
            file.write("id,smiles\n")
            for number in range(options.rows):
                text = BAD[number // 100 % len(BAD)] if number % 100 == 50 else next(good)
                file.write(f'{number},"{text}"\n')
        command = [sys.executable, "-m", "molvae", "score", source, "--train", "moses:train", "--no-nearest",
                   "--columns", ",".join(LIGHT), "--report", page, "-o", rows, "--no-fcd"]  # fmt: skip
        start, peak = time.perf_counter(), 0
        with (Path(scratch) / "log").open("w") as log:
            process = subprocess.Popen(list(map(str, command)), stdout=log, stderr=log)
            while process.poll() is None:
                peak = max(peak, memory_of(process.pid))
                time.sleep(1)
        seconds = time.perf_counter() - start
        assert process.returncode == 0, (Path(scratch) / "log").read_text()[-2000:]
        with rows.open("rb") as file:
            lines = sum(1 for _ in file) - 1
        counts = json.loads(page.read_text(encoding="utf-8"))["counts"]
    return {"rows": options.rows, "bad": options.rows // 100, "lines": lines, "counts": counts, "seconds": seconds,
            "peak": peak, "columns": LIGHT}  # fmt: skip


def table(options: argparse.Namespace) -> str:
    """The committed page, from what the two others measured."""
    agreed, raced, streamed, sized = (json.loads(path.read_text(encoding="utf-8")) for path in options.draws)
    packages = ", ".join(f"{name} {version(name)}" for name in ("rdkit", "numpy", "scipy", "torch", "fcd_torch"))
    cores = f"{os.cpu_count()} cores ({platform.machine()}), Python {platform.python_version()}, {packages}"
    return "\n".join([
        "# Scoring: MOSES's metrics", "", f"{cores}. Made by `benchmarks/score.py`.", "",
        *_agreement(agreed), "", *_sizes(sized), "", *_race(raced), "", *_stream(streamed), "",
    ])  # fmt: skip


def _agreement(agreed: dict[str, Any]) -> list[str]:
    draws = list(agreed["draws"].values())
    lines = [
        "## Agreement", "",
        f"{len(draws)} draws of 30,000 of MOSES train against the paper's row \"Train\", and 30,000 "
        "of MOSES test against the whole of it.", "",
        "| | paper | mean of the draws | least to most | MOSES test |", "|---|---|---|---|---|",
    ]  # fmt: skip
    for name in draws[0]:
        values = [draw[name] for draw in draws]
        if None in values:
            continue
        paper = f"{PAPER[name]:.4f}" if name in PAPER else ""
        spread = f"{min(values):.4f} to {max(values):.4f}"
        lines.append(f"| {name} | {paper} | {statistics.mean(values):.4f} | {spread} | {agreed['test'][name]:.4f} |")
    return lines


def _sizes(sized: list[dict[str, float]]) -> list[str]:
    """FCD falls with one over the number of molecules (Chong and Forsyth 2020, of images), by the error of means."""
    smaller, larger = [row for row in sized if "FCD/Test" in row][-2:]
    parts = [1 / row["molecules"] for row in (smaller, larger)]
    slope = (smaller["FCD/Test"] - larger["FCD/Test"]) / (parts[0] - parts[1])
    expected = larger["FCD/Test"] + slope * (1 / TRAIN - parts[1])
    lines = [
        "Scaf and FCD depend on how many molecules are compared. Of molecules drawn from MOSES train, to the whole of "
        "MOSES test; FCD is to the moments of it that come with the moses package:", "",
        "| molecules | Scaf/Test | FCD/Test |", "|---|---|---|",
    ]  # fmt: skip
    for row in sized:
        distance = f"{row['FCD/Test']:.4f}" if "FCD/Test" in row else ""
        lines.append(f"| {row['molecules']:,} | {row['Scaf/Test']:.4f} | {distance} |")
    return [
        *lines,
        f"| the paper's row | {PAPER['Scaf/Test']:.4f} | {PAPER['FCD/Test']:.4f} |", "",
        f"A straight line in one over the number of molecules through the last two distances reaches {expected:.4f} at "
        f"{TRAIN:,}, the whole of MOSES train. So the paper's row is of all of that, where its models' rows are of "
        "30,000 molecules.",
    ]  # fmt: skip


def _race(raced: dict[str, Any]) -> list[str]:
    times = {name: statistics.median(raced[name]) for name in ("molvae", "moses", "parse")}
    slower, share = times["moses"] / times["molvae"], times["parse"] / times["molvae"]
    mine, theirs = raced["values of molvae"], raced["values of moses"]
    # of fragments its sum of squares overflows on today's NumPy, and it gives 1.0 for both test sets
    both = [n for n, value in theirs.items() if mine.get(n) is not None and value == value and "Frag" not in n]
    apart = {name: abs(mine[name] - theirs[name]) for name in both}
    worst = max(apart, key=apart.__getitem__)
    return [
        "## Speed", "",
        f"{raced['molecules']:,} molecules, {raced['jobs']} processes, all metrics but FCD, against both test sets"
        f"; rounds: {len(raced['molvae'])}.", "",
        "| | seconds | |", "|---|---|---|",
        f"| molvae | {times['molvae']:.1f} | |",
        f"| the moses package (molsets 0.3.1) | {times['moses']:.1f} | {slower:.1f} times as long |",
        f"| RDKit parsing the molecules once | {times['parse']:.1f} | {share:.2f} of molvae's time |",
        "",
        f"The {len(apart)} values that both give differ by {apart[worst]:.1e} at most ({worst}), Frag apart: there the "
        "package overflows on today's NumPy and gives 1.0.",
    ]  # fmt: skip


def _stream(streamed: dict[str, Any]) -> list[str]:
    counts, rate = streamed["counts"], streamed["rows"] / streamed["seconds"]
    return [
        "## A million rows",
        "",
        f"{streamed['rows']:,} rows, {streamed['bad']:,} of them bad, through `molvae score --train moses:train",
        "--no-nearest --no-fcd`: novelty of each, MOSES's and GuacaMol's metrics of a sample of 30,000, columns",
        f"{', '.join(streamed['columns'])}.",
        "",
        f"- {counts['read']:,} read = {counts['valid']:,} valid + {counts['invalid']:,} invalid",
        f"- {streamed['lines']:,} rows written",
        f"- {streamed['seconds'] / 60:.1f} minutes, {rate:,.0f} rows a second",
        f"- {streamed['peak'] / 2**30:.2f} GiB at most, in all processes together",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("agree", "speed", "million", "sizes", "table"))
    parser.add_argument("draws", type=Path, nargs="+", help="files of SMILES; of `table` what the others wrote")
    parser.add_argument("--peer", type=Path, help="the folder that holds the moses package")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--sizes", type=int, nargs="+", default=[30_000, 150_000, 500_000, TRAIN])
    parser.add_argument("--chemnet-most", type=int, default=150_000)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    if options.what == "table":
        options.out.write_text(table(options), encoding="utf-8")
    else:
        done = {"agree": agree, "speed": speed, "million": million, "sizes": sizes}[options.what](options)
        options.out.write_text(json.dumps(done, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
