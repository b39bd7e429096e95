"""Train the shipped models: pack the data, train within a time limit, fit a prior and write the model card.

    molvae data fetch druglike moses                                     # prints the paths of the files
    python scripts/train_shipped.py --druglike druglike_train.smi.gz druglike_valid.smi.gz druglike_test.smi.gz \
        --moses train.csv.gz test.csv.gz --model druglike druglike-ae --minutes 60 12 --out runs/shipped

`druglike` has a Gaussian latent; `druglike-ae` starts from its weights and continues as a deterministic autoencoder.
Both are trained on the druglike data set and 600,000 random molecules of MOSES; their Bloom filter contains all
molecules of both. `moses` is a Gaussian model of MOSES alone, for its benchmark: perturbed latents are decoded to the
original molecules and not to neighbors, so that samples of the prior follow the distribution of the training set.

A run that was interrupted continues. With `--steps`, the steps can run on different machines: `pack` and `finish` need
the data files, `train`, which needs a GPU, only OUT/packed and the initial models; it writes OUT/models, to which
`finish` adds the rest.

`--init-from FOLDER` starts from the weights of the models in FOLDER, where name and shape agree. With `--rl`, only
their decoders are trained, with policy gradients on molecules of the training data and without neighbors. `--small`
uses small networks and few molecules, to test the script. The shipped models were trained on an H200 with `--batch-size
2048 --precision tf32 --learning-rate 0.003` (the autoencoder 0.0015), then with `--rl` on one CPU core, with the
learning rates in their cards; the last part of `druglike` and `druglike-ae` with `--length-weight-exponent 1.6`.
"""

from __future__ import annotations

import argparse
import platform
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from itertools import chain, islice, zip_longest
from pathlib import Path
from typing import Any, Self

import model_card
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
from molvae.nn.autoencoder import Autoencoder
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

N_MOSES_IN_MIX = 600_000  # molecules of MOSES in the training data of the druglike models
N_MOSES_VALID = 5_000  # molecules of MOSES train that the model `moses` is validated on
N_SMALL = 3_000  # rows per file with --small
N_PRIOR_SMALL, N_PRIOR = 2_000, 60_000  # molecules that a prior is fitted to, with --small and without
DRUGLIKE = (
    "601,323 molecules: ChEMBL (CC BY-SA 3.0, European Bioinformatics Institute), PubChem bioassays, "
    "ZINC leads and natural products; isomeric SMILES, 6 to 64 heavy atoms, salts stripped"
)
MOSES = "1,584,663 lead-like molecules of ZINC without charges or stereochemistry (MIT)"
DRUGLIKE_USE = (
    "Analogs of drug-like molecules, sampling of new drug-like molecules, and latent vectors for similarity search, "
    "screening and property models."
)
DRUGLIKE_LIMITATION = (
    "Molecules of 6 to 64 heavy atoms whose tokens are in vocabulary.json; salts and isotope labels are removed."
)
LIMITATIONS = (
    "Generated molecules are hypotheses. The model predicts neither synthesizability nor activity nor toxicity; filter "
    "its output and have it reviewed by experts.",
    "The molecules reflect the training data and its biases. Not for the design of harmful substances.",
)
ENCODER_NAMES = {"dmpnn": "D-MPNN", "gine": "GINE", "gatv2": "GATv2", "gps": "GPS"}
DECODER_NAMES = {"gru": "GRU", "transformer": "transformer"}
LATENT_NAMES = {"gaussian": "Gaussian", "deterministic": "deterministic", "hypersphere": "hyperspherical"}
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

FROM_SCRATCH = TrainConfig(max_steps=1_000_000, learning_rate=2e-3)
CONTINUED = {
    "learning_rate": 1.5e-3,
    "warmup_steps": 200,
    "decay_fraction": 0.75,
    "kl_delay_steps": 0,
    "kl_warmup_steps": 0,
}
RL = {"freeze_encoder": True, "warmup_steps": 50, "decay_fraction": 0.75}
RL_AROUND_MOLECULES = {
    "rl_weight": 2.0,
    "batch_size": 96,
    "learning_rate": 1.5e-4,
    "noise_prob": 0.05,
    "noise_min": 0.6,  # at lower noise levels the decoder is trained by the policy gradient
}
RL_FROM_PRIOR = {
    "rl_weight": 1.0,
    "batch_size": 192,
    "learning_rate": 5e-4,
    "noise_prob": 0.85,
    "noise_min": 0.8,
}


