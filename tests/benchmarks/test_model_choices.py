"""The comparison of the shipped model's choices runs, goes on with what is missing, and makes its table."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest
from tiny_vae import SMALL

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
TINY = {"encoder_dim": 8, "encoder_layers": 1, "pooling_heads": 2, "latent_dim": 4, "embedding_dim": 8}


def test_the_choices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    choices = importlib.import_module("model_choices")
    monkeypatch.setattr(choices, "SHAPE", {**TINY, "decoder_dim": 16})
    long = "CC(C)Cc1ccc(cc1)C(C)C(=O)Oc1ccccc1"
    (tmp_path / "molecules.smi").write_text("\n".join([*SMALL, long]) + "\n")
    given = [tmp_path / "molecules.smi", tmp_path / "molecules.smi", "--molecules", 128, "--runs", tmp_path / "runs"]

    def run(*names: str) -> str:
        given_to = [*map(str, given), "--out", str(tmp_path), "--only", *names]
        monkeypatch.setattr(sys, "argv", ["model_choices.py", *given_to])
        choices.main()
        return (tmp_path / "model_choices.md").read_text()

    first = run("base")
    assert f"{len(SMALL)} read: {len(SMALL)} kept" in capsys.readouterr().out, "what is too long is left out"
    assert first.count("\n| ") == 2, "the head and one row"
    both = run("base", "GRU 256")
    assert [line.split(" | ")[0] for line in both.splitlines() if line.startswith("| ")][1:] == [
        "| base",
        "| GRU 256",
    ]
    assert first.splitlines()[-1] in both, "what is measured is not measured again"
    rows = {line.split(" | ")[0]: line.split(" | ")[1] for line in both.splitlines() if line.startswith("| ")}
    assert int(rows["| GRU 256"].replace(",", "")) > int(rows["| base"].replace(",", "")), "parameters"
