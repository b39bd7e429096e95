"""Train the models that ship: pack, train in a time box, write the model directory, fit its prior, measure it.

    molvae data fetch druglike moses                                     # prints where the files are
    python benchmarks/train_shipped.py --druglike druglike_train.smi.gz druglike_valid.smi.gz druglike_test.smi.gz \
        --moses train.csv.gz test.csv.gz --model druglike druglike-ae --minutes 60 12 --out runs/shipped

`druglike` is the Gaussian model; `druglike-ae` starts from its weights and goes on as a deterministic autoencoder. Both
see the druglike set and as many molecules of MOSES, drawn at random; their novelty filter holds all of both. `moses` is
a Gaussian model of MOSES train alone, for its benchmark: latents that are moved are decoded to the molecules they come
from and not to neighbors, so that draws of the prior are distributed as the training set is.

Started again, it goes on from the last checkpoint, or where training is over, from there. With `--steps` the parts can
be done on different machines: `pack` and `finish` need the files, `train`, for which one borrows a GPU, what was packed
(OUT/packed) and the models that it begins with; it leaves OUT/models, without what `finish` adds.

`--continue-from FOLDER` begins with the weights of the models there, as far as they fit into the networks that are
trained now; with `--practice` their decoders learn from strings that they write around molecules of the mix, nothing
else is trained, and no neighbors are looked for. `--small` takes small networks and few molecules, to see that it
runs. The models that ship had, on an H200, `--batch-size 2048 --precision tf32 --learning-rate 0.003` (the autoencoder
0.0015). They then practised on one core of a CPU, at rates that the cards have, `druglike` and `druglike-ae` in the end
with `--length-weight-exponent 1.6`.
"""

from __future__ import annotations

import argparse
import platform
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from itertools import chain, islice, zip_longest
from pathlib import Path
from typing import Any, Self

import evaluate
import torch

from molvae import checkpoint as checkpoints
from molvae.checkpoint import Checkpoint, SamplingDefaults
from molvae.chem.tokenizer import Vocabulary
from molvae.data.bloom_filter import BloomFilter
from molvae.data.graph_dataset import PackedGraphs, concatenate, read_metadata
from molvae.data.neighbors import Neighbors
from molvae.data.packing import pack
from molvae.data.readers import read_records
from molvae.data.rows import InvalidRow, Record
from molvae.nn.config import ModelConfig
from molvae.nn.priors import PriorConfig
from molvae.training.config import TrainConfig
from molvae.training.dataset import prepare_neighbors
from molvae.training.distribution_matching import DistributionMatching
from molvae.training.evaluation import decoding_metrics
from molvae.training.fit_prior import fit_prior
from molvae.training.policy_gradient import PolicyGradient
from molvae.training.train import with_likelihood_reference
from molvae.training.trainer import TrainingResult, train_autoencoder

MOSES_SHARE = 600_000  # molecules of MOSES that the druglike models are trained on
HELD_OUT = 5_000  # molecules of MOSES train that `moses` is validated on
DRUGLIKE = (
    "601,323 molecules: ChEMBL (CC BY-SA 3.0, European Bioinformatics Institute), PubChem bioassays, "
    "ZINC leads and natural products; isomeric SMILES, 6 to 64 heavy atoms, salts stripped"
)
MOSES = "1,584,663 lead-like molecules of ZINC without charges or stereo (MIT)"
STEPS = ("pack", "train", "finish")
SHAPE = {"encoder": "dmpnn", "pooling_heads": 32, "decoder_dim": 384, "bilinear_dim": 256}
SMALL_SHAPE = {
    "encoder_dim": 16,
    "encoder_layers": 2,
    "pooling_heads": 2,
    "decoder_dim": 48,
    "latent_dim": 16,
    "bilinear_dim": 16,
}


@dataclass(frozen=True)
class Recipe:
    """How a model is made, but for the time it takes."""

    data: str  # what it is trained on: the druglike "mix", or "moses"
    latent: str
    training: TrainConfig
    start: str = ""  # the model whose weights it begins with
    practice: dict[str, Any] = field(default_factory=lambda: AROUND_MOLECULES)  # what is another when it practises
    strings: dict[str, Any] = field(default_factory=dict)  # those of its `Practice`
    like_its_data: bool = False  # whether these are to be so on average
    prior_noise_level: float = PriorConfig.noise_level  # by which draws of its learned prior are moved


