"""Comparison of autoencoders and variational autoencoders with the same encoder, decoder and data.

    python benchmarks/ae_vs_vae.py druglike_train.smi.gz --small             # minutes on a CPU; writes
docs/dev/ae_vs_vae
    python benchmarks/ae_vs_vae.py druglike_train.smi.gz --output-folder runs/study            # full size, for a GPU

The file contains SMILES and, after a tab, the source of each molecule. Molecules of the source `HELD_OUT` are not used
for training: they are the anomalies that have to be detected, and one of two classes whose separation in latent space
is evaluated. Every model is trained with every random state in a folder of its own under --runs; a second run of the
script continues with those that are missing. Writes runs.csv (a row per model and random state), table.md and two
figures; docs/dev/ae_vs_vae.md discusses them.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ae_vs_vae_measures as measures
import ae_vs_vae_report as report
import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from molvae.chem.smiles import canonical_or_none
from molvae.chem.tokenizer import Vocabulary
from molvae.data.graph_dataset import PackedGraphs
from molvae.data.packing import pack
from molvae.data.readers import Record, read_records
from molvae.nn.config import ModelConfig
from molvae.training.config import TrainConfig
from molvae.training.trainer import train_autoencoder

HELD_OUT, OTHER_CLASS = "zinc-np", "zinc"
"""Sources of the two classes: natural products, and screening compounds of the same catalog."""

VARIANTS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "deterministic": ({"latent": "deterministic"}, {}),
    "denoising": ({"latent": "deterministic"}, {"latent_noise": 0.3, "mask_prob": 0.05}),
    "Wasserstein": ({"latent": "deterministic"}, {"mmd_weight": 300.0}),
    "hypersphere": ({"latent": "hypersphere"}, {"latent_noise": 0.3, "mmd_weight": 300.0}),
    "Gaussian, KL 0.01": ({"latent": "gaussian"}, {"kl_weight": 0.01}),
    "Gaussian, KL 0.1": ({"latent": "gaussian"}, {"kl_weight": 0.1}),
    "Gaussian, noise-conditioned": ({"latent": "gaussian"}, {"kl_weight": 0.01, "noise_prob": 0.5}),
}
"""Name -> settings of the model and of its training that differ."""


@dataclass(frozen=True)
class StudySize:
    """Size of the study: longest SMILES in characters, training molecules, batch size, steps, model, sample counts."""

    max_characters: int
    max_molecules: int
    batch_size: int
    n_steps: int
    model: dict[str, int]
    counts: measures.Counts


SMALL_MODEL = {
    "encoder_dim": 48, "encoder_layers": 3, "pooling_heads": 4, "latent_dim": 32, "decoder_dim": 192,
    "bilinear_dim": 48, "embedding_dim": 48, "max_length": 40,
}  # fmt: skip
MEDIUM_MODEL = {
    "encoder_dim": 64, "encoder_layers": 4, "pooling_heads": 8, "latent_dim": 64, "decoder_dim": 256,
    "bilinear_dim": 128, "embedding_dim": 64, "max_length": 48,
}  # fmt: skip
TINY_MODEL = {**SMALL_MODEL, "encoder_dim": 16, "decoder_dim": 32, "max_length": 60}
FULL_MODEL = {"decoder_dim": 512, "max_length": 120}
SIZES = {
    "tiny": StudySize(50, 300, 32, 12, TINY_MODEL, measures.Counts().scaled(0.03)),
    "small": StudySize(24, 100_000, 32, 1_600, SMALL_MODEL, measures.Counts()),
    "medium": StudySize(30, 100_000, 64, 6_000, MEDIUM_MODEL, measures.Counts().scaled(2)),
    # a batch size at which a GPU is fast (benchmarks/training.md); not run yet
    "full": StudySize(100, 2_000_000, 2_048, 5_000, FULL_MODEL, measures.Counts().scaled(5)),
}


def main() -> None:
    arguments = parse_arguments()
    size = SIZES[arguments.size]
    data = read_data(arguments.data, size)
    rows = []
    for random_state in range(arguments.repeats):
        for name in arguments.only or VARIANTS:
            results = train_and_evaluate(name, random_state, data, size, arguments.runs)
            rows.append({"model": name, "random_state": random_state, **results})
            print(
                f"{name}, random state {random_state}: exact {results['exact']:.3f}, "
                f"prior valid {results['prior valid']:.3f}"
            )
    table = pd.DataFrame(rows)
    arguments.output_folder.mkdir(parents=True, exist_ok=True)
    table.to_csv(arguments.output_folder / "runs.csv", index=False, float_format="%.4g")
    report.write(table, arguments.output_folder)


def read_data(path: Path, size: StudySize) -> measures.StudyData:
    """The short molecules of a file in random order, divided into training and test molecules and the two classes."""
    rows = [r for r in read_records(path) if isinstance(r, Record) and len(r.smiles) <= size.max_characters]
    rows = [rows[i] for i in np.random.default_rng(0).permutation(len(rows))]
    packed, vocabulary, _ = pack(rows, max_length=size.model["max_length"])
    source_of = {canonical_or_none(row.smiles): row.name for row in rows}
    sources = np.array([source_of.get(smiles, "") for smiles in packed.smiles(vocabulary)])
    known = np.flatnonzero(sources != HELD_OUT)[: size.max_molecules]
    n_test = min(size.counts.test, len(known) // 4)

    def select(rows: NDArray[np.int64]) -> PackedGraphs:
        return packed.select(torch.from_numpy(rows))

    return measures.StudyData(
        train=select(known[n_test:]),
        test=select(known[:n_test]),
        held_out_class=select(np.flatnonzero(sources == HELD_OUT)[: size.counts.test]),
        known_class=select(known[sources[known] == OTHER_CLASS][: size.counts.test]),
        vocabulary=vocabulary,
    )


def train_and_evaluate(
    name: str, random_state: int, data: measures.StudyData, size: StudySize, runs: Path
) -> dict[str, float]:
    """Results of one model; read from its folder if there are any."""
    folder = runs / f"{name.replace(', ', '-').replace(' ', '-')}-{random_state}"
    path = folder / "results.json"
    if not path.exists():
        model_config, config = configs(name, random_state, data.vocabulary, size)
        model = train_autoencoder(folder, data.train, data.test, model_config, config, progress_bar=False).model
        model.to("cuda" if torch.cuda.is_available() else "cpu")
        results = measures.measure(
            model, data, size.counts, model_config.max_length, noise_conditioned=config.noise_prob > 0
        )
        path.write_text(json.dumps(results, indent=2), encoding="utf-8")
    stored: dict[str, float] = json.loads(path.read_text(encoding="utf-8"))
    return stored


def configs(name: str, random_state: int, vocabulary: Vocabulary, size: StudySize) -> tuple[ModelConfig, TrainConfig]:
    """Settings of one of the `VARIANTS`."""
    model_changes, training_changes = VARIANTS[name]
    model = ModelConfig(len(vocabulary)).replace(**size.model, **model_changes)
    config = TrainConfig(
        batch_size=size.batch_size, max_steps=size.n_steps, learning_rate=2e-3, warmup_steps=size.n_steps // 20,
        kl_delay_steps=size.n_steps // 10, kl_warmup_steps=size.n_steps // 5, noise_prob=0.0,
        validate_every=size.n_steps, checkpoint_every=size.n_steps, random_state=random_state,
    )  # fmt: skip
    return model, replace(config, **training_changes)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="SMILES, tab, source, as from `molvae data fetch druglike`")
    sizes = parser.add_mutually_exclusive_group()
    sizes.add_argument("--small", dest="size", action="store_const", const="small", help="minutes per model on a CPU")
    sizes.add_argument("--medium", dest="size", action="store_const", const="medium", help="ten minutes per model")
    sizes.add_argument("--tiny", dest="size", action="store_const", const="tiny", help="seconds, to test the script")
    parser.set_defaults(size="full")
    parser.add_argument("--repeats", type=int, default=3, help="random states per model")
    parser.add_argument("--only", nargs="+", choices=VARIANTS, help="train only these models")
    parser.add_argument("--runs", type=Path, default=Path("runs/ae_vs_vae"), help="folder of the training runs")
    parser.add_argument("--output-folder", type=Path, default=Path("docs/dev/ae_vs_vae"), help="folder of the results")
    return parser.parse_args()


if __name__ == "__main__":
    main()