@dataclass(frozen=True)
class Recipe:
    """Hyperparameters of a shipped model.

    Attributes
    ----------
    data
        "mix" (druglike and MOSES) or "moses".
    latent
        Latent space, as in `ModelConfig`.
    training
        Hyperparameters of training from scratch.
    init_from
        Another shipped model whose weights are used to start.
    rl
        Hyperparameters that differ with `--rl`.
    policy_gradient
        Arguments of `PolicyGradient`.
    match_distribution
        Whether the policy gradient uses distribution matching.
    prior_noise_level
        Noise level of samples of the learned prior.
    intended_use, limitations
        Sentences of the model card; `LIMITATIONS` are added to the limitations.
    """

    data: str
    latent: str
    training: TrainConfig
    intended_use: tuple[str, ...]
    limitations: tuple[str, ...]
    init_from: str = ""
    rl: dict[str, Any] = field(default_factory=lambda: RL_AROUND_MOLECULES)
    policy_gradient: dict[str, Any] = field(default_factory=dict)
    match_distribution: bool = False
    prior_noise_level: float = PriorConfig.noise_level


RECIPES = {
    "druglike": Recipe(
        "mix",
        "gaussian",
        FROM_SCRATCH,
        intended_use=(
            DRUGLIKE_USE,
            "This is the default model. It is variational: the encoder maps a molecule to a distribution of latents.",
        ),
        limitations=(DRUGLIKE_LIMITATION,),
    ),
    "druglike-ae": Recipe(
        "mix",
        "deterministic",
        FROM_SCRATCH.replace(learning_rate=1e-3, warmup_steps=200, noise_prob=0.15, decay_fraction=0.6),
        intended_use=(
            DRUGLIKE_USE,
            "An autoencoder: the encoder maps a molecule to one latent. Without latent optimization it reconstructs "
            "more molecules than the model druglike.",
        ),
        limitations=(DRUGLIKE_LIMITATION,),
        init_from="druglike",
    ),
    "moses": Recipe(
        "moses",
        "gaussian",
        FROM_SCRATCH.replace(decay_fraction=0.6),
        intended_use=(
            "Comparison with other generative models on the MOSES benchmark.",
            "Lead-like molecules without charges and stereochemistry. For other molecules use the model druglike.",
        ),
        limitations=(
            "The vocabulary has 26 tokens: molecules with charges, stereochemistry or rare elements cannot be encoded.",
        ),
        rl=RL_FROM_PRIOR,
        policy_gradient={
            "n_seeds": 16,
            "samples_per_seed": 8,
            "temperature": 1.0,
            "noise_min": 0.85,
            "noise_max": 1.0,
        },
        match_distribution=True,
        prior_noise_level=0.95,
    ),
}


@dataclass(frozen=True)
class Data:
    """Packed training and validation data, saved in one folder with the Bloom filter of the training set."""

    train: PackedGraphs
    neighbors: Neighbors | None
    valid: PackedGraphs
    vocabulary: Vocabulary
    card: dict[str, str]

    def save(self, folder: Path, training_filter: BloomFilter) -> None:
        self.valid.save(folder / "valid")
        training_filter.save(folder / checkpoints.BLOOM_FILTER_FILE)
        self.train.save(folder, vocabulary=self.vocabulary.tokens, card=self.card)

    @classmethod
    def load(cls, folder: Path) -> Self:
        metadata, neighbors = read_metadata(folder), folder / "neighbors.npz"
        return cls(
            PackedGraphs.load(folder),
            Neighbors.load(neighbors) if neighbors.exists() else None,
            PackedGraphs.load(folder / "valid"),
            Vocabulary(tuple(metadata["vocabulary"])),
            metadata["card"],
        )


