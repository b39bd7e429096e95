"""Commands: options, tables on stdout, messages on stderr, files and exit codes."""

from __future__ import annotations

import io
import json
import re
import shutil
import warnings

import pandas as pd
import pytest
from tiny_vae import SMALL
from typer.testing import CliRunner

from molvae.cli.app import app
from molvae.data.readers import Record, read_records
from molvae.generation.options import ANALOG_COLUMNS
from molvae.generation.runner import SAMPLE_COLUMNS

COMMANDS = ["analogs", "sample", "encode", "decode", "reconstruct", "train", "info", "data"]


@pytest.fixture
def molvae(tiny_model):
    """Runs a command with the tiny model, and checks its exit code."""

    def run(*arguments, code=0, stdin=None, model=tiny_model):
        model_option = [] if model is None else ["--model", str(model), "--device", "cpu"]
        result = CliRunner().invoke(app, [*map(str, arguments), *model_option], input=stdin)
        assert result.exit_code == code, result.output
        assert "Traceback" not in result.stderr
        return result

    return run


def _table(result) -> pd.DataFrame:
    """The table on stdout; text columns keep their type if all values are empty."""
    types = {"error": str, "reconstruction": str, "note": str}
    return pd.read_csv(io.StringIO(result.stdout), dtype=types).fillna(dict.fromkeys(types, ""))


# --- help ---


@pytest.mark.parametrize("command", COMMANDS)
def test_help(molvae, command):
    assert command in molvae(command, "--help", model=None).stdout


def test_help_lists_all_commands(molvae):
    text = molvae("--help", model=None).stdout
    assert all(command in text for command in COMMANDS)
    assert molvae("--version", model=None).stdout.startswith("molvae ")


# --- analogs ---


def test_analogs_equal_python(molvae, tiny):
    result = molvae("analogs", "CCO", "c1ccccc1", "-n", 5, "--noise-level", 0.6, "--random-seed", 3)
    expected = tiny.analogs(["CCO", "c1ccccc1"], 5, noise_level=0.6, random_state=3)
    table = _table(result)
    assert tuple(table.columns) == ANALOG_COLUMNS
    pd.testing.assert_frame_equal(table, expected, check_dtype=False)
    assert result.stderr.splitlines()[-1] == "2 seeds: 2 used, 0 rejected; 10 molecules"


UNKNOWN = "CC(C)CC(=O)NCc1ccccc1"
"""A molecule outside the training set of the tiny model, which does not reconstruct it."""


