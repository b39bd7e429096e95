"""`molvae score`: tables, metrics on stdout, reports, invalid rows on stderr, and exit codes."""

from __future__ import annotations

import json
import re

import pandas as pd
import pytest
from molecules import DRUGS
from typer.testing import CliRunner

from molvae.cli.app import app
from molvae.data.readers import read_records
from molvae.metrics.score import score as score_in_python

SMILES = list(DRUGS.values())[:8]
ROWS = [*SMILES[:5], "C1CC", SMILES[0]]
TEXT_COLUMNS = {"smiles", "name", "error", "note", "canonical", "alerts", "scaffold", "nearest_neighbor", "flaws"}
COUNTS = {"hbd", "hba", "rings", "rotatable_bonds"}
BOOLEAN_COLUMNS = {"lipinski", "veber", "moses_filters", "plausible", "not_in_training", "scaffold_not_in_training"}


@pytest.fixture(autouse=True)
def _empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MOLVAE_DATA", str(tmp_path / "data"))


@pytest.fixture
def files(tmp_path):
    """Molecules to score, a training and a test set."""
    paths = [tmp_path / name for name in ("set.smi", "train.smi", "test.smi")]
    for path, smiles in zip(paths, (ROWS, SMILES[:3], SMILES[2:]), strict=True):
        path.write_text("".join(f"{text}\n" for text in smiles))
    return paths


def score(*arguments, code=0, stdin=None, fcd=False):
    options = ["--device", "cpu", "--workers", "1", *([] if fcd else ["--no-fcd"])]
    result = CliRunner().invoke(app, ["score", *map(str, arguments), *options], input=stdin)
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.stderr
    return result


def parse_json(text):
    """Parse strict JSON, without NaN and Infinity."""

    def fail(name):
        raise AssertionError(f"{name} is not valid JSON")

    return json.loads(text, parse_constant=fail)


def test_score_equals_python(files, tmp_path):
    molecules, train, test = files
    table, page, data = (tmp_path / "out" / name for name in ("rows.csv", "page.html", "set.json"))
    result = score(molecules, "--train", train, "--test", test, "-o", table, "--report", page)
    found = parse_json(result.stdout)
    expected = score_in_python(ROWS, train=train, test=test, fcd=False, workers=1, device="cpu")
    assert found == json.loads(expected.to_json())
    rows = pd.read_csv(table, keep_default_na=False)
    assert rows["smiles"].tolist() == ROWS
    assert list(rows.columns) == ["smiles", "name", *expected.molecules.columns[1:]]
    assert rows["canonical"].tolist() == expected.molecules["canonical"].tolist()
    assert rows["not_in_training"].tolist() == ["False"] * 3 + ["True"] * 2 + ["", "False"]
    text = page.read_text()
    assert "<svg" in text
    assert "C1CC" in text
    assert "GuacaMol" in text
    assert str(molecules) in text
    assert result.stderr.splitlines()[-1] == "7 read, 6 valid, 1 invalid, 5 distinct, 6 sampled, 2 novel"
    again = score(molecules, "--train", train, "--test", test, "--report", data)
    assert parse_json(data.read_text()) == parse_json(again.stdout) == found
    assert "computing" in result.stderr
    assert "computing" not in again.stderr


