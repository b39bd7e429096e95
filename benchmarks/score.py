"""MOSES's metrics: agreement with the paper and with the authors' program, speed, and memory.

    python benchmarks/score.py agree --output agree.json SAMPLE.smi ...       # the first time computes the references
    python benchmarks/score.py speed --peer FOLDER --output speed.json SAMPLE.smi
    python benchmarks/score.py million --output million.json train.csv
    python benchmarks/score.py sizes --peer FOLDER --output sizes.json train.csv
    python benchmarks/score.py table agree.json speed.json million.json sizes.json --output benchmarks/score.md

SAMPLE: 30,000 random molecules of MOSES train. FOLDER contains the `moses` package of the molsets 0.3.1 wheel, repaired
so that it can be imported. The package includes its reference statistics; those of molvae are computed before the time
is measured. Both run in turn on the same molecules with the same number of processes, without FCD, for which both use
the same network.
`million` scores the first 990,000 molecules of MOSES train, mixed with 10,000 invalid rows, and measures the memory of
all processes.
`sizes` measures how Scaf and FCD depend on the number of molecules, which are drawn from MOSES train. FCD is relative
to the authors' statistics of the test set, and computed for at most `--max-fcd` molecules.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from common import command, header, machine, memory_of_process_tree

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
N_TRAIN, N_TEST, N_SAMPLE = 1_584_663, 176_074, 30_000
"""Molecules of MOSES train, of MOSES test, and of a sample."""
PACKAGES = ("rdkit", "numpy", "scipy", "torch", "fcd_torch")

Metrics = dict[str, float | None]


def read_smiles(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").split()


def load_moses() -> ReferenceSets:
    return load_references(
        "moses:train", "moses:test", "moses:test_scaffolds", progress=lambda line: print(line, file=sys.stderr)
    )


def moses_metrics(smiles: list[str], references: ReferenceSets, *, with_fcd: bool) -> Metrics:
    """MOSES's metrics as molvae computes them."""
    result = score(
        smiles, train=references.train, test=references.test, test_scaffolds=references.test_scaffolds,
        columns=COLUMNS, nearest=False, fcd=with_fcd, benchmarks=("moses",),
    )  # fmt: skip
    return result.figures["MOSES"]


def measure_agreement(options: argparse.Namespace) -> dict[str, Any]:
    """Samples of the training set, to compare with the paper; and a sample of the test set."""
    references = load_moses()
    assert references.test is not None
    samples = {path.name: moses_metrics(read_smiles(path), references, with_fcd=True) for path in options.inputs}
    rows = np.random.default_rng(0).permutation(len(references.test.smiles))[:N_SAMPLE]
    test = moses_metrics([references.test.smiles[row] for row in rows], references, with_fcd=True)
    return {"samples": samples, "test": test}


def measure_speed(options: argparse.Namespace) -> dict[str, Any]:
    """Seconds of molvae, of the moses package and of parsing, in turn, and the metrics of the first two."""
    sys.path.insert(0, str(options.peer))
    import moses.metrics.metrics as peer

    peer.FCDMetric = _NoFCD
    smiles, workers = read_smiles(options.inputs[0]), options.workers
    references = load_moses()
    moses_metrics(smiles[:2000], references, with_fcd=False)  # warm-up
    result: dict[str, Any] = {"molvae": [], "moses": [], "parse": [], "workers": workers, "molecules": len(smiles)}
    for _ in range(options.rounds):
        start = time.perf_counter()
        result["metrics of molvae"] = moses_metrics(smiles, references, with_fcd=False)
        result["molvae"].append(time.perf_counter() - start)
        start = time.perf_counter()
        assert sum(map_chunks(_count_parsed, chunked(smiles), workers)) == len(smiles)
        result["parse"].append(time.perf_counter() - start)
        start = time.perf_counter()
        result["metrics of moses"] = peer.get_all_metrics(smiles, n_jobs=workers)
        result["moses"].append(time.perf_counter() - start)
        print({name: result[name] for name in ("molvae", "parse", "moses")}, file=sys.stderr)
    return result


def _count_parsed(smiles: list[str]) -> int:
    with silence_rdkit():
        return sum(parse(text) is not None for text in smiles)


class _NoFCD:
    """Replaces the FCD metric of the moses package."""

    def __init__(self, **_: Any) -> None: ...

    def __call__(self, **_: Any) -> float:
        return float("nan")