def test_sampling_options_reach_python(molvae, tiny):
    result = molvae(
        "analogs", "CCO", "-n", 4, "--samples-per-latent", 2, "--temperature", 0.8, "--top-k", 5, "--top-p", 0.9,
        "--max-samples", 300, "--grammar",
    )  # fmt: skip
    expected = tiny.analogs(
        "CCO", 4, samples_per_latent=2, temperature=0.8, top_k=5, top_p=0.9, max_samples=300, grammar=True
    )
    pd.testing.assert_frame_equal(_table(result), expected, check_dtype=False)
    result = molvae("analogs", UNKNOWN, "-n", 4, "--no-optimize-latents", "--max-samples", 200)
    expected = tiny.analogs(UNKNOWN, 4, optimize_latents=False, max_samples=200)
    pd.testing.assert_frame_equal(_table(result), expected, check_dtype=False)
    assert not expected.equals(tiny.analogs(UNKNOWN, 4, max_samples=200))
    greedy = molvae("analogs", "CCO", "-n", 4, "--greedy", "--noise-level", 0.9, "--max-samples", 200)
    expected = tiny.analogs("CCO", 4, temperature=0.0, noise_level=0.9, max_samples=200)
    pd.testing.assert_frame_equal(_table(greedy), expected, check_dtype=False)


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        (["--similarity", "0.2:0.6"], {"similarity": (0.2, 0.6)}),
        (["--similarity", 0.4], {"similarity": 0.4}),
        (["--filter", "mw<90", "--filter", "logp -1:1.5"], {"filters": ["mw<90", "logp -1:1.5"]}),
        (["--include-smarts", "CO", "--include-smarts", "CCC", "--exclude-smarts", "N", "--exclude-smarts", "[Cl]"],
         {"include_smarts": ["CO", "CCC"], "exclude_smarts": ["N", "[Cl]"]}),
        (["--keep-scaffold", "--alerts", "pains, BRENK", "--exclude-training-set"],
         {"keep_scaffold": True, "alerts": ["PAINS", "BRENK"], "exclude_training_set": True}),
        (["--rank-by", "similarity - 0.2*tpsa", "--n-diverse", 3],
         {"rank_by": "similarity - 0.2*tpsa", "n_diverse": 3}),
        (["--rank-by", "-sa"], {"rank_by": "-sa"}),
        (["--core", "*CO"], {"core": "*CO"}),
    ],
)  # fmt: skip
def test_constraint_options_reach_python(molvae, tiny, arguments, options):
    result = molvae("analogs", "CC(C)CO", "-n", 15, "--max-samples", 300, *arguments)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = tiny.analogs("CC(C)CO", 15, max_samples=300, **options)
        plain = tiny.analogs("CC(C)CO", 15, max_samples=300)
    assert len(expected)
    pd.testing.assert_frame_equal(_table(result), expected, check_dtype=False)
    assert not expected.equals(plain)


def test_too_few_at_similarity_reports_needed_samples(molvae):
    result = molvae("analogs", "CCCO", "-n", 30, "--similarity", 0.4, "--max-samples", 400)
    assert "of 30 molecules from 400 samples" in result.stderr
    assert "would be needed" in result.stderr or "the last samples gave no molecules" in result.stderr


def test_rejections_per_filter_are_reported(molvae):
    result = molvae("analogs", "CCCO", "-n", 30, "--filter", "mw<20", "--max-samples", 200, code=1)
    assert re.search(r"candidates rejected \(\d+ mw<20", result.stderr)
    assert "weaker filters" in result.stderr
    options = ["--noise-level", 0.5, "--exclude-smarts", "N", "--max-samples", 200]
    assert re.search(r"\d+ without N", molvae("analogs", "CCCO", "-n", 300, *options).stderr)


@pytest.mark.parametrize("command", ["analogs", "encode", "reconstruct", "map", "anomaly"])
def test_input_file_is_not_overwritten(molvae, tmp_path, command):
    file = tmp_path / "molecules.csv"
    file.write_text("smiles\nCCO\nCCN\nCCC\n")
    result = molvae(command, file, "-o", file, code=2)
    assert "is also an input" in result.stderr
    assert file.read_text() == "smiles\nCCO\nCCN\nCCC\n"


@pytest.mark.parametrize("command", ["encode", "reconstruct"])
def test_no_rows_give_empty_table(molvae, tmp_path, command):
    file, table = tmp_path / "comments.smi", tmp_path / "out.parquet"
    file.write_text("# nothing here\n")
    molvae(command, file, "-o", table)
    restored = pd.read_parquet(table)
    assert len(restored) == 0
    assert {"smiles", "error"} <= set(restored.columns)


def test_failing_score_is_one_line(molvae, tmp_path):
    (tmp_path / "rules.py").write_text("def wrong(mol):\n    return len(mol)\n")
    result = molvae("analogs", "CCO", "-n", 20, "--score", f"{tmp_path / 'rules.py'}:wrong")
    assert len([line for line in result.stderr.splitlines() if "TypeError" in line]) == 1
    assert _table(result)["wrong"].isna().all()


def test_score_of_wrong_shape_is_a_usage_error(molvae, tmp_path):
    (tmp_path / "rules.py").write_text("def wrong(smiles):\n    return len(smiles)\n")
    result = molvae("analogs", "CCO", "-n", 5, "--score", f"{tmp_path / 'rules.py'}:wrong", code=2)
    assert "must return" in result.stderr


