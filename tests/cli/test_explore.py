"""Commands that explore a latent space: the same tables as in Python, images, summaries and exit codes."""

from __future__ import annotations

import io
import json

import pandas as pd
import pytest
from molecules import DRUGS
from tiny_vae import SMALL
from typer.testing import CliRunner

from molvae import explore
from molvae.chem.smiles import canonical
from molvae.cli.app import app
from molvae.errors import InputError
from molvae.explore import optimization
from molvae.explore.latent_search import SearchStrategy

KINDS = ["ring" if "1" in smiles else "chain" for smiles in SMALL]


@pytest.fixture
def molvae(tiny_model):
    """Runs a command with the tiny model, and checks its exit code."""

    def run(*arguments, code=0):
        command = [*map(str, arguments), "--model", str(tiny_model), "--device", "cpu"]
        result = CliRunner().invoke(app, command)
        assert result.exit_code == code, result.output
        assert "Traceback" not in result.stderr
        return result

    return run


@pytest.fixture
def library(tmp_path):
    """A table with a column of classes and an invalid row."""
    file = tmp_path / "library.csv"
    rows = [f"{smiles},{kind},{i}" for i, (smiles, kind) in enumerate(zip(SMALL, KINDS, strict=True))]
    file.write_text("\n".join(["structure,kind,value", *rows, "C1CC,chain,99"]) + "\n")
    return file


def _assert_same(result, expected):
    """The table on stdout equals a table from Python, after a round trip through CSV."""
    expected = pd.read_csv(io.StringIO(expected.to_csv(index=False)))
    pd.testing.assert_frame_equal(pd.read_csv(io.StringIO(result.stdout)), expected, rtol=1e-6, check_dtype=False)


@pytest.mark.parametrize("command", ["interpolate", "traverse", "map", "cluster", "neighbors", "anomaly", "optimize"])
def test_help(command):
    text = " ".join(CliRunner().invoke(app, [command, "--help"]).stdout.split())
    assert "In Python" in text
    assert all(option in text for option in ("--model", "--output", "--image"))


def test_interpolate(molvae, tiny, tmp_path):
    image = tmp_path / "path.png"
    result = molvae("interpolate", "CCCCO", "c1ccccc1N", "--steps", 12, "--path", "linear",
                    "--samples-per-latent", 2, "--random-seed", 3,
                    "--image", image)  # fmt: skip
    expected = explore.interpolate(
        tiny, "CCCCO", "c1ccccc1N", steps=12, path="linear", samples_per_latent=2, random_state=3
    )
    _assert_same(result, expected)
    assert result.stderr.splitlines() == expected.attrs["summary"]
    assert image.stat().st_size > 3000


def test_traverse(molvae, tiny, library, tmp_path):
    image = tmp_path / "grid.svg"
    result = molvae("traverse", "CCCCO", "--axes", "2,0", "--steps", 3, "--span", 5, "--image", image)
    expected = explore.traverse(tiny, "CCCCO", axes=(2, 0), steps=3, span=5)
    table = pd.read_csv(io.StringIO(result.stdout)).fillna({"smiles": ""})
    pd.testing.assert_frame_equal(table, expected, check_dtype=False, rtol=1e-6)
    assert image.stat().st_size > 3000
    result = molvae("traverse", "CCCCO", "--directions", "logp", "--reference", library, "--column", "structure",
                   "--steps", 3)  # fmt: skip
    assert "logp" in pd.read_csv(io.StringIO(result.stdout)).columns


def test_map(molvae, tiny, library, tmp_path):
    image = tmp_path / "map.html"
    result = molvae("map", library, "--column", "structure", "--color-by", "kind", "--image", image)
    color = pd.Series([*KINDS, "chain"], name="kind")
    expected = explore.latent_map(tiny, [*SMALL, "C1CC"], color_by=color)
    _assert_same(result, expected.assign(value=pd.read_csv(library)["value"]))
    assert "library.csv, line 32: cannot read SMILES 'C1CC'" in result.stderr
    assert "30 of 31 molecules on the map" in result.stderr
    assert "plotly_hover" in image.read_text()
    numbers = molvae("map", library, "--column", "structure", "--color-by", "value").stdout
    assert pd.read_csv(io.StringIO(numbers))["value"].tolist()[:3] == [0, 1, 2]
    assert "qed" in molvae("map", library, "--column", "structure", "--color-by", "qed").stdout


