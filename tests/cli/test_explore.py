"""The commands that look into a latent space: each gives what Python gives, a picture, and its summary on stderr."""

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
        words = [*map(str, arguments), "--model", str(tiny_model), "--device", "cpu"]
        result = CliRunner().invoke(app, words)
        assert result.exit_code == code, result.output
        assert "Traceback" not in result.stderr
        return result

    return run


@pytest.fixture
def library(tmp_path):
    """A table with a column of classes and a row that is no molecule."""
    file = tmp_path / "library.csv"
    rows = [f"{smiles},{kind},{i}" for i, (smiles, kind) in enumerate(zip(SMALL, KINDS, strict=True))]
    file.write_text("\n".join(["structure,kind,value", *rows, "C1CC,chain,99"]) + "\n")
    return file


def _same(result, expected):
    written = pd.read_csv(io.StringIO(expected.to_csv(index=False)))
    pd.testing.assert_frame_equal(pd.read_csv(io.StringIO(result.stdout)), written, rtol=1e-6, check_dtype=False)


@pytest.mark.parametrize("command", ["interpolate", "traverse", "map", "cluster", "neighbors", "anomaly", "optimize"])
def test_help_and_python(command):
    text = " ".join(CliRunner().invoke(app, [command, "--help"]).stdout.split())
    assert "In Python" in text
    assert all(option in text for option in ("--model", "--output", "--image"))


def test_interpolate(molvae, tiny, tmp_path):
    picture = tmp_path / "path.png"
    result = molvae("interpolate", "CCCCO", "c1ccccc1N", "--steps", 12, "--path", "linear",
                    "--samples-per-latent", 2, "--random-seed", 3,
                    "--image", picture)  # fmt: skip
    expected = explore.interpolate(
        tiny, "CCCCO", "c1ccccc1N", steps=12, path="linear", samples_per_latent=2, random_state=3
    )
    _same(result, expected)
    assert result.stderr.splitlines() == expected.attrs["summary"]
    assert picture.stat().st_size > 3000


def test_traverse(molvae, tiny, library, tmp_path):
    picture = tmp_path / "grid.svg"
    result = molvae("traverse", "CCCCO", "--axes", "2,0", "--steps", 3, "--span", 5, "--image", picture)
    expected = explore.traverse(tiny, "CCCCO", axes=(2, 0), steps=3, span=5)
    table = pd.read_csv(io.StringIO(result.stdout)).fillna({"smiles": ""})
    pd.testing.assert_frame_equal(table, expected, check_dtype=False, rtol=1e-6)
    assert picture.stat().st_size > 3000
    along = molvae("traverse", "CCCCO", "--directions", "logp", "--reference", library, "--column", "structure",
                   "--steps", 3)  # fmt: skip
    assert "logp" in pd.read_csv(io.StringIO(along.stdout)).columns


def test_map(molvae, tiny, library, tmp_path):
    picture = tmp_path / "map.html"
    result = molvae("map", library, "--column", "structure", "--color-by", "kind", "--image", picture)
    color = pd.Series([*KINDS, "chain"], name="kind")
    _same(result, explore.latent_map(tiny, [*SMALL, "C1CC"], color_by=color))
    assert "library.csv, line 32: cannot read SMILES 'C1CC'" in result.stderr
    assert "30 of 31 molecules on the map" in result.stderr
    assert "plotly_hover" in picture.read_text()
    numbers = molvae("map", library, "--column", "structure", "--color-by", "value").stdout
    assert pd.read_csv(io.StringIO(numbers))["value"].tolist()[:3] == [0, 1, 2]
    assert "qed" in molvae("map", library, "--column", "structure", "--color-by", "qed").stdout


def test_cluster(molvae, tiny, library, tmp_path):
    picture = tmp_path / "clusters.png"
    result = molvae("cluster", library, "--column", "structure", "--clusters", 3, "--labels", "kind",
                    "--random-seed", 4, "--image", picture)  # fmt: skip
    expected = explore.cluster(tiny, [*SMALL, "C1CC"], n_clusters=3, labels=[*KINDS, "chain"], random_state=4)
    _same(result, expected)
    assert expected.attrs["summary"][0] in result.stderr
    assert "purity" in result.stderr
    assert picture.stat().st_size > 3000
    file = tmp_path / "clusters.parquet"
    molvae("cluster", library, "--column", "structure", "--labels", "kind", "--method", "agglomerative", "-o", file)
    assert list(pd.read_parquet(file)["label"]) == [*KINDS, "chain"]