FRESH = TrainConfig(max_steps=1_000_000, learning_rate=2e-3)
MORE = {"learning_rate": 1.5e-3, "warmup_steps": 200, "decay_fraction": 0.75, "kl_delay_steps": 0, "kl_warmup_steps": 0}
PRACTICE = {"freeze_encoder": True, "warmup_steps": 50, "decay_fraction": 0.75}
AROUND_MOLECULES = {
    "rl_weight": 2.0,
    "batch_size": 96,
    "learning_rate": 1.5e-4,
    "noise_prob": 0.05,
    "noise_min": 0.6,  # nearer than that the decoder practises
}
FROM_THE_PRIOR = {
    "rl_weight": 1.0,
    "batch_size": 192,
    "learning_rate": 5e-4,
    "noise_prob": 0.85,
    "noise_min": 0.8,
}
RECIPES = {
    "druglike": Recipe("mix", "gaussian", FRESH),
    "druglike-ae": Recipe(
        "mix",
        "deterministic",
        FRESH.replace(learning_rate=1e-3, warmup_steps=200, noise_prob=0.15, decay_fraction=0.6),
        start="druglike",
    ),
    "moses": Recipe(
        "moses",
        "gaussian",
        FRESH.replace(decay_fraction=0.6),
        prior_noise_level=0.95,
        policy_gradient=FROM_THE_PRIOR,
        strings={"molecules": 16, "strings": 8, "temperature": 1.0, "nearest": 0.85, "furthest": 1.0},
        like_its_data=True,
    ),
}


@dataclass(frozen=True)
class Data:
    """What a model is trained on and validated on; in one folder, beside what it calls known."""

    train: PackedGraphs
    neighbors: Neighbors | None
    valid: PackedGraphs
    vocabulary: Vocabulary
    card: dict[str, str]

    def save(self, folder: Path, seen: BloomFilter) -> None:
        self.valid.save(folder / "valid")
        seen.save(folder / "seen.npz")
        self.train.save(folder, vocabulary=self.vocabulary.tokens, card=self.card)

    @classmethod
    def load(cls, folder: Path) -> Self:
        about, near = read_metadata(folder), folder / "neighbors.npz"
        return cls(
            PackedGraphs.load(folder),
            Neighbors.load(near) if near.exists() else None,
            PackedGraphs.load(folder / "valid"),
            Vocabulary(tuple(about["vocabulary"])),
            about["card"],
        )


def main() -> None:
    arguments = _arguments()
    for name, minutes in zip_longest(arguments.model, arguments.minutes, fillvalue=0.0):
        if "pack" in arguments.steps:
            packed_data(name, arguments)
        if "train" in arguments.steps:
            trained_model(name, minutes, arguments)
        if "finish" in arguments.steps:
            finish(name, arguments)


def packed_data(name: str, arguments: argparse.Namespace) -> None:
    """What the model is trained on, if it is not there."""
    kind = RECIPES[name].data
    folder = arguments.out / "packed" / kind
    if not (folder / "packed.json").exists():
        fresh, seen = {"mix": mix, "moses": moses}[kind](arguments, beginning(name, arguments))
        fresh.save(folder, seen)
    if kind == "mix" and not arguments.practice:
        data = Data.load(folder)
        prepare_neighbors(data.train, data.vocabulary, folder / "neighbors.npz", tell=print)