def main() -> None:
    arguments = parse_arguments()
    minutes_of: dict[str, float] = dict(zip_longest(arguments.model, arguments.minutes, fillvalue=0.0))
    for name, minutes in minutes_of.items():
        if "pack" in arguments.steps:
            pack_data(name, arguments)
        if "train" in arguments.steps:
            train(name, minutes, arguments)
        if "finish" in arguments.steps:
            finish(name, arguments)


def pack_data(name: str, arguments: argparse.Namespace) -> None:
    """Pack the training data of a model and find its neighbors, unless that has been done."""
    data_name = RECIPES[name].data
    folder = arguments.out / "packed" / data_name
    if not (folder / "packed.json").exists():
        pack_sources = {"mix": pack_mix, "moses": pack_moses}[data_name]
        data, training_filter = pack_sources(arguments, initial_model(name, arguments))
        data.save(folder, training_filter)
    if data_name == "mix" and not arguments.rl:
        data = Data.load(folder)
        prepare_neighbors(data.train, data.vocabulary, folder / "neighbors.npz", log=print)


def train(name: str, minutes: float, arguments: argparse.Namespace) -> None:
    """Train a model on packed data and write its directory in OUT/models."""
    recipe, out = RECIPES[name], arguments.out
    folder = out / "packed" / recipe.data
    data, initial = Data.load(folder), initial_model(name, arguments)
    if initial and initial.vocabulary.tokens != data.vocabulary.tokens:
        raise SystemExit(
            f"{folder} was packed with another vocabulary than that of {initial.name}: delete it and pack again"
        )
    config = train_config(recipe, minutes, arguments, continued=initial is not None)
    sizes = SMALL_SHAPE if arguments.small else SHAPE
    model_config = ModelConfig.from_dict({"vocab_size": len(data.vocabulary), "latent": recipe.latent, **sizes})
    matching = None
    if arguments.rl and recipe.match_distribution:
        matching = DistributionMatching.from_training_set(data.train, data.vocabulary)
    policy_gradient = PolicyGradient(
        data.vocabulary,
        model_config.max_length,
        BloomFilter.load(folder / checkpoints.BLOOM_FILTER_FILE),
        distribution_matching=matching,
        **recipe.policy_gradient,
    )
    neighbors = None if arguments.rl else data.neighbors
    result = train_autoencoder(
        out / name,
        data.train,
        data.valid,
        model_config,
        config,
        neighbors=neighbors,
        validation_metrics=decoding_metrics(data.vocabulary, model_config.max_length),
        policy_gradient=policy_gradient,
        init_from=initial.model if initial else None,
    )
    card = {
        "Model description": model_description(result.model, model_config),
        "Intended use": list(recipe.intended_use),
        "Limitations": [*recipe.limitations, *LIMITATIONS],
        "Training data and licenses": data.card,
        "Training": training_section(name, result, config, policy_gradient, neighbors, initial),
    }
    model = Checkpoint(name, result.model, model_config, data.vocabulary, SamplingDefaults(temperature=0.7), card=card)
    checkpoints.save(model, out / "models" / name)


def train_config(recipe: Recipe, minutes: float, arguments: argparse.Namespace, *, continued: bool) -> TrainConfig:
    """Hyperparameters of a recipe, changed by the command line."""
    changes: dict[str, Any] = RL | recipe.rl if arguments.rl else {}
    if continued and not arguments.rl and not recipe.init_from:
        changes = CONTINUED
    options = ("batch_size", "learning_rate", "length_weight_exponent")
    changes = changes | {key: value for key in options if (value := getattr(arguments, key)) is not None}
    return recipe.training.replace(max_minutes=minutes, precision=arguments.precision, **changes)