def test_neighbors(molvae, tiny, library, tmp_path):
    seeds = tmp_path / "seeds.smi"
    seeds.write_text("CCO\nC1CC\n")
    picture = tmp_path / "near.png"
    result = molvae("neighbors", library, "--column", "structure", "--seeds", seeds, "--seeds", DRUGS["aspirin"],
                    "-n", 3, "--image", picture)  # fmt: skip
    _same(result, explore.neighbors(tiny, SMALL, ["CCO", DRUGS["aspirin"]], n=3))
    assert "line 2: cannot read SMILES 'C1CC'" in result.stderr
    assert picture.stat().st_size > 3000


def test_neighbors_keep_names(molvae, tmp_path):
    file = tmp_path / "library.smi"
    file.write_text("C1CC broken\n" + "".join(f"{smiles} compound {i}\n" for i, smiles in enumerate(SMALL)))
    table = pd.read_csv(io.StringIO(molvae("neighbors", file, "--seeds", "CCO", "-n", 4).stdout))
    assert table["name"].tolist() == [f"compound {SMALL.index(smiles)}" for smiles in table["smiles"]]


def test_anomaly_with_stored_reference(molvae, tiny, library, tmp_path):
    kept, picture = tmp_path / "usual.json", tmp_path / "odd.png"
    first = molvae("anomaly", DRUGS["morphine"], "CCO", "C1CC", "--reference", library, "--column", "structure",
                   "--save-reference", kept, "--image", picture)  # fmt: skip
    _same(first, explore.anomaly(tiny, [DRUGS["morphine"], "CCO", "C1CC"], reference=SMALL))
    assert "argument 3: cannot read SMILES" in first.stderr
    assert json.loads(kept.read_text())["n_molecules"] == 30
    assert picture.stat().st_size > 3000
    again = molvae("anomaly", DRUGS["morphine"], "CCO", "C1CC", "--reference", kept)
    assert again.stdout == first.stdout
    assert "percentile" not in molvae("anomaly", "CCO").stdout


def test_optimize(molvae, tiny, tmp_path):
    picture = tmp_path / "best.png"
    result = molvae("optimize", "CCCO", "C1CC", "--objective", "logp", "--filter", "similarity>=0.2",
                    "--filter", "mw<110", "--max-samples", 64, "--population", 16, "--noise-level", 0.7,
                    "--random-seed", 2, "--image", picture)  # fmt: skip
    plan = SearchStrategy(population_size=16, noise_level=0.7)
    expected = explore.optimize(
        tiny, "CCCO", "logp", filters=["similarity>=0.2", "mw<110"], max_samples=64, strategy=plan, random_state=2
    )
    _same(result, expected)
    assert "argument 2: cannot read SMILES 'C1CC'" in result.stderr
    assert expected.attrs["summary"][0] in result.stderr
    assert picture.stat().st_size > 3000


def test_optimize_user_function(molvae, tmp_path):
    file = tmp_path / "mine.py"
    file.write_text("def atoms(mol):\n    return mol.GetNumAtoms()\n")
    result = molvae("optimize", "CCCO", "--objective", f"{file}:atoms", "--target", 5, "--max-samples", 640)
    table = pd.read_csv(io.StringIO(result.stdout))
    assert table["score"][0] >= 5
    assert "best atoms" in result.stderr


def test_interrupted_search_writes_results(molvae, tiny, tmp_path, monkeypatch):
    """And ends as an interrupted command does; where it has found nothing, what stands at -o stays."""
    table, whole = tmp_path / "best.csv", optimization.run_generation
    generations = []

    def interrupted(*arguments):
        if len(generations) == 3:
            raise KeyboardInterrupt
        generations.append(whole(*arguments))

    monkeypatch.setattr(optimization, "run_generation", interrupted)
    arguments = ["optimize", "CCCO", "--objective", "logp", "--population", 16, "-o", table]
    result = molvae(*arguments, "--max-samples", 640, code=130)
    assert "molvae: interrupted" in result.stderr
    assert "48 samples" in result.stderr
    monkeypatch.setattr(optimization, "run_generation", whole)
    plan = SearchStrategy(population_size=16)
    expected = explore.optimize(tiny, "CCCO", "logp", max_samples=48, strategy=plan)
    assert pd.read_csv(table)["smiles"].tolist() == expected["smiles"].tolist() != []
    monkeypatch.setattr(optimization, "run_generation", interrupted)  # at once
    before = table.read_text()
    molvae(*arguments, code=130)
    assert table.read_text() == before


def test_optimize_without_result_exits_1(molvae):
    result = molvae("optimize", "CCO", "--filter", "mw>900", "--max-samples", 64, code=1)
    assert "0 feasible molecules" in result.stderr


