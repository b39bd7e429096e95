"""Stocks: the building blocks from which routes begin.

A `Stock` says what a molecule costs, in the units of a route's cost; infinity if it is not in the stock. There are
three: `MoleculeStock` of the user's own molecules, `CommonBlocks`, an estimate from how often real molecules contain a
building block, and `InStockFilter`, a Bloom filter of ZINC's in-stock molecules.

Molecules are compared by `stock_smiles`, so that salts and charges do not matter. Stereo does: a racemic building block
is not a source of one enantiomer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from math import inf, log
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray
from rdkit.Chem.MolStandardize import rdMolStandardize

from molvae.chem.rdkit_guard import rdkit_guard
from molvae.chem.smiles import write
from molvae.chem.standardization import PreparedMolecule, prepare
from molvae.data.hashing import hash_texts
from molvae.errors import InputError, import_extra

SUFFIX = ".stock"
"""Suffix of a file that `molvae stock build` writes."""

HASH, SMILES, NAME = "hash", "smiles", "name"
"""Columns of the file of a stock; further columns follow."""

COUNT = "n_molecules"
"""Further column of the stock of common building blocks."""

COMMON_BLOCKS_FILE = Path(__file__).with_name("common_blocks.stock")

MIN_COUNT = 3
"""A building block is common if at least so many of the counted molecules contain it."""

MAX_BLOCK_ATOMS = 24
"""Heavy atoms of the largest building block that is counted."""

MISSING_COST = 1.5
"""Cost of a building block that is not in the stock, in a search for routes whose building blocks are replaced."""

_COMMON_COUNT = 1000  # a building block of so many molecules costs nothing
_RARE_COST = 0.3  # one of `MIN_COUNT` molecules costs this
_FORMAT = b"molvae_stock"


class Stock(Protocol):
    """A source of building blocks."""

    @property
    def description(self) -> str:
        """What it is, for the summary of a search."""

    @property
    def column_names(self) -> Sequence[str]:
        """Names of what is known about each building block."""

    def costs(self, smiles: Sequence[str]) -> list[float]:
        """The cost of each molecule, given as `stock_smiles` writes it; infinity if it is not in the stock."""

    def columns(self, smiles: Sequence[str]) -> list[Mapping[str, str]]:
        """The values of `column_names` of each molecule, such as its price; empty if it is not in the stock."""


def stock_smiles(smiles: str) -> str:
    """The form in which molecules are compared with a stock: the largest fragment, neutral, as canonical SMILES.

    Raises
    ------
    MoleculeError
        If the SMILES is invalid.

    Examples
    --------
    >>> stock_smiles("[Na+].[O-]C(=O)c1ccccc1"), stock_smiles("C[NH3+].[Cl-]")
    ('O=C(O)c1ccccc1', 'CN')
    """
    return neutral_smiles(prepare(smiles, keep_isotopes=False))


def neutral_smiles(molecule: PreparedMolecule) -> str:
    """`stock_smiles` of a molecule that has been prepared without isotopes."""
    if "+" not in molecule.smiles and "-]" not in molecule.smiles:
        return molecule.smiles
    with rdkit_guard("cannot be neutralized"):
        neutral = rdMolStandardize.Uncharger().uncharge(molecule.mol)
        return prepare(write(neutral)).smiles


class MoleculeStock:
    """A stock of given molecules, in a file that `build_stock` wrote.

    The hashes of ten million molecules take 80 MB of memory; SMILES and further columns stay in the file.

    Parameters
    ----------
    path : str or Path

    Raises
    ------
    InputError
        If the file does not exist, or is not a stock.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._hashes = _read_hashes(self.path)
        self.description = f"{self.path.name}, {len(self._hashes):,} building blocks"
        self.column_names = [name for name in pq.read_schema(self.path).names if name not in (HASH, SMILES)]

    def __len__(self) -> int:
        return len(self._hashes)

    def costs(self, smiles: Sequence[str]) -> list[float]:
        """0 for a molecule of the stock, infinity for others."""
        known, _ = self._find(smiles)
        return [0.0 if found else inf for found in known]

    def _find(self, smiles: Sequence[str]) -> tuple[NDArray[np.bool_], NDArray[np.intp]]:
        """Whether each molecule is in the stock, and its position if it is."""
        hashes = hash_texts(smiles)
        index = np.searchsorted(self._hashes, hashes).clip(max=len(self._hashes) - 1)
        return self._hashes[index] == hashes, index

    def columns(self, smiles: Sequence[str]) -> list[Mapping[str, str]]:
        """The name and further columns of each molecule; empty for molecules that are not in the stock."""
        hashes = hash_texts(smiles)
        found = dict[int, Mapping[str, str]]()
        if self.column_names and len(smiles):
            wanted = pc.field(HASH).isin(pa.array(hashes, pa.uint64()))
            for row in pq.read_table(self.path, columns=[HASH, *self.column_names], filters=wanted).to_pylist():
                found[row.pop(HASH)] = row
        return [found.get(int(number), {}) for number in hashes]

    def smiles(self) -> list[str]:
        """All molecules of the stock."""
        return list(map(str, pq.read_table(self.path, columns=[SMILES])[SMILES].to_pylist()))