def finish(name: str, arguments: argparse.Namespace) -> None:
    """Add the Bloom filter, the likelihood reference, a learned prior and the metrics to a trained model."""
    recipe, out = RECIPES[name], arguments.out
    folder, data_folder = out / "models" / name, out / "packed" / recipe.data
    training_filter = BloomFilter.load(data_folder / checkpoints.BLOOM_FILTER_FILE)
    model = replace(checkpoints.load(folder), training_filter=training_filter)
    checkpoints.save(with_likelihood_reference(model, Data.load(data_folder).train), folder)
    moses_only = recipe.data == "moses"
    files = arguments.moses[:1] if moses_only else arguments.druglike[:1]
    n_molecules = N_PRIOR_SMALL if arguments.small else N_PRIOR
    fit_prior(folder, files, folder, noise_level=recipe.prior_noise_level, max_molecules=n_molecules, log=print)
    test_sets = {} if moses_only else {"druglike test": arguments.druglike[2]}
    model_card.update_card(
        folder,
        {**test_sets, "MOSES test": arguments.moses[1]},
        benchmark=moses_only and not arguments.small,
        scale=model_card.QUICK_SCALE if arguments.small else 1,
    )


def initial_model(name: str, arguments: argparse.Namespace) -> Checkpoint | None:
    """The model whose weights are used to start: another one in OUT/models, or one in the folder of --init-from."""
    if (other := RECIPES[name].init_from) and not arguments.rl:
        return checkpoints.load(arguments.out / "models" / other)
    folder = arguments.init_from and arguments.init_from / name
    return checkpoints.load(folder) if folder and folder.exists() else None


def pack_mix(arguments: argparse.Namespace, initial: Checkpoint | None) -> tuple[Data, BloomFilter]:
    """The druglike data set and random molecules of MOSES; the Bloom filter contains all molecules of both."""
    druglike, vocabulary = pack_file(arguments, arguments.druglike[0], initial.vocabulary if initial else None)
    moses, _ = pack_file(arguments, arguments.moses[0], vocabulary)
    valid, _ = pack_file(arguments, arguments.druglike[1], vocabulary)
    training_filter = initial.training_filter if initial else None
    training_filter = training_filter or BloomFilter.from_smiles(
        chain(druglike.smiles(vocabulary), moses.smiles(vocabulary))
    )
    rows = torch.randperm(len(moses), generator=torch.Generator().manual_seed(0))[:N_MOSES_IN_MIX]
    card = {
        "druglike": DRUGLIKE,
        "MOSES train": f"{MOSES}, of which {N_MOSES_IN_MIX:,} selected at random were used for training",
        "novelty": "a molecule counts as novel if it is in neither of the two complete data sets",
    }
    return Data(concatenate([druglike, moses.select(rows)]), None, valid, vocabulary, card), training_filter


