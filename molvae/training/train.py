"""Train a model from files of molecules: pack the data, train, and save a model directory."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self

import lightning
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException

from molvae import checkpoint as checkpoints
from molvae.checkpoint import Checkpoint, SamplingDefaults
from molvae.data.arguments import as_paths
from molvae.data.checked_arguments import checked_arguments
from molvae.data.datasets import resolve_source
from molvae.data.files import check_run_folder, checksum
from molvae.data.graph_dataset import PackedGraphs
from molvae.errors import CheckpointError, InputError
from molvae.generator import Generator
from molvae.nn.config import ModelConfig
from molvae.nn.devices import find_device
from molvae.nn.likelihood_reference import DEFAULT_N_MOLECULES
from molvae.training.config import TrainConfig
from molvae.training.dataset import TrainingSet, TrainingSetConfig, prepare_neighbors, prepare_training_set
from molvae.training.evaluation import decoding_metrics
from molvae.training.policy_gradient import PolicyGradient
from molvae.training.run_settings import check_settings
from molvae.training.runtime import Log, restored_process_state
from molvae.training.trainer import TrainingResult, is_first_process, train_autoencoder

MIN_USABLE = 0.1
"""Below this fraction of exact reconstructions and of valid prior samples, a longer run is recommended."""


@dataclass(frozen=True)
class HardwareConfig:
    """Hardware of a training run, in the terms of `lightning.Trainer`.

    Parameters
    ----------
    accelerator
        "auto", "cpu" or "gpu".
    devices
        Number of devices, their indices ("0,2"), or "auto".
    nodes
        Number of machines.
    strategy
        Distributed strategy, e.g. "auto" or "ddp".
    """

    accelerator: str = "auto"
    devices: str | int = "auto"
    nodes: int = 1
    strategy: str = "auto"

    @classmethod
    def from_device(cls, device: str) -> Self:
        """The hardware of a run on one device, by its name in the other functions of molvae.

        Raises
        ------
        InputError
            If the device does not exist or cannot be used.

        Examples
        --------
        >>> HardwareConfig.from_device("cpu")
        HardwareConfig(accelerator='cpu', devices=1, nodes=1, strategy='auto')
        """
        if device == "auto":
            return cls()
        found = find_device(device)
        if found.type == "cpu":
            return cls("cpu", 1)
        return cls(found.type, 1 if found.index is None else f"{found.index},")  # "1,": the GPU with the index 1

    def check(self) -> None:
        """Raise `InputError` if the hardware is not available, before the data is packed."""
        try:
            with restored_process_state():
                lightning.Trainer(
                    accelerator=self.accelerator,
                    devices=self.lightning_devices,
                    num_nodes=self.nodes,
                    strategy=self.strategy,
                    logger=False,
                    enable_checkpointing=False,
                )
        except (MisconfigurationException, ValueError, RuntimeError) as error:
            raise InputError(f"cannot train on {self}: {str(error).splitlines()[0]}") from None

    @property
    def lightning_devices(self) -> int | str:
        """`devices` as an integer if it is a number, otherwise as text."""
        return int(self.devices) if str(self.devices).lstrip("-").isdigit() else self.devices

    def __str__(self) -> str:
        changed = [f"{name} {value}" for name, value in asdict(self).items() if value not in ("auto", 1)]
        return ", ".join(changed) or "auto"


@checked_arguments
def train_model(
    data: Sequence[str | Path],
    folder: str | Path,
    *,
    valid: str | Path | None = None,
    column: str | None = None,
    standardize: bool = False,
    keep_salts: bool = False,
    model_config: Mapping[str, Any] | None = None,
    train_config: TrainConfig | None = None,
    neighbor_targets: bool = True,
    init_from: str | Path | None = None,
    name: str | None = None,
    workers: int | None = None,
    device: str = "auto",
    hardware: HardwareConfig | None = None,
    progress_bar: bool = False,
    log: Log = lambda _: None,
) -> Path:
    """Train a model on files of molecules and save it as `folder`/model.

    The data is packed once into `folder`/packed, and invalid rows are listed in `folder`/invalid_rows.csv. A run that
    was interrupted continues when it is started again with the same arguments.

    Parameters
    ----------
    data
        Files of molecules, or datasets: NAME or NAME:SPLIT.
    folder
        Folder of the run.
    valid
        Validation data. Default: a part of the training data (1 %, at least 50 molecules, at most 20 %), chosen by a
        hash of the SMILES.
    column
        Column of the SMILES in tables.
    standardize
        Standardize molecules (salts, charges) before training.
    model_config
        Settings of `ModelConfig` that differ from the defaults, or from those of `init_from`, by name.
    train_config
        Hyperparameters.
    neighbor_targets
        Train perturbed latents to decode to similar molecules, at about the distance given by the noise level, instead
        of the original molecule. Finding the neighbors takes about as long as packing the data.
    init_from
        Name or directory of a model whose architecture, weights and vocabulary are used to start.
    name
        Name of the model. Default: the name of the folder.
    workers
        Processes that parse molecules. Default: one per core.
    device
        "auto", "cpu", "cuda", "cuda:1", ...: the one device to train on; "auto" is every GPU, or else the CPU.
    hardware
        Accelerator, devices, nodes and strategy, for several devices or machines; instead of `device`.
    progress_bar
        Show a progress bar on stderr if that is a terminal.
    log
        Called with progress messages.

    Returns
    -------
    Path
        The model directory.

    Raises
    ------
    InputError
        If a setting, a file or the hardware cannot be used.
    CheckpointError
        If `folder` holds a run with other settings.
    MolvaeError
        If there are too few usable molecules.

    Examples
    --------
    >>> import molvae
    >>> from molvae.training.config import TrainConfig
    >>> molvae.train_model(["molecules.smi"], "run", train_config=TrainConfig(max_minutes=60))  # doctest: +SKIP
    PosixPath('run/model')
    """
    if train_config is not None and not isinstance(train_config, TrainConfig):
        raise InputError(f"train_config must be a TrainConfig, got {train_config!r:.60}")
    if hardware is not None and device != "auto":
        raise InputError(f"give either device={device!r} or hardware, not both")
    folder, config, hardware = (
        Path(folder),
        train_config or TrainConfig(),
        hardware or HardwareConfig.from_device(device),
    )
    check_run_folder(folder)
    initial = _load_initial(init_from) if init_from is not None else None
    architecture = _architecture(dict(model_config or {}), initial)
    data_config = TrainingSetConfig(
        train=tuple(resolve_source(item, column) for item in as_paths(data, "data")),
        valid=resolve_source(valid, column, split="valid") if valid is not None else None,
        standardize=standardize,
        keep_salts=keep_salts,
        max_length=architecture.max_length,
        vocabulary=initial.vocabulary if initial else None,
    )
    hardware.check()
    neighbor_targets = neighbor_targets and config.noise_prob > 0  # otherwise no latent is perturbed
    description = {**data_config.fingerprint(), "neighbor_targets": neighbor_targets}
    if (folder / "last.ckpt").exists():  # check before the packed data of another run is replaced
        check_settings(folder / "settings.json", config, description)
    training_set = prepare_training_set(data_config, folder, workers=workers, log=log)
    vocabulary, neighbors = training_set.vocabulary, None
    if neighbor_targets:
        path = folder / "packed" / "neighbors.npz"
        neighbors = prepare_neighbors(training_set.train, vocabulary, path, workers=workers, log=log)
    architecture = architecture.replace(vocab_size=len(vocabulary))
    policy_gradient = None
    if config.rl_weight > 0:
        policy_gradient = PolicyGradient(
            vocabulary, architecture.max_length, training_set.training_filter,
            no_route_factor=config.rl_no_route_factor,
        )  # fmt: skip
    with _keyboard_interrupt():
        result = train_autoencoder(
            folder,
            training_set.train,
            training_set.valid,
            architecture,
            config,
            neighbors=neighbors,
            validation_metrics=decoding_metrics(vocabulary, architecture.max_length),
            policy_gradient=policy_gradient,
            init_from=initial.model if initial else None,
            accelerator=hardware.accelerator,
            devices=hardware.lightning_devices,
            nodes=hardware.nodes,
            strategy=hardware.strategy,
            progress_bar=progress_bar,
            data=description,
        )
    if is_first_process():
        # a model directory with the same weights is kept: a prior may have been fitted to it after training
        if not checkpoints.has_weights(folder / "model", result.model):
            _save(folder, name or folder.resolve().name, result, training_set, data_config, architecture, config)
        log(f"{_summary(result)}; the model is {folder / 'model'}")
    return folder / "model"


def with_likelihood_reference(checkpoint: Checkpoint, train: PackedGraphs) -> Checkpoint:
    """Add a likelihood reference, computed on random training molecules, to a checkpoint.

    The checkpoint is returned unchanged if there are too few molecules or their likelihoods are not finite.
    """
    rows = torch.randperm(len(train), generator=torch.Generator().manual_seed(0))[:DEFAULT_N_MOLECULES]
    smiles = train.select(rows).smiles(checkpoint.vocabulary)
    generator = Generator(checkpoint, next(checkpoint.model.parameters()).device)
    try:
        return replace(checkpoint, likelihood_reference=generator.likelihood_reference(smiles))
    except InputError:
        return checkpoint


def _load_initial(model: str | Path) -> Checkpoint:
    try:
        folder = checkpoints.find_model(model)
    except CheckpointError as error:
        raise InputError(str(error)) from None  # a wrong name is a mistake in the input, not a damaged model
    return checkpoints.load(folder)


def _architecture(settings: dict[str, Any], initial: Checkpoint | None) -> ModelConfig:
    if initial is not None:
        return initial.config.replace(**settings)
    return ModelConfig.from_dict({"vocab_size": 3, **settings})  # replaced when the data is packed


@contextmanager
def _keyboard_interrupt() -> Iterator[None]:
    """Raise `KeyboardInterrupt` where Lightning would end the process on Ctrl+C."""
    try:
        yield
    except SystemExit as error:
        if error.code != 1:  # SIGTERM ends the command line with its own code
            raise
        raise KeyboardInterrupt from None


def _summary(result: TrainingResult) -> str:
    """Length and final metrics of a run in one line, with a recommendation if the model is not usable."""
    exact, valid = (result.metrics.get(f"valid/{name}", 0.0) for name in ("exact", "prior_valid"))
    line = (
        f"{result.steps:,} steps in {result.minutes:.1f} minutes: {exact:.0%} of validation molecules are "
        f"reconstructed exactly, {valid:.0%} of prior samples are valid"
    )
    return line if max(exact, valid) >= MIN_USABLE else f"{line}. This model is not usable yet: train it for longer"


def _save(
    folder: Path,
    name: str,
    result: TrainingResult,
    training_set: TrainingSet,
    data_config: TrainingSetConfig,
    model_config: ModelConfig,
    config: TrainConfig,
) -> None:
    """Write `folder`/model with its card, the Bloom filter of the training set and the likelihood reference."""
    sources = [*data_config.train, *([data_config.valid] if data_config.valid else [])]
    card = {
        "data": {source.label: f"sha256 {checksum(source.path)}" for source in sources},
        "rows": {
            **training_set.counts,
            "training molecules": len(training_set.train),
            "validation molecules": len(training_set.valid),
        },
        "training": {
            "steps": result.steps,
            "training molecules processed": result.n_molecules,
            "minutes": round(result.minutes, 2),
        },
        "hardware": _recorded_hardware(folder),
        "settings": {**asdict(model_config), **asdict(config)},
        "metrics": result.metrics,
    }
    checkpoint = Checkpoint(
        name=name,
        model=result.model,
        config=model_config,
        vocabulary=training_set.vocabulary,
        defaults=SamplingDefaults(noise_conditioned=config.noise_prob > 0 or config.rl_weight > 0),
        training_filter=training_set.training_filter,
        card=card,
    )
    checkpoints.save(with_likelihood_reference(checkpoint, training_set.train), folder / "model")


def _recorded_hardware(folder: Path) -> dict[str, Any]:
    """Hardware and library versions in the run's settings.json."""
    settings = json.loads((folder / "settings.json").read_text(encoding="utf-8"))
    return {**settings["hardware"], **settings["versions"]}