def measure_sizes(options: argparse.Namespace) -> list[dict[str, float]]:
    """Scaf and FCD of samples of MOSES train of increasing size, relative to MOSES test."""
    statistics_file = np.load(options.peer / "moses/dataset/data/test_stats.npz", allow_pickle=True)["stats"].item()
    test = fcd.ActivationStatistics(statistics_file["FCD"]["mu"], statistics_file["FCD"]["sigma"], count=N_TEST)
    scaffolds = load_references(test="moses:test").test.structures.scaffolds
    train = [row.smiles for row in read_records(options.inputs[0]) if isinstance(row, Record)]
    order, results = np.random.default_rng(0).permutation(len(train)), list[dict[str, float]]()
    for size in options.sizes:
        sample = [train[row] for row in order[:size]]
        counts = Counter(chain.from_iterable(map_chunks(_scaffolds, chunked(sample), options.workers)))
        results.append({"molecules": len(sample), "Scaf/Test": cosine_similarity(counts, scaffolds) or 0.0})
        if size <= options.max_fcd:
            results[-1]["FCD/Test"] = fcd.frechet_distance(fcd.activation_statistics(sample), test)
        print(results[-1], file=sys.stderr)
    return results


def _scaffolds(smiles: list[str]) -> list[str]:
    with silence_rdkit():
        return [scaffold for text in smiles if (scaffold := multi_ring_scaffold(parse(text)))]


INVALID_SMILES = (
    "C1CC", "c1ccc", "", "CC(C", "C(C)(C)(C)(C)C", "no molecule", "[Xx]C", "\udcff\udcfe", "C" * 6_000, "N#N#N",
)  # fmt: skip
FAST_COLUMNS = ("mw", "logp", "tpsa", "hbd", "hba", "rings", "rotatable_bonds", "sa", "lipinski", "veber")


