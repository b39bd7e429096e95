"""The layers of the package: imports point down, packages of one layer do not import each other, and no module
imports the package root.

The layer of a module is that of the first name of its path: molvae/chem/smiles.py belongs to chem. A new first name
must be added to `LAYERS`. The architecture page of the documentation shows this table.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "molvae"
ROOT = "__init__"
LAYERS = (
    {"errors"},
    {"chem", "checkpoint_format_1", "client", "model_folders"},
    {"data"},
    {"similarity"},
    {"nn", "viz"},
    {"synthesis"},
    {"checkpoint", "io", "metrics"},
    {"generation"},
    {"generator"},
    {"api", "qsar", "training"},
    {"library"},
    {"screening"},
    {"explore"},
    {"serve"},
    {ROOT},
    {"cli"},
    {"__main__"},
)
DESCRIPTIONS = {
    "errors": "exceptions, warnings, optional extras",
    "chem": "SMILES, molecular graphs, fingerprints, properties, filters: RDKit and NumPy, no PyTorch",
    "client": "client of a `molvae serve` server, for Python",
    "data": "readers, datasets, packed graphs, worker processes",
    "similarity": "Tanimoto search: bit slicing, nearest neighbors, top-k",
    "synthesis": "reactions, routes to building blocks, stocks",
    "nn": "encoders, latents, priors, decoders",
    "viz": "structures, plots, reports",
    "checkpoint": "model directories",
    "checkpoint_format_1": "reader of model directories of format 1",
    "model_folders": "the shipped models, and model directories by name",
    "io": "table writers, partial results of long runs",
    "metrics": "properties of molecules, MOSES, GuacaMol and analog metrics",
    "generation": "sampling: engine, similarity target, constraints, latent inversion",
    "generator": "`Generator`, the model that users hold",
    "api": "the functions of `molvae`",
    "qsar": "models of measured properties",
    "training": "training, policy-gradient fine-tuning, learned priors, evaluation",
    "library": "indexed libraries: storage and search",
    "screening": "one pass over a library, on one machine or on Ray",
    "explore": "interpolation, traversal, maps, clusters, outliers, optimization",
    "serve": "the REST service: jobs that share a model, endpoints, limits",
    ROOT: "the public names, imported on first use",
    "cli": "the command line",
    "__main__": "`python -m molvae`",
}
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
WITHOUT_TORCH = ("errors", "chem", "client", "model_folders")


def part_of(path, package):
    """The first name of the path of a module."""
    return path.relative_to(package).with_suffix("").parts[0]


def imports(path, package):
    """The full dotted names of everything that a module imports, at any level of nesting."""
    own = [package.name, *path.relative_to(package).parent.parts]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = own[: len(own) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{module}.{alias.name}" for alias in node.names)


def target_of(name, package):
    """The part of the package that a dotted name belongs to; None outside the package."""
    first, *rest = name.split(".")
    if first != package.name:
        return None
    exists = rest and ((package / rest[0]).is_dir() or (package / f"{rest[0]}.py").is_file())
    return rest[0] if exists else ROOT


def violations(package):
    """One line for each violation, with the module and the import."""
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
                direction = "from its own layer" if LEVEL[target] == LEVEL[part] else "upwards"
                found.append(f"{where} imports {direction}: {name}")
            elif name.split(".")[0] in ("torch", "torch_geometric", "lightning") and part in WITHOUT_TORCH:
                found.append(f"{where} imports {name}, but {part} must load without PyTorch")
    return found


def test_layers():
    assert violations(PACKAGE) == []


def test_every_part_is_described():
    assert DESCRIPTIONS.keys() == LEVEL.keys()


@pytest.mark.parametrize(
    ("file", "line", "message"),
    [
        ("chem/smiles.py", "from molvae.data.rows import Record", "imports upwards: molvae.data.rows.Record"),
        ("chem/smiles.py", "from ..data import rows", "imports upwards: molvae.data.rows"),
        ("chem/smiles.py", "def f():\n    import molvae.data.rows", "imports upwards: molvae.data.rows"),
        ("nn/config.py", "import molvae.viz", "imports from its own layer: molvae.viz"),
        ("checkpoint.py", "from molvae import metrics", "imports from its own layer: molvae.metrics"),
        ("checkpoint.py", "from . import metrics", "imports from its own layer: molvae.metrics"),
        ("data/rows.py", "import molvae", "imports the package root (molvae)"),
        ("data/rows.py", "from molvae import load", "imports the package root (molvae.load)"),
        ("chem/smiles.py", "import torch", "imports torch, but chem must load without PyTorch"),
        ("chem/smiles.py", "from torch.nn import Linear", "imports torch.nn.Linear, but chem"),
        ("helpers.py", "", "helpers has no layer"),
    ],
)
def test_violation_is_found(tmp_path, file, line, message):
    """In a small package without other violations."""
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
    assert message in found