def test_invalid_rows_are_reported_and_counted(molvae, tmp_path):
    file = tmp_path / "library.smi"
    file.write_text("CCO ethanol\n\nC1CC broken\n[U] uranium\n")
    result = molvae("analogs", file, "c1ccccc", "CCN", "-n", 2)
    assert set(_table(result)["seed"]) == {"CCO", "CCN"}
    assert "library.smi, line 3: cannot read SMILES 'C1CC': ring 1 opened but not closed" in result.stderr
    assert "library.smi, line 4: SMILES [U]: the token '[U]'" in result.stderr
    assert "argument 2: cannot read SMILES 'c1ccccc'" in result.stderr
    assert result.stderr.splitlines()[-1] == "5 seeds: 2 used, 3 rejected; 4 molecules"


def test_inversion_steps_equal_python(molvae, tiny, tmp_path):
    molecules = ["CC(C)CCO", "Cc1ccc(O)cc1", "CCCC(C)N"]
    table = _table(molvae("reconstruct", *molecules, "--inversion-steps", 6))
    pd.testing.assert_frame_equal(table, tiny.reconstruct(molecules, inversion_steps=6), check_dtype=False)
    molvae("encode", *molecules, "-o", tmp_path / "z.parquet")
    table = _table(molvae("decode", tmp_path / "z.parquet", "--inversion-steps", 6)).fillna({"smiles": ""})
    table = table.drop(columns="input_note")  # the note of the encoded molecules, carried through
    pd.testing.assert_frame_equal(table, tiny.decode(tiny.encode(molecules), inversion_steps=6), rtol=1e-4)
    assert "must be 0 or more" in molvae("reconstruct", "CCO", "--inversion-steps", -1, code=2).stderr


@pytest.mark.parametrize("suffix", [".csv", ".smi", ".sdf", ".parquet"])
def test_output_file_is_read_back(molvae, tmp_path, suffix):
    file = tmp_path / "sub" / f"out{suffix}"
    result = molvae("analogs", "CCO", "CCN", "-n", 3, "-o", file)
    assert result.stdout == ""
    rows = list(read_records(file))
    assert len(rows) == 6
    assert all(isinstance(row, Record) for row in rows)
    again = molvae("reconstruct", file)
    assert _table(again)["smiles"].tolist() == [row.smiles for row in rows]


def test_html_and_image(molvae, tmp_path):
    molvae("analogs", "CCO", "-n", 3, "-o", tmp_path / "out.html", "--image", tmp_path / "grid.png")
    assert (tmp_path / "out.html").read_text().count("<svg") == 4
    assert (tmp_path / "grid.png").read_bytes().startswith(b"\x89PNG")
    molvae("analogs", "CCO", "-n", 3, "-o", tmp_path / "grid.svg")
    assert "<svg" in (tmp_path / "grid.svg").read_text()


@pytest.mark.parametrize("suffix", [".csv", ".smi", ".xlsx", ".parquet"])
def test_no_result_exits_1_and_writes_the_header(molvae, tmp_path, suffix):
    output = tmp_path / f"out{suffix}"
    result = molvae("analogs", "C1CC", "-n", 3, "-o", output, "--image", tmp_path / "a.png", code=1)
    assert "1 seed: 0 used, 1 rejected; 0 molecules" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == [output.name]
    if suffix == ".csv":
        assert output.read_text().startswith("seed,")
        assert len(output.read_text().splitlines()) == 1
    assert molvae("analogs", "C1CC", "-n", 3, "-o", tmp_path / "grid.svg", code=1)
    assert not (tmp_path / "grid.svg").exists()


