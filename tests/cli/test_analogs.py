"""`molvae analogs`: names and IDs, empty results, interruption, and the table in a terminal."""

from __future__ import annotations

import io

import pandas as pd
import pytest
from rdkit import Chem
from typer.testing import CliRunner

from molvae.cli import outputs
from molvae.cli.app import app
from molvae.cli.seed_stream import count_rows
from molvae.generation import runner

SEEDS = "CCCO\tZ1234567\nC1CC\tbroken\nCC(C)CO\nCCCN\tZ1234567\n"


@pytest.fixture
def analogs(tiny_model):
    """Runs `molvae analogs` with the tiny model, and checks its exit code."""

    def run(*arguments, code=0, stdin=None):
        command = ["analogs", *map(str, arguments), "--model", str(tiny_model), "--device", "cpu", "--pool-size", "1"]
        result = CliRunner().invoke(app, command, input=stdin)
        assert result.exit_code == code, result.output
        return result

    return run


@pytest.fixture
def seeds(tmp_path):
    path = tmp_path / "seeds.smi"
    path.write_text(SEEDS)
    return path


IDS = ["Z1234567_a01", "Z1234567_a02", "seed3_a01", "seed3_a02", "Z1234567_4_a01", "Z1234567_4_a02"]


@pytest.mark.parametrize("suffix", [".csv", ".smi", ".sdf"])
def test_ids_begin_with_the_name_or_the_row_of_the_seed(analogs, seeds, tmp_path, suffix):
    output = tmp_path / f"out{suffix}"
    result = analogs(seeds, "-n", 2, "-o", output)
    if suffix == ".csv":
        table = pd.read_csv(output)
        assert list(table.columns[:4]) == ["seed", "name", "id", "smiles"]
        ids = table["id"].tolist()
        assert table["name"].fillna("").tolist() == ["Z1234567"] * 2 + [""] * 2 + ["Z1234567"] * 2
    elif suffix == ".smi":
        ids = [line.split("\t")[1] for line in output.read_text().splitlines()]
    else:
        ids = [mol.GetProp("_Name") for mol in Chem.SDMolSupplier(str(output))]
    assert ids == IDS
    starts = [line.split(":")[0] for line in result.stderr.splitlines() if " of 2 molecules" in line]
    assert starts == ["Z1234567", "CC(C)CO", "Z1234567"]


@pytest.mark.parametrize("suffix", [".csv", ".smi", ".sdf", ".parquet"])
@pytest.mark.parametrize("arguments", [["CCCO", "--filter", "mw>5000"], ["C1CC"]])
def test_output_without_molecules_has_a_header(analogs, tmp_path, suffix, arguments):
    output = tmp_path / f"out{suffix}"
    analogs(*arguments, "-n", 2, "--max-samples", 64, "-o", output, code=1)
    if suffix in (".csv", ".parquet"):
        table = pd.read_csv(output) if suffix == ".csv" else pd.read_parquet(output)
        assert list(table.columns[:3]) == ["seed", "id", "smiles"]
        assert len(table) == 0
    assert [path.name for path in tmp_path.iterdir()] == [output.name]


def test_input_without_any_molecule_gives_a_header(analogs, tmp_path):
    (tmp_path / "none.smi").write_text("\tnothing\n\tagain\n")
    analogs(tmp_path / "none.smi", "-o", tmp_path / "out.csv", code=1)
    assert (tmp_path / "out.csv").read_text().startswith("seed,name,id,smiles,")


def _interrupt_after(monkeypatch, n_rounds):
    """Raise KeyboardInterrupt in a round of the search, as Ctrl+C does."""
    add_round, calls = runner.SeedSearch.add_round, []

    def interrupted(search, *arguments):
        calls.append(search)
        if len(calls) == n_rounds + 1:
            raise KeyboardInterrupt
        add_round(search, *arguments)

    monkeypatch.setattr(runner.SeedSearch, "add_round", interrupted)


def test_interrupted_run_prints_what_was_found(analogs, seeds, monkeypatch):
    _interrupt_after(monkeypatch, 6)
    result = analogs(seeds, "-n", 500, code=130)
    table = pd.read_csv(io.StringIO(result.stdout))
    assert set(table["seed"]) == {"CCCO", "CC(C)CO", "CCCN"}
    assert table["id"].str.startswith("Z1234567_4_a").any()
    assert result.stderr.splitlines()[-1] == "molvae: interrupted"


def test_interrupted_run_leaves_the_output_file_alone(analogs, seeds, tmp_path, monkeypatch):
    _interrupt_after(monkeypatch, 6)
    result = analogs(seeds, "-n", 5000, "-o", tmp_path / "out.csv", code=130)
    assert result.stdout == ""
    assert [path.name for path in tmp_path.iterdir()] == ["seeds.smi"]


def test_seed_is_printed_once_in_a_terminal(capsys):
    table = outputs._TerminalTable()
    smiles = {"CCCO": ["CCCN", "CCO"], "CC[C@H](C)O": ["CC[C@H](C)N"]}
    for seed, name in [("CCCO", "propanol"), ("CC[C@H](C)O", "")]:
        table.add(pd.DataFrame({"seed": seed, "name": name, "smiles": smiles[seed], "similarity": 0.5}))
    table.show()
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert [line for line in lines if "CCCO" in line] == ["propanol  CCCO"]
    assert [line for line in lines if "CC[C@H](C)O" in line] == ["CC[C@H](C)O"]
    assert sum("0.5" in line for line in lines) == 3


def test_rows_are_counted_for_the_progress_bar(seeds, monkeypatch):
    assert count_rows(["CCO", str(seeds)], None) is None  # no terminal
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    assert count_rows(["CCO", str(seeds)], None) == 5
    assert count_rows(["CCO", "-"], None) is None
