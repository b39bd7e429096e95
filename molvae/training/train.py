"""From files of molecules to a model directory: pack, split, train, save. Each part is a module of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException

from molvae import checkpoint as checkpoints
from molvae.checkpoint import Checkpoint, SamplingDefaults
from molvae.data.datasets import resolve_source
from molvae.data.files import checksum
from molvae.data.graph_dataset import PackedGraphs
from molvae.errors import CheckpointError, InputError
from molvae.generator import Generator
from molvae.nn.config import ModelConfig
from molvae.nn.likelihood_reference import DEFAULT_N_MOLECULES
from molvae.training.config import TrainConfig
from molvae.training.dataset import Packed, Recipe, Tell, packed_data, packed_neighbors
from molvae.training.evaluation import probe
from molvae.training.policy_gradient import Practice
from molvae.training.run_settings import check_settings
from molvae.training.runtime import restored_process_state
from molvae.training.trainer import TrainingResult, is_first_process, train_autoencoder

LITTLE = 0.1
"""From a model that gives back fewer of its molecules, and fewer of whose draws are molecules, nothing is to be had."""


@dataclass(frozen=True)
class Machine:
    """What a training runs on, in Lightning's words."""

    accelerator: str = "auto"
    devices: str | int = "auto"
    nodes: int = 1
    strategy: str = "auto"

    def check(self) -> None:
        """Raises `InputError` when there is no such machine: before hours of packing, not after."""
        try:
            with restored_process_state():
                lightning.Trainer(
                    accelerator=self.accelerator, devices=self.chosen, num_nodes=self.nodes, strategy=self.strategy,
                    logger=False, enable_checkpointing=False,
                )  # fmt: skip
        except (MisconfigurationException, ValueError, RuntimeError) as error:
            raise InputError(f"cannot train on {self}: {str(error).splitlines()[0]}") from None

    @property
    def chosen(self) -> int | str:
        """The devices: a number is how many, text is which."""
        return int(self.devices) if str(self.devices).lstrip("-").isdigit() else self.devices

    def __str__(self) -> str:
        return (
            ", ".join(f"{name} {value}" for name, value in asdict(self).items() if value not in ("auto", 1)) or "auto"
        )


def train_model(
    data: Sequence[str | Path],
    folder: str | Path,
    *,
    valid: str | Path | None = None,
    column: str | None = None,
    standardize: bool = False,
    shape: dict[str, Any] | None = None,
    config: TrainConfig | None = None,
    neighbors: bool = True,
    start_from: str | Path | None = None,
    name: str | None = None,
    workers: int | None = None,
    machine: Machine | None = None,
    progress: bool = False,
    tell: Tell = lambda _: None,
) -> Path:
    """Train on `data` (files, or datasets: NAME or NAME:SPLIT) and return the model directory, `folder`/model.

    `shape` holds settings of `ModelConfig`; with `start_from` (a model's name or directory) they change that
    model's own, and its weights and vocabulary are the first. Without `valid` a share of the data is split off by hash.
    The packed data stays in `folder`/packed and rejected rows are listed in `folder`/rejected.csv. An
    unfinished run in `folder` is resumed. With `neighbors` (see `training.run.train`) those of every training molecule
    are looked for first, which takes as long as packing. `tell` is given a line of news now and then.

    Raises `InputError` on settings or files that cannot be used, `CheckpointError` when `folder` holds another run.
    """
    folder, config, machine = Path(folder), config or TrainConfig(), machine or Machine()
    start = _start(start_from) if start_from is not None else None
    model_config = _shape(shape or {}, start)
    recipe = Recipe(
        train=tuple(resolve_source(item, column) for item in data),
        valid=resolve_source(valid, column, split="valid") if valid is not None else None,
        standardize=standardize,
        max_length=model_config.max_length,
        vocabulary=start.vocabulary if start else None,
    )
    machine.check()
    neighbors = neighbors and config.noise_prob > 0  # else no latent is moved
    described = {**recipe.fingerprint(), "neighbors": neighbors}
    if (folder / "last.ckpt").exists():  # another run's packed data would be replaced before it is rejected
        check_settings(folder / "settings.json", config, described)
    packed = packed_data(recipe, folder, workers=workers, tell=tell)
    near = None
    if neighbors:
        path = folder / "packed" / "neighbors.npz"
        near = packed_neighbors(packed.train, packed.vocabulary, path, workers=workers, tell=tell)
    model_config = model_config.replace(vocab_size=len(packed.vocabulary))
    practising = config.rl_weight > 0
    with _interrupts():
        trained = train_autoencoder(
            folder, packed.train, packed.valid, model_config, config, neighbors=near,
            validation_metrics=probe(packed.vocabulary, model_config.max_length),
            policy_gradient=Practice(packed.vocabulary, model_config.max_length, packed.seen) if practising else None,
            init_from=start.model if start else None, progress_bar=progress,
            data=described,
            accelerator=machine.accelerator, devices=machine.chosen, nodes=machine.nodes, strategy=machine.strategy,
        )  # fmt: skip
    if is_first_process():
        if not checkpoints.has_weights(folder / "model", trained.model):  # else its learned prior, too, is to stay
            _save(folder, name or folder.resolve().name, trained, packed, recipe, model_config, config)
        tell(f"{_worth(trained)}; the model is {folder / 'model'}")
    return folder / "model"