def test_seed_names_are_kept(molvae, tmp_path):
    """A molecule may occur twice with different names, and invalid rows have names, too."""
    file = tmp_path / "seeds.csv"
    file.write_text('smiles,name\nCCO,"alcohol, plain"\nC1CC,broken\nCCN,amine\nCCO,again\n')
    table = _table(molvae("analogs", file, "-n", 3))
    plain = _table(molvae("analogs", "CCO", "CCN", "CCO", "-n", 3))
    assert table["name"].tolist() == [name for name in ("alcohol, plain", "amine", "again") for _ in range(3)]
    pd.testing.assert_frame_equal(table.drop(columns=["id", "name"]), plain.drop(columns="id"))
    assert table["id"].tolist()[::3] == ["alcohol, plain_a01", "amine_a01", "again_a01"]
    for command in ("encode", "reconstruct", "anomaly"):
        assert _table(molvae(command, file))["name"].tolist() == ["alcohol, plain", "broken", "amine", "again"]
        assert "name" not in _table(molvae(command, "CCO"))


def test_name_after_smiles_argument(molvae):
    assert set(_table(molvae("analogs", "CCO ethanol", "-n", 2))["seed"]) == {"CCO"}


def test_nearest_similarity_is_reported(molvae):
    result = molvae("analogs", "CCCO", "-n", 5, "--similarity", "0.97:0.99", "--max-samples", 200, code=1)
    assert re.search(r"highest similarity of \d+ molecules: 0\.\d\d", result.stderr)


def test_fewer_than_requested_is_reported(molvae):
    result = molvae("analogs", "CCO", "-n", 500, "--max-samples", 64)
    assert "of 500 molecules from 64 samples" in result.stderr


# --- standard input ---


@pytest.mark.parametrize(
    "text",
    [
        "CCO ethanol\nCCN\n",
        "smiles\nCCO\nCCN\n",
        "smiles,name\nCCO,ethanol\nCCN,\n",
        "id;SMILES\n1;CCO\n2;CCN\n",
        "seed,smiles,similarity\nCCCC,CCO,0.5\nCCCC,CCN,0.25\n",
        "# a comment\nCCO\n\nCCN",
    ],
)
def test_standard_input_lines_or_table(molvae, text):
    """Standard input may be a table, as written by another command."""
    assert _table(molvae("reconstruct", "-", stdin=text))["smiles"].tolist() == ["CCO", "CCN"]


def test_name_in_later_chunk(molvae, tmp_path, monkeypatch):
    monkeypatch.setattr("molvae.cli.row_commands.CHUNK", 2)
    (tmp_path / "a.smi").write_text("CCO\nCCC\nCCN amine\n")
    assert _table(molvae("reconstruct", tmp_path / "a.smi"))["name"].tolist()[2] == "amine"
    assert "name" not in _table(molvae("reconstruct", "CCO"))


def test_standard_input_column(molvae):
    result = molvae("reconstruct", "-", "--column", "structure_a", stdin="smiles,structure_a\nC,CCO\nC,CCN\n")
    assert _table(result)["smiles"].tolist() == ["CCO", "CCN"]
    result = molvae("reconstruct", "-", "--column", "b", stdin="smiles,a\nC,CCO\n", code=2)
    assert "has no column 'b'" in result.stderr


def test_empty_standard_input(molvae):
    assert "is empty" in molvae("reconstruct", "-", stdin="", code=2).stderr


# --- sample, encode, decode, reconstruct ---


def test_samples_equal_python(molvae, tiny):
    result = molvae("sample", "-n", 6, "--random-seed", 2)
    assert tuple(_table(result).columns) == SAMPLE_COLUMNS
    pd.testing.assert_frame_equal(_table(result), tiny.sample(6, random_state=2), check_dtype=False)
    assert result.stderr.startswith("prior: 6 of 6 molecules")


