"""Stocks: building, looking up, identity of salts and charges, and bad files."""

from math import inf

import pytest
from rdkit import Chem

from molvae.data.rows import ARGUMENT, InvalidRow, Record
from molvae.errors import InputError, MoleculeError
from molvae.synthesis.stock import CommonBlocks, IncompleteStock, MoleculeStock, n_heavy_atoms, open_stock, stock_smiles
from molvae.synthesis.stock_build import build_stock

ROWS = [
    Record("CCN.Cl", "amine", "blocks.csv", 1, {"price": "12"}),
    Record("[Na+].[O-]C(=O)c1ccccc1", "benzoate", "blocks.csv", 2, {"price": "3"}),
    Record("OC(=O)c1ccccc1", "benzoic acid", "blocks.csv", 3, {"price": "4"}),
    Record("C1CC", "broken", "blocks.csv", 4),
    InvalidRow("blocks.csv", 5, "", "no SMILES"),
    Record("C[C@H](N)c1ccccc1", "", "blocks.csv", 6),
]


@pytest.fixture
def stock(tmp_path):
    lines = []
    counts = build_stock(ROWS, tmp_path / "own.stock", ["price"], workers=0, report=lines.append)
    assert (counts.accepted, counts.duplicate, counts.invalid) == (3, 1, 2)
    assert lines[0].startswith("blocks.csv, line 4: cannot read SMILES 'C1CC'")
    return MoleculeStock(tmp_path / "own.stock")


def test_salts_charges_and_stereo(stock):
    assert stock.costs([stock_smiles("CC[NH3+].[Br-]"), "O=C(O)c1ccccc1", "CCO"]) == [0, 0, inf]
    assert stock.costs(["C[C@H](N)c1ccccc1", "C[C@@H](N)c1ccccc1", "CC(N)c1ccccc1"]) == [0, inf, inf]
    assert len(stock) == 3


def test_columns_are_those_of_the_first_row(stock):
    assert stock.columns(["O=C(O)c1ccccc1", "CCO"]) == [{"name": "benzoate", "price": "3"}, {}]
    assert sorted(stock.smiles()) == ["CCN", "C[C@H](N)c1ccccc1", "O=C(O)c1ccccc1"]


@pytest.mark.parametrize(
    ("smiles", "expected"),
    [
        ("[Na+].[O-]C(=O)C[NH3+]", "NCC(=O)O"),
        ("C[N+](C)(C)C.[Cl-]", "C[N+](C)(C)C"),
        ("CC[N+](=O)[O-]", "CC[N+](=O)[O-]"),
        ("[2H]C([2H])([2H])O", "CO"),
        ("[O-][n+]1ccccc1", "[O-][n+]1ccccc1"),
    ],
)
def test_stock_smiles(smiles, expected):
    assert stock_smiles(smiles) == expected
    assert stock_smiles(expected) == expected


def test_invalid_smiles():
    with pytest.raises(MoleculeError, match="ring 1 opened"):
        stock_smiles("C1CC")


def test_the_same_stock_with_worker_processes(tmp_path):
    rows = [Record("C" * n + "O", str(n), ARGUMENT, n) for n in range(1, 200)]
    for workers in (0, 2):
        build_stock(rows, tmp_path / f"{workers}.stock", workers=workers)
    assert (tmp_path / "0.stock").read_bytes() == (tmp_path / "2.stock").read_bytes()


def test_stock_without_molecules_is_not_written(tmp_path):
    with pytest.raises(InputError, match="no valid molecules"):
        build_stock([ROWS[3]], tmp_path / "none.stock", workers=0)
    assert list(tmp_path.iterdir()) == []


def test_reserved_column(tmp_path):
    with pytest.raises(InputError, match="'hash'"):
        build_stock(ROWS, tmp_path / "a.stock", ["hash"], workers=0)


@pytest.mark.parametrize("content", [b"", b"SMILES\nCCO\n", b"PAR1" + bytes(100)])
def test_file_that_is_not_a_stock(tmp_path, content):
    path = tmp_path / "some.stock"
    path.write_bytes(content)
    with pytest.raises(InputError, match="not a stock"):
        open_stock(path)


def test_missing_stock(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        open_stock(tmp_path / "none.stock")


def test_common_blocks():
    blocks = CommonBlocks()
    aniline, rare = blocks.costs(["Nc1ccccc1", "NC1CC2CC3CC1CC(C2)(C3)C1CCCCCCC1"])
    assert 0 <= aniline < 0.3
    assert rare == inf
    assert blocks.columns(["Nc1ccccc1"])[0]["n_molecules"] == str(blocks.counts(["Nc1ccccc1"])[0])
    assert "estimate" in blocks.description
    assert "Nc1ccccc1" in blocks.smiles()
    assert len(CommonBlocks(min_count=50).smiles()) < len(blocks.smiles())


def test_incomplete_stock(stock):
    incomplete = IncompleteStock(stock, "CCCO")
    assert incomplete.costs(["CCN", "CCO", "CCCO", "C" * 40]) == [0, 1.5, inf, inf]


@pytest.mark.parametrize("smiles", ["CCO", "BrCCl", "c1cc[nH]c1", "C[C@H](N)C(=O)O", "OB(O)c1ccccc1"])
def test_number_of_heavy_atoms(smiles):

    assert n_heavy_atoms(smiles) == Chem.MolFromSmiles(smiles).GetNumHeavyAtoms()
