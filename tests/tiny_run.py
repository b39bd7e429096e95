"""A training run for tests: a model with a few thousand weights on the molecules of tests/molecules.py.

`python tiny_run.py FOLDER [SETTING=JSON ...]` runs it as a separate process, which tests kill.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
from molecules import DRUGS

from molvae.data.graph_dataset import PackedGraphs
from molvae.data.packing import pack
from molvae.data.readers import Record
from molvae.nn.config import ModelConfig
from molvae.training.config import TrainConfig
from molvae.training.curves import CurveDrawer
from molvae.training.trainer import TrainingResult, train_autoencoder

SETTINGS: dict[str, Any] = {
    "batch_size": 16,
    "max_steps": 40,
    "learning_rate": 5e-3,
    "warmup_steps": 5,
    "kl_delay_steps": 5,
    "kl_warmup_steps": 10,
    "validate_every": 10,
    "checkpoint_every": 10,
    "precision": "32",
}


def packed_drugs() -> tuple[PackedGraphs, int]:
    """The packed molecules of tests/molecules.py and the size of their vocabulary."""
    rows = [Record(smiles, name, "drugs", i + 1) for i, (name, smiles) in enumerate(DRUGS.items())]
    packed, vocabulary, _ = pack(rows, workers=0)
    return packed, len(vocabulary)


def tiny_model(vocab_size: int, **changes: Any) -> ModelConfig:
    return ModelConfig(
        vocab_size=vocab_size,
        encoder_dim=16,
        encoder_layers=2,
        pooling_heads=2,
        latent_dim=16,
        decoder_dim=32,
        bilinear_dim=16,
        embedding_dim=16,
    ).replace(**changes)


def run_tiny(folder: Path, *, model: dict[str, Any] | None = None, **options: Any) -> TrainingResult:
    """Train with fields of `TrainConfig` and arguments of `train_autoencoder`, given by name."""
    data, size = packed_drugs()
    settings = {k: options.pop(k) for k in list(options) if k in TrainConfig.__dataclass_fields__}
    config = TrainConfig(**{**SETTINGS, **settings})
    options = {"accelerator": "cpu", "devices": 1, "log_every": 1, "progress_bar": False, **options}
    return train_autoencoder(folder, data, data, tiny_model(size, **(model or {})), config, **options)


if __name__ == "__main__":
    torch.set_num_threads(1)
    CurveDrawer.draw = lambda _: None  # type: ignore[method-assign]  # drawing takes longer than the training
    run_tiny(Path(sys.argv[1]), **{k: json.loads(v) for k, v in (a.split("=", 1) for a in sys.argv[2:])})
