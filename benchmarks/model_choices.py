"""Ablation of the shipped models: one choice changed at a time, then combinations, with equal training.

    molvae data fetch druglike                                                    # prints the paths of the files
    python benchmarks/model_choices.py druglike_train.smi.gz druglike_test.smi.gz --output-folder benchmarks

The models are trained on molecules of the druglike set with SMILES of at most `MAX_CHARACTERS` characters, so that
minutes on one core suffice for a comparison, and are evaluated on test molecules. Each model has a folder under --runs;
a second run of the script continues with those that are missing. With `--only`, several processes can share the list.
Writes model_choices.md; docs/dev/model_choices.md discusses the results.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from common import header

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

BASE_MODEL = {"encoder": "gine", "pooling_heads": 8, "decoder_dim": 384, "bilinear_dim": 0}
"""The architecture of the first weights."""
BASE_TRAINING = {
    "batch_size": 64, "learning_rate": 2e-3, "warmup_steps": 100, "kl_delay_steps": 200, "kl_warmup_steps": 300,
    "validate_every": 1_000_000, "checkpoint_every": 200, "precision": "32",
}  # fmt: skip
VARIANTS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "base": ({}, {}),
    "base, other random state": ({}, {"random_state": 1}),
    "no position feature": ({"position_feature": False}, {}),
    "gatv2 encoder": ({"encoder": "gatv2"}, {}),
    "dmpnn encoder": ({"encoder": "dmpnn"}, {}),
    "gps encoder": ({"encoder": "gps"}, {}),
    "6 encoder layers": ({"encoder_layers": 6}, {}),
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
    "batch size 128": ({}, {"batch_size": 128}),
    "learning rate 0.001": ({}, {"learning_rate": 1e-3}),
    "bilinear head": ({"bilinear_dim": 256}, {}),
    "dmpnn, bilinear head": ({"encoder": "dmpnn", "bilinear_dim": 256}, {}),
    "dmpnn, bilinear head, 16 pooling heads": ({"encoder": "dmpnn", "bilinear_dim": 256, "pooling_heads": 16}, {}),
    "shipped architecture": ({"encoder": "dmpnn", "bilinear_dim": 256, "pooling_heads": 32}, {}),
}
"""Name -> changes of the model and of its training, relative to the base."""

MAX_CHARACTERS = 30
NOISE_LEVEL, N_SEEDS, SAMPLES_PER_SEED, N_SAMPLES = 0.5, 100, 20, 1_000
COLUMNS = (
    "parameters", "CPU minutes", "nats", "nats, perturbed", "exact", "valid at 0.5", "unique of 20", "prior valid"
)  # fmt: skip

Results = dict[str, float]


def main() -> None:
    arguments = parse_arguments()
    torch.set_num_threads(1)
    train, vocabulary = load_or_pack(arguments.runs / "packed", arguments.train)
    test, _, _ = pack(list(short_molecules(arguments.test))[:N_SAMPLES], vocabulary=vocabulary)
    for name in arguments.only or VARIANTS:
        results = train_and_evaluate(arguments.runs, name, train, test, vocabulary, arguments.molecules)
        print(f"{name}: {results}", flush=True)
        finished = {
            name: read_results(arguments.runs, name) for name in VARIANTS if results_file(arguments.runs, name).exists()
        }
        page = arguments.output_folder / "model_choices.md"
        page.write_text(table(finished, arguments.molecules), encoding="utf-8")


def short_molecules(path: Path) -> Iterator[Record]:
    return (row for row in read_records(path) if isinstance(row, Record) and len(row.smiles) <= MAX_CHARACTERS)


def load_or_pack(folder: Path, path: Path) -> tuple[PackedGraphs, Vocabulary]:
    """Pack the short molecules of a file once, and load them."""
    vocabulary_file = folder / "vocabulary.json"
    if not vocabulary_file.exists():
        data, vocabulary, report = pack(short_molecules(path))
        print(report.summary())
        data.save(folder)
        vocabulary_file.write_text(vocabulary.to_json(), encoding="utf-8")
    return PackedGraphs.load(folder), Vocabulary.from_json(vocabulary_file.read_text(encoding="utf-8"))


def train_and_evaluate(
    runs: Path, name: str, train: PackedGraphs, test: PackedGraphs, vocabulary: Vocabulary, n_molecules: int
) -> Results:
    """Results of one model; read from its folder if there are any."""
    path = results_file(runs, name)
    if not path.exists():
        model_changes, training_changes = VARIANTS[name]
        model_config = ModelConfig.from_dict({"vocab_size": len(vocabulary), **BASE_MODEL, **model_changes})
        config = TrainConfig.from_dict({**BASE_TRAINING, **training_changes})
        config = config.replace(max_steps=n_molecules // config.batch_size)
        start = time.process_time()
        model = train_autoencoder(path.parent, train, test, model_config, config, progress_bar=False).model
        minutes = (time.process_time() - start) / 60
        results = {"CPU minutes": minutes, **evaluate(model, model_config, test, vocabulary)}
        path.write_text(json.dumps(results), encoding="utf-8")
    return read_results(runs, name)


def evaluate(model: Autoencoder, config: ModelConfig, test: PackedGraphs, vocabulary: Vocabulary) -> Results:
    """Reconstruction loss without and with perturbed latents, exact reconstruction, neighborhood, and prior samples."""
    evaluator = Evaluator(Codec(model, vocabulary, config.max_length))
    batch = test.gather(torch.arange(len(test)))
    with torch.inference_mode(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        loss = model.losses(batch, torch.zeros(batch.size)).reconstruction.mean()
        perturbed_loss = model.losses(batch, torch.rand(batch.size)).reconstruction.mean()
    neighborhood = evaluator.neighborhood(
        test.select(torch.arange(min(N_SEEDS, len(test)))),
        NOISE_LEVEL,
        samples_per_seed=SAMPLES_PER_SEED,
        options=SamplingOptions(temperature=0.7),
    )
    prior_samples = evaluator.sample_prior(N_SAMPLES, temperature=0.7)
    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        "nats": float(loss),
        "nats, perturbed": float(perturbed_loss),
        "exact": float(evaluator.exact_reconstructions(test).mean()),
        "valid at 0.5": neighborhood.valid,
        "unique of 20": neighborhood.distinct,
        "prior valid": sum(canonical_or_none(s) is not None for s in prior_samples if s) / N_SAMPLES,
    }


def table(results: dict[str, Results], n_molecules: int) -> str:
    lines = [
        *header("Model choices", "torch", "lightning", device="one core"),
        f"Each model is trained on {n_molecules:,} molecules (repeats counted) of the druglike training set, with "
        f"SMILES of at most {MAX_CHARACTERS} characters.", "",
        "| | " + " | ".join(COLUMNS) + " |",
        "|" + "---|" * (len(COLUMNS) + 1),
    ]  # fmt: skip
    for name, row in results.items():
        lines.append(f"| {name} | " + " | ".join(_format(row[column]) for column in COLUMNS) + " |")
    return "\n".join(lines) + "\n"


def read_results(runs: Path, name: str) -> Results:
    results: Results = json.loads(results_file(runs, name).read_text(encoding="utf-8"))
    return results


def results_file(runs: Path, name: str) -> Path:
    return runs / name.replace(", ", "-").replace(" ", "-") / "results.json"


def _format(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.3f}" if value < 1 else f"{value:.1f}"


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train", type=Path, help="training molecules")
    parser.add_argument("test", type=Path, help="test molecules")
    parser.add_argument("--molecules", type=int, default=100_000, help="molecules that each model is trained on")
    parser.add_argument(
        "--only", nargs="+", choices=VARIANTS, metavar="NAME", help="train only these models: " + "; ".join(VARIANTS)
    )
    parser.add_argument("--runs", type=Path, default=Path("runs/choices"), help="folder of the training runs")
    parser.add_argument("--output-folder", type=Path, default=Path("benchmarks"), help="folder of model_choices.md")
    return parser.parse_args()


if __name__ == "__main__":
    main()
