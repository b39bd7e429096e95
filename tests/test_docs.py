"""The README is true: its floor plan names every file, and its commands run."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
SHIPPED = ROOT / "molvae" / "weights" / "druglike" / "config.json"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.S)


def commands() -> list[str]:
    """The lines of the README's console blocks that call molvae on shipped weights, options and all."""
    lines = [line for block in blocks("sh") for line in block.replace("\\\n", " ").splitlines()]
    elsewhere = re.compile(r"\btrain\b|fetch|library|runs/")  # needs data or a model of one's own
    return [line for line in lines if line.startswith("molvae ") and not elsewhere.search(line)]


def test_there_are_commands_to_test() -> None:
    assert len(commands()) >= 5
    assert blocks("python")


@pytest.mark.parametrize("line", commands())
def test_the_commands_of_the_readme_run(line: str, tmp_path: Path) -> None:
    (tmp_path / "seeds.smi").write_text("CC(=O)Oc1ccccc1C(=O)O aspirin\nCC(C)Cc1ccc(cc1)C(C)C(=O)O ibuprofen\n")
    shell = re.sub(r"(?<!\.)\bmolvae\b", f"{shlex.quote(sys.executable)} -m molvae", line)
    done = subprocess.run(shell, shell=True, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    for name in re.findall(r"(?:-o|--picture) (\S+)", line):
        assert (tmp_path / name).stat().st_size > 0


def test_the_python_example_of_the_readme_runs(tmp_path: Path) -> None:
    code = "\n".join(blocks("python"))
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
