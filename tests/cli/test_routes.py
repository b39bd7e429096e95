"""`molvae routes` and `molvae stock`: tables, pictures, rows that cannot be used, resuming, and bad files."""

from io import StringIO

import pandas as pd
import pytest
from typer.testing import CliRunner

import molvae as package
from molvae.cli.app import app
from molvae.synthesis.stock import MoleculeStock

AMIDE = "O=C(NCc1ccccc1)c1ccc(-c2cccnc2)cc1"


@pytest.fixture
def molvae():
    """Run a command in this process."""

    def run(*arguments):
        return CliRunner().invoke(app, list(map(str, arguments)))

    return run


@pytest.fixture
def blocks(tmp_path):
    path = tmp_path / "blocks.csv"
    path.write_text(
        "smiles,id,price\nNCc1ccccc1.Cl,B1,12\nO=C(O)c1ccc(Br)cc1,B2,7\nOB(O)c1cccnc1,B3,30\nC1CC,B4,1\nBrc1cccnc1,B5,3\n"
        "COC(=O)c1ccc(B(O)O)cc1,B6,9\nO=C(O)c1ccc(-c2cccnc2)cc1,B7,99\n"
    )
    return path


@pytest.fixture
def stock(molvae, blocks, tmp_path):
    result = molvae("stock", "build", blocks, "-o", tmp_path / "own.stock", "--workers", 0)
    assert result.exit_code == 0
    assert "7 read: 6 accepted, 0 duplicate, 1 invalid" in result.stderr
    assert "blocks.csv, line 5: cannot read SMILES 'C1CC'" in result.stderr
    return tmp_path / "own.stock"


def test_table(molvae, stock, tmp_path):
    molecules = tmp_path / "in.csv"
    molecules.write_text(f"smiles,name,project\n{AMIDE},a,X\nC1CC,b,Y\nNCc1ccccc1,c,Z\nC1CCC2CCC2C1,d,W\n")
    result = molvae("routes", molecules, "--stock", stock, "-o", tmp_path / "out.csv", "--workers", 0)
    assert result.exit_code == 0
    table = pd.read_csv(tmp_path / "out.csv", keep_default_na=False)
    assert list(dict.fromkeys(table["name"])) == ["a", "b", "c", "d"]
    assert set(table["project"]) == set("XYZW")
    first = table.iloc[0]
    assert (first["route_number"], first["n_steps"], first["stereo"]) == ("1", "1", "kept")
    assert first["building_blocks"] == "O=C(O)c1ccc(-c2cccnc2)cc1.NCc1ccccc1"
    assert (first["block_name"], first["block_price"]) == ("B7; B1", "99; 12")
    rows = table.set_index("name")
    assert rows.loc["b", "error"].startswith("cannot read SMILES 'C1CC'")
    assert (rows.loc["c", "n_steps"], rows.loc["c", "route"]) == ("0", "")
    assert (rows.loc["d", "n_steps"], rows.loc["d", "search"]) == ("", "exhausted")
    assert "in.csv, line 3: cannot read" in result.stderr
    assert "4 rows: 2 with a route (1 in 0, 1 in 1 steps), 1 without, 1 invalid" in result.stderr


def test_the_same_as_in_python(molvae, stock):
    result = molvae("routes", AMIDE, "--stock", stock, "-n", 2, "--max-steps", 2, "--workers", 0)
    table = package.routes(AMIDE, stock=stock, n_routes=2, max_steps=2, workers=0)
    whole = pd.read_csv(StringIO(result.stdout), keep_default_na=False)
    expected = pd.read_csv(StringIO(table.to_csv(index=False)), keep_default_na=False)
    pd.testing.assert_frame_equal(whole, expected, check_dtype=False)
    assert len(table) == 2


def test_rows_do_not_depend_on_workers(molvae, stock, tmp_path):
    for workers in (0, 2):
        molvae(
            "routes",
            AMIDE,
            "CCO",
            "C1CC",
            AMIDE,
            "--stock",
            stock,
            "-o",
            tmp_path / f"{workers}.csv",
            "--workers",
            workers,
        )
    assert (tmp_path / "0.csv").read_bytes() == (tmp_path / "2.csv").read_bytes()


