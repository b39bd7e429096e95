"""Share of implausible molecules among analogs: raw samples, the default filters, other methods, and real molecules.

    pip install selfies crem
    molvae data fetch druglike
    python benchmarks/plausibility.py druglike_train.smi.gz druglike_test.smi.gz --seeds 1000 --drugs drugs.smi \
        --peers 100 --fragments fragments.db --output benchmarks/plausibility.md

An analog has a flaw if it has a ring system, an atom environment of radius 1 or an unstable group that neither the
molecules of the precedence table nor its seed have. Each flaw is counted by three tables: the one that ships with the
package, which the default filters use; one of the ChEMBL molecules of the training set; and one of its other molecules.
With the last two, a filter that uses one table is measured by the other. The same shares of held-out molecules of the
test set, which are no seeds, show what a table misses.

The seeds of `--seeds` are random molecules of the test set, those of `--drugs` a file of approved drugs.
"""

from __future__ import annotations

import argparse
import random
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sampling_peers
from common import generate_analogs, header, random_molecules, read_smiles

from molvae import Generator
from molvae.chem.isomers import isomer_key
from molvae.chem.plausibility import FLAWS, PlausibilityChecker
from molvae.chem.precedence import SHIPPED_FILE, PrecedenceTable
from molvae.chem.smiles import canonical, parse, silence_rdkit
from molvae.chem.stereo_transfer import StereoTemplate
from molvae.data.readers import Record, read_records
from molvae.errors import MoleculeError

EXPLANATION = """\
Percent of molecules with an atom environment of radius 1, a ring system or an unstable group that neither the molecules
of a precedence table (in parentheses) nor the seed have. `all` is the table that ships with the package and that the
default filters use; `ChEMBL` and `others` are its two parts. "filter by" is the default with the table of one part, to
be judged by the other part. Stereo kept: of stereocenters whose surroundings are kept, percent with the configuration
of the seed."""

RAW: dict[str, Any] = {"allow_unprecedented": True, "allow_isomers": True, "any_stereo": True}


@dataclass
class Counts:
    """What is counted among the analogs of a method."""

    molecules: int = 0
    seeds: int = 0
    complete: int = 0
    seconds: float = 0.0
    seed_isomers: int = 0
    repeated_isomers: int = 0
    flaws: dict[str, Counter[str]] = field(default_factory=dict)
    stereo: Counter[str] = field(default_factory=Counter)

    def add(self, seed: str, analogs: Sequence[str], tables: dict[str, Path], n: int) -> None:
        """Count the analogs of a seed."""
        mol = parse(seed)
        checkers = {name: PlausibilityChecker.for_seed(mol, file) for name, file in tables.items()}
        template, seed_key, keys = StereoTemplate(mol), isomer_key(mol), set[str]()
        self.seeds, self.complete = self.seeds + 1, self.complete + (len(analogs) >= n)
        for analog in map(parse, analogs):
            self.molecules += 1
            for name, checker in checkers.items():
                found = checker.flaws(analog)
                self.flaws.setdefault(name, Counter()).update([*found, *(["any"] if found else [])])
            key = isomer_key(analog)
            self.seed_isomers += key == seed_key
            self.repeated_isomers += key in keys
            keys.add(key)
            comparison = template.transfer(analog)[1]
            self.stereo.update(kept=comparison.kept, inverted=comparison.inverted, undefined=comparison.undefined)


def real_molecules(smiles: Iterable[str], tables: dict[str, Path]) -> Counts:
    """The flaws of real molecules."""
    counts, checkers = Counts(), {name: PlausibilityChecker(table_file=file) for name, file in tables.items()}
    for mol in map(parse, smiles):
        counts.molecules += 1
        for name, checker in checkers.items():
            found = checker.flaws(mol)
            counts.flaws.setdefault(name, Counter()).update([*found, *(["any"] if found else [])])
    return counts


def split_tables(training_set: Path, folder: Path) -> dict[str, Path]:
    """The shipped table, one of the ChEMBL molecules of the training set, and one of the others; kept in a folder."""
    tables = {"all": SHIPPED_FILE, "ChEMBL": folder / "chembl.npz", "others": folder / "others.npz"}
    for name in ("ChEMBL", "others"):
        if not tables[name].exists():
            rows = (row for row in read_records(training_set) if isinstance(row, Record))
            wanted = (row.smiles for row in rows if (row.name == "chembl") == (name == "ChEMBL"))
            PrecedenceTable.from_molecules(wanted).save(tables[name])
    return tables


def measure(
    methods: dict[str, Callable[[str], list[str]]], seeds: Sequence[str], tables: dict[str, Path], n: int
) -> dict[str, Counts]:
    """Run all methods on a seed before the next one, so that other load of the machine affects all of them."""
    counts = {name: Counts() for name in methods}
    for seed in seeds:
        for name, method in methods.items():
            start = time.perf_counter()
            analogs = method(seed)[:n]
            counts[name].seconds += time.perf_counter() - start
            counts[name].add(seed, analogs, tables, n)
    return counts


