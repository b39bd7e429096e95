"""Share of molecules with a route of 1, 2, 3 and 4 steps, and the time that the search takes.

    python benchmarks/routes.py ../shared/data/druglike_test.smi.gz --molecules 2000

The molecules are a random part of the file. Two stocks are compared: the default one of common building blocks, and one
of the commonest building blocks of these molecules themselves, which shows what a search misses for want of a stock
rather than of reactions. A second table tells which molecules have no route. With `--verify`, every step of every route
is run forward once more.
"""

from __future__ import annotations

import argparse
import random
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from common import machine
from rdkit import Chem
from rdkit.Chem import rdMolDescriptors
from tqdm import tqdm

from molvae.chem.rdkit_guard import silence_rdkit
from molvae.data.readers import read_records
from molvae.data.rows import ARGUMENT, Record
from molvae.errors import MoleculeError
from molvae.synthesis.planning import PlannedMolecule, RoutePlanner
from molvae.synthesis.reactions import shipped_reactions
from molvae.synthesis.stock import MAX_BLOCK_ATOMS, n_heavy_atoms, stock_smiles
from molvae.synthesis.stock_build import build_stock

STEPS = (1, 2, 3, 4)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("molecules_file", metavar="FILE")
    parser.add_argument("--molecules", type=int, default=2000)
    parser.add_argument("--stock", help="another stock instead of the default one")
    parser.add_argument("--own-blocks", type=int, default=20_000, help="building blocks of the second stock; 0: none")
    parser.add_argument("--n-routes", type=int, default=3)
    parser.add_argument("--max-steps", type=int, default=4)
    parser.add_argument("--verify", action="store_true", help="run all steps forward again")
    options = parser.parse_args()
    rows = [row.smiles for row in read_records(options.molecules_file) if isinstance(row, Record)]
    smiles = random.Random(1).sample(rows, min(options.molecules, len(rows)))
    print(f"{len(smiles):,} molecules, {len(shipped_reactions())} reactions; {machine()}\n")
    print("| stock | within 1 step | 2 | 3 | 4 | median time | 95 % | stereo open |")
    print("|---|---|---|---|---|---|---|---|")
    with TemporaryDirectory() as folder:
        stocks = [options.stock]
        if options.own_blocks:
            stocks.append(str(own_stock(smiles, options.own_blocks, Path(folder) / "own.stock")))
        for stock in stocks:
            planner = RoutePlanner(stock, n_routes=options.n_routes, max_steps=options.max_steps)
            found, seconds = search(planner, smiles)
            print(row(planner.stock.description, found, seconds), flush=True)
            if stock == options.stock:
                first = found
    explain(first)
    if options.verify:
        verify(first)


def search(planner: RoutePlanner, smiles: Sequence[str]) -> tuple[list[PlannedMolecule], list[float]]:
    """The routes of molecules, and the CPU time of each, on one core."""
    found, seconds = list[PlannedMolecule](), list[float]()
    for text in tqdm(smiles):
        start = time.process_time()
        found.append(planner.plan(text))
        seconds.append(time.process_time() - start)
    return found, seconds


def row(name: str, found: Sequence[PlannedMolecule], seconds: Sequence[float]) -> str:
    """A row of the table."""
    steps = np.array([min((route.n_steps for route in one.routes), default=99) for one in found])
    shares = " | ".join(f"{100 * np.mean(steps <= limit):.1f} %" for limit in STEPS)
    stereo_open = np.mean([route.stereo == "open" for one in found for route in one.routes[:1]])
    median, high = np.median(seconds), np.percentile(seconds, 95)
    return f"| {name} | {shares} | {median:.3f} s | {high:.2f} s | {100 * stereo_open:.1f} % |"


def own_stock(smiles: Sequence[str], n_blocks: int, path: Path) -> Path:
    """A stock of the commonest reactants of molecules, found by one and by two disconnections."""
    planner, counts = RoutePlanner(), Counter[str]()
    for text in tqdm(smiles):
        try:
            level = {stock_smiles(text)}
        except MoleculeError:
            continue
        for _ in range(2):
            level = {r for product in level for way in planner.disconnector.disconnect(product) for r in way.reactants}
            counts.update(r for r in level if n_heavy_atoms(r) <= MAX_BLOCK_ATOMS)
    common = [text for text, _ in counts.most_common(n_blocks)]
    build_stock([Record(text, "", ARGUMENT, number) for number, text in enumerate(common)], path)
    return path


def explain(found: Sequence[PlannedMolecule]) -> None:
    """How the searches without a route ended, and what the molecules have in common."""
    missing = [one for one in found if not one.routes]
    print(f"\n{len(missing):,} molecules without a route:", dict(Counter(one.result.ended_by for one in missing)))
    kinds = Counter(kind for one in missing for kind in features(one.target))
    all_kinds = Counter(kind for one in found for kind in features(one.target))
    print("\n| feature | molecules | without a route |\n|---|---|---|")
    for kind, count in all_kinds.most_common():
        print(f"| {kind} | {count:,} | {100 * kinds[kind] / count:.0f} % |")


SMARTS = {
    "quaternary carbon": "[CX4](C)(C)(C)C",
    "partly saturated ring fused to an arene": "c:c!:[A;R]",
    "sulfonamide": "NS(=O)(=O)",
    "amide": "C(=O)N",
    "urea": "NC(=O)N",
    "biaryl": "c-!@c",
    "phosphorus": "[P]",
}
_QUERIES = {name: Chem.MolFromSmarts(smarts) for name, smarts in SMARTS.items()}
LARGE_RING = 9  # atoms


def features(smiles: str) -> list[str]:
    """What a molecule has of `SMARTS`, its stereocenters, its unusual rings and its size."""
    mol = Chem.MolFromSmiles(smiles)
    found = [name for name, query in _QUERIES.items() if mol.HasSubstructMatch(query)]
    found += ["tetrahedral stereo"] * ("@" in smiles)
    found += ["bridged ring"] * bool(rdMolDescriptors.CalcNumBridgeheadAtoms(mol))
    found += ["spiro ring"] * bool(rdMolDescriptors.CalcNumSpiroAtoms(mol))
    found += ["macrocycle"] * any(len(ring) > LARGE_RING for ring in mol.GetRingInfo().AtomRings())
    size = mol.GetNumHeavyAtoms() // 10 * 10
    return [f"{size} to {size + 9} heavy atoms", *found]


def verify(found: Sequence[PlannedMolecule]) -> None:
    """Run the steps of all routes forward again, and compare the products with and without their stereo."""
    reactions, n_routes, counts = shipped_reactions(), 0, Counter[str]()
    with silence_rdkit():
        for one in found:
            for route in one.routes:
                n_routes += 1
                for step in route.steps:
                    products = reactions[step.reaction].products(list(map(Chem.MolFromSmiles, step.reactants)))
                    made = flat(step.product) in set(map(flat, products))
                    counts.update(["steps", "made" if made else "not made"])
                    counts.update(["with its stereo"] * (step.product in products))
                    counts.update([f"stereo {step.stereo}"])
    print(f"\n{n_routes:,} routes: {dict(counts)}")


def flat(smiles: str) -> str:
    """The SMILES without stereo."""
    return str(Chem.MolToSmiles(Chem.MolFromSmiles(smiles), isomericSmiles=False))


if __name__ == "__main__":
    main()