@pytest.mark.parametrize("suffix", [".svg", ".png"])
def test_picture(molvae, stock, tmp_path, suffix):
    image = tmp_path / f"routes{suffix}"
    assert molvae("routes", AMIDE, "--stock", stock, "--image", image, "--workers", 0).exit_code == 0
    content = image.read_bytes()
    assert content.startswith(b"<?xml" if suffix == ".svg" else b"\x89PNG")
    if suffix == ".svg":
        text = content.decode()
        assert text.count("building block") >= 2
        assert "amide coupling" in text
        assert "route 1" in text


def test_no_routes_no_picture(molvae, stock, tmp_path):
    result = molvae("routes", "C1CCC2CCC2C1", "--stock", stock, "--image", tmp_path / "a.svg", "--workers", 0)
    assert result.exit_code == 0
    assert "a.svg is not written: there are no routes to draw" in result.stderr
    assert not (tmp_path / "a.svg").exists()


def test_default_stock_is_said_to_be_an_estimate(molvae):
    result = molvae("routes", "CC(=O)Nc1ccc(O)cc1", "--workers", 0)
    assert "stock: an estimate" in result.stderr
    assert "amide coupling: CC(=O)O.Nc1ccc(O)cc1>>CC(=O)Nc1ccc(O)cc1" in result.stdout


def test_zinc_stock_says_what_it_accepts(molvae):
    result = molvae("routes", "CC(=O)Nc1ccc(O)cc1", "--stock", "zinc", "--max-steps", 1, "--workers", 0)
    assert "accepts about 7 % of other molecules" in result.stderr


def test_interrupted_run_resumes(molvae, stock, tmp_path, monkeypatch):
    """The second run has the rows of the first one from its folder, and the output of an undisturbed run."""
    from molvae.cli import routes as command
    from molvae.synthesis.planning import RoutePlanner

    monkeypatch.setattr(command, "ROWS_PER_TABLE", 1)
    arguments = ["routes", AMIDE, "C1CC", "CCO", AMIDE, "--stock", stock, "--workers", 0]
    molvae(*arguments, "-o", tmp_path / "whole.csv")
    plan, calls = RoutePlanner.plan, []

    def interrupted(self, smiles):
        calls.append(smiles)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return plan(self, smiles)

    monkeypatch.setattr(RoutePlanner, "plan", interrupted)
    result = molvae(*arguments, "-o", tmp_path / "out.csv")
    assert result.exit_code == 130
    assert not (tmp_path / "out.csv").exists()
    result = molvae(*arguments, "-o", tmp_path / "out.csv")
    assert "resuming after 2" in result.stderr
    assert (tmp_path / "out.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()
    assert calls[3:] == ["CCO", AMIDE]
    assert "4 rows: 2 with a route" in result.stderr


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[[reaction]]\nname = 'a'\n", "reaction 'a': 'class' is missing"),
        ("nothing = 1\n", "no reactions"),
    ],
)
def test_bad_reactions(molvae, tmp_path, content, message):
    path = tmp_path / "own.toml"
    path.write_text(content)
    result = molvae("routes", "CCO", "--reactions", path)
    assert result.exit_code == 2
    assert "--reactions" in result.stderr
    assert message in result.stderr


def test_own_reactions(molvae, stock, tmp_path):
    path = tmp_path / "own.toml"
    path.write_text(
        '[[reaction]]\nname = "only"\nclass = "x"\nreference = "y"\n'
        'forward = "[C:1](=[O:2])[OH].[N;!H0:3]>>[C:1](=[O:2])[N:3]"\n'
        'retro = "[C:1](=[O:2])-!@[N:3]>>[C:1](=[O:2])O.[N:3]"\n'
    )
    result = molvae("routes", AMIDE, "--stock", stock, "--reactions", path, "--workers", 0)
    assert ",only: " in result.stdout


def test_stock_without_molecules(molvae, tmp_path):
    (tmp_path / "empty.smi").write_text("C1CC\n")
    result = molvae("stock", "build", tmp_path / "empty.smi", "-o", tmp_path / "a.stock", "--workers", 0)
    assert result.exit_code == 2
    assert "no valid molecules" in result.stderr
    assert not (tmp_path / "a.stock").exists()


def test_stock_needs_its_suffix(molvae, blocks, tmp_path):
    result = molvae("stock", "build", blocks, "-o", tmp_path / "a.csv")
    assert (result.exit_code, "a stock is a .stock file" in result.stderr) == (2, True)


