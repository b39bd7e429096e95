"""`molvae fit` and `molvae screen`: tables, files and exit codes, and a pipe into `molvae analogs`."""

from __future__ import annotations

import io
import json
import os
import sys

import pandas as pd
import pytest
from molecules import DRUGS
from typer.testing import CliRunner

import molvae as package
from molvae.cli.app import app

SEED = DRUGS["aspirin"]


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    path = tmp_path_factory.mktemp("library") / "lib.smi"
    path.write_text("".join(f"{text} {name}\n" for name, text in DRUGS.items()) + "C1CC invalid\n" * 25)
    return path


def run(*arguments, code=0, stdin=None):
    result = CliRunner().invoke(app, [*map(str, arguments)], input=stdin)
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.stderr
    return result


def test_screen_equals_python(library):
    expected = package.screen(library, seeds=SEED, top=4, filters=["mw<400"], workers=0).table
    result = run("screen", library, "--seeds", SEED, "--top", 4, "--filter", "mw<400", "--workers", 0)
    pd.testing.assert_frame_equal(pd.read_csv(io.StringIO(result.stdout)), expected, check_dtype=False, rtol=1e-6)
    lines = result.stderr.splitlines()
    assert lines[-1].endswith("25 invalid; 4 in the shortlist")
    assert lines[-2] == "... 5 more invalid rows; --invalid-rows FILE.csv lists them"
    assert lines[0].startswith(f"{library}, line {len(DRUGS) + 1}: cannot read SMILES 'C1CC'")


def test_library_file_is_not_overwritten(tmp_path):
    folder = tmp_path / "lib"
    folder.mkdir()
    (folder / "a.smi").write_text("CCO\nCCN\n")
    for name in ("a.smi", "hits.csv"):
        result = run("screen", folder, "--rank-by", "qed", "-o", folder / name, "--workers", 0, code=2)
        assert "is in the input folder" in result.stderr
    assert (folder / "a.smi").read_text() == "CCO\nCCN\n"


@pytest.mark.skipif(sys.platform != "linux", reason="file names are Unicode on other platforms")
def test_undecodable_file_name(tmp_path):
    with open(os.fsencode(tmp_path) + b"/caf\xe9.smi", "w") as file:
        file.write("CCO\n")
    run("screen", tmp_path, "--rank-by", "qed", "-o", tmp_path.with_suffix(".csv"), "--workers", 0)
    assert pd.read_csv(tmp_path.with_suffix(".csv"))["source"][0].endswith(r"caf\udce9.smi")


def test_seed_files_invalid_rows_and_report(library, tmp_path):
    (tmp_path / "seeds.smi").write_text(f"{SEED} aspirin\n{DRUGS['warfarin']}\n")
    run("screen", library, "--seeds", tmp_path / "seeds.smi", "--top", 3, "-o", tmp_path / "s.parquet",
        "--report", tmp_path / "s.html", "--invalid-rows", tmp_path / "invalid.csv", "--workers", 0)  # fmt: skip
    assert list(pd.read_parquet(tmp_path / "s.parquet")["tanimoto"][:2]) == [1, 1]
    invalid_rows = pd.read_csv(tmp_path / "invalid.csv")
    assert len(invalid_rows) == 25
    assert set(invalid_rows["value"]) == {"C1CC"}
    assert (tmp_path / "s.html").read_text().count("<circle") == 3


def test_standardize_seeds_and_library(tmp_path):
    (tmp_path / "lib.smi").write_text("CC(=O)[O-].[Na+]\nCCN.Cl\n")
    found = run("screen", tmp_path / "lib.smi", "--seeds", "CC(=O)[O-].[K+]", "--standardize", "--workers", 0).stdout
    assert pd.read_csv(io.StringIO(found))["smiles"].tolist() == ["CC(=O)[O-]", "CCN"]


def test_shortlist_pipes_to_analogs(library, tiny_model):
    found = run("screen", library, "--seeds", "CCOC", "--top", 2, "--filter", "mw<200", "--workers", 0).stdout
    table = run(
        "analogs", "-", "-n", 2, "--noise-level", 0.7, "--model", tiny_model, "--device", "cpu", stdin=found
    ).stdout
    assert set(pd.read_csv(io.StringIO(table))["seed"]) <= set(pd.read_csv(io.StringIO(found))["smiles"])


def test_library_from_standard_input():
    csv = "id,smiles\n" + "".join(f"{i},{text}\n" for i, text in enumerate(DRUGS.values()))
    piped = pd.read_csv(io.StringIO(run("screen", "-", "--seeds", SEED, "--top", 3, "--workers", 0, stdin=csv).stdout))
    assert set(piped["source"]) == {"-"}
    assert piped["smiles"][0] == SEED


def test_usage_errors(library, tmp_path):
    assert "needs at least one seed" in run("screen", library, code=2).stderr
    assert "--seeds: must not be empty" in run("screen", library, "--seeds", "", code=2).stderr
    assert "does not exist" in run("screen", tmp_path / "no.smi", "--seeds", SEED, code=2).stderr
    assert "--report writes .html" in run("screen", library, "--seeds", SEED, "--report", "x.pdf", code=2).stderr
    result = run("screen", library, "--seeds", SEED, "--filter", "mw<1", "--workers", 0, code=1)
    assert "0 in the shortlist" in result.stderr


@pytest.mark.usefixtures("few_trees")
def test_fit_screen_and_rank_analogs(library, tiny_model, tmp_path):
    rows = pd.DataFrame({"smiles": list(DRUGS.values()), "pIC50": [len(text) / 10 for text in DRUGS.values()]})
    rows.to_csv(tmp_path / "d.csv", index=False)
    model = tmp_path / "pIC50.molvae-property"
    result = run("fit", tmp_path / "d.csv", "--target", "pIC50", "--split", "random", "--folds", 3, "-o", model,
                 "--model", tiny_model, "--device", "cpu")  # fmt: skip
    assert result.stdout.startswith("# pIC50 (regression)")
    assert len([line for line in result.stderr.splitlines() if "R2" in line]) == 5
    assert json.loads((model / "model.json").read_text())["target"] == "pIC50"
    table = pd.read_csv(io.StringIO(run("screen", library, "--score", model, "--top", 5, "--workers", 0).stdout))
    assert list(table["pIC50"]) == sorted(table["pIC50"], reverse=True)
    ranked = run("analogs", "CCO", "-n", 3, "--noise-level", 0.8, "--rank-by", "-pIC50", "--score", model,
                 "--model", tiny_model, "--device", "cpu").stdout  # fmt: skip
    assert list(pd.read_csv(io.StringIO(ranked))["pIC50"]) == sorted(pd.read_csv(io.StringIO(ranked))["pIC50"])


def test_precedence_as_filter(tmp_path):
    """A ring system that no real molecule has is filtered out."""
    (tmp_path / "library.smi").write_text("C1=NC2SC=CC2P1 new\nCC(=O)Nc1ccc(O)cc1 paracetamol\n")
    arguments = [
        "--filter",
        "ring_precedence>=1",
        "--rank-by",
        "environment_precedence",
        "-o",
        str(tmp_path / "out.csv"),
    ]
    result = CliRunner().invoke(app, ["screen", str(tmp_path / "library.smi"), *arguments])
    assert result.exit_code == 0, result.output
    assert pd.read_csv(tmp_path / "out.csv")["name"].tolist() == ["paracetamol"]