def test_encode_decode_round_trip(molvae, tiny, tmp_path):
    expected = tiny.reconstruct(SMALL)["reconstruction"].tolist()
    for suffix in (".csv", ".parquet"):
        molvae("encode", *SMALL, "-o", tmp_path / f"z{suffix}")
        result = molvae("decode", tmp_path / f"z{suffix}")
        assert _table(result)["smiles"].fillna("").tolist() == expected
    piped = molvae("encode", *SMALL).stdout
    assert _table(molvae("decode", "-", stdin=piped))["smiles"].fillna("").tolist() == expected


def test_decode_npy_array(molvae, tiny, tmp_path):
    import numpy as np

    np.save(tmp_path / "z.npy", tiny.encode(SMALL).filter(regex=r"^z\d").to_numpy())
    assert len(_table(molvae("decode", tmp_path / "z.npy"))) == len(SMALL)


@pytest.mark.parametrize("command", ["encode", "reconstruct"])
def test_invalid_rows_are_in_the_table(molvae, tmp_path, command):
    """Rows that cannot be parsed are kept in the table, with the reason."""
    file = tmp_path / "rows.csv"
    file.write_text("name,smiles\na,CCO\nb,\nc,C1CC\nd\ne,CCN\n")
    result = molvae(command, file)
    table = _table(result)
    assert table["error"].astype(bool).tolist() == [False, True, True, True, False]
    assert f"{file}, line 3: the SMILES field is empty" in result.stderr
    assert f"{file}, line 4: cannot read SMILES 'C1CC'" in result.stderr
    assert f"{file}, line 5: 1 fields" in result.stderr


def test_reconstruction_counts(molvae, tiny):
    expected = tiny.reconstruct(SMALL)
    exact, invalid = int(expected["exact"].sum()), int((expected["error"] != "").sum())
    assert molvae("reconstruct", *SMALL, "C1CC").stderr.splitlines()[-1] == (
        f"31 rows: {exact} exact, {30 - exact - invalid} another molecule, {invalid} no valid molecule, 1 invalid input"
    )


@pytest.mark.parametrize("command", ["encode", "reconstruct"])
def test_only_invalid_rows_exits_1(molvae, command):
    assert "ring 1 opened" in molvae(command, "C1CC", code=1).stdout


# --- info and data ---


def test_info(molvae, tiny_model, tiny_checkpoint):
    import json

    from molvae.checkpoint import describe

    text = molvae("info", tiny_model, model=None).stdout
    assert "name: tiny" in text
    assert "thirty small molecules" in text
    assert json.loads(molvae("info", tiny_model, "--json", model=None).stdout) == describe(tiny_checkpoint)
    assert molvae("info", model=None).stdout


def test_data(molvae):
    from molvae.data import datasets

    listed = molvae("data", "list", model=None).stdout
    assert [line.split("\t")[0] for line in listed.splitlines()] == datasets.list_datasets()
    text = molvae("data", "info", "moses", model=None).stdout
    assert "license:" in text
    assert "train" in text


def test_data_fetch_prints_the_files(molvae, monkeypatch, tmp_path):
    from molvae.data import datasets
    from molvae.errors import InputError

    def fetch(recipe, folder, progress):
        progress("downloading")
        return [folder / f"{recipe.name}.csv"]

    monkeypatch.setattr(datasets, "fetch_dataset", fetch)
    assert molvae("data", "fetch", "moses", "--folder", tmp_path, model=None).stdout == f"{tmp_path}/moses.csv\n"

    def fail(*_, **__):
        raise InputError("cannot fetch train.csv: no route to host")

    monkeypatch.setattr(datasets, "fetch_dataset", fail)
    assert "no route to host" in molvae("data", "fetch", "moses", code=1, model=None).stderr


