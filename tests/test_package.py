"""The wheel is complete and works in an environment outside the checkout."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """A wheel that is built from a copy of the sources, so that the checkout is not changed."""
    pytest.importorskip("setuptools", minversion="77")
    import shutil

    source, folder = tmp_path_factory.mktemp("source") / "molvae", tmp_path_factory.mktemp("dist")
    ignored = shutil.ignore_patterns("__pycache__", ".*", "build", "dist", "tests", "benchmarks", "docs", "*.egg-info")
    shutil.copytree(ROOT, source, ignore=ignored)
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        str(folder),
        str(source),
    ]
    subprocess.run(command, check=True, capture_output=True)
    (found,) = folder.glob("molvae-*.whl")
    return found


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """The Python of an environment with the wheel, and with the dependencies of the environment of the tests.

    A plain path is added for the dependencies, so that an editable installation of molvae there is not imported.
    """
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    paths = sysconfig.get_paths(vars={"base": str(folder), "platbase": str(folder)})
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(paths["purelib"])
    (Path(paths["purelib"]) / "dependencies.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    return python


def run(python, folder, *arguments):
    """Run python in a folder, without the environment variables of the tests."""
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(folder), "MOLVAE_DATA": str(folder / "data")}
    result = subprocess.run([python, "-P", *arguments], cwd=folder, capture_output=True, text=True, env=environment)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_wheel_contents(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    for name in (
        "molvae/py.typed",
        "molvae/datasets/moses.json",
        "molvae/datasets/sample_library.smi",
        "molvae/weights/druglike/weights.safetensors",
        "molvae/weights/druglike/bloom_filter.npz",
        "molvae/chem/moses_filters.json",
    ):
        assert name in names
    packaged = {name for name in names if name.endswith(".py")}
    sources = {path.relative_to(ROOT).as_posix() for path in (ROOT / "molvae").rglob("*.py")}
    assert sources <= packaged
    templates = {path.relative_to(ROOT).as_posix() for path in (ROOT / "molvae" / "viz" / "templates").rglob("*.*")}
    assert templates <= names


@pytest.mark.slow
def test_installed_package(installed, tmp_path):
    def molvae(*arguments):
        return run(installed, tmp_path, "-m", "molvae", *arguments)

    assert str(ROOT) not in run(installed, tmp_path, "-c", "import molvae; print(molvae.__file__)")
    assert "moses" in molvae("data", "list")
    assert "license" in molvae("data", "info", "moses")
    molvae("analogs", "CC(=O)Oc1ccccc1C(=O)O", "-n", "5", "-o", "analogs.csv", "--device", "cpu")
    assert len((tmp_path / "analogs.csv").read_text().splitlines()) == 6
    molvae("score", "analogs.csv", "--seed-column", "seed", "--no-fcd", "--report", "report.html")
    assert "<svg" in (tmp_path / "report.html").read_text()
