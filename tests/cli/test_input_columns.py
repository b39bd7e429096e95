"""Names and further columns of the input in the output of each command."""

from __future__ import annotations

import pandas as pd
import pytest
from typer.testing import CliRunner

from molvae.cli.app import app
from molvae.data.rows import Record
from molvae.metrics.score import score

TABLE = pd.DataFrame(
    {
        "code": ["K1", "K2", "K3", "K4"],
        "smiles": ["CCO", "CCN.Cl", "c1ccccc1C", "CCCO"],
        "id": ["a", "b", "c", "d"],
        "plate": ["P1", "P2", "P1", "P2"],
        "similarity": ["w", "x", "y", "z"],
    }
)


@pytest.fixture
def run(tiny_model, tmp_path, monkeypatch):
    """Runs a command in a folder with table.csv, and returns the table that it writes."""
    monkeypatch.chdir(tmp_path)
    TABLE.to_csv("table.csv", index=False)

    def run(*arguments, model=tiny_model, device="cpu"):
        options = ["--model", str(model)] if model else []
        options += ["--device", device] if device else []
        result = CliRunner().invoke(app, [*map(str, arguments), *options, "-o", "out.csv"])
        assert result.exit_code == 0, (result.stderr, result.exception)
        return pd.read_csv("out.csv", keep_default_na=False)

    return run


@pytest.fixture
def library(run, tiny_model):  # noqa: ARG001 - runs in its folder
    """A library whose IDs are the values of the column `code`."""
    arguments = ["index", "table.csv", "--name-column", "code", "--workers", "0", "--properties", "mw"]
    result = CliRunner().invoke(app, [*arguments, "-o", "lib", "--model", str(tiny_model), "--device", "cpu"])
    assert result.exit_code == 0, result.stderr
    return "lib"


def test_index_takes_the_names_of_a_column(run, library):
    hits = run("search", library, "CCO", "--rank-by", "tanimoto", model=None)
    assert sorted(hits["id"]) == ["K1", "K2", "K3", "K4"]
    assert "name" not in hits
    assert hits["id"][0] == "K1"


@pytest.mark.parametrize("rank_by", ["tanimoto", "both"])
def test_hits_have_the_names_and_columns_of_their_seeds(run, library, rank_by):
    hits = run(
        "search", library, "table.csv", "C1CC", "--top", 2, "--rank-by", rank_by, "--name-column", "code", model=None
    )
    assert list(hits.columns[:5]) == ["seed", "name", "rank", "smiles", "id"]
    assert hits["name"].tolist() == [code for code in TABLE["code"] for _ in range(2)]
    assert hits["name"].tolist()[::2] == hits["id"].tolist()[::2]  # the nearest molecule of each seed is the seed
    for name, output in (("plate", "plate"), ("id", "input_id"), ("similarity", "input_similarity")):
        assert hits[output].tolist() == [value for value in TABLE[name] for _ in range(2)]


def test_equal_seeds_keep_their_own_columns(run, library, tmp_path):
    (tmp_path / "twice.csv").write_text("smiles,name,batch\nCCO,first,1\nC1CC,bad,2\nCCO,second,3\n")
    hits = run("search", library, "twice.csv", "--top", 1, "--rank-by", "tanimoto", model=None)
    assert hits[["name", "batch"]].to_numpy().tolist() == [["first", 1], ["second", 3]]


def test_search_prepares_seeds_as_the_library_or_as_requested(run, library):
    kept = run("search", library, "CCN.Cl", "--rank-by", "tanimoto", "--top", 1, "--keep-salts", model=None)
    stripped = run("search", library, "CCN.Cl", "--rank-by", "tanimoto", "--top", 1, model=None)
    assert stripped["similarity"][0] == 1
    assert kept["similarity"][0] < 1
    bound, ionic, standardized = (
        run("search", library, *seed, "--rank-by", "tanimoto", "--top", 1, model=None)["similarity"][0]
        for seed in (["[Na]OCC"], ["CC[O-].[Na+]"], ["[Na]OCC", "--standardize"])
    )
    assert standardized == ionic != bound  # the metal is disconnected


def test_analogs_have_the_columns_of_their_seeds(run):
    table = run("analogs", "table.csv", "-n", 2, "--name-column", "code", "--max-samples", 200, "--allow-unprecedented")
    assert len(table)
    rows = TABLE.set_index("code").loc[table["name"]]
    assert table["plate"].tolist() == rows["plate"].tolist()
    assert table["input_id"].tolist() == rows["id"].tolist()
    assert table["id"].str[:2].tolist() == table["name"].tolist()
    assert pd.to_numeric(table["similarity"]).between(0, 1).all()


def test_optimized_molecules_have_the_columns_of_their_seeds(run):
    table = run("optimize", "table.csv", "--objective", "mw", "--max-samples", 64, "--population", 8)
    rows = TABLE.set_index("id").loc[table["name"]]
    assert table["plate"].tolist() == rows["plate"].tolist()


@pytest.mark.parametrize(
    ("arguments", "column"),
    [(["map", "--color-by", "plate"], "plate"), (["cluster", "--clusters", "2", "--labels", "plate"], "label")],
)
def test_names_and_labels_from_different_columns(run, arguments, column):
    pytest.importorskip("sklearn")
    command, *options = arguments
    table = run(command, "table.csv", *options, "--name-column", "code")
    assert table["name"].tolist() == TABLE["code"].tolist()
    assert table[column].tolist() == TABLE["plate"].tolist()
    assert table["id"].tolist() == TABLE["id"].tolist()
    assert list(table.columns).count("plate") == (column == "plate")


def test_label_that_does_not_exist(run, tiny_model):  # noqa: ARG001 - runs in its folder
    result = CliRunner().invoke(
        app, ["cluster", "table.csv", "--labels", "plat", "--name-column", "code", "--model", str(tiny_model)]
    )
    assert result.exit_code == 2
    assert "--labels: no column 'plat' (did you mean 'plate'?)" in result.stderr


@pytest.mark.parametrize("command", ["map", "cluster --clusters 2", "neighbors --seeds CCO"])
def test_name_column(run, command):
    pytest.importorskip("sklearn")
    name, *options = command.split()
    table = run(name, "table.csv", *options, "--name-column", "code")
    expected = TABLE["code"].tolist()[name == "neighbors" :]  # the neighbors of ethanol are the others
    assert sorted(table["name"]) == expected


def test_score_of_a_path_equals_the_command(run):
    written = run("score", "table.csv", "--columns", "mw", model=None, device=None)
    table = score("table.csv", columns=["mw"], workers=0).molecules
    assert list(table.columns) == list(written.columns)
    assert table["plate"].tolist() == written["plate"].tolist() == TABLE["plate"].tolist()
    assert table["name"].tolist() == TABLE["id"].tolist()


def test_ray_reads_the_names_of_a_column(tmp_path):
    """The task that Ray runs for a file; a cluster is not needed for it."""
    pytest.importorskip("pyarrow")
    from molvae.screening import ray_backend

    TABLE.to_csv(tmp_path / "table.csv", index=False)
    (block,) = ray_backend._read_blocks(tmp_path / "table.csv", None, "code")
    rows = [ray_backend._row_from_dict(entry) for entry in block.to_pylist()]
    assert [row.name for row in rows if isinstance(row, Record)] == TABLE["code"].tolist()