def test_empty_table_is_written_without_image(molvae, tmp_path):
    table, picture = tmp_path / "none.csv", tmp_path / "none.png"
    result = molvae(
        "optimize", "CCO", "--filter", "mw>900", "--max-samples", 64, "-o", table, "--image", picture, code=1
    )
    assert ": 0 feasible molecules" in result.stderr
    assert f"{picture} is not written" in result.stderr
    assert table.read_text().startswith("seed,smiles,score")
    assert not picture.exists()


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
    stderr = molvae("neighbors", "C1CC", "C1CC", "[U]", "CCO", "--seeds", "CCC").stderr
    assert "1 neighbors of 1 seeds among 1 molecules; 3 rejected" in stderr


def test_smi_names_are_labels(molvae, tmp_path):
    file = tmp_path / "a.smi"
    file.write_text("".join(f"{smiles} {kind}\n" for smiles, kind in zip(SMALL, KINDS, strict=True)))
    for words in (["map", "--color-by", "kind"], ["cluster", "--labels", "kind"]):
        assert f"kind: using the names in {file}" in molvae(words[0], file, *words[1:]).stderr
    assert "which has no columns" not in molvae("map", file, "--color-by", "qed").stderr
    file.write_text("CCO\nCCN\nCCC\n")
    for words in (["map", "--color-by", "kind"], ["cluster", "--labels", "kind"]):
        rejected = molvae(words[0], file, *words[1:], code=2)
        assert f"{file} has no columns, and no names to use as kind" in rejected.stderr


def test_fit_checks_output_first(molvae, tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").touch()
    (tmp_path / "m.csv").write_text("smiles,y\nCCO,1\nCCN,2\n")
    monkeypatch.setattr("molvae.qsar.property_model.fit_property_model", lambda *_, **__: pytest.fail("work was done"))
    for place in (tmp_path / "mine", tmp_path / "m.csv"):
        result = molvae("fit", tmp_path / "m.csv", "--target", "y", "-o", place, code=2)
        assert f"{place} exists and does not contain model.json" in result.stderr


def test_invalid_reference_rows_are_reported(molvae, library):
    result = molvae("traverse", "CCCCO", "--directions", "principal", "--reference", library, "--column", "structure",
                    "--steps", 2)  # fmt: skip
    assert f"{library}, line {len(SMALL) + 2}: cannot read SMILES 'C1CC'" in result.stderr


@pytest.mark.parametrize(
    ("words", "message"),
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
        (["optimize", "CCO", "--target", "nan"], "target must be a number"),
        (["cluster", "CCO", "CCN", "CCC", "--clusters", "few"], "from 1 to 3 (the different molecules), got few"),
        (["anomaly", "CCO", "--save-reference", "u.json"], "give both"),
        (["optimize", "CCO", "--objective", "qde"], "did you mean 'qed'"),
        (["optimize", "CCO", "--noise-level", "0"], "noise_level must be above 0"),
    ],
)  # fmt: skip
def test_usage_errors(molvae, words, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert message in molvae(*words, code=2).stderr
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


def test_standardize_single_molecules(molvae):
    def of(*arguments):
        return pd.read_csv(io.StringIO(molvae(*arguments).stdout))

    few = ["--steps", 3]
    assert of("interpolate", "CCCCO.Cl", "CCO", *few, "--standardize").equals(of("interpolate", "CCCCO", "CCO", *few))
    assert of("traverse", "CCCCO.Cl", *few, "--standardize").equals(of("traverse", "CCCCO", *few))
    assert "--standardize" in molvae("traverse", "CCCCO.Cl", *few, code=2).stderr
    near = of("neighbors", "CCO.Cl", "CCCO", "--seeds", "CCCCO.Cl", "--standardize")
    assert near["smiles"].tolist() == ["CCCO", "CCO"]
    assert set(of("optimize", "CCCO.Cl", "--max-samples", 16, "--standardize")["seed"]) == {"CCCO"}


def test_optimize_named_score(molvae, tmp_path):
    """That is to be small, and keeps to a window."""
    (tmp_path / "mine.py").write_text("def weight(mol):\n    return mol.GetNumHeavyAtoms()\n")
    arguments = ["--score", f"{tmp_path / 'mine.py'}:weight", "--objective", "-weight", "--filter", "weight>2"]
    table = pd.read_csv(io.StringIO(molvae("optimize", "CCCCO", *arguments, "--max-samples", 128).stdout))
    assert (table["score"] == -table["weight"]).all()
    assert 2 < table["weight"].min() < 5
    assert table["score"].is_monotonic_decreasing


@pytest.mark.parametrize("more", [[], ["--standardize"]])
def test_file_is_not_a_molecule(molvae, library, more):
    for command in (["interpolate", library, "CCO"], ["traverse", library]):
        assert "cannot read SMILES" in molvae(*command, *more, code=2).stderr