def _worth(trained: TrainingResult) -> str:
    """What a run came to, in a line, and what to do where that is little."""
    exact, valid = (trained.metrics.get(f"valid/{name}", 0.0) for name in ("exact", "prior_valid"))
    line = (
        f"{trained.steps:,} steps, {trained.minutes:.1f} minutes: of validation molecules {exact:.0%} come back "
        f"exactly, of draws from the prior {valid:.0%} are molecules"
    )
    return line if exact >= LITTLE or valid >= LITTLE else f"{line}, which is too little to use: train it for longer"


@contextmanager
def _interrupts() -> Iterator[None]:
    """Lightning ends the process on Ctrl+C; the caller of a library wants the exception."""
    try:
        yield
    except SystemExit:
        raise KeyboardInterrupt from None


def _start(model: str | Path) -> Checkpoint:
    try:
        folder = checkpoints.find_model(model)
    except CheckpointError as error:
        raise InputError(str(error)) from None  # a name that does not exist is no damaged model
    return checkpoints.load(folder)


def _shape(settings: dict[str, Any], start: Checkpoint | None) -> ModelConfig:
    if start is not None:
        return start.config.replace(**settings)
    return ModelConfig.from_dict({"vocab_size": 3, **settings})  # its size is known once the data is packed


def _save(
    folder: Path,
    name: str,
    trained: TrainingResult,
    packed: Packed,
    recipe: Recipe,
    shape: ModelConfig,
    config: TrainConfig,
) -> None:
    sources = [*recipe.train, *([recipe.valid] if recipe.valid else [])]
    card = {
        "data": {source.label: f"sha256 {checksum(source.path)}" for source in sources},
        "rows": {
            **packed.counts,
            "training molecules": len(packed.train),
            "validation molecules": len(packed.valid),
        },
        "training": {
            "steps": trained.steps,
            "molecules seen, repeats counted": trained.n_molecules,
            "minutes": round(trained.minutes, 2),
        },
        "hardware": _hardware(folder),
        "settings": {**asdict(shape), **asdict(config)},
        "metrics": trained.metrics,
    }
    model = Checkpoint(
        name=name, model=trained.model, config=shape, vocabulary=packed.vocabulary,
        defaults=SamplingDefaults(noise_conditioned=config.noise_prob > 0 or config.rl_weight > 0),
        training_filter=packed.seen, card=card,
    )  # fmt: skip
    checkpoints.save(calibrated(model, packed.train), folder / "model")


def calibrated(checkpoint: Checkpoint, train: PackedGraphs) -> Checkpoint:
    """The same with what is usual for its training set, of which some are drawn; as it was where nothing can be said.

    That is so of a few molecules, and of a model whose likelihoods are no numbers.
    """
    rows = torch.randperm(len(train), generator=torch.Generator().manual_seed(0))[:DEFAULT_N_MOLECULES]
    drawn = train.select(rows).smiles(checkpoint.vocabulary)
    generator = Generator(checkpoint, next(checkpoint.model.parameters()).device)
    try:
        return replace(checkpoint, likelihood_reference=generator.likelihood_reference(drawn))
    except InputError:
        return checkpoint


def _hardware(folder: Path) -> dict[str, Any]:
    """The machine and the versions that the run noted in its settings."""
    settings = json.loads((folder / "settings.json").read_text(encoding="utf-8"))
    return {**settings.get("hardware", {}), **settings.get("versions", {})}
