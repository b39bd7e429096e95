"""The script that adds the identities of training data to the Bloom filter of a model."""

import json
import subprocess
import sys
from pathlib import Path

from molvae import checkpoint as checkpoints
from molvae.data.files import checksum

SCRIPT = Path(__file__).parents[2] / "scripts" / "update_training_filter.py"


def test_molecules_are_added_and_the_digest_is_updated(tiny_model, tmp_path):
    model = tmp_path / "model"
    model.mkdir()
    for path in Path(tiny_model).iterdir():
        (model / path.name).write_bytes(path.read_bytes())
    (tmp_path / "train.smi").write_text("C[S+]([O-])CCCC\nC1CC\n")
    command = [sys.executable, SCRIPT, "--model", model, "--data", tmp_path / "train.smi", "--workers", "0"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert printed.endswith("1 of 1 molecules added\n")
    digests = json.loads((model / "config.json").read_text())["sha256"]
    assert digests["bloom_filter.npz"] == checksum(model / "bloom_filter.npz")
    training_filter = checkpoints.load(model, "cpu").training_filter
    assert "CCCCS(C)=O" in training_filter
    assert "0 of 1" in subprocess.run(command, capture_output=True, text=True, check=True).stdout