def measure_million(options: argparse.Namespace) -> dict[str, Any]:
    """Score a million rows, one in a hundred invalid, on the command line: counts, seconds, peak memory."""
    with tempfile.TemporaryDirectory() as scratch:
        source, page, rows = (Path(scratch) / name for name in ("million.csv", "page.json", "rows.csv"))
        valid = (row.smiles for row in read_records(options.inputs[0]) if isinstance(row, Record))
        with source.open("w", encoding="utf-8", errors="surrogateescape") as file:
            file.write("id,smiles\n")
            for number in range(options.rows):
                text = INVALID_SMILES[number // 100 % len(INVALID_SMILES)] if number % 100 == 50 else next(valid)
                file.write(f'{number},"{text}"\n')
        command = [sys.executable, "-m", "molvae", "score", source, "--train", "moses:train", "--no-nearest",
                   "--columns", ",".join(FAST_COLUMNS), "--report", page, "-o", rows, "--no-fcd"]  # fmt: skip
        start, peak = time.perf_counter(), 0
        with (Path(scratch) / "log").open("w") as log:
            process = subprocess.Popen(list(map(str, command)), stdout=log, stderr=log)
            while process.poll() is None:
                peak = max(peak, memory_of_process_tree(process.pid))
                time.sleep(1)
        seconds = time.perf_counter() - start
        assert process.returncode == 0, (Path(scratch) / "log").read_text()[-2000:]
        with rows.open("rb") as file:
            lines = sum(1 for _ in file) - 1
        counts = json.loads(page.read_text(encoding="utf-8"))["counts"]
    return {"rows": options.rows, "invalid": options.rows // 100, "lines": lines, "counts": counts, "seconds": seconds,
            "peak": peak, "columns": FAST_COLUMNS}  # fmt: skip


def table(options: argparse.Namespace) -> str:
    """The result page, from the files that the other commands wrote."""
    agreement, speed, million, sizes = (json.loads(path.read_text(encoding="utf-8")) for path in options.inputs)
    sections = [
        _agreement_section(agreement["result"]), _size_lines(sizes["result"]), _speed_section(speed["result"]),
        _million_section(million["result"]),
    ]  # fmt: skip
    lines = header("MOSES metrics", *PACKAGES)[:-1]
    lines += [f"- Measured by `{part['command']}` on {part['machine']}" for part in (agreement, speed, million, sizes)]
    for section in sections:
        lines += ["", *section]
    return "\n".join([*lines, ""])


def _agreement_section(result: dict[str, Any]) -> list[str]:
    samples = list(result["samples"].values())
    lines = [
        "## Agreement", "",
        f"{len(samples)} samples of {N_SAMPLE:,} molecules of MOSES train, compared with the row \"Train\" of the "
        f"paper, and a sample of {N_SAMPLE:,} molecules of MOSES test.", "",
        "| | paper | mean of the samples | range of the samples | MOSES test |", "|---|---|---|---|---|",
    ]  # fmt: skip
    for name in samples[0]:
        values = [sample[name] for sample in samples]
        if None in values:
            continue
        paper = f"{PAPER[name]:.4f}" if name in PAPER else ""
        value_range = f"{min(values):.4f} to {max(values):.4f}"
        lines.append(
            f"| {name} | {paper} | {statistics.mean(values):.4f} | {value_range} | {result['test'][name]:.4f} |"
        )
    return lines


def _size_lines(results: list[dict[str, float]]) -> list[str]:
    """FCD depends linearly on 1 / (number of molecules) (Chong and Forsyth 2020, for images)."""
    smaller, larger = [row for row in results if "FCD/Test" in row][-2:]
    inverse = [1 / row["molecules"] for row in (smaller, larger)]
    slope = (smaller["FCD/Test"] - larger["FCD/Test"]) / (inverse[0] - inverse[1])
    extrapolated = larger["FCD/Test"] + slope * (1 / N_TRAIN - inverse[1])
    lines = [
        "Scaf and FCD depend on the number of molecules. Samples of MOSES train, compared with all of MOSES test; FCD "
        "with the statistics of the moses package:", "",
        "| molecules | Scaf/Test | FCD/Test |", "|---|---|---|",
    ]  # fmt: skip
    for row in results:
        distance = f"{row['FCD/Test']:.4f}" if "FCD/Test" in row else ""
        lines.append(f"| {row['molecules']:,} | {row['Scaf/Test']:.4f} | {distance} |")
    return [
        *lines,
        f"| paper, row \"Train\" | {PAPER['Scaf/Test']:.4f} | {PAPER['FCD/Test']:.4f} |", "",
        f"Linear extrapolation of the last two values of FCD in 1 / (number of molecules) to {N_TRAIN:,}, all of MOSES "
        f"train, gives {extrapolated:.4f}. The row \"Train\" of the paper therefore is computed from all of MOSES "
        f"train, whereas the rows of models are computed from {N_SAMPLE:,} molecules.",
    ]  # fmt: skip


def _speed_section(result: dict[str, Any]) -> list[str]:
    seconds = {name: statistics.median(result[name]) for name in ("molvae", "moses", "parse")}
    ours, theirs = result["metrics of molvae"], result["metrics of moses"]
    # the package computes Frag of both test sets as 1.0, because a sum of squares overflows with NumPy 2
    shared = [n for n, value in theirs.items() if ours.get(n) is not None and value == value and "Frag" not in n]
    differences = {name: abs(ours[name] - theirs[name]) for name in shared}
    largest = max(differences, key=differences.__getitem__)
    return [
        "## Speed", "",
        f"{result['molecules']:,} molecules, {result['workers']} processes, all metrics except FCD, against both test "
        f"sets; {len(result['molvae'])} rounds.", "",
        "| | seconds | ratio to molvae |", "|---|---|---|",
        f"| molvae | {seconds['molvae']:.1f} | |",
        *(f"| {title} | {seconds[name]:.1f} | {seconds[name] / seconds['molvae']:.2f} |" for name, title in (
            ("moses", "moses package (molsets 0.3.1)"), ("parse", "RDKit, parsing the molecules once"))),
        "",
        f"The {len(differences)} metrics that both compute differ by at most {differences[largest]:.1e} ({largest}), "
        "except Frag, where the package overflows with NumPy 2 and returns 1.0.",
    ]  # fmt: skip


def _million_section(result: dict[str, Any]) -> list[str]:
    counts, rate = result["counts"], result["rows"] / result["seconds"]
    return [
        "## A million rows", "",
        f"{result['rows']:,} rows, {result['invalid']:,} of them invalid, with `molvae score --train moses:train "
        "--no-nearest --no-fcd`: novelty of each molecule, metrics of MOSES and GuacaMol of a sample of 30,000, "
        f"columns {', '.join(result['columns'])}.", "",
        f"- {counts['read']:,} read = {counts['valid']:,} valid + {counts['invalid']:,} invalid",
        f"- {result['lines']:,} rows written",
        f"- {result['seconds'] / 60:.1f} minutes, {rate:,.0f} rows/s",
        f"- peak memory of all processes: {result['peak'] / 2**30:.2f} GiB",
    ]  # fmt: skip


def main() -> None:
    functions = {
        "agree": measure_agreement, "speed": measure_speed, "million": measure_million, "sizes": measure_sizes
    }  # fmt: skip
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("section", choices=(*functions, "table"))
    parser.add_argument("inputs", type=Path, nargs="+", help="files of SMILES; for `table` the measured results")
    parser.add_argument("--peer", type=Path, help="folder that contains the moses package")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="worker processes")
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of `million`")
    parser.add_argument("--rounds", type=int, default=1, help="rounds of `speed`")
    parser.add_argument("--sizes", type=int, nargs="+", default=[30_000, 150_000, 500_000, N_TRAIN])
    parser.add_argument("--max-fcd", type=int, default=150_000, help="largest size whose FCD is computed")
    parser.add_argument("--output", type=Path, required=True, help="result file (.json), or page (.md) of `table`")
    options = parser.parse_args()
    if options.section == "table":
        options.output.write_text(table(options), encoding="utf-8")
    else:
        result = functions[options.section](options)
        measured = {"machine": machine(*PACKAGES), "command": command(), "result": result}
        options.output.write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