def test_cluster(molvae, tiny, library, tmp_path):
    image = tmp_path / "clusters.png"
    result = molvae("cluster", library, "--column", "structure", "--clusters", 3, "--labels", "kind",
                    "--random-seed", 4, "--image", image)  # fmt: skip
    expected = explore.cluster(tiny, [*SMALL, "C1CC"], n_clusters=3, labels=[*KINDS, "chain"], random_state=4)
    _assert_same(result, expected.assign(value=pd.read_csv(library)["value"]))
    assert expected.attrs["summary"][0] in result.stderr
    assert "purity" in result.stderr
    assert image.stat().st_size > 3000
    file = tmp_path / "clusters.parquet"
    molvae("cluster", library, "--column", "structure", "--labels", "kind", "--method", "agglomerative", "-o", file)
    assert list(pd.read_parquet(file)["label"]) == [*KINDS, "chain"]


def test_neighbors(molvae, tiny, library, tmp_path):
    seeds = tmp_path / "seeds.smi"
    seeds.write_text("CCO\nC1CC\n")
    image = tmp_path / "near.png"
    result = molvae("neighbors", library, "--column", "structure", "--seeds", seeds, "--seeds", DRUGS["aspirin"],
                    "-n", 3, "--image", image)  # fmt: skip
    _assert_same(result, explore.neighbors(tiny, SMALL, ["CCO", DRUGS["aspirin"]], n=3))
    assert "line 2: cannot read SMILES 'C1CC'" in result.stderr
    assert image.stat().st_size > 3000


def test_neighbors_keep_names(molvae, tmp_path):
    file = tmp_path / "library.smi"
    file.write_text("C1CC broken\n" + "".join(f"{smiles} compound {i}\n" for i, smiles in enumerate(SMALL)))
    table = pd.read_csv(io.StringIO(molvae("neighbors", file, "--seeds", "CCO", "-n", 4).stdout))
    assert table["name"].tolist() == [f"compound {SMALL.index(smiles)}" for smiles in table["smiles"]]


def test_anomaly_with_stored_reference(molvae, tiny, library, tmp_path):
    reference, image = tmp_path / "reference.json", tmp_path / "anomalies.png"
    first = molvae("anomaly", DRUGS["morphine"], "CCO", "C1CC", "--reference", library, "--column", "structure",
                   "--save-reference", reference, "--image", image)  # fmt: skip
    _assert_same(first, explore.anomaly(tiny, [DRUGS["morphine"], "CCO", "C1CC"], reference=SMALL))
    assert "argument 3: cannot read SMILES" in first.stderr
    assert json.loads(reference.read_text())["n_molecules"] == 30
    assert image.stat().st_size > 3000
    again = molvae("anomaly", DRUGS["morphine"], "CCO", "C1CC", "--reference", reference)
    assert again.stdout == first.stdout
    assert "percentile" not in molvae("anomaly", "CCO").stdout


def test_optimize(molvae, tiny, tmp_path):
    image = tmp_path / "best.png"
    result = molvae("optimize", "CCCO", "C1CC", "--objective", "logp", "--filter", "similarity>=0.2",
                    "--filter", "mw<110", "--max-samples", 64, "--population", 16, "--noise-level", 0.7,
                    "--random-seed", 2, "--image", image)  # fmt: skip
    strategy = SearchStrategy(population_size=16, noise_level=0.7)
    expected = explore.optimize(
        tiny, "CCCO", "logp", filters=["similarity>=0.2", "mw<110"], max_samples=64, strategy=strategy, random_state=2
    )
    _assert_same(result, expected)
    assert "argument 2: cannot read SMILES 'C1CC'" in result.stderr
    assert expected.attrs["summary"][0] in result.stderr
    assert image.stat().st_size > 3000


def test_optimize_user_function(molvae, tmp_path):
    file = tmp_path / "mine.py"
    file.write_text("def atoms(mol):\n    return mol.GetNumAtoms()\n")
    result = molvae("optimize", "CCCO", "--objective", f"{file}:atoms", "--target", 5, "--max-samples", 640)
    table = pd.read_csv(io.StringIO(result.stdout))
    assert table["score"][0] >= 5
    assert "best atoms" in result.stderr