def trained_model(name: str, minutes: float, arguments: argparse.Namespace) -> None:
    """From packed data, and the model to begin with, to a model directory. Raises `SystemExit` where these differ."""
    recipe, out = RECIPES[name], arguments.out
    folder = out / "packed" / recipe.data
    data, first = Data.load(folder), beginning(name, arguments)
    if first and first.vocabulary.tokens != data.vocabulary.tokens:
        raise SystemExit(f"{recipe.data} was packed with other symbols than {first.name} has: pack it anew")
    again = PRACTICE | recipe.practice if arguments.practice else MORE if first and not recipe.start else {}
    options = ("batch_size", "learning_rate", "length_weight_exponent")
    given = {key: value for key in options if (value := getattr(arguments, key)) is not None}
    config = recipe.training.replace(max_minutes=minutes, precision=arguments.precision, **(again | given))
    sizes = SMALL_SHAPE if arguments.small else SHAPE
    shape = ModelConfig.from_dict({"vocab_size": len(data.vocabulary), "latent": recipe.latent, **sizes})
    neighbors = None if arguments.practice else data.neighbors
    like = (
        DistributionMatching.from_training_set(data.train, data.vocabulary)
        if arguments.practice and recipe.like_its_data
        else None
    )
    seen = BloomFilter.load(folder / "seen.npz")
    practice = PolicyGradient(data.vocabulary, shape.max_length, seen, likeness=like, **recipe.strings)
    trained = train_autoencoder(
        out / name,
        data.train,
        data.valid,
        shape,
        config,
        neighbors=neighbors,
        validation_metrics=decoding_metrics(data.vocabulary, shape.max_length),
        policy_gradient=practice,
        init_from=first.model if first else None,
    )
    card = {
        "What it is": f"{shape.encoder} encoder, {shape.latent} latent of {shape.latent_dim}, "
        f"{shape.decoder} decoder; {sum(p.numel() for p in trained.model.parameters()):,} parameters",
        "Data": data.card,
        "Training": training(name, trained, config, practice, neighbors, first),
    }
    model = Checkpoint(name, trained.model, shape, data.vocabulary, SamplingDefaults(temperature=0.7), card=card)
    checkpoints.save(model, out / "models" / name)


def finish(name: str, arguments: argparse.Namespace) -> None:
    """From a model to one that ships: what it knows, its calibration, its prior, and a card with what it scores."""
    recipe, out = RECIPES[name], arguments.out
    folder, data = out / "models" / name, out / "packed" / recipe.data
    model = replace(checkpoints.load(folder), seen=BloomFilter.load(data / "seen.npz"))
    checkpoints.save(with_likelihood_reference(model, Data.load(data).train), folder)
    alone = recipe.data == "moses"
    files = arguments.moses[:1] if alone else arguments.druglike[:1]
    molecules = 2_000 if arguments.small else 60_000
    fit_prior(folder, files, folder, noise_level=recipe.prior_noise_level, molecules=molecules, tell=print)
    tests = {"druglike test": arguments.druglike[2]} if not alone else {}
    evaluate.measure(
        folder,
        {**tests, "MOSES test": arguments.moses[1]},
        benchmark=alone and not arguments.small,
        scale=20 if arguments.small else 1,
    )


def beginning(name: str, arguments: argparse.Namespace) -> Checkpoint | None:
    """The model to begin with: another one made here, or the one that there was."""
    if (start := RECIPES[name].start) and not arguments.practice:
        return checkpoints.load(arguments.out / "models" / start)
    folder = arguments.continue_from and arguments.continue_from / name
    return checkpoints.load(folder) if folder and folder.exists() else None


def mix(arguments: argparse.Namespace, start: Checkpoint | None) -> tuple[Data, BloomFilter]:
    """The druglike set and as many molecules of MOSES, drawn at random. All of both are called known."""
    parts, words = packed(rows(arguments, arguments.druglike[0]), start.vocabulary if start else None)
    others, _ = packed(rows(arguments, arguments.moses[0]), words)
    valid, _ = packed(rows(arguments, arguments.druglike[1]), words)
    seen = (start and start.training_filter) or BloomFilter.from_smiles(
        chain(parts.smiles(words), others.smiles(words))
    )
    drawn = torch.randperm(len(others), generator=torch.Generator().manual_seed(0))[:MOSES_SHARE]
    card = {
        "druglike": DRUGLIKE,
        "MOSES train": f"{MOSES}, of which {MOSES_SHARE:,} drawn at random were trained on",
        "novel means": "in neither training set, whole",
    }
    return Data(concatenate([parts, others.select(drawn)]), None, valid, words, card), seen


