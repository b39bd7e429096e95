"""The commands and Python examples of the README and of the documentation run."""

from __future__ import annotations

import gzip
import re
import shlex
import shutil
from pathlib import Path

import pytest
import typer
from molecules import DRUGS
from typer.testing import CliRunner

from molvae.checkpoint import find_model
from molvae.cli.app import app
from molvae.data.datasets import sample_library_path

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    [ROOT / "README.md", *(path for path in (ROOT / "docs").rglob("*.md") if "dev" not in path.relative_to(ROOT).parts)]
)
NEEDS_DOWNLOAD_OR_TRAINING = re.compile(r"\b(train|fit-prior|fetch)\b|moses:|runs/|--ray|molvae serve")
PYTHON_PAGES = [page for page in PAGES if page.name != "serve.md"]  # which needs a server: tests/serve/test_page.py


def blocks(page: Path, language: str) -> list[str]:
    text = page.read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def commands(page: Path) -> list[str]:
    """The lines of the console blocks of a page that call molvae."""
    lines = [line for block in blocks(page, "sh") for line in block.replace("\\\n", " ").splitlines()]
    return [line.split("  #")[0].strip() for line in lines if line.startswith("molvae ")]


def parse(arguments: list[str]) -> None:
    """Parse a command line without running it; raises for an unknown command or option."""
    group = typer.main.get_command(app)
    if arguments == ["--version"]:
        return
    context = group.make_context("molvae", list(arguments))
    name, command, remaining = group.resolve_command(context, [*context._protected_args, *context.args])
    while hasattr(command, "commands"):
        context = command.make_context(name, remaining, parent=context)
        name, command, remaining = command.resolve_command(context, [*context._protected_args, *context.args])
    command.make_context(name, remaining, parent=context)


def run(line: str) -> None:
    """Run a command line in this process; `&&` and pipes between commands work."""
    for step in line.split(" && "):
        text = None
        for part in step.split(" | "):
            result = CliRunner().invoke(app, shlex.split(part)[1:], input=text)
            assert result.exit_code == 0, f"{part}\n{result.stderr}"
            text = result.stdout


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working directory with the files that the examples use."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MOLVAE_DATA", str(tmp_path / "data"))
    drugs = [line.split("\t") for line in sample_library_path().read_text(encoding="utf-8").splitlines()]
    seeds = {name: DRUGS[name] for name in ("aspirin", "ibuprofen")}
    lines = [f"{smiles} {name}\n" for smiles, name in drugs[:60]]
    Path("seeds.smi").write_text("".join(f"{smiles} {name}\n" for name, smiles in seeds.items()))
    Path("seeds.csv").write_text("smiles,name\n" + "".join(f"{smiles},{name}\n" for name, smiles in seeds.items()))
    Path("library.smi").write_text("".join(lines))
    Path("samples.smi").write_text("".join(lines[:30]))
    with gzip.open("library.smi.gz", "wt") as file:
        file.writelines(lines[:12])
    Path("library").mkdir()
    Path("library/part.smi").write_text("".join(lines[:20]))
    Path("more_library.smi").write_text("".join(lines[20:30]))
    rows = [f"{smiles},{len(smiles) / 10}\n" for smiles, _ in drugs[:60]]
    Path("measured.csv").write_text("smiles,pIC50\n" + "".join(rows))
    shutil.copytree(find_model("moses"), "my-model")
    Path("library.csv").write_text("structure\n" + "".join(f"{smiles}\n" for smiles, _ in drugs[:60]))
    return tmp_path


def test_pages_have_examples():
    assert len(PAGES) > 40
    assert sum(map(len, map(commands, PAGES))) > 40
    assert all(commands(page) for page in (ROOT / "docs" / "commands").glob("*.md") if page.stem != "index")


@pytest.mark.parametrize("page", [p for p in PAGES if commands(p)], ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_parse(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("runs/mine/model").mkdir(parents=True)  # a model name is looked up while the options are parsed
    for line in commands(page):
        for part in re.split(r" && | \| ", line):
            parse(shlex.split(part)[1:])


@pytest.mark.slow
@pytest.mark.usefixtures("few_trees", "folder")
@pytest.mark.parametrize("page", [p for p in PAGES if commands(p)], ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_run(page):
    """The commands of a page in order, except those that need a download, a trained model or a cluster."""
    for line in commands(page):
        if not NEEDS_DOWNLOAD_OR_TRAINING.search(line):
            run(line)
            for name in re.findall(r"(?:-o|--image|--report|--per-seed) (\S+)", line):
                assert Path(name).exists(), line


@pytest.mark.slow
@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    "page", [p for p in PYTHON_PAGES if blocks(p, "python")], ids=lambda p: str(p.relative_to(ROOT))
)
def test_python_examples_run(page, capsys):
    exec(compile("\n".join(blocks(page, "python")), str(page), "exec"), {})
    assert capsys.readouterr().out


def test_readme_is_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 120


def test_links_of_readme_exist():
    for target in re.findall(r"\]\(([^)#]+)\)", (ROOT / "README.md").read_text(encoding="utf-8")):
        assert (ROOT / target).exists(), target