def pack_moses(arguments: argparse.Namespace, initial: Checkpoint | None) -> tuple[Data, BloomFilter]:
    """MOSES train without random molecules for validation; the Bloom filter contains all molecules."""
    moses, vocabulary = pack_file(arguments, arguments.moses[0], initial.vocabulary if initial else None)
    order = torch.randperm(len(moses), generator=torch.Generator().manual_seed(0))
    n_valid = min(N_MOSES_VALID, len(moses) // 10)
    card = {"MOSES train": MOSES, "novelty": "a molecule counts as novel if it is not in MOSES train"}
    training_filter = initial.training_filter if initial else None
    training_filter = training_filter or BloomFilter.from_smiles(moses.smiles(vocabulary))
    return Data(moses.select(order[n_valid:]), None, moses.select(order[:n_valid]), vocabulary, card), training_filter


def pack_file(
    arguments: argparse.Namespace, file: Path, vocabulary: Vocabulary | None
) -> tuple[PackedGraphs, Vocabulary]:
    """Pack the molecules of a file and print the row counts."""
    rows: Iterator[Record | InvalidRow] = islice(read_records(file), N_SMALL if arguments.small else None)
    data, vocabulary, report = pack(rows, vocabulary=vocabulary)
    print(report.summary())
    return data, vocabulary


def model_description(model: Autoencoder, config: ModelConfig) -> str:
    """The architecture and the number of parameters, as in the model card."""
    kind = "Variational autoencoder" if config.latent == "gaussian" else "Autoencoder"
    encoder, decoder = ENCODER_NAMES[config.encoder], DECODER_NAMES[config.decoder]
    latent = f"{LATENT_NAMES[config.latent]} latent of {config.latent_dim} dimensions"
    n_parameters = sum(parameter.numel() for parameter in model.parameters())
    return (
        f"{kind} from molecular graphs to SMILES: {encoder} encoder, {latent}, {decoder} decoder conditioned "
        f"on the noise level of the latent; {n_parameters:,} parameters."
    )


def training_section(
    name: str,
    result: TrainingResult,
    config: TrainConfig,
    policy_gradient: PolicyGradient,
    neighbors: Neighbors | None,
    initial: Checkpoint | None,
) -> dict[str, str]:
    """The table "Training" of the model card: the stages of the initial model, then this run as the last stage."""
    stage = {
        "steps": f"{result.steps:,} steps of {config.batch_size:,} molecules ({result.n_molecules:,} molecules, "
        "repeats counted)",
        "time": f"{result.minutes:.0f} minutes on {hardware()}",
        "settings": ", ".join(f"{key} {value}" for key, value in asdict(config).items()),
    }
    if config.rl_weight:
        matching = ", with distribution matching" if policy_gradient.distribution_matching else ""
        stage["policy-gradient fine-tuning"] = (
            f"{policy_gradient.samples_per_seed} samples around each of {policy_gradient.n_seeds} molecules per step"
            f"{matching}"
        )
    if neighbors is not None:
        stage["neighbor targets"] = (
            f"{neighbors.coverage:.0%} of the molecules have neighbors, which are the decoding targets of their "
            "perturbed latents"
        )
    section = earlier_stages(name, initial) if initial else {}
    number = 1 + max((int(key.split()[1].rstrip(":")) for key in section), default=0)
    return section | {f"stage {number}: {key}": value for key, value in stage.items()}


def earlier_stages(name: str, initial: Checkpoint) -> dict[str, str]:
    """The training stages of the initial model; if it is another model, their keys name it.

    "stage 2: time" becomes "stage 2 (shared with druglike): time".
    """
    stages: dict[str, str] = initial.card.get("Training", {})
    if initial.name == name:
        return dict(stages)
    return {key.replace(":", f" (shared with {initial.name}):", 1): value for key, value in stages.items()}


def hardware() -> str:
    """The GPU, or the number of CPU cores and their architecture."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    n_cores = torch.get_num_threads()
    return f"{n_cores} CPU core{'s' if n_cores > 1 else ''} ({platform.machine()})"


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--druglike", type=Path, nargs=3, metavar=("TRAIN", "VALID", "TEST"))
    parser.add_argument("--moses", type=Path, nargs=2, metavar=("TRAIN", "TEST"))
    parser.add_argument("--model", nargs="+", choices=RECIPES, default=list(RECIPES))
    parser.add_argument("--minutes", nargs="+", type=float, default=[], help="time limit of each model's training")
    parser.add_argument("--init-from", type=Path, metavar="FOLDER", help="folder of model directories to start from")
    parser.add_argument("--steps", nargs="+", choices=STEPS, default=STEPS, help="steps to run; train needs no files")
    parser.add_argument("--batch-size", type=int, help="molecules per step; 1024 or more on a GPU")
    parser.add_argument("--learning-rate", type=float, help="peak learning rate; larger batches need a higher one")
    parser.add_argument(
        "--length-weight-exponent", type=float, help="sample molecules in proportion to (number of tokens) ** exponent"
    )
    parser.add_argument("--rl", action="store_true", help="train only the decoder, with policy gradients")
    parser.add_argument("--precision", default="bf16", help="auto, 32, tf32 or bf16; the fastest depends on the GPU")
    parser.add_argument("--small", action="store_true", help="small networks and few molecules, to test the script")
    parser.add_argument("--out", type=Path, default=Path("runs/shipped"))
    arguments = parser.parse_args()
    if set(arguments.steps) != {"train"} and not (arguments.druglike and arguments.moses):
        parser.error("the steps pack and finish need --druglike and --moses")
    if "train" in arguments.steps and len(arguments.minutes) != len(arguments.model):
        parser.error("the step train needs --minutes for each --model")
    return arguments


if __name__ == "__main__":
    main()
