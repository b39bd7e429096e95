"""Speed of sampling, compared with its bounds and with other methods, on a CPU or a GPU.

    python benchmarks/sampling.py all druglike_test.smi.gz --moses FOLDER/moses --fragments fragments.db \\
        --folder rows --output benchmarks/sampling.md

Single sections: decoding, precision, charrnn, end-to-end, peers, cold-start. `table` writes the page from the sections
that have been measured. The other methods are not dependencies of molvae:

    pip install selfies crem
    pip download --no-deps molsets==0.3.1 && unzip -d FOLDER molsets-0.3.1-py3-none-any.whl
    cremdb_create -i molecules.smi -o fragments.db -s druglike -r 3 --mode 1 --frag-mode acyclic

molecules.smi: SMILES of the druglike training set, a space, and a name. CReM takes about 0.2 s per molecule.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import sampling_cold_start
import sampling_decoding
import sampling_end_to_end
import sampling_peers
import sampling_report as report
from common import random_molecules

from molvae import Generator

N_DECODED_MOLECULES = 500  # whose perturbed latents are decoded


def measure(section: str, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Measure one section."""
    if section == "cold-start":
        return sampling_cold_start.measure(options.rounds)
    generator = Generator.load(options.model, options.device)
    smiles = random_molecules(options.source, options.molecules)
    precisions = options.precisions or [
        p for p in sampling_decoding.PRECISIONS if p != "int8" or options.device == "cpu"
    ]
    decoded = smiles[:N_DECODED_MOLECULES]
    functions: dict[str, Callable[[], list[dict[str, Any]]]] = {
        "decoding": lambda: sampling_decoding.measure(
            generator, decoded, options.samples, options.rounds, precisions, options.slots
        ),
        "precision": lambda: sampling_decoding.measure_precision(generator, smiles, precisions),
        "charrnn": lambda: sampling_decoding.measure_charrnn(
            generator, decoded, options.moses, options.samples, options.rounds
        ),
        "end-to-end": lambda: sampling_end_to_end.measure(
            generator, smiles[: options.seeds], options.workers, options.rounds
        ),
        "peers": lambda: sampling_peers.measure(generator, smiles[: options.peer_seeds], options.fragments),
    }
    return functions[section]()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("section", choices=("all", *report.SECTIONS, "table"))
    parser.add_argument("source", type=Path, nargs="?", help="file of SMILES that molecules are drawn from")
    parser.add_argument("--model", default="druglike")
    parser.add_argument("--device", default="cpu")
    parser.add_argument(
        "--slots", type=int, default=0, help="samples decoded at the same time; 0: the engine's default"
    )
    parser.add_argument("--molecules", type=int, default=1000, help="molecules of the section precision")
    parser.add_argument("--samples", type=int, default=3000, help="samples per round of decoding and charrnn")
    parser.add_argument("--seeds", type=int, default=128, help="seeds of the section end-to-end")
    parser.add_argument("--peer-seeds", type=int, default=30, help="seeds of the section peers")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--precisions", nargs="+", choices=sampling_decoding.PRECISIONS,
        help="must include 32; int8 is for CPUs, and takes minutes on one without 8-bit instructions",
    )  # fmt: skip
    parser.add_argument("--workers", type=int, default=2, help="worker processes of the section end-to-end")
    parser.add_argument("--moses", type=Path, help="folder `moses` of the molsets wheel")
    parser.add_argument("--fragments", type=Path, help="database of CReM; without it CReM is left out")
    parser.add_argument("--folder", type=Path, required=True, help="measured rows, a file per section")
    parser.add_argument("--output", type=Path, help="result page (.md)")
    options = parser.parse_args()
    if options.section not in {"table", "cold-start"} and options.source is None:
        parser.error(f"{options.section} needs a file of SMILES")
    if options.section == "charrnn" and options.moses is None:
        parser.error("charrnn needs --moses")
    options.folder.mkdir(parents=True, exist_ok=True)
    all_sections = [section for section in report.SECTIONS if section != "charrnn" or options.moses]
    for section in {"all": all_sections, "table": []}.get(options.section, [options.section]):
        rows = measure(section, options)
        (options.folder / f"{section}.json").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
        print(*report.SECTIONS[section](rows), "", sep="\n", flush=True)
    if options.output:
        options.output.write_text(report.page(options.folder, options.model, options.device), encoding="utf-8")


if __name__ == "__main__":
    main()
