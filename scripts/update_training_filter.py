"""Add the molecules of training data to the Bloom filter of a model, as `molvae` identifies them today.

    python scripts/update_training_filter.py --model molvae/weights/druglike molvae/weights/druglike-ae \
        --data druglike_train.smi.gz druglike_valid.smi.gz

The filter of a model answers `not_in_training`. It contains identities (`molvae.chem.standardization`), so it has to be
updated when the definition of identity changes; otherwise molecules whose identity has changed would count as new. Data
are read as by `molvae train`. Keys that no longer occur stay in the filter: no query asks for them. `config.json`
contains the SHA-256 of the new filter.

Of the 601,323 molecules of druglike train, 982 got another identity than their canonical SMILES (sulfoxides written
[S+][O-], zwitterions); of MOSES, none.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

from molvae.checkpoint import CONFIG_FILE
from molvae.chem.standardization import prepare
from molvae.data.bloom_filter import BloomFilter
from molvae.data.files import atomic_write, checksum
from molvae.data.json_files import signed
from molvae.data.parallel import chunked, map_chunks
from molvae.data.readers import read_records
from molvae.data.rows import Record
from molvae.errors import MoleculeError

FILTER_FILE = "bloom_filter.npz"


def identities(texts: list[str]) -> list[str]:
    """The identities of the valid molecules, as the model sees them: without isotope labels."""
    found = []
    for text in texts:
        try:
            found.append(prepare(text, keep_isotopes=False).smiles)
        except MoleculeError:
            continue
    return found


def read_identities(files: list[str], workers: int | None) -> Iterator[str]:
    """The identities of the molecules of all files."""
    rows = (row for file in files for row in read_records(file))
    chunks = chunked(row.smiles for row in rows if isinstance(row, Record))
    return (identity for chunk in map_chunks(identities, chunks, workers) for identity in chunk)


def update(folder: Path, molecules: list[str]) -> int:
    """Add molecules to the filter of a model directory and update its digest; the number of molecules added."""
    path = folder / FILTER_FILE
    before = BloomFilter.load(path)
    after = before.with_items(molecules)
    if len(after) == len(before):
        return 0
    with atomic_write(path) as draft:
        after.save(draft)
    config = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
    config["sha256"][FILTER_FILE] = checksum(path)
    with atomic_write(folder / CONFIG_FILE) as draft:
        draft.write_text(json.dumps(signed(config), indent=2) + "\n", encoding="utf-8")
    return len(after) - len(before)


def main() -> None:
    """Read the arguments, and update the filters."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", nargs="+", required=True, help="model directories")
    parser.add_argument("--data", nargs="+", required=True, help="training data of the models")
    parser.add_argument("--workers", type=int, default=None, help="worker processes; default: one per core")
    arguments = parser.parse_args()
    molecules = list(read_identities(arguments.data, arguments.workers))
    for model in arguments.model:
        print(f"{model}: {update(Path(model), molecules):,} of {len(molecules):,} molecules added")


if __name__ == "__main__":
    main()