def test_score_without_references(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = score("CCO", "CCN", "--columns", "logp, rings")
    found = parse_json(result.stdout)
    assert set(found["metrics"]["Molecules"]) == {"mean logp", "mean rings"}
    assert found["counts"] == {"read": 2, "valid": 2, "invalid": 0, "distinct": 2, "sampled": 2}
    assert list(tmp_path.iterdir()) == []


def test_invalid_rows_are_reported(tmp_path):
    file = tmp_path / "rows.csv"
    file.write_text("name,smiles\na,CCO\nb,\nc,C1CC\nd\ne,CCN\n")
    result = score(file, "c1ccccc", "CCC", "--columns", "logp", "-o", tmp_path / "out.csv")
    reasons = result.stderr.splitlines()[:4]
    assert reasons[0] == f"{file}, line 3: the SMILES field is empty"
    assert reasons[1].startswith(f"{file}, line 4: cannot read SMILES 'C1CC': ring 1 opened")
    assert reasons[2].startswith(f"{file}, line 5: 1 fields")
    assert reasons[3].startswith("argument 2: cannot read SMILES 'c1ccccc'")
    table = pd.read_csv(tmp_path / "out.csv", keep_default_na=False)
    assert table["error"].astype(bool).tolist() == [False, True, True, True, False, True, False]
    assert parse_json(result.stdout)["counts"]["invalid"] == 4


def test_invalid_rows_in_later_chunks(tmp_path, monkeypatch):
    from molvae.metrics import scorer

    monkeypatch.setattr(scorer, "CHUNKS_PER_TABLE", 2)
    monkeypatch.setattr(scorer, "chunked", lambda rows, _: ([row] for row in rows))
    file = tmp_path / "rows.smi"
    file.write_text("".join("C1CC\n" if i % 3 == 0 else "CCO\n" for i in range(1, 12)))
    reported = [line for line in score(file, "--columns", "logp").stderr.splitlines() if "rows.smi" in line]
    assert [line.split(":")[0] for line in reported] == [f"{file}, line {i}" for i in (3, 6, 9)]


@pytest.mark.parametrize("text", ["CCO\nCCN\n", "smiles,x\nCCO,1\nCCN,2\n", "id;SMILES\n1;CCO\n2;CCN\n"])
def test_standard_input(text, tmp_path):
    result = score("-", "--columns", "logp", "-o", tmp_path / "out.csv", stdin=text)
    assert parse_json(result.stdout)["counts"]["valid"] == 2
    assert pd.read_csv(tmp_path / "out.csv")["canonical"].tolist() == ["CCO", "CCN"]


def test_names_are_kept(tmp_path):
    (tmp_path / "a.smi").write_text("# drugs\nCCO ethanol\n\nC1CC no ring\nCCN\n")
    score(tmp_path / "a.smi", "--columns", "logp", "-o", tmp_path / "out.csv")
    table = pd.read_csv(tmp_path / "out.csv", keep_default_na=False)
    assert table["name"].tolist() == ["ethanol", "no ring", ""]
    assert table["smiles"].tolist() == ["CCO", "C1CC", "CCN"]


# --- seeds, reports and scoring functions ---

ANALOGS = "smiles,seed\nCCCO,CCO\n,CCO\nC1CC,CCO\nCCCN,CCN\nCCC,C1CC\n"


def test_invalid_rows_count_for_their_seed(tmp_path):
    file, seeds = tmp_path / "analogs.csv", tmp_path / "seeds.csv"
    file.write_text(ANALOGS)
    report = tmp_path / "metrics.csv"
    result = score(file, "--seed-column", "seed", "--columns", "logp", "--per-seed", seeds, "--report", report)
    found = parse_json(result.stdout)
    metrics = pd.read_csv(report)
    assert set(metrics["section"]) == set(found["metrics"])
    assert metrics.loc[metrics["metric"] == "validity", "value"].tolist() == [0.5]
    table = pd.read_csv(seeds, keep_default_na=False)
    assert table["seed"].tolist() == ["CCO", "CCN", "C1CC"]
    assert table["proposed"].tolist() == [3, 1, 1]
    assert table["valid"].tolist() == [1, 1, ""] or table["valid"].tolist() == ["1", "1", ""]
    assert [row["proposed"] for row in found["seeds"]] == [3, 1, 1]
    assert found["metrics"]["Analogs"]["validity"] == 0.5
    assert "no training set: effective_novelty and usable count all molecules as novel" in found["notes"]
    assert any("whose analogs are excluded: 'C1CC': cannot read" in note for note in found["notes"])


def test_report_csv(tmp_path):
    file = tmp_path / "metrics.csv"
    found = parse_json(score("CCO", "CCN", "--columns", "logp", "--report", file).stdout)
    table = pd.read_csv(file)
    assert list(table.columns) == ["section", "metric", "value"]
    assert len(table) == sum(len(section) for section in found["metrics"].values())


def test_user_function_is_column_and_mean(tmp_path):
    (tmp_path / "rules.py").write_text("def atoms(mol):\n    return mol.GetNumAtoms()\n")
    result = score("CCO", "C1CC", "CCCC", "--columns", "logp", "--score", f"{tmp_path / 'rules.py'}:atoms",
                   "-o", tmp_path / "rows.csv")  # fmt: skip
    assert pd.read_csv(tmp_path / "rows.csv")["atoms"].fillna(-1).tolist() == [3, -1, 4]
    assert parse_json(result.stdout)["metrics"]["Molecules"]["mean atoms"] == 3.5


def test_invalid_reference_rows_are_counted(tmp_path):
    train = tmp_path / "train.smi"
    train.write_text("CCO\nC1CC\nCCN\n" + "C" * 6000 + "\n")
    for _ in range(2):  # computed, then read from the cache
        notes = parse_json(score("CCO", "CCC", "--train", train).stdout)["notes"]
        assert f"{train}: invalid rows skipped: 2" in notes


# --- formats ---


@pytest.mark.parametrize("order", [1, -1])
def test_parquet(files, tmp_path, monkeypatch, order):
    """With one row per table, the column types of the first table fit all, including invalid rows."""
    from molvae.metrics import scorer

    monkeypatch.setattr(scorer, "CHUNKS_PER_TABLE", 1)
    monkeypatch.setattr(scorer, "chunked", lambda rows, _: ([row] for row in rows))
    rows = ["C1CC", "CCO", *ROWS][::order]
    _, train, _ = files
    (tmp_path / "rows.smi").write_text("\n".join(rows))
    score(tmp_path / "rows.smi", "--train", train, "-o", tmp_path / "out.parquet")
    table = pd.read_parquet(tmp_path / "out.parquet")
    assert table["smiles"].tolist() == rows
    is_valid = (table["canonical"] != "").tolist()
    assert is_valid == [text != "C1CC" for text in rows]
    for name in table.columns:
        numbers = ("Int64" if name in COUNTS else "float64",)
        assert (table[name].dtype in numbers) == (name not in TEXT_COLUMNS | BOOLEAN_COLUMNS), name
    assert {value for name in BOOLEAN_COLUMNS for value in table[name].dropna()} == {True, False}
    assert table[sorted(BOOLEAN_COLUMNS - {"scaffold_not_in_training"})].notna().all(axis=1).tolist() == is_valid
    assert table["nearest_neighbor"].notna().tolist() == is_valid


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".sdf", ".smi"])
def test_output_file_is_read_back(files, tmp_path, suffix):
    molecules, train, _ = files
    file = tmp_path / f"out{suffix}"
    score(molecules, "--train", train, "--columns", "logp,scaffold,moses_filters", "-o", file)
    expected = ROWS if suffix in (".csv", ".parquet") else [text for text in ROWS if text != "C1CC"]
    assert [row.smiles for row in read_records(file)] == expected


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".html", ".sdf", ".smi"])
def test_input_without_rows(tmp_path, suffix):
    (tmp_path / "rows.csv").write_text("smiles\n")
    result = score(tmp_path / "rows.csv", "-o", tmp_path / f"out{suffix}", "--report", tmp_path / "page.html")
    assert parse_json(result.stdout)["counts"]["read"] == 0
    assert "no valid molecule" in (tmp_path / "page.html").read_text()
    if suffix == ".csv":
        assert (tmp_path / "out.csv").read_text().startswith("smiles,name,error,note,canonical,")
    if suffix == ".parquet":
        assert len(pd.read_parquet(tmp_path / "out.parquet")) == 0