def test_stock_info(molvae, stock):
    assert molvae("stock", "info", stock).stdout == "own.stock, 6 building blocks\n"
    assert "an estimate" in molvae("stock", "info").stdout


def test_makeable_analogs(molvae, tmp_path):
    """Each has a route to the stock, which is verified by its own search."""
    out = tmp_path / "out.csv"
    result = molvae("analogs", AMIDE, "-n", 5, "--makeable", "--pool-size", 5, "-o", out)
    assert result.exit_code == 0, result.stderr
    table = pd.read_csv(out)
    assert len(table) == 5
    assert (table["n_steps"] <= 4).all()
    for route, smiles, blocks in zip(table["route"], table["smiles"], table["building_blocks"], strict=True):
        assert route.endswith(f">>{smiles}")
        assert set(blocks.split(".")) <= {
            text for step in route.split("; ") for text in step.split(": ")[1].split(">>")[0].split(".")
        }


def test_analogs_by_synthesis(molvae, tmp_path):
    out = tmp_path / "out.csv"
    result = molvae("analogs", AMIDE, "-n", 20, "--by-synthesis", "--similarity", "0.4:1", "-o", out)
    assert result.exit_code == 0, result.stderr
    table = pd.read_csv(out)
    assert len(table) == 20
    assert table["smiles"].is_unique
    assert table["similarity"].between(0.4, 1).all()
    assert table["n_steps"].between(1, 4).all()
    assert table["log_likelihood"].isna().all()
    assert all(route.endswith(f">>{smiles}") for route, smiles in zip(table["route"], table["smiles"], strict=True))


def test_by_synthesis_without_a_route(molvae):
    result = molvae("analogs", "C1CCC2CCC2C1", "-n", 5, "--by-synthesis")
    assert result.exit_code == 1
    assert "no product of the seed's routes can be made" in result.stderr


def test_by_synthesis_needs_molecules(molvae):
    result = molvae("analogs", AMIDE, "-n", 5, "--by-synthesis", "--stock", "zinc")
    assert result.exit_code == 2
    assert "a stock of molecules is needed" in result.stderr


def test_number_of_steps_as_a_score(molvae, stock, tmp_path):
    """In `screen` for ranking and filtering, in `score` as a column."""
    molecules = tmp_path / "in.smi"
    molecules.write_text(f"{AMIDE} a\nC1CCC2CCC2C1 b\nNCc1ccccc1 c\nC1CC d\n")
    score = f"n_steps:{stock}"
    result = molvae(
        "screen", molecules, "--score", score, "--filter", "n_steps<=2", "--rank-by=-n_steps", "--workers", 0
    )
    table = pd.read_csv(StringIO(result.stdout))
    assert table[["name", "n_steps"]].values.tolist() == [["c", 0], ["a", 1]]
    molvae("score", molecules, "--score", score, "-o", tmp_path / "out.csv", "--no-fcd", "--workers", 0)
    scored = pd.read_csv(tmp_path / "out.csv").set_index("name")["n_steps"]
    assert scored[["a", "c"]].tolist() == [1, 0]
    assert scored[["b", "d"]].isna().all()


def test_score_with_a_missing_stock(molvae):
    result = molvae("screen", "CCO", "--score", "n_steps:none.stock", "--rank-by=-n_steps")
    assert result.exit_code == 2
    assert "'none.stock' does not exist" in result.stderr


def test_analogs_without_a_route_are_replaced(molvae, stock, tmp_path):
    """The stock has few building blocks: without replacements, samples hardly ever have a route."""
    out, options = (
        tmp_path / "out.csv",
        ["-n", 4, "--makeable", "--stock", stock, "--pool-size", 4, "--max-samples", 120],
    )
    molvae("analogs", AMIDE, *options, "-o", out)
    n_without = len(pd.read_csv(out))
    result = molvae("analogs", AMIDE, *options, "--project", "-o", out)
    assert result.exit_code == 0, result.stderr
    table = pd.read_csv(out)
    assert len(table) > n_without
    assert (table["n_steps"] >= 1).all()
    known = set(MoleculeStock(stock).smiles())
    assert all(set(blocks.split(".")) <= known for blocks in table["building_blocks"])


def test_project_needs_makeable(molvae):
    result = molvae("analogs", AMIDE, "-n", 4, "--project")
    assert (result.exit_code, "set makeable" in result.stderr) == (2, True)
