"""`molvae index`: counts, invalid rows, resuming and exit codes."""

from __future__ import annotations

import csv

import pytest
from molecules import DRUGS
from tiny_vae import SMALL
from typer.testing import CliRunner

from molvae.cli.app import app

ASPIRIN = DRUGS["aspirin"]


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with files of two formats, an invalid row and a duplicate."""
    folder = tmp_path_factory.mktemp("library")
    (folder / "a.smi").write_text("".join(f"{smiles}\n" for smiles in [*DRUGS.values(), "C1CC"]))
    (folder / "b.csv").write_text("id,smiles\n" + "".join(f"s{i},{s}\n" for i, s in enumerate([*SMALL, ASPIRIN])))
    return folder


@pytest.fixture(scope="module")
def library(folder, tiny_model, tmp_path_factory):
    library = tmp_path_factory.mktemp("output") / "lib.molvae"
    result = run("index", folder, "-o", library, "--model", tiny_model, "--properties", "mw,qed", "--workers", 0)
    assert result.exit_code == 0, result.stderr
    assert result.stdout == ""
    n_rows = len(DRUGS) + len(SMALL) + 2
    assert f"{n_rows} read: {n_rows - 2} accepted, 1 duplicate, 1 invalid" in result.stderr
    assert f"{library / 'invalid_rows.csv'}" in result.stderr
    return library


def test_invalid_rows_file(library, folder):
    (row,) = csv.DictReader((library / "invalid_rows.csv").open())
    assert row["source"] == str(folder / "a.smi")
    assert row["row"] == str(len(DRUGS) + 1)
    assert "ring 1 opened" in row["reason"]


def test_resume_with_other_options_fails(library, folder, tiny_model):
    before = (library / "manifest.json").read_bytes()
    result = run("index", folder, "-o", library, "--model", tiny_model, "--workers", 0)
    assert result.exit_code == 2
    assert "was indexed with other properties" in result.stderr
    assert run("index", folder, "-o", library, "--model", tiny_model, "--properties", "mw,qed").exit_code == 0
    assert (library / "manifest.json").read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing.smi"], "does not exist"),
        (["-"], "cannot be read again"),
        (["{folder}", "--properties", "mww"], "did you mean 'mw'"),
        (["{folder}", "--model", "no-model"], "--model: no model"),
    ],
)
def test_index_usage_errors(folder, tiny_model, tmp_path, arguments, message):
    formatted = [argument.format(folder=folder) for argument in arguments]
    model = [] if "--model" in formatted else ["--model", tiny_model]
    result = run("index", *formatted, "-o", tmp_path / "lib", *model, "--workers", 0)
    assert result.exit_code == 2
    assert message in result.stderr
    assert not (tmp_path / "lib").exists()


def test_index_without_molecules_exits_1(tiny_model, tmp_path):
    (tmp_path / "a.smi").write_text("C1CC\n")
    result = run("index", tmp_path / "a.smi", "-o", tmp_path / "lib", "--model", tiny_model, "--workers", 0)
    assert result.exit_code == 1
    assert "1 read: 0 accepted, 0 duplicate, 1 invalid" in result.stderr