def test_interrupted_search_writes_results(molvae, tiny, tmp_path, monkeypatch):
    """Ctrl+C keeps the molecules found so far; without any, an existing output file is kept."""
    table, run_generation = tmp_path / "best.csv", optimization.run_generation
    generations = []

    def interrupted(*arguments):
        if len(generations) == 3:
            raise KeyboardInterrupt
        generations.append(run_generation(*arguments))

    monkeypatch.setattr(optimization, "run_generation", interrupted)
    arguments = ["optimize", "CCCO", "--objective", "logp", "--population", 16, "-o", table]
    result = molvae(*arguments, "--max-samples", 640, code=130)
    assert "molvae: interrupted" in result.stderr
    assert " 48 samples " in result.stderr
    monkeypatch.setattr(optimization, "run_generation", run_generation)
    strategy = SearchStrategy(population_size=16)
    expected = explore.optimize(tiny, "CCCO", "logp", max_samples=48, strategy=strategy)
    assert pd.read_csv(table)["smiles"].tolist() == expected["smiles"].tolist() != []
    monkeypatch.setattr(optimization, "run_generation", interrupted)  # interrupts the first generation
    before = table.read_text()
    molvae(*arguments, code=130)
    assert table.read_text() == before


def test_optimize_without_result_exits_1(molvae):
    result = molvae("optimize", "CCO", "--filter", "mw>900", "--max-samples", 64, code=1)
    assert "0 feasible molecules" in result.stderr


def test_empty_table_is_written_without_image(molvae, tmp_path):
    table, image = tmp_path / "none.csv", tmp_path / "none.png"
    result = molvae("optimize", "CCO", "--filter", "mw>900", "--max-samples", 64, "-o", table, "--image", image, code=1)
    assert ": 0 feasible molecules" in result.stderr
    assert f"{image} is not written" in result.stderr
    assert table.read_text().startswith("seed,smiles,score")
    assert not image.exists()


def test_failing_image_keeps_table(molvae, tmp_path, monkeypatch):
    def fail(*_):
        raise InputError("the disk is full")

    monkeypatch.setattr("molvae.explore.nearest_neighbors.draw_neighbors", fail)
    table = tmp_path / "near.csv"
    result = molvae("neighbors", "CCO", "CCN", "--seeds", "CCC", "-o", table, "--image", tmp_path / "a.png", code=2)
    assert "the disk is full" in result.stderr
    assert len(pd.read_csv(table)) == 2


def test_only_invalid_molecules_exits_1(molvae, tmp_path):
    assert "C1CC" in molvae("anomaly", "C1CC", code=1).stdout
    assert "is not written" in molvae("anomaly", "C1CC", "--image", tmp_path / "none.png", code=1).stderr
    assert "0 neighbors" in molvae("neighbors", "C1CC", "--seeds", "CCC", code=1).stderr
    result = molvae("neighbors", "C1CC", "C1CC", "[U]", "CCO", "--seeds", "CCC")
    assert "1 neighbors of 1 seeds among 1 molecules; 3 rejected" in result.stderr


def test_smi_names_are_labels(molvae, tmp_path):
    file = tmp_path / "a.smi"
    file.write_text("".join(f"{smiles} {kind}\n" for smiles, kind in zip(SMALL, KINDS, strict=True)))
    for command, *options in (["map", "--color-by", "kind"], ["cluster", "--labels", "kind"]):
        assert f"kind: using the names in {file}" in molvae(command, file, *options).stderr
    assert "which has no columns" not in molvae("map", file, "--color-by", "qed").stderr
    file.write_text("CCO\nCCN\nCCC\n")
    for command, *options in (["map", "--color-by", "kind"], ["cluster", "--labels", "kind"]):
        result = molvae(command, file, *options, code=2)
        assert f"{file} has no columns, and no names to use as kind" in result.stderr


def test_fit_checks_output_first(molvae, tmp_path, monkeypatch):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").touch()
    (tmp_path / "m.csv").write_text("smiles,y\nCCO,1\nCCN,2\n")
    monkeypatch.setattr(
        "molvae.qsar.property_model.fit_property_model", lambda *_, **__: pytest.fail("the model was fitted")
    )
    for output in (tmp_path / "other", tmp_path / "m.csv"):
        result = molvae("fit", tmp_path / "m.csv", "--target", "y", "-o", output, code=2)
        assert f"{output} exists and " in result.stderr