class CommonBlocks(MoleculeStock):
    """An estimate of what can be bought: building blocks that many real molecules contain.

    The counts are of reactants that the shipped reactions find in molecules of ChEMBL, PubChem and ZINC. It is not a
    list of what a supplier has.

    Parameters
    ----------
    path : Path, optional
        File of building blocks with the column `n_molecules`; default: the one that ships with the package.
    min_count : int
        Molecules that contain a building block, at least.
    """

    def __init__(self, path: Path | None = None, min_count: int = MIN_COUNT) -> None:
        super().__init__(path or COMMON_BLOCKS_FILE)
        counts = pq.read_table(self.path, columns=[COUNT])[COUNT].to_pylist()
        self._counts = np.array([int(count) for count in counts], dtype=np.int64)
        self.min_count = min_count
        n_common = int((self._counts >= min_count).sum())
        self.description = f"an estimate: {n_common:,} building blocks that at least {min_count} real molecules contain"

    def counts(self, smiles: Sequence[str]) -> list[int]:
        """In how many molecules each building block was found."""
        known, index = self._find(smiles)
        return [int(count) for count in np.where(known, self._counts[index], 0)]

    def costs(self, smiles: Sequence[str]) -> list[float]:
        """Between 0 for building blocks of 1,000 molecules and 0.3 for those of the fewest."""
        return [_cost_of_count(count) if count >= self.min_count else inf for count in self.counts(smiles)]

    def smiles(self) -> list[str]:
        """All building blocks of `min_count` molecules."""
        found = super().smiles()
        return [found[index] for index in np.flatnonzero(self._counts >= self.min_count)]


class InStockFilter:
    """The Bloom filter of ZINC's in-stock molecules of the package molbloom.

    It needs the extra `stock`. The filter takes about 7 % of all molecules that are not in stock for ones that are.
    """

    description = "molbloom's filter of ZINC20 in-stock molecules, which accepts about 7 % of other molecules too"
    column_names = ()

    def __init__(self) -> None:
        self._buy = import_extra("molbloom", "stock").buy

    def costs(self, smiles: Sequence[str]) -> list[float]:
        """0 for a molecule of the filter, infinity for others."""
        return [0.0 if self._buy(text, catalog="zinc-instock-mini") else inf for text in smiles]

    def columns(self, smiles: Sequence[str]) -> list[Mapping[str, str]]:
        """Nothing."""
        return [{} for _ in smiles]


class IncompleteStock:
    """A stock in which small molecules that are missing may be used, at a cost, because others will replace them.

    Parameters
    ----------
    stock : Stock
    target : str
        The molecule that is made, which is no building block.
    """

    def __init__(self, stock: Stock, target: str) -> None:
        self._stock, self._target = stock, target
        self.description = f"{stock.description}, and missing building blocks"
        self.column_names = stock.column_names

    def costs(self, smiles: Sequence[str]) -> list[float]:
        """The cost in the stock; `MISSING_COST` for other molecules of at most `MAX_BLOCK_ATOMS` atoms."""
        return [self._cost(text, cost) for text, cost in zip(smiles, self._stock.costs(smiles), strict=True)]

    def _cost(self, smiles: str, cost: float) -> float:
        if smiles == self._target:
            return inf
        return MISSING_COST if cost == inf and n_heavy_atoms(smiles) <= MAX_BLOCK_ATOMS else cost

    def columns(self, smiles: Sequence[str]) -> list[Mapping[str, str]]:
        """As of the stock."""
        return self._stock.columns(smiles)


def n_heavy_atoms(smiles: str) -> int:
    """Number of heavy atoms of an organic molecule, without parsing it.

    >>> n_heavy_atoms("[NH3+][C@@H](CCl)C(=O)[O-]")
    7
    """
    return sum(char.isalpha() and char not in "lrH" for char in smiles)


IN_STOCK = "zinc"
"""Name of `InStockFilter` as a stock."""


def open_stock(stock: str | Path | None) -> Stock:
    """The stock of a name or a file.

    Parameters
    ----------
    stock : str or Path, optional
        A file that `molvae stock build` wrote; "zinc" for `InStockFilter`; None for `CommonBlocks`.

    Raises
    ------
    InputError
        If the file cannot be read.
    MissingExtraError
        For "zinc" without the extra `stock`.
    """
    if stock is None:
        return common_blocks()
    if str(stock) == IN_STOCK:
        return InStockFilter()
    if not Path(stock).is_file():
        raise InputError(
            f"the stock {str(stock)!r} does not exist; give a file that `molvae stock build` wrote, or {IN_STOCK!r}"
        )
    return MoleculeStock(stock)


@cache
def common_blocks() -> CommonBlocks:
    """The stock of the package, loaded on first use."""
    return CommonBlocks()


# --- files ---


def write_table(path: Path, blocks: pa.Table) -> None:
    """Write a stock.

    Parameters
    ----------
    path : Path
    blocks : pyarrow.Table
        Columns: the hash of the `stock_smiles` of each molecule, ascending, the SMILES, the name, and further columns
        of text.
    """
    blocks = blocks.replace_schema_metadata({_FORMAT: b"1"})
    pq.write_table(blocks, path, compression="zstd", row_group_size=100_000)


def _read_hashes(path: Path) -> NDArray[np.uint64]:
    try:
        if _FORMAT not in (pq.read_schema(path).metadata or {}):
            raise InputError(f"{path}: not a stock; make one with: molvae stock build FILE -o NAME{SUFFIX}")
        hashes: NDArray[np.uint64] = pq.read_table(path, columns=[HASH])[HASH].to_numpy()
    except (OSError, pa.ArrowException, KeyError) as error:
        reason = str(error).partition("\n")[0]
        raise InputError(f"{path}: damaged, or not a stock ({reason}); see: molvae stock build --help") from None
    if not len(hashes) or hashes.dtype != np.uint64 or (hashes[1:] <= hashes[:-1]).any():
        raise InputError(f"{path}: damaged: its hashes are not sorted, or there are none")
    return hashes


def _cost_of_count(count: int) -> float:
    """From `_RARE_COST` for one molecule to 0 for `_COMMON_COUNT`, proportional to the logarithm."""
    return _RARE_COST * max(0.0, 1 - log(max(count, 1)) / log(_COMMON_COUNT))
