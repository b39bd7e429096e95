"""`molvae precedence`: tables of a library equal direct counts, and are written as a whole or not at all."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd
import pytest
from molecules import DRUGS
from rdkit import Chem
from typer.testing import CliRunner

from molvae.chem.precedence import PrecedenceTable, environments, ring_systems, shipped_table
from molvae.cli.app import app

SMILES = list(DRUGS.values())


def run(*arguments, code=0):
    result = CliRunner().invoke(app, ["precedence", *map(str, arguments)])
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.stderr
    return result


def same_counts(first, second):
    np.testing.assert_array_equal(first.ring_systems.keys, second.ring_systems.keys)
    np.testing.assert_array_equal(first.ring_systems.values, second.ring_systems.values)
    for radius in (1, 2):
        np.testing.assert_array_equal(first.environments[radius].keys, second.environments[radius].keys)
        np.testing.assert_array_equal(first.environments[radius].values, second.environments[radius].values)
    assert first.n_molecules == second.n_molecules


@pytest.mark.parametrize("workers", [0, 2])
def test_build(tmp_path, workers):
    (tmp_path / "drugs.smi").write_text("".join(f"{text} chembl\n" for text in SMILES[:40]) + "C1CC broken\n")
    pd.DataFrame({"structure": [f"{text}.Cl" for text in SMILES[40:]]}).to_parquet(tmp_path / "more.parquet")
    files = [tmp_path / "drugs.smi", tmp_path / "more.parquet"]
    result = run("build", *files, "-o", tmp_path / "own.npz", "--workers", workers)
    assert "line 41: cannot read SMILES 'C1CC'" in result.stderr
    assert f"{len(SMILES) + 1} rows: {len(SMILES)} molecules counted, 1 invalid" in result.stderr
    assert "salts" in result.stderr
    table = PrecedenceTable.load(tmp_path / "own.npz")
    mols = [Chem.MolFromSmiles(text) for text in SMILES]
    rings = Counter(ring for mol in mols for ring in ring_systems(mol))
    narrow = Counter(key for mol in mols for key in environments(mol, 1))
    assert table.n_molecules == len(SMILES)
    assert sorted(table.ring_systems.values) == sorted(rings.values())
    for mol in mols:
        assert table.ring_precedence(mol) == min((rings[ring] for ring in ring_systems(mol)), default=len(mols))
        assert table.environment_precedence(mol) == min(narrow[key] for key in environments(mol, 1))
    same_counts(table, PrecedenceTable.from_molecules([f"{text}.Cl" for text in SMILES]))


def test_folders_columns_and_names(tmp_path):
    folder = tmp_path / "library"
    folder.mkdir()
    (folder / "a.csv").write_text("drug,source\n" + "".join(f"{text},x\n" for text in SMILES[:10]) + "c1ccncc1,y\n")
    options = ("--column", "drug", "--name-column", "source")
    assert "11 molecules counted" in run("build", folder, "-o", tmp_path / "all.npz", *options).stderr
    run("build", folder, "-o", tmp_path / "x.npz", *options, "--only-name", "x")
    same_counts(PrecedenceTable.load(tmp_path / "x.npz"), PrecedenceTable.from_molecules(SMILES[:10]))


def test_nothing_is_written_without_molecules(tmp_path):
    path = tmp_path / "empty.smi"
    path.write_text("C1CC\n")
    assert "not written" in run("build", path, "-o", tmp_path / "own.npz", code=1).stderr
    assert list(tmp_path.glob("*.npz*")) == []


def test_add_to_another_table(tmp_path):
    (tmp_path / "a.smi").write_text("\n".join(SMILES[:30]))
    (tmp_path / "b.smi").write_text("\n".join(SMILES[30:]))
    run("build", tmp_path / "a.smi", "-o", tmp_path / "a.npz")
    run("build", tmp_path / "b.smi", "-o", tmp_path / "both.npz", "--add-to", tmp_path / "a.npz")
    same_counts(PrecedenceTable.load(tmp_path / "both.npz"), PrecedenceTable.from_molecules(SMILES))
    unusual = "C1=NC2SC=CC2P1"
    (tmp_path / "c.smi").write_text(unusual)
    run("build", tmp_path / "c.smi", "-o", tmp_path / "more.npz", "--add-to", "shipped")
    more, mol = PrecedenceTable.load(tmp_path / "more.npz"), Chem.MolFromSmiles(unusual)
    assert (shipped_table().ring_precedence(mol), more.ring_precedence(mol)) == (0, 1)
    assert more.ring_precedence(Chem.MolFromSmiles("Cc1ccccc1")) >= 60_000
    assert (
        "does not exist" in run("build", tmp_path / "c.smi", "-o", tmp_path / "x.npz", "--add-to", "no", code=2).stderr
    )


def test_errors(tmp_path):
    path = tmp_path / "library.smi"
    path.write_text("CCO\n")
    assert ".npz file" in run("build", path, "-o", tmp_path / "own.csv", code=2).stderr
    assert "none.smi" in run("build", tmp_path / "none.smi", "-o", tmp_path / "own.npz", code=2).stderr


def test_info(tmp_path):
    assert "601,323 molecules" in run("info").stdout
    PrecedenceTable.from_molecules(SMILES).save(tmp_path / "own.npz")
    assert f"own.npz: {len(SMILES)} molecules" in run("info", tmp_path / "own.npz").stdout