def test_invalid_reference_rows_are_reported(molvae, library):
    result = molvae("traverse", "CCCCO", "--directions", "principal", "--reference", library, "--column", "structure",
                    "--steps", 2)  # fmt: skip
    assert f"{library}, line {len(SMALL) + 2}: cannot read SMILES 'C1CC'" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["interpolate", "CCO", "C1CC"], "ring 1 opened but not closed"),
        (["interpolate", "CCO", "CCN", "--image", "a.gif"], "--image writes .png or .svg, got a.gif"),
        (["traverse", "CCO", "--axes", "one"], "--axes takes two integers such as 0,1, got 'one'"),
        (["map", "CCO", "CCN", "CCC", "--image", "a.pdf"], ".png or .svg or .html, got a.pdf"),
        (["map", "CCO", "C1CC"], "at least 3 different molecules are needed, got 1: 1 of 2 could be encoded; "
         "'C1CC': cannot read"),
        (["map", "CCO", "CCO", "OCC"], "at least 3 different molecules are needed, got 1"),
        (["map", "CCO", "CCN", "CCC", "--color-by", "logq"], "'logq' is neither a column with values nor a property"),
        (["traverse", "CCO", "--reference", "nowhere.smi"], "nowhere.smi does not exist"),
        (["map", "CCO", "CCN", "CCC", "-o", "a.png", "--image", "a.png"], "a.png is given for two outputs"),
        (["anomaly", "CCO", "--reference", "r.smi", "--save-reference", "u.txt"], "--save-reference writes a .json"),
        (["optimize", "CCO", "--target", "nan"], "--target: must be a finite number"),
        (["cluster", "CCO", "CCN", "CCC", "--clusters", "few"], "a whole number of 1 or more, got 'few'"),
        (["anomaly", "CCO", "--save-reference", "u.json"], "give both"),
        (["optimize", "CCO", "--objective", "qde"], "did you mean 'qed'"),
        (["optimize", "CCO", "--noise-level", "0"], "noise_level must be above 0"),
    ],
)  # fmt: skip
def test_usage_errors(molvae, arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert message in molvae(*arguments, code=2).stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("command", ["map", "cluster", "anomaly"])
def test_standardize_keeps_names(molvae, command, tmp_path):
    file = tmp_path / "some.smi"
    file.write_text("\n".join([f"{smiles}.Cl salt {i}" for i, smiles in enumerate(SMALL)] + ["C1CC broken"]) + "\n")
    table = pd.read_csv(io.StringIO(molvae(command, file, "--standardize").stdout))
    names = [f"salt {i}" for i in range(len(SMALL))]
    assert table["smiles"].tolist() == [*map(canonical, SMALL), "C1CC"]
    assert table["name"].tolist() == [*names, "broken"]
    assert table["error"].notna().tolist() == [False] * len(SMALL) + [True]


def test_salts_of_single_molecules_are_stripped(molvae):
    def table(*arguments):
        return pd.read_csv(io.StringIO(molvae(*arguments).stdout))

    steps = ["--steps", 3]
    assert table("interpolate", "CCCCO.Cl", "CCO", *steps).equals(table("interpolate", "CCCCO", "CCO", *steps))
    assert table("traverse", "CCCCO.Cl", *steps, "--standardize").equals(table("traverse", "CCCCO", *steps))
    assert "CCCCO.Cl: salt removed: Cl" in molvae("traverse", "CCCCO.Cl", *steps).stderr
    assert "This is a salt or mixture" in molvae("traverse", "CCCCO.Cl", *steps, "--keep-salts", code=2).stderr
    neighbors = table("neighbors", "CCO.Cl", "CCCO", "--seeds", "CCCCO.Cl")
    assert neighbors["smiles"].tolist() == ["CCCO", "CCO.Cl"]
    assert set(table("optimize", "CCCO.Cl", "--max-samples", 16)["seed"]) == {"CCCO.Cl"}


def test_optimize_named_score(molvae, tmp_path):
    """A score of the user is minimized within a filter."""
    (tmp_path / "mine.py").write_text("def weight(mol):\n    return mol.GetNumHeavyAtoms()\n")
    arguments = ["--score", f"{tmp_path / 'mine.py'}:weight", "--objective", "-weight", "--filter", "weight>2"]
    table = pd.read_csv(io.StringIO(molvae("optimize", "CCCCO", *arguments, "--max-samples", 128).stdout))
    assert (table["score"] == -table["weight"]).all()
    assert 2 < table["weight"].min() < 5
    assert table["score"].is_monotonic_decreasing


@pytest.mark.parametrize("options", [[], ["--standardize"]])
def test_file_instead_of_a_molecule(molvae, library, options):
    for command in (["interpolate", library, "CCO"], ["traverse", library]):
        assert "cannot read SMILES" in molvae(*command, *options, code=2).stderr
