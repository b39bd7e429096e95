"""Count the building blocks of real molecules, for the stock that ships with the package.

Each molecule of the reference is disconnected by the shipped reactions; the reactants that are not too large are its
building blocks, and the count of one is the number of molecules in which it is found.

    python scripts/common_blocks.py ../shared/data/druglike_train.smi.gz --molecules 220000
"""

from __future__ import annotations

import argparse
import random
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
from tqdm import tqdm

from molvae.data.files import atomic_write
from molvae.data.hashing import hash_texts
from molvae.data.parallel import CHUNK_SIZE, chunked, map_chunks
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


def main() -> None:
    """Count and write the stock."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reference", nargs="+", help="files of real molecules")
    parser.add_argument("--molecules", type=int, help="random molecules that are counted; default: all")
    parser.add_argument("--min-count", type=int, default=3, help="molecules of a building block that is stored")
    parser.add_argument("--workers", type=int)
    parser.add_argument("-o", "--output", type=Path, default=COMMON_BLOCKS_FILE)
    options = parser.parse_args()
    smiles = [row.smiles for path in options.reference for row in read_records(path) if isinstance(row, Record)]
    if options.molecules and options.molecules < len(smiles):
        smiles = random.Random(0).sample(smiles, options.molecules)
    counts = reactants(smiles, options.workers)
    kept = {text: count for text, count in counts.items() if count >= options.min_count and accepted(text)}
    with atomic_write(options.output) as draft:
        write(draft, kept)
    size = options.output.stat().st_size / 1e6
    print(f"{len(smiles):,} molecules, {len(kept):,} building blocks, {size:.2f} MB")


def reactants(smiles: list[str], workers: int | None) -> Counter[str]:
    """In how many molecules each reactant is found."""
    found = Counter[str]()
    with tqdm(total=len(smiles)) as bar:
        for part in map_chunks(count_chunk, chunked(smiles), workers):
            found.update(part)
            bar.update(CHUNK_SIZE)
    return found


def count_chunk(smiles: list[str]) -> Counter[str]:
    """The reactants of some molecules."""
    disconnector, found = Disconnector(shipped_reactions()), Counter[str]()
    for text in smiles:
        try:
            ways = disconnector.disconnect(stock_smiles(text))
        except MoleculeError:
            continue
        own = {reactant for way in ways for reactant in way.reactants}
        found.update(text for text in own if n_heavy_atoms(text) <= MAX_BLOCK_ATOMS)
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
