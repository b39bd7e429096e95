"""`molvae search`: tables, files, filters and exit codes."""

from __future__ import annotations

import io

import pandas as pd
import pytest
from molecules import DRUGS
from tiny_vae import SMALL
from typer.testing import CliRunner

from molvae.cli.app import app
from molvae.library.indexed_library import index

ASPIRIN = DRUGS["aspirin"]


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def library(tiny_model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("library")
    (folder / "a.smi").write_text("".join(f"{smiles}\n" for smiles in [*DRUGS.values(), *SMALL]))
    index(folder / "a.smi", folder / "lib", model=tiny_model, device="cpu", workers=0)
    return folder / "lib"


@pytest.mark.parametrize("rank_by", ["tanimoto", "latent", "both"])
def test_search_table_on_stdout(library, rank_by):
    result = run("search", library, ASPIRIN, "OCC", "--rank-by", rank_by, "--top", 4, "--device", "cpu")
    assert result.exit_code == 0, result.stderr
    table = pd.read_csv(io.StringIO(result.stdout))
    assert table["seed"].tolist() == [ASPIRIN] * 4 + ["OCC"] * 4
    assert table["smiles"].tolist()[::4] == [ASPIRIN, "CCO"]
    assert ("latent_distance" in table) == (rank_by != "tanimoto")
    assert "8 molecules for 2 seeds" in result.stderr


def test_search_files(library, tmp_path):
    (tmp_path / "seeds.smi").write_text("OCC ethanol\nC1CC broken\n")
    result = run(
        "search", library, tmp_path / "seeds.smi", "--rank-by", "tanimoto", "--filter", "mw<100",
        "--include-smarts", "[OX2H]", "--exclude-smarts", "C=O", "-o", tmp_path / "hits.parquet",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    assert f"{tmp_path / 'seeds.smi'}, line 2: " in result.stderr
    assert "ring 1 opened" in result.stderr
    table = pd.read_parquet(tmp_path / "hits.parquet")
    assert table["smiles"].iloc[0] == "CCO"
    assert (table["mw"] < 100).all()
    assert table["smiles"].str.contains("O").all()
    assert not table["smiles"].str.contains("=O").any()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["CCO", "--rank-by", "euclidean"], 2, "must be tanimoto, latent or both"),
        (["CCO", "--metric", "dot"], 2, "cosine or l2"),
        (["CCO", "--filter", "sa<3"], 2, "--properties"),
        (["CCO", "--include-smarts", "C1("], 2, "SMARTS"),
        (["CCO", "--model", "no-model"], 2, "no model"),
        (["C1CC"], 1, "0 molecules for 0 seeds"),
        (["CCO", "--filter", "mw>9999"], 1, "0 molecules"),
    ],
)
def test_search_usage_errors(library, arguments, code, message):
    result = run("search", library, *arguments, "--device", "cpu")
    assert result.exit_code == code
    assert message in result.stderr


def test_search_folder_without_library(tmp_path):
    result = run("search", tmp_path, "CCO")
    assert result.exit_code == 2
    assert "is not a library" in result.stderr
    assert "molvae index" in result.stderr
