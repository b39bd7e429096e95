"""What a VAE gives that an autoencoder does not: the same encoder, decoder and data, only the latent differs.

    python benchmarks/ae_vs_vae.py druglike_train.smi.gz --small --out docs/dev/ae_vs_vae     # minutes on a CPU
    python benchmarks/ae_vs_vae.py druglike_train.smi.gz --out runs/study                  # full size, for a GPU

The file has SMILES and, after a tab, where each is from; molecules of `HELD_OUT` are not trained on: they are the odd
ones that have to be noticed, and one of two classes that may or may not form clusters. Every model is trained with
every seed in a folder of its own under --runs; started again, the script goes on with what is missing. Writes runs.csv
(a row per model and seed), table.md and two pictures; docs/dev/ae_vs_vae.md says what they mean.
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
"""Natural products, and the screening compounds of the same supplier's catalog that they are told apart from."""

VARIANTS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "deterministic": ({"latent": "deterministic"}, {}),
    "de-noising": ({"latent": "deterministic"}, {"latent_noise": 0.3, "mask_prob": 0.05}),
    "Wasserstein": ({"latent": "deterministic"}, {"mmd_weight": 300.0}),
    "hypersphere": ({"latent": "hypersphere"}, {"latent_noise": 0.3, "mmd_weight": 300.0}),
    "Gaussian, KL 0.01": ({"latent": "gaussian"}, {"kl_weight": 0.01}),
    "Gaussian, KL 0.1": ({"latent": "gaussian"}, {"kl_weight": 0.1}),
    "Gaussian, noise told": ({"latent": "gaussian"}, {"kl_weight": 0.01, "noise_prob": 0.5}),
}
"""Name -> what differs in the model and in its training; the last is how the models that ship are trained."""


@dataclass(frozen=True)
class Size:
    """How large the study is."""

    longest: int  # characters of a SMILES at most
    molecules: int  # for training, at most
    batch: int
    steps: int
    shape: dict[str, int]
    counts: measures.Counts


SMALL_SHAPE = {
    "encoder_dim": 48, "encoder_layers": 3, "pooling_heads": 4, "latent_dim": 32, "decoder_dim": 192,
    "bilinear_dim": 48, "embedding_dim": 48, "max_length": 40,
}  # fmt: skip
MEDIUM_SHAPE = {
    "encoder_dim": 64, "encoder_layers": 4, "pooling_heads": 8, "latent_dim": 64, "decoder_dim": 256,
    "bilinear_dim": 128, "embedding_dim": 64, "max_length": 48,
}  # fmt: skip
TINY_SHAPE = {**SMALL_SHAPE, "encoder_dim": 16, "decoder_dim": 32, "max_length": 60}
SIZES = {
    "tiny": Size(50, 300, 32, 12, TINY_SHAPE, measures.Counts().scaled(0.03)),
    "small": Size(24, 100_000, 32, 1_600, SMALL_SHAPE, measures.Counts()),
    "medium": Size(30, 100_000, 64, 6_000, MEDIUM_SHAPE, measures.Counts().scaled(2)),
    # in batches of which a GPU takes many molecules a second (training.md); at this size neither was tried
    "full": Size(100, 2_000_000, 2_048, 5_000, {"decoder_dim": 512, "max_length": 120}, measures.Counts().scaled(5)),
}


def main() -> None:
    arguments = _arguments()
    size = SIZES[arguments.size]
    study = read_study(arguments.data, size)
    rows = []
    for seed in range(arguments.seeds):
        for name in arguments.only or VARIANTS:
            rows.append({"model": name, "seed": seed, **figures(name, seed, study, size, arguments.runs)})
            print(f"{name}, seed {seed}: exact {rows[-1]['exact']:.3f}, prior valid {rows[-1]['prior valid']:.3f}")
    table = pd.DataFrame(rows)
    arguments.out.mkdir(parents=True, exist_ok=True)
    table.to_csv(arguments.out / "runs.csv", index=False, float_format="%.4g")
    report.write(table, arguments.out)


def read_study(path: Path, size: Size) -> measures.Study:
    """Molecules short enough, in random order: to train on, to test with, and those of the two classes."""
    rows = [r for r in read_records(path) if isinstance(r, Record) and len(r.smiles) <= size.longest]
    rows = [rows[i] for i in np.random.default_rng(0).permutation(len(rows))]
    packed, vocabulary, _ = pack(rows, max_length=size.shape["max_length"])
    source = {canonical_or_none(row.smiles): row.name for row in rows}
    kind = np.array([source.get(smiles, "") for smiles in packed.smiles(vocabulary)])
    known = np.flatnonzero(kind != HELD_OUT)[: size.molecules]
    tested = min(size.counts.test, len(known) // 4)

    def chosen(places: NDArray[np.int64]) -> PackedGraphs:
        return packed.select(torch.from_numpy(places))

    return measures.Study(
        train=chosen(known[tested:]),
        test=chosen(known[:tested]),
        odd=chosen(np.flatnonzero(kind == HELD_OUT)[: size.counts.test]),
        other=chosen(known[kind[known] == OTHER_CLASS][: size.counts.test]),
        vocabulary=vocabulary,
    )


def figures(name: str, seed: int, study: measures.Study, size: Size, runs: Path) -> dict[str, float]:
    """What one model scores; read back where it was trained and measured before."""
    folder = runs / f"{name.replace(', ', '-').replace(' ', '-')}-{seed}"
    done = folder / "figures.json"
    if not done.exists():
        shape, config = settings(name, seed, study.vocabulary, size)
        model = train_autoencoder(folder, study.train, study.test, shape, config, progress_bar=False).model
        model.to("cuda" if torch.cuda.is_available() else "cpu")
        found = measures.measure(model, study, size.counts, shape.max_length, noise_conditioned=config.noise_prob > 0)
        done.write_text(json.dumps(found, indent=2), encoding="utf-8")
    scores: dict[str, float] = json.loads(done.read_text(encoding="utf-8"))
    return scores


def settings(name: str, seed: int, vocabulary: Vocabulary, size: Size) -> tuple[ModelConfig, TrainConfig]:
    """The same for all, but for what `VARIANTS` says."""
    different, trained = VARIANTS[name]
    shape = ModelConfig(len(vocabulary)).replace(**size.shape, **different)
    config = TrainConfig(
        batch_size=size.batch, max_steps=size.steps, learning_rate=2e-3, warmup_steps=size.steps // 20,
        kl_delay_steps=size.steps // 10, kl_warmup_steps=size.steps // 5, noise_prob=0.0, validate_every=size.steps,
        checkpoint_every=size.steps, random_state=seed,
    )  # fmt: skip
    return shape, replace(config, **trained)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="SMILES, tab, source: `molvae data fetch druglike` makes one")
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--small", dest="size", action="store_const", const="small", help="minutes on a CPU")
    group.add_argument("--medium", dest="size", action="store_const", const="medium", help="ten minutes a model there")
    group.add_argument("--tiny", dest="size", action="store_const", const="tiny", help="seconds: to see that it runs")
    parser.set_defaults(size="full")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=VARIANTS, help="some of the models")
    parser.add_argument("--runs", type=Path, default=Path("runs/ae_vs_vae"))
    parser.add_argument("--out", type=Path, default=Path("docs/dev/ae_vs_vae"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
