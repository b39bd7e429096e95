"""What each choice of the shipped model buys: one thing changed at a time, then the best together, all trained alike.

    molvae data fetch druglike                                                    # prints where the files are
    python benchmarks/model_choices.py druglike_train.smi.gz druglike_test.smi.gz --out benchmarks

On the molecules of the druglike set whose SMILES has at most LONGEST characters, so that minutes on one core get far
enough to compare. Each model is trained in a folder of its own under --runs, and measured on molecules it has not seen;
started again, the script goes on with what is missing, and `--only` does some of them, so that two cores can share the
list. Writes model_choices.md; docs/dev/model_choices.md says what follows.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from molvae.chem.smiles import canonical_or_none
from molvae.chem.tokenizer import Vocabulary
from molvae.data.graph_dataset import PackedGraphs
from molvae.data.packing import pack
from molvae.data.readers import Record, read_records
from molvae.generation.codec import Codec
from molvae.generation.token_sampling import SamplingOptions
from molvae.nn.autoencoder import Autoencoder
from molvae.nn.config import ModelConfig
from molvae.training.config import TrainConfig
from molvae.training.evaluation import Evaluator
from molvae.training.trainer import train_autoencoder

SHAPE = {"encoder": "gine", "pooling_heads": 8, "decoder_dim": 384, "bilinear_dim": 0}
TRAINING = {
    "batch_size": 64, "learning_rate": 2e-3, "warmup_steps": 100, "kl_delay_steps": 200, "kl_warmup_steps": 300,
    "validate_every": 1_000_000, "checkpoint_every": 200, "precision": "32",
}  # fmt: skip
VARIANTS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "base": ({}, {}),
    "base, other seed": ({}, {"random_state": 1}),
    "no position feature": ({"position_feature": False}, {}),
    "gatv2 encoder": ({"encoder": "gatv2"}, {}),
    "dmpnn encoder": ({"encoder": "dmpnn"}, {}),
    "gps encoder": ({"encoder": "gps"}, {}),
    "encoder of 6 layers": ({"encoder_layers": 6}, {}),
    "1 pooling head": ({"pooling_heads": 1}, {}),
    "16 pooling heads": ({"pooling_heads": 16}, {}),
    "latent 64": ({"latent_dim": 64}, {}),
    "latent 256": ({"latent_dim": 256}, {}),
    "GRU 256": ({"decoder_dim": 256}, {}),
    "GRU 512": ({"decoder_dim": 512}, {}),
    "GRU 2 x 256": ({"decoder_dim": 256, "decoder_layers": 2}, {}),
    "transformer 3 x 192": ({"decoder": "transformer", "decoder_dim": 192, "decoder_layers": 3}, {}),
    "deterministic": ({"latent": "deterministic"}, {}),
    "KL weight 0.03": ({}, {"kl_weight": 0.03}),
    "KL weight from the start": ({}, {"kl_delay_steps": 0, "kl_warmup_steps": 0}),
    "no noise": ({}, {"noise_prob": 0.0}),
    "noise for a quarter": ({}, {"noise_prob": 0.25}),
    "batch 128": ({}, {"batch_size": 128}),
    "learning rate 0.001": ({}, {"learning_rate": 1e-3}),
    "reading": ({"bilinear_dim": 256}, {}),
    "dmpnn, reading": ({"encoder": "dmpnn", "bilinear_dim": 256}, {}),
    "dmpnn, reading, 16 heads": ({"encoder": "dmpnn", "bilinear_dim": 256, "pooling_heads": 16}, {}),
    "as shipped": ({"encoder": "dmpnn", "bilinear_dim": 256, "pooling_heads": 32}, {}),
}
"""Name -> what differs in the model and in its training from the first, which the first weights had."""

LONGEST = 30  # characters
NOISE_LEVEL, SEEDS, DRAWS, SAMPLES = 0.5, 100, 20, 1_000
COLUMNS = ("parameters", "CPU minutes", "nats", "nats, noisy", "exact", "valid at 0.5", "distinct of 20", "prior valid")


def main() -> None:
    arguments = _arguments()
    torch.set_num_threads(1)
    known, vocabulary = packed(arguments.runs / "packed", arguments.train)
    test, _, _ = pack(list(short(arguments.test))[:SAMPLES], vocabulary=vocabulary)
    for name in arguments.only or VARIANTS:
        found = figures(arguments.runs, name, known, test, vocabulary, arguments.molecules)
        print(f"{name}: {found}", flush=True)
        done = {name: read(arguments.runs, name) for name in VARIANTS if _done(arguments.runs, name).exists()}
        (arguments.out / "model_choices.md").write_text(table(done, arguments.molecules), encoding="utf-8")


def short(file: Path) -> Iterator[Record]:
    return (row for row in read_records(file) if isinstance(row, Record) and len(row.smiles) <= LONGEST)


def packed(folder: Path, file: Path) -> tuple[PackedGraphs, Vocabulary]:
    """Pack once; afterwards map what is there."""
    words = folder / "vocabulary.json"
    if not words.exists():
        data, found, report = pack(short(file))
        print(report.summary())
        data.save(folder)
        words.write_text(found.to_json(), encoding="utf-8")
    return PackedGraphs.load(folder), Vocabulary.from_json(words.read_text(encoding="utf-8"))


def figures(
    runs: Path, name: str, known: PackedGraphs, test: PackedGraphs, vocabulary: Vocabulary, molecules: int
) -> dict[str, float]:
    """What one model scores; read back where it was trained and measured before."""
    if not _done(runs, name).exists():
        of_model, of_training = VARIANTS[name]
        shape = ModelConfig.from_dict({"vocab_size": len(vocabulary), **SHAPE, **of_model})
        config = TrainConfig.from_dict({**TRAINING, **of_training})
        config = config.replace(max_steps=molecules // config.batch_size)
        begin = time.process_time()
        model = train_autoencoder(_done(runs, name).parent, known, test, shape, config, progress_bar=False).model
        found = {"CPU minutes": (time.process_time() - begin) / 60, **measured(model, shape, test, vocabulary)}
        _done(runs, name).write_text(json.dumps(found), encoding="utf-8")
    return read(runs, name)


def measured(model: Autoencoder, shape: ModelConfig, test: PackedGraphs, words: Vocabulary) -> dict[str, float]:
    """Nats a molecule at noise level 0 and at random noise levels, exact reconstruction, the neighborhood, the prior."""
    evaluator = Evaluator(Codec(model, words, shape.max_length))
    batch = test.gather(torch.arange(len(test)))
    with torch.inference_mode(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        clean = model.losses(batch, torch.zeros(batch.size)).reconstruction.mean()
        noisy = model.losses(batch, torch.rand(batch.size)).reconstruction.mean()
    options = SamplingOptions(temperature=0.7)
    near = evaluator.neighborhood(
        test.select(torch.arange(min(SEEDS, len(test)))), NOISE_LEVEL, samples_per_seed=DRAWS, options=options
    )
    prior = evaluator.sample_prior(SAMPLES, temperature=0.7)
    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        "nats": float(clean),
        "nats, noisy": float(noisy),
        "exact": float(evaluator.exact_reconstructions(test).mean()),
        "valid at 0.5": near.valid,
        "distinct of 20": near.distinct,
        "prior valid": sum(canonical_or_none(s) is not None for s in prior if s) / SAMPLES,
    }


def table(done: dict[str, dict[str, float]], molecules: int) -> str:
    lines = [
        "# What each choice buys",
        "",
        f"Made by `benchmarks/model_choices.py`: {molecules:,} molecules each on one core, SMILES of at most {LONGEST} "
        f"characters of the druglike training set; torch {torch.__version__}.",
        "",
        "| | " + " | ".join(COLUMNS) + " |",
        "|" + "---|" * (len(COLUMNS) + 1),
    ]
    for name, row in done.items():
        lines.append(f"| {name} | " + " | ".join(_number(row[column]) for column in COLUMNS) + " |")
    return "\n".join(lines) + "\n"


def read(runs: Path, name: str) -> dict[str, float]:
    found: dict[str, float] = json.loads(_done(runs, name).read_text(encoding="utf-8"))
    return found


def _done(runs: Path, name: str) -> Path:
    return runs / name.replace(", ", "-").replace(" ", "-") / "figures.json"


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.3f}" if value < 1 else f"{value:.1f}"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train", type=Path)
    parser.add_argument("test", type=Path)
    parser.add_argument("--molecules", type=int, default=100_000, help="that each model is trained with")
    parser.add_argument(
        "--only", nargs="+", choices=VARIANTS, metavar="NAME", help="these alone: " + "; ".join(VARIANTS)
    )
    parser.add_argument("--runs", type=Path, default=Path("runs/choices"))
    parser.add_argument("--out", type=Path, default=Path("benchmarks"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