# --- usage errors: one line, exit code 2 ---


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["analogs", "nowhere.smi"], "nowhere.smi does not exist"),
        (["analogs", "CCO", "--top-p", "0"], "--top-p: must be above 0"),
        (["analogs", "CCO", "--greedy", "--temperature", "2"], "give only one of them"),
        (
            ["analogs", "CCO", "--similarity", "0.5", "--noise-level", "0.3"],
            "either --noise-level or --similarity",
        ),
        (["analogs", "CCO", "--similarity", "0.7:0.5"], "got 0.7:0.5"),
        (["analogs", "CCO", "--similarity", "1"], "a median similarity of 1"),
        (["analogs", "CCO", "--similarity", "near"], "got 'near'"),
        (["analogs", "CCO", "--filter", "mw<500", "--filter", "logp=a"], "cannot read the filter 'logp=a'"),
        (["analogs", "CCO", "--filter", "lgp<5"], "did you mean 'logp'"),
        (["analogs", "CCO", "--filter", "logp 4:1"], "the range of the filter 'logp 4:1' is empty"),
        (["analogs", "CCO", "--include-smarts", "C("], "cannot read SMARTS 'C('"),
        (["analogs", "CCO", "--exclude-smarts", ""], "--exclude-smarts: must not be empty"),
        (["analogs", "CCO", "--core", "*C("], "cannot read the core '*C('"),
        (["analogs", "CCO", "--alerts", "pains,chembl"], "unknown set of alerts 'chembl'"),
        (["analogs", "CCO", "--rank-by", "qed sa"], "cannot read the ranking 'qed sa'"),
        (["analogs", "CCO", "--rank-by", "similarty"], "did you mean 'similarity'?"),
        (["analogs", "CCO", "-o", "out.xyz"], "its suffix must be one of"),
        (["analogs", "CCO", "--image", "out.csv"], "--image writes .png or .svg"),
        (["encode", "CCO", "-o", "out.smi"], "latents are written to .csv, .tsv, .csv.gz"),
        (["decode", "nowhere.csv"], "nowhere.csv does not exist"),
        (["decode", "CCO"], "unknown format"),
    ],
)
def test_usage_error_is_one_line(molvae, arguments, message):
    result = molvae(*arguments, code=2)
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("molvae: ")
    assert message in line


@pytest.mark.parametrize(
    "arguments",
    [
        ["analogs"],
        ["analogs", "CCO", "-n", "0"],
        ["analogs", "CCO", "--noise-level", "2"],
        ["analogs", "CCO", "--n-diverse", "-1"],
        ["sample", "--nothing"],
    ],
)
def test_usage_errors_of_typer(molvae, arguments):
    assert molvae(*arguments, code=2).stderr


def test_missing_model_and_dataset(molvae, tmp_path):
    assert "no model 'nothing'" in molvae("sample", model="nothing", code=2).stderr
    assert "no model 'nothing'" in molvae("info", "nothing", model=None, code=2).stderr
    assert "did you mean 'moses'" in molvae("data", "info", "mose", model=None, code=2).stderr
    (tmp_path / "config.json").write_text("{")
    assert "not JSON" in molvae("sample", model=tmp_path, code=1).stderr


def test_unknown_device(tiny_model):
    result = CliRunner().invoke(app, ["sample", "--model", str(tiny_model), "--device", "tpu9"])
    assert result.exit_code == 2
    assert "cannot use the device 'tpu9'" in result.stderr


def test_unreadable_latents(molvae, tmp_path):
    for name in ("z.csv", "z.parquet", "z.npy"):
        (tmp_path / name).write_bytes(b"")
        assert "cannot read latents" in molvae("decode", tmp_path / name, code=2).stderr
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    assert "z0 is missing" in molvae("decode", tmp_path / "other.csv", code=2).stderr


def test_sign_accepts_an_edited_model(molvae, tiny_model, tmp_path):
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    config["defaults"]["temperature"] = 0.5
    (folder / "config.json").write_text(json.dumps(config))
    assert f"molvae sign {folder}" in molvae("info", folder, model=None, code=1).stderr
    molvae("sign", folder, model=None)
    assert json.loads(molvae("info", folder, "--json", model=None).stdout)["defaults"]["temperature"] == 0.5
    assert "neither config.json nor model.json" in molvae("sign", tmp_path, model=None, code=2).stderr
