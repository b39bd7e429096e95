"""Benchmarks and scripts: every script parses its options, and the two training studies run at toy size."""

from __future__ import annotations

import importlib
import runpy
import sys
from pathlib import Path

import pandas as pd
import pytest
from molecules import DRUGS
from tiny_vae import SMALL

ROOT = Path(__file__).parents[2]
BENCHMARKS = ROOT / "benchmarks"
SCRIPTS = sorted(
    path
    for folder in (BENCHMARKS, ROOT / "scripts")
    for path in folder.glob("*.py")
    if "argparse.ArgumentParser" in path.read_text(encoding="utf-8")
)
OPTIONAL_PACKAGES = {"ray_cluster.py": "ray", "ae_vs_vae.py": "sklearn", "latents_vs_fingerprints.py": "sklearn"}
STUDY_MODELS = ["deterministic", "Gaussian, KL 0.1"]
TINY_MODEL = {"encoder_dim": 8, "encoder_layers": 1, "pooling_heads": 2, "latent_dim": 4, "embedding_dim": 8}


@pytest.mark.slow
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_help(script: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    if script.name in OPTIONAL_PACKAGES:
        pytest.importorskip(OPTIONAL_PACKAGES[script.name])
    monkeypatch.syspath_prepend(script.parent)
    monkeypatch.setattr(sys, "argv", [script.name, "--help"])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(script), run_name="__main__")
    assert not end.value.code
    assert capsys.readouterr().out.startswith("usage: ")


def test_result_pages_name_existing_scripts() -> None:
    text = (ROOT / "docs" / "reproducibility.md").read_text(encoding="utf-8")
    commands = [word for word in text.replace("`", " ").split() if word.startswith(("benchmarks/", "scripts/"))]
    assert len(commands) > 30
    assert [name for name in commands if not (ROOT / name).exists()] == []


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_ae_vs_vae(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The study writes its results, and a second run trains nothing."""
    for package in ("sklearn", "matplotlib", "fcd_torch"):
        pytest.importorskip(package)
    monkeypatch.syspath_prepend(BENCHMARKS)
    study = importlib.import_module("ae_vs_vae")
    rows = [f"{smiles}\t{('chembl', 'zinc', 'zinc-np')[i % 3]}" for i, smiles in enumerate([*SMALL, *DRUGS.values()])]
    (tmp_path / "molecules.smi").write_text("\n".join(rows) + "\n")
    folders = ["--runs", tmp_path / "runs", "--output-folder", tmp_path / "out"]
    arguments = [tmp_path / "molecules.smi", "--tiny", "--repeats", 1, *folders, "--only", *STUDY_MODELS]
    monkeypatch.setattr(sys, "argv", ["ae_vs_vae.py", *map(str, arguments)])
    study.main()
    assert [line.split(", random state")[0] for line in capsys.readouterr().out.splitlines()] == STUDY_MODELS
    runs = pd.read_csv(tmp_path / "out" / "runs.csv").set_index("model")
    assert runs.index.tolist() == STUDY_MODELS
    assert runs["latents of N samples"].tolist() == [1, 4]  # a deterministic latent, and 4 samples of a Gaussian
    assert runs["KL"].gt(0).tolist() == [False, True]
    assert "| | deterministic | Gaussian, KL 0.1 |" in (tmp_path / "out" / "table.md").read_text()
    for name in ("bars.png", "holes.png"):
        assert (tmp_path / "out" / name).stat().st_size > 10_000
    written = {path: path.stat().st_mtime_ns for path in tmp_path.glob("runs/*/results.json")}
    assert len(written) == 2
    monkeypatch.setattr(study.report, "write", lambda *_: None)
    study.main()
    assert {path: path.stat().st_mtime_ns for path in written} == written


@pytest.mark.slow
def test_model_choices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Results are added to the table run by run, and molecules that are too long are left out."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    study = importlib.import_module("model_choices")
    monkeypatch.setattr(study, "BASE_MODEL", {**TINY_MODEL, "decoder_dim": 16})
    long_molecule = "CC(C)Cc1ccc(cc1)C(C)C(=O)Oc1ccccc1"
    path = tmp_path / "molecules.smi"
    path.write_text("\n".join([*SMALL, long_molecule]) + "\n")

    def run(*names: str) -> list[str]:
        """Rows of the table after training the named models."""
        folders = ["--runs", str(tmp_path / "runs"), "--output-folder", str(tmp_path)]
        arguments = [str(path), str(path), "--molecules", "128", *folders, "--only", *names]
        monkeypatch.setattr(sys, "argv", ["model_choices.py", *arguments])
        study.main()
        lines = (tmp_path / "model_choices.md").read_text().splitlines()
        return [line for line in lines if line.startswith("| ")][1:]

    (first,) = run("base")
    assert f"{len(SMALL)} read: {len(SMALL)} " in capsys.readouterr().out
    both = run("base", "GRU 256")
    assert [row.split(" | ")[0] for row in both] == ["| base", "| GRU 256"]
    assert both[0] == first  # read from its folder
    parameters = [int(row.split(" | ")[1].replace(",", "")) for row in both]
    assert parameters[1] > parameters[0]