def test_html_and_image_of_rows(files, tmp_path):
    molecules, train, _ = files
    score(molecules, "--train", train, "-o", tmp_path / "out.html")
    text = (tmp_path / "out.html").read_text()
    assert text.count("<svg") == len(ROWS) - 1
    assert ">nearest similarity</th>" in text
    assert re.search(r"<td[^>]*><bdi>yes<", text)
    assert not re.search(r"<td[^>]*>(<bdi>)?(nan|None)<", text)
    score(molecules, "-o", tmp_path / "out.png")
    assert (tmp_path / "out.png").read_bytes().startswith(b"\x89PNG")


# --- analogs ---


def test_score_reads_analogs_table(tiny_model, tmp_path):
    """`molvae score --seed-column seed` reads the output of `molvae analogs`."""
    analogs = tmp_path / "analogs.csv"
    arguments = ["analogs", "CCO", "c1ccccc1", "-n", "5", "-o", str(analogs), "--model", str(tiny_model)]
    assert CliRunner().invoke(app, [*arguments, "--device", "cpu"]).exit_code == 0
    expected = pd.read_csv(analogs)
    result = score(analogs, "--seed-column", "seed", "--columns", "logp", "-o", tmp_path / "out.csv")
    found = parse_json(result.stdout)
    assert found["metrics"]["Analogs"]["seeds"] == 2
    assert found["metrics"]["Analogs"]["validity"] == 1
    rows = pd.read_csv(tmp_path / "out.csv")
    assert rows["seed"].tolist() == expected["seed"].tolist()
    assert rows["smiles"].tolist() == expected["smiles"].tolist()
    assert rows["similarity"].tolist() == pytest.approx(expected["similarity"].tolist(), abs=1e-3)
    piped = score("-", "--seed-column", "seed", "--columns", "logp", stdin=analogs.read_text())
    assert parse_json(piped.stdout) == found
    page = tmp_path / "page.html"
    score(analogs, "--seed-column", "seed", "--rank-by", "similarity", "--report", page, "-o", tmp_path / "rows.html")
    assert "<h2>Seeds</h2>" in page.read_text()
    assert (tmp_path / "rows.html").read_text().count('<tr class="seed">') == 2