def moses(arguments: argparse.Namespace, start: Checkpoint | None) -> tuple[Data, BloomFilter]:
    """MOSES train, without a few molecules to validate on."""
    whole, words = packed(rows(arguments, arguments.moses[0]), start.vocabulary if start else None)
    order = torch.randperm(len(whole), generator=torch.Generator().manual_seed(0))
    held = min(HELD_OUT, len(whole) // 10)
    card = {"MOSES train": MOSES, "novel means": "not in MOSES train"}
    seen = (start and start.training_filter) or BloomFilter.from_smiles(whole.smiles(words))
    return Data(whole.select(order[held:]), None, whole.select(order[:held]), words, card), seen


def rows(arguments: argparse.Namespace, file: Path) -> Iterator[Record | InvalidRow]:
    return islice(read_records(file), 3_000 if arguments.small else None)


def packed(read: Iterator[Record | InvalidRow], vocabulary: Vocabulary | None) -> tuple[PackedGraphs, Vocabulary]:
    data, words, report = pack(read, vocabulary=vocabulary)
    print(report.summary())
    return data, words


def training(
    model: str,
    trained: TrainingResult,
    config: TrainConfig,
    practice: PolicyGradient,
    neighbors: Neighbors | None,
    first: Checkpoint | None,
) -> dict[str, str]:
    """How it was trained, and how the model was that it began with."""
    told = {
        "steps": f"{trained.steps:,} of {config.batch_size} molecules ({trained.n_molecules:,} molecules seen)",
        "time": f"{trained.minutes:.0f} minutes on {_hardware()}",
        "settings": ", ".join(f"{name} {value}" for name, value in asdict(config).items()),
    }
    if config.rl_weight:
        like = ", on average to be as what it was trained on" if practice.likeness else ""
        told["practice"] = f"{practice.molecules} x {practice.strings} strings that it wrote itself in each step{like}"
    if neighbors is not None:
        told["neighbors"] = f"of {neighbors.coverage:.0%} of the molecules: what their moved latents are decoded to"
    if first:
        before: dict[str, Any] = first.card.get("Training", {})
        then = "before" if first.name == model else f"before, as {first.name}"
        told |= {f"{then}: {name}": value for name, value in before.items()}
    return told


def _hardware() -> str:
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"{torch.get_num_threads()} cores of a CPU ({platform.machine()})"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--druglike", type=Path, nargs=3, metavar=("TRAIN", "VALID", "TEST"))
    parser.add_argument("--moses", type=Path, nargs=2, metavar=("TRAIN", "TEST"))
    parser.add_argument("--model", nargs="+", choices=RECIPES, default=list(RECIPES))
    parser.add_argument("--minutes", nargs="+", type=float, default=[], help="time box of each model's training")
    parser.add_argument("--continue-from", type=Path, metavar="FOLDER", help="of model directories")
    parser.add_argument("--steps", nargs="+", choices=STEPS, default=STEPS, help="train needs no files")
    parser.add_argument("--batch-size", type=int, help="molecules a step; on a GPU 1024 or more")
    parser.add_argument("--learning-rate", type=float, help="its peak; for larger batches a higher one")
    parser.add_argument(
        "--length-weight-exponent", type=float, help="long molecules more often: as their symbols to this power"
    )
    parser.add_argument("--practice", action="store_true", help="the decoder alone, on strings that it writes itself")
    parser.add_argument("--precision", default="bf16", help="auto, 32, tf32 or bf16: the quickest differs")
    parser.add_argument("--small", action="store_true", help="small networks, few molecules: to see that it runs")
    parser.add_argument("--out", type=Path, default=Path("runs/shipped"))
    arguments = parser.parse_args()
    if set(arguments.steps) != {"train"} and not (arguments.druglike and arguments.moses):
        parser.error("--druglike and --moses are needed to pack and to finish")
    if "train" in arguments.steps and len(arguments.minutes) != len(arguments.model):
        parser.error("--minutes are needed to train, for each --model")
    return arguments


if __name__ == "__main__":
    main()
