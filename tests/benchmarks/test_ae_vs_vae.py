"""The study of autoencoders and variational ones runs from one command, goes on where it was, and reports itself."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pandas as pd
import pytest
from molecules import DRUGS
from tiny_vae import SMALL

for package in ("sklearn", "matplotlib", "fcd_torch"):
    pytest.importorskip(package)
BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
MODELS = ["deterministic", "Gaussian, KL 0.1"]


@pytest.mark.filterwarnings("ignore")
def test_the_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    study = importlib.import_module("ae_vs_vae")
    rows = [f"{smiles}\t{('chembl', 'zinc', 'zinc-np')[i % 3]}" for i, smiles in enumerate([*SMALL, *DRUGS.values()])]
    (tmp_path / "molecules.smi").write_text("\n".join(rows) + "\n")
    given = [tmp_path / "molecules.smi", "--tiny", "--seeds", 1, "--runs", tmp_path / "runs", "--out", tmp_path / "out"]
    monkeypatch.setattr(sys, "argv", ["ae_vs_vae.py", *map(str, given), "--only", *MODELS])
    study.main()
    assert [line.split(", seed")[0] for line in capsys.readouterr().out.splitlines()] == MODELS
    runs = pd.read_csv(tmp_path / "out" / "runs.csv").set_index("model")
    assert runs.index.tolist() == MODELS
    assert runs["latents of N draws"].tolist() == [1, 4], "a point, and as many as were drawn"
    assert runs["KL"].gt(0).tolist() == [False, True]
    assert "| | deterministic | Gaussian, KL 0.1 |" in (tmp_path / "out" / "table.md").read_text()
    for name in ("bars.png", "holes.png"):
        assert (tmp_path / "out" / name).stat().st_size > 10_000
    done = {path: path.stat().st_mtime_ns for path in tmp_path.glob("runs/*/figures.json")}
    assert len(done) == 2
    study.main()
    assert {path: path.stat().st_mtime_ns for path in done} == done, "what is measured is not measured again"