def test_seed_column_of_smi(tmp_path):
    (tmp_path / "a.smi").write_text("CCN CCO\nCCC CCO\nC1CC CCO\nCCF nonsense\n")
    found = parse_json(score(tmp_path / "a.smi", "--seed-column", "seed", "--columns", "logp").stdout)["metrics"][
        "Analogs"
    ]
    assert (found["seeds"], found["seeds_failed"], found["validity"]) == (1, 1, 2 / 3)


# --- exit codes ---


@pytest.mark.parametrize("arguments", [["C1CC"], ["C1CC", "c1ccccc"]])
def test_no_valid_row_exits_1_with_outputs(tmp_path, arguments):
    result = score(*arguments, "-o", tmp_path / "out.csv", "--report", tmp_path / "page.html", code=1)
    assert parse_json(result.stdout)["counts"]["valid"] == 0
    assert len(pd.read_csv(tmp_path / "out.csv")) == len(arguments)
    assert "ring 1 opened" in (tmp_path / "page.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["CCO", "--columns", "qid"], "did you mean 'qed'"),
        (["nowhere.smi"], "nowhere.smi"),
        (["CCO", "--train", "nowhere.smi"], "nowhere.smi"),
        (["CCO", "--test", "mosses"], "did you mean 'moses'"),
        (["CCO", "--train", "moses"], "molvae data fetch moses"),
        (["CCO", "--report", "page.txt"], "--report writes .html, .json or .csv, got page.txt"),
        (["CCO", "-o", "out.xyz"], "its suffix must be one of"),
        (["CCO", "-o", "out.csv", "--report", "out.csv"], "out.csv is given for two outputs"),
        (["CCO", "--score", "nowhere"], "--score: nowhere does not exist"),
        (["CCO", "-o", "/proc/1/mem/out.csv"], "cannot write /proc/1/mem/out.csv"),
        (["CCO", "--report", "page.html", "--rank-by", "qid"], "did you mean 'qed'"),
        (["CCO", "--report", "page.html", "--rank-by", "sa", "--columns", "logp"], "got 'sa'"),
        (["CCO", "--report", "page.html", "--rank-by", "nearest_similarity"], "got 'nearest_similarity'"),
        (["CCO", "--per-seed", "seeds.csv"], "--per-seed needs the column with the seeds"),
        (["CCO", "--device", "tpu9"], "cannot use the device 'tpu9'"),
    ],
)
def test_usage_errors(tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    options = ["--no-fcd", *([] if "--device" in arguments else ["--device", "cpu"])]
    result = CliRunner().invoke(app, ["score", *arguments, *options])
    assert result.exit_code == 2
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("molvae: ")
    assert message in line
    assert list(tmp_path.iterdir()) == []


def test_input_file_is_not_overwritten(files):
    before = files[0].read_text()
    result = score(files[0], "-o", files[0], code=2)
    assert f"{files[0]} is also an input" in result.stderr
    assert files[0].read_text() == before


def test_file_column_input_is_not_overwritten(tmp_path):
    known = tmp_path / "known.csv"
    known.write_text("smi\nCCO\n")
    result = score("CCN", "--train", f"{known}:smi", "-o", known, code=2)
    assert f"{known} is also an input" in result.stderr
    assert known.read_text() == "smi\nCCO\n"


@pytest.mark.parametrize("arguments", [[], ["CCO", "--sample-size", "1"], ["CCO", "--workers", "-1"]])
def test_usage_errors_of_typer(arguments):
    assert CliRunner().invoke(app, ["score", *arguments]).exit_code == 2


def test_unknown_column_writes_no_table(tmp_path):
    pd.DataFrame({"smiles": ["CCO"], "start": ["CCN"]}).to_csv(tmp_path / "rows.csv", index=False)
    for option in ("--column", "--seed-column"):
        result = score(tmp_path / "rows.csv", option, "nosuch", "-o", tmp_path / "out.csv", code=2)
        assert "has no column 'nosuch'" in result.stderr
    assert not (tmp_path / "out.csv").exists()


def test_reference_without_valid_rows(tmp_path):
    (tmp_path / "bad.smi").write_text("C1CC\n")
    result = score("CCO", "--train", tmp_path / "bad.smi", code=2)
    assert f"{tmp_path / 'bad.smi'} has no valid molecule (rows read: 1)" in result.stderr


def test_fcd_options(files, monkeypatch):
    """With a mock of the network, whose mean activations differ by 3."""
    import numpy as np

    from molvae.metrics import fcd

    def activations(smiles, **_):
        return fcd.ActivationStatistics(np.full(512, 3.0 if "CC(C)O" in list(smiles) else 0.0), np.eye(512), 2)

    monkeypatch.setattr(fcd, "activation_statistics", activations)
    arguments = ["CC(C)O", "CCN", "--test", files[2], "--columns", "logp"]
    for fcd_options, expected in (([], 512 * 9), (["--fcd"], 512 * 9), (["--no-fcd"], None)):
        metrics = parse_json(score(*arguments, *fcd_options, fcd=True).stdout)["metrics"]["MOSES"]
        assert metrics["FCD/Test"] == (expected and pytest.approx(expected))


def test_terminal_tables(files):
    """In a terminal, the metrics are shown as tables instead of JSON."""
    from molvae.cli import score as command

    scores = score_in_python(ROWS, test=files[2], fcd=False, workers=1, device="cpu")
    sections = dict(command._tables(scores))
    assert list(sections) == list(scores.metrics)
    cells = [list(column.cells) for column in sections["MOSES"].columns]
    assert cells[0] == list(scores.metrics["MOSES"])
    assert cells[1][0] == f"{6 / 7:.4f}"
    assert "–" in cells[1]