def molvae_methods(generator: Generator, tables: dict[str, Path], n: int) -> dict[str, Callable[[str], list[str]]]:
    """Raw samples, the default, and filters that use the table of one source."""

    def analogs(seed: str, **options: Any) -> list[str]:
        return list(generate_analogs(generator, [seed], n, workers=0, properties=(), **options)[0]["smiles"])

    return {
        "raw": lambda seed: analogs(seed, **RAW),
        "default": analogs,
        "filter by ChEMBL": lambda seed: analogs(seed, precedence=tables["ChEMBL"]),
        "filter by others": lambda seed: analogs(seed, precedence=tables["others"]),
    }


def peer_methods(fragments: Path | None) -> dict[str, Callable[[str], list[str]]]:
    """STONED-style mutation and CReM, as in benchmarks/sampling.py."""
    methods = {"STONED-style mutation": lambda seed: sampling_peers.collect(seed, sampling_peers.stoned())}
    if fragments is not None:
        methods["CReM"] = lambda seed: sampling_peers.collect(seed, sampling_peers.crem(fragments))
    return methods


def rows(counts: dict[str, Counts], tables: Iterable[str]) -> list[str]:
    """A table of shares in percent: a row per method, and columns of each kind of flaw by each table."""
    columns = [f"{flaw.removeprefix('unprecedented ')} ({name})" for flaw in FLAWS[:2] for name in tables]
    titles = ["", "molecules", *columns, "unstable group", "isomers of the seed", "repeated isomers", "stereo kept",
              "seeds served in full", "molecules/s"]  # fmt: skip
    lines = [" | ".join(("", *titles, "")).strip(), "|" + "---|" * len(titles)]
    for method, own in counts.items():
        total = max(own.molecules, 1)
        shares = [own.flaws.get(name, Counter())[flaw] / total for flaw in FLAWS[:2] for name in tables]
        shares.append(own.flaws.get(next(iter(tables)), Counter())[FLAWS[2]] / total)
        shares += [own.seed_isomers / total, own.repeated_isomers / total] if own.seeds else []
        cells = [method, f"{own.molecules:,}", *(f"{100 * share:.2f}" for share in shares)]
        if own.seeds:
            centers = own.stereo.total()
            cells += [f"{100 * own.stereo['kept'] / centers:.1f}" if centers else "", f"{own.complete} of {own.seeds}"]
            cells += [f"{own.molecules / own.seconds:.1f}"]
        cells += [""] * (len(titles) - len(cells))
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def usable_seeds(generator: Generator, smiles: Iterable[str], n: int) -> list[str]:
    """The first `n` molecules that the model can encode, as canonical SMILES without salts."""
    seeds = list[str]()
    for text in smiles:
        try:
            found = generator.codec.featurize([text])[0]
        except MoleculeError:
            continue
        if not isinstance(found, MoleculeError) and found.smiles not in seeds:
            seeds.append(found.smiles)
        if len(seeds) == n:
            break
    return seeds


def main() -> None:
    options = parse_arguments()
    generator = Generator.load(options.model, device="cpu")
    options.folder.mkdir(parents=True, exist_ok=True)
    tables = split_tables(options.training_set, options.folder)
    test = random_molecules(options.test_set)
    seeds, held_out = usable_seeds(generator, test, options.seeds), test[options.seeds + 200 :][: options.real]
    pages = header("Plausibility of analogs", "torch", "rdkit", "selfies", "crem", model=options.model)
    pages += [EXPLANATION, ""]
    with silence_rdkit():
        sets = {"molecules of the test set": seeds}
        if options.drugs is not None:
            drugs = read_smiles(options.drugs)
            random.Random(0).shuffle(drugs)
            sets["approved drugs"] = usable_seeds(generator, drugs, options.n_drugs)
        real = {"real molecules, held out": real_molecules(map(canonical, held_out), tables)}
        methods = molvae_methods(generator, tables, options.n)
        if options.methods:
            methods = {name: methods[name] for name in options.methods}
        for title, own in sets.items():
            counts = measure(methods, own, tables, options.n)
            pages += [f"## {len(own):,} {title}", "", *rows(real | counts, tables), ""]
        if options.peers:
            few = {**{name: methods[name] for name in ("raw", "default")}, **peer_methods(options.fragments)}
            counts = measure(few, seeds[: options.peers], tables, options.n)
            pages += [f"## Other methods, {options.peers} molecules of the test set", "", *rows(counts, tables), ""]
    text = "\n".join(pages)
    print(text)
    if options.output is not None:
        options.output.write_text(text, encoding="utf-8")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("training_set", type=Path)
    parser.add_argument("test_set", type=Path)
    parser.add_argument("--model", default="druglike")
    parser.add_argument("--seeds", type=int, default=1000)
    parser.add_argument("--real", type=int, default=5000, help="real molecules")
    parser.add_argument("--drugs", type=Path, help="file of approved drugs")
    parser.add_argument("--n-drugs", type=int, default=100)
    parser.add_argument("-n", type=int, default=50, help="analogs of each seed")
    parser.add_argument("--methods", nargs="*", default=[], help="only these settings of molvae")
    parser.add_argument("--peers", type=int, default=0, metavar="SEEDS", help="seeds of the other methods; 0: none")
    parser.add_argument("--fragments", type=Path, help="database of CReM; without it CReM is left out")
    parser.add_argument("--folder", type=Path, default=Path("build/plausibility"), help="where tables are kept")
    parser.add_argument("--output", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()
