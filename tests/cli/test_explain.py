"""`molvae explain`: rows, notes, invalid rows, formats and the summary."""

from __future__ import annotations

import io

import pandas as pd
import pytest
from typer.testing import CliRunner

from molvae.cli.app import app
from molvae.metrics.explanation import explain

FLUOROPIPERAZINE, UNUSUAL_RING = "CN1CCN(F)CC1", "C1=NC2SC=CC2P1"
COLUMNS = [
    *("smiles", "plausible", "kind", "fragment", "n_molecules", "level", "reason", "reference", "atoms"),
    *("canonical", "error", "note"),
]


def run(*arguments, code=0):
    result = CliRunner().invoke(app, ["explain", *map(str, arguments)])
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.stderr
    return result


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "in.csv"
    path.write_text(
        f"smiles,name,pIC50\n{FLUOROPIPERAZINE},a,5\nCC(=O)Nc1ccc(O)cc1.Cl,b,6\nC1CC,c,7\n{UNUSUAL_RING},d,8\n"
    )
    return path


def test_rows_of_a_file(file):
    result = run(file)
    table = pd.read_csv(io.StringIO(result.stdout), keep_default_na=False)
    assert list(table.columns) == ["smiles", "name", *COLUMNS[1:], "pIC50"]
    assert list(dict.fromkeys(table["name"])) == ["a", "b", "c", "d"]
    assert table[table["name"] == "a"]["pIC50"].tolist() == [5, 5]
    first = table.iloc[0]
    assert (first["plausible"], first["n_molecules"], first["level"]) == ("False", "0", "unprecedented")
    (group,) = table[table["fragment"] == "N-halogen"].to_dict("records")
    assert group["level"] == "never"
    assert "thiols" in group["reason"]
    assert group["n_molecules"] == ""
    assert table[table["name"] == "b"]["kind"].tolist() == ["no findings"]
    assert table[table["name"] == "b"]["note"].tolist() == ["salt removed: Cl"]
    assert "not closed" in table[table["name"] == "c"]["error"].item()
    assert "ring system" in set(table[table["name"] == "d"]["kind"])
    assert f"{file}, line 4: cannot read SMILES 'C1CC'" in result.stderr
    assert result.stderr.splitlines()[-1] == (
        "4 rows: 1 plausible, 2 implausible (1 with an unprecedented ring system, 2 with an unprecedented atom "
        "environment, 2 with an unstable group), 1 invalid; 1 changed, such as salts that were stripped"
    )


def test_equals_python():
    table = pd.read_csv(io.StringIO(run(FLUOROPIPERAZINE).stdout), keep_default_na=False)
    assert list(table.columns) == COLUMNS
    expected = pd.read_csv(io.StringIO(explain(FLUOROPIPERAZINE).to_csv(index=False)), keep_default_na=False)
    pd.testing.assert_frame_equal(table, expected)


def test_seed_and_counts():
    assert "no findings" in run(FLUOROPIPERAZINE, "--seed", "CN1CCN(F)CC1").stdout
    assert "no findings" in run("O=C(O)c1ccc2oc3ccccc3c2c1").stdout
    rare = pd.read_csv(io.StringIO(run("O=C(O)c1ccc2oc3ccccc3c2c1", "--max-count", 1000).stdout))
    assert rare["level"].tolist()[0] == "rare"
    assert 0 < rare["n_molecules"].max() <= 1000
    assert rare["plausible"].all()


def test_formats(file, tmp_path):
    for name in ("out.csv", "out.parquet", "out.html", "out.xlsx", "out.smi", "out.sdf"):
        run(file, "-o", tmp_path / name)
        assert (tmp_path / name).stat().st_size
    run(file, "--image", tmp_path / "out.svg")
    image = (tmp_path / "out.svg").read_text()
    assert "#FFDB85" in image  # the color of marked atoms
    assert "N-halogen" in image
    assert pd.read_parquet(tmp_path / "out.parquet")["n_molecules"].dtype.kind == "i"


def test_errors(file):
    assert "seed: cannot read SMILES" in run("CCO", "--seed", "C1CC", code=2).stderr
    assert "not a precedence table" in run("CCO", "--precedence", file, code=2).stderr
    run("C1CC", code=1)
