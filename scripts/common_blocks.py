"""Count the building blocks of real molecules, for the stock that ships with the package.

Each molecule of the reference is disconnected by the shipped reactions; the reactants that are not too large are its
building blocks. Reactants that are still large are disconnected again, and what they are made of counts for all the
molecules that they were found in, so that the count of such a building block is an estimate.

    python scripts/common_blocks.py ../shared/data/druglike_train.smi.gz --molecules 200000
"""

from __future__ import annotations

import argparse
import random
from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
from tqdm import tqdm

from molvae.data.files import atomic_write
from molvae.data.hashing import hash_texts
from molvae.data.parallel import chunked, map_chunks
from molvae.data.readers import read_records
from molvae.data.rows import Record
from molvae.errors import MoleculeError
from molvae.synthesis.disconnections import Disconnector
from molvae.synthesis.reactions import shipped_reactions
from molvae.synthesis.stock import (
    COMMON_BLOCKS_FILE,
    COUNT,
    HASH,
    MAX_BLOCK_ATOMS,
    SMILES,
    n_heavy_atoms,
    stock_smiles,
    write_table,
)

LARGE = 12  # atoms; larger reactants are disconnected again
MIN_DISCONNECTED = 2  # molecules in which a large reactant has been found


def main() -> None:
    """Count and write the stock."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reference", nargs="+", help="files of real molecules")
    parser.add_argument("--molecules", type=int, help="random molecules that are counted; default: all")
    parser.add_argument("--min-count", type=int, default=2, help="molecules of a building block that is stored")
    parser.add_argument("--levels", type=int, default=3)
    parser.add_argument("--workers", type=int)
    parser.add_argument("-o", "--output", type=Path, default=COMMON_BLOCKS_FILE)
    options = parser.parse_args()
    smiles = [row.smiles for path in options.reference for row in read_records(path) if isinstance(row, Record)]
    if options.molecules and options.molecules < len(smiles):
        smiles = random.Random(0).sample(smiles, options.molecules)
    counts, level = Counter[str](), Counter(smiles)
    for number in range(options.levels):
        found = reactants(level, options.workers, standardize=not number)
        counts.update({text: count for text, count in found.items() if n_heavy_atoms(text) <= MAX_BLOCK_ATOMS})
        level = Counter(
            {text: count for text, count in found.items() if n_heavy_atoms(text) > LARGE and count >= MIN_DISCONNECTED}
        )
        print(f"level {number + 1}: {len(found):,} reactants, {len(level):,} to disconnect")
    kept = {text: count for text, count in counts.items() if count >= options.min_count and accepted(text)}
    with atomic_write(options.output) as draft:
        write(draft, kept)
    size = options.output.stat().st_size / 1e6
    print(f"{len(smiles):,} molecules, {len(kept):,} building blocks, {size:.2f} MB")


def reactants(molecules: Counter[str], workers: int | None, *, standardize: bool) -> Counter[str]:
    """In how many molecules each reactant is found, for molecules that count as many as given."""
    found = Counter[str]()
    count = partial(count_chunk, standardize=standardize)
    with tqdm(total=len(molecules)) as bar:
        for part in map_chunks(count, chunked(molecules.items(), 500), workers):
            found.update(part)
            bar.update(500)
    return found


def count_chunk(items: list[tuple[str, int]], standardize: bool) -> Counter[str]:
    """The reactants of some molecules."""
    disconnector, found = Disconnector(shipped_reactions()), Counter[str]()
    for smiles, count in items:
        try:
            target = stock_smiles(smiles) if standardize else smiles
        except MoleculeError:
            continue
        for reactant in {text for way in disconnector.disconnect(target) for text in way.reactants}:
            found[reactant] += count
    return found


def accepted(smiles: str) -> bool:
    """Whether a building block is written as stocks are compared."""
    try:
        return stock_smiles(smiles) == smiles
    except MoleculeError:
        return False


def write(path: Path, counts: dict[str, int]) -> None:
    """Write the stock."""
    smiles = list(counts)
    hashes, first = np.unique(hash_texts(smiles), return_index=True)
    arrays = {
        HASH: pa.array(hashes),
        SMILES: pa.array([smiles[index] for index in first], pa.string()),
        COUNT: pa.array([str(counts[smiles[index]]) for index in first], pa.string()),
    }
    write_table(path, pa.table(arrays))


if __name__ == "__main__":
    main()
