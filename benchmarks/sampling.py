"""How fast is sampling, beside what bounds it and beside others? Ratios in one run, on a CPU or a GPU.

    python benchmarks/sampling.py all druglike_test.smi.gz --moses FOLDER/moses --fragments fragments.db \\
        --folder rows --out benchmarks/sampling.md

Or one section at a time: decode, exactness, charrnn, end, peers, cold; `table` makes the page of the rows that there
are. Peers are no dependencies of molvae:

    pip install selfies crem
    pip download --no-deps molsets==0.3.1 && unzip -d FOLDER molsets-0.3.1-py3-none-any.whl
    cremdb_create -i molecules.smi -o fragments.db -s druglike -r 3 --mode 1 --frag-mode acyclic

molecules.smi: SMILES of the druglike training set, a space, and a name for each; they take crem some 0.2 s each.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import sampling_cold_start
import sampling_decoding
import sampling_peers
import sampling_report as report
import sampling_end_to_end
from seeds import drawn

from molvae.generator import Generator

Rows = list[dict[str, Any]]


def measured(section: str, options: argparse.Namespace) -> Rows:
    if section == "cold":
        return sampling_cold_start.cold(options.rounds)
    generator, smiles = Generator.load(options.model, options.device), drawn(options.source, options.molecules)
    precisions = options.precisions or [p for p in sampling_decoding.PRECISIONS if p != "int8" or on_cpu(options)]
    work: dict[str, Callable[[], Rows]] = {
        "decode": lambda: sampling_decoding.decode(
            generator, smiles[:500], options.strings, options.rounds, precisions, options.slots
        ),
        "exactness": lambda: sampling_decoding.exactness(generator, smiles, precisions),
        "charrnn": lambda: sampling_decoding.charrnn(
            generator, smiles[:500], options.moses, options.strings, options.rounds
        ),
        "end": lambda: sampling_end_to_end.end_to_end(generator, smiles[: options.seeds], options.jobs, options.rounds),
        "peers": lambda: sampling_peers.peers(generator, smiles[: options.peer_seeds], options.fragments),
    }
    return work[section]()


def on_cpu(options: argparse.Namespace) -> bool:
    return str(options.device) == "cpu"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("all", *report.SECTIONS, "table"))
    parser.add_argument("source", type=Path, nargs="?", help="a file of SMILES to draw molecules from; not for table")
    parser.add_argument("--model", default="druglike")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--slots", type=int, default=0, help="strings in work at once; 0: the engine's own number")
    parser.add_argument("--molecules", type=int, default=1000, help="whose reconstruction is compared")
    parser.add_argument("--strings", type=int, default=3000, help="to decode in a round")
    parser.add_argument("--seeds", type=int, default=128, help="end to end")
    parser.add_argument("--peer-seeds", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--precisions", nargs="+", choices=sampling_decoding.PRECISIONS,
        help="32 has to be among them; int8, for CPUs, takes minutes where the processor has no instructions for it",
    )  # fmt: skip
    parser.add_argument("--jobs", type=int, default=2, help="worker processes end to end")
    parser.add_argument("--moses", type=Path, help="the folder `moses` of the molsets wheel")
    parser.add_argument("--fragments", type=Path, help="crem's database; without it crem takes no part")
    parser.add_argument("--folder", type=Path, required=True, help="of the rows, a file for each section")
    parser.add_argument("--out", type=Path, help="the page")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    every = [section for section in report.SECTIONS if section != "charrnn" or on_cpu(options)]
    wanted = {"all": every, "table": []}.get(options.what, [options.what])
    for section in wanted:
        rows = measured(section, options)
        (options.folder / f"{section}.json").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
        print(*report.SECTIONS[section](rows), "", sep="\n", flush=True)
    if options.out:
        options.out.write_text(report.page(options.folder), encoding="utf-8")


if __name__ == "__main__":
    main()
