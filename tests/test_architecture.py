"""The three rules of the house: imports point down, neighbors keep apart, nobody inside imports the package root.

A module's layer is that of the first name of its path: molvae/chem/smiles.py is chem. A new first name has to be
given a layer here.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "molvae"
ROOT = "the package root"
LAYERS = (
    {"errors"},
    {"chem", "checkpoint_format_1"},
    {"data"},
    {"similarity"},
    {"nn", "viz"},
    {"checkpoint", "io", "metrics"},
    {"generation"},
    {"generator"},
    {"api", "qsar", "training"},
    {"library"},
    {"screening"},
    {"explore"},
    {ROOT},
    {"cli"},
    {"__main__"},
)
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
WITHOUT_TORCH = ("errors", "chem")


def part_of(path, package):
    """The first name of a file's path, or the root."""
    first = path.relative_to(package).with_suffix("").parts[0]
    return ROOT if first == "__init__" else first


def imports(path, package):
    """Full dotted names of all that a file imports, wherever in the file."""
    here = [package.name, *path.relative_to(package).parent.parts]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = here[: len(here) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{module}.{alias.name}" for alias in node.names)


def target_of(name, package):
    """The part of the package that a dotted name lies in; None outside, the root for one of its own names."""
    first, *rest = name.split(".")
    if first != package.name:
        return None
    known = rest and ((package / rest[0]).is_dir() or (package / f"{rest[0]}.py").is_file())
    return rest[0] if known else ROOT


def violations(package):
    """One line for each broken rule, naming the file and what it imports."""
    found = []
    for path in sorted(package.rglob("*.py")):
        part, where = part_of(path, package), path.relative_to(package.parent).as_posix()
        if part not in LEVEL:
            found.append(f"{where}: {part} has no layer in tests/test_architecture.py")
            continue
        for name in imports(path, package):
            target = target_of(name, package)
            if target == ROOT and part != ROOT:
                found.append(f"{where} imports the package root ({name})")
            elif target not in (None, part) and LEVEL.get(target, -1) >= LEVEL[part]:
                side = "its neighbor" if LEVEL[target] == LEVEL[part] else "upwards"
                found.append(f"{where} imports {side}: {name}")
            elif name.split(".")[0] in ("torch", "torch_geometric", "lightning") and part in WITHOUT_TORCH:
                found.append(f"{where} imports {name}, but {part} must load without torch")
    return found


def test_the_house_is_in_order():
    assert violations(PACKAGE) == []


@pytest.mark.parametrize(
    ("file", "line", "complaint"),
    [
        ("chem/smiles.py", "from molvae.data.rows import Record", "imports upwards: molvae.data.rows.Record"),
        ("chem/smiles.py", "from ..data import rows", "imports upwards: molvae.data.rows"),
        ("chem/smiles.py", "def f():\n    import molvae.data.rows", "imports upwards: molvae.data.rows"),
        ("nn/config.py", "import molvae.viz", "imports its neighbor: molvae.viz"),
        ("checkpoint.py", "from molvae import metrics", "imports its neighbor: molvae.metrics"),
        ("checkpoint.py", "from . import metrics", "imports its neighbor: molvae.metrics"),
        ("data/rows.py", "import molvae", "imports the package root (molvae)"),
        ("data/rows.py", "from molvae import load", "imports the package root (molvae.load)"),
        ("chem/smiles.py", "import torch", "imports torch, but chem must load without torch"),
        ("chem/smiles.py", "from torch.nn import Linear", "imports torch.nn.Linear, but chem"),
        ("helpers.py", "", "helpers has no layer"),
    ],
)
def test_each_violation_is_seen(tmp_path, file, line, complaint):
    """On a made-up package in order but for one line."""
    package = tmp_path / "molvae"
    for name, text in {
        "__init__.py": "from molvae.checkpoint import load",
        "errors.py": "",
        "chem/smiles.py": "from molvae.errors import MolvaeError",
        "data/rows.py": "import torch\nfrom ..chem.smiles import parse",
        "nn/config.py": "from molvae.data.rows import Record\nfrom molvae.nn import engine",
        "viz/plots.py": "",
        "metrics/score.py": "",
        "checkpoint.py": "from molvae import errors",
    }.items():
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text(text)
    assert violations(package) == []
    with (package / file).open("a") as stream:
        stream.write(f"\n{line}\n")
    (found,) = violations(package)
    assert complaint in found
