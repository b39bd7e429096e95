"""Build the table of ring systems and atom environments that ships with the package.

    python scripts/build_precedence.py FILE [FILE ...] [--out molvae/chem/precedence.npz] [--source chembl ...]

The files hold real molecules, one SMILES per line, with the source as their name. The shipped table is built from the
training set of the model `druglike`. With --source, only molecules of these sources are counted: a filter can then be
measured with a table that it was not built from.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

from molvae.chem.precedence import SHIPPED_FILE, PrecedenceTable
from molvae.data.readers import Record, read_records
from molvae.viz.progress import progress_bar


def smiles_of(files: Sequence[Path], sources: Sequence[str]) -> Iterator[str]:
    """The SMILES of all rows, or of the rows of some sources."""
    with progress_bar(None, "molecules") as advance:
        for n_read, row in enumerate((row for file in files for row in read_records(file)), start=1):
            if advance and n_read % 1000 == 0:
                advance(n_read)
            if isinstance(row, Record) and (not sources or row.name in sources):
                yield row.smiles


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument("--out", type=Path, default=SHIPPED_FILE)
    parser.add_argument("--source", nargs="*", default=[], metavar="NAME")
    options = parser.parse_args(arguments)
    table = PrecedenceTable.from_molecules(smiles_of(options.files, options.source))
    table.save(options.out)
    sizes = ", ".join(f"{len(counts.keys):,} environments up to radius {r}" for r, counts in table.environments.items())
    print(f"{options.out}: {table.n_molecules:,} molecules, {len(table.ring_systems.keys):,} ring systems, {sizes}")


if __name__ == "__main__":
    main()
