"""One training run in one folder: its settings, checkpoints and learning curves; started and resumed."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping, RichProgressBar
from lightning.pytorch.utilities import rank_zero_only

from molvae.data.files import FolderLock, leftover_temporary_files, remove_leftover
from molvae.data.graph_dataset import PackedGraphs
from molvae.data.neighbors import Neighbors
from molvae.errors import CheckpointError, InputError
from molvae.nn.autoencoder import Autoencoder
from molvae.nn.config import ModelConfig
from molvae.nn.decoders import GRUDecoder
from molvae.training.batches import StepDataModule
from molvae.training.checkpoints import (
    AtomicCheckpointIO,
    LastCheckpoint,
    is_finished,
    load_weights,
    read_checkpoint,
)
from molvae.training.config import TrainConfig
from molvae.training.curves import CurveDrawer, MetricsFile, latest_metrics, read_metrics
from molvae.training.module import AutoencoderModule, PolicyGradientLoss, ValidationMetrics
from molvae.training.run_settings import write_settings
from molvae.training.runtime import matmul_precision, restored_process_state


@dataclass(frozen=True)
class TrainingResult:
    """The trained model and the statistics of its run.

    Attributes
    ----------
    model
        The model on the CPU, in evaluation mode.
    steps, minutes
        Optimizer steps and minutes of the whole run, resumed parts included.
    n_molecules
        Training molecules processed, repetitions included.
    metrics
        Latest value of every metric, e.g. ``metrics["valid/loss"]``.
    batch_fraction
        Fraction of the time of steps that was spent on gathering batches.
    step_seconds
        Seconds spent in training steps by the last part of the run, without validations and checkpoints.
    """

    model: Autoencoder
    steps: int
    minutes: float
    n_molecules: int
    metrics: dict[str, float]
    batch_fraction: float
    step_seconds: float


def train_autoencoder(
    folder: Path,
    train_data: PackedGraphs,
    valid_data: PackedGraphs,
    model_config: ModelConfig,
    config: TrainConfig,
    *,
    neighbors: Neighbors | None = None,
    validation_metrics: ValidationMetrics | None = None,
    policy_gradient: PolicyGradientLoss | None = None,
    init_from: Autoencoder | None = None,
    accelerator: str = "auto",
    devices: int | str = "auto",
    nodes: int = 1,
    strategy: str = "auto",
    progress_bar: bool = True,
    log_every: int = 50,
    data: dict[str, Any] | None = None,
) -> TrainingResult:
    """Train an autoencoder on packed graphs.

    A run that was interrupted continues from its last checkpoint; a finished run is read back. The same data,
    settings and random state give the same losses, interrupted or not, unless the run has a time limit.

    The folder receives last.ckpt, metrics.csv (a row every `log_every` steps and one per validation), settings.json
    and, if matplotlib is installed, curves.png.

    Parameters
    ----------
    folder
        Folder of the run.
    train_data, valid_data
        Molecules to train on and to validate on.
    model_config, config
        Architecture and hyperparameters.
    neighbors
        Neighbors of `train_data`. A perturbed latent is then decoded to a neighbor whose Tanimoto distance is about
        the noise level (`molvae.data.neighbors`), instead of the molecule itself.
    validation_metrics
        Additional metrics, computed at every validation.
    policy_gradient
        Additional loss, added with the weight ``config.rl_weight``.
    init_from
        Model whose weights initialize a new run.
    accelerator, devices, nodes, strategy
        Hardware, as in `lightning.Trainer`.
    progress_bar
        Show a progress bar on stderr if that is a terminal.
    log_every
        Steps between rows of metrics.csv.
    data
        Description of the data (files, checksums), saved in settings.json and compared when the run is resumed.

    Returns
    -------
    TrainingResult

    Raises
    ------
    CheckpointError
        If the folder holds a run with other settings or a damaged checkpoint.
    InputError
        If there is no data, the neighbors belong to other data, a frozen encoder would not be initialized, or the
        policy-gradient loss is missing.
    MolvaeError
        If a later run has taken over the folder.
    """
    if neighbors is not None and len(neighbors) != len(train_data):
        raise InputError(f"neighbors of {len(neighbors):,} molecules, but there are {len(train_data):,} to train on")
    if config.rl_weight and policy_gradient is None:
        raise InputError(f"rl_weight is {config.rl_weight} but there is no policy_gradient: pass one, or set it to 0")
    run = TrainingRun(Path(folder), config)
    description = {**(data or {}), "train_molecules": len(train_data), "valid_molecules": len(valid_data)}
    checkpoint = run.prepare(model_config, description)
    model = _initial_model(model_config, config, init_from)
    if checkpoint is None or not is_finished(checkpoint, config):
        lock, checkpoint = run.lock_folder()
        module = AutoencoderModule(
            model,
            config,
            train_data,
            valid_data,
            MetricsFile(run.metrics_path, lock),
            log_every=log_every,
            neighbors=neighbors,
            validation_metrics=validation_metrics,
            policy_gradient=policy_gradient if config.rl_weight else None,
        )
        with (
            lock.released_on_error() if lock is not None else nullcontext(),
            restored_process_state(),
            matmul_precision(config.precision),
        ):
            trainer = run.trainer(accelerator, devices, nodes, strategy, progress_bar and sys.stderr.isatty(), lock)
            trainer.fit(
                module,
                datamodule=StepDataModule(len(valid_data)),
                ckpt_path=str(run.checkpoint_path) if checkpoint else None,
                weights_only=True,
            )
        if lock is not None:
            lock.release()
    return run.result(model)


def is_first_process() -> bool:
    """Whether this is process 0 of the run, the only one that writes files."""
    return getattr(rank_zero_only, "rank", 0) == 0


@dataclass(frozen=True)
class TrainingRun:
    """The folder of a run, and the trainer that is configured for it."""

    folder: Path
    config: TrainConfig

    @property
    def checkpoint_path(self) -> Path:
        return self.folder / "last.ckpt"

    @property
    def metrics_path(self) -> Path:
        return self.folder / "metrics.csv"

    def prepare(self, model: ModelConfig, data: dict[str, Any]) -> dict[str, Any] | None:
        """Create the folder or check that it holds this run; return the run's checkpoint, if there is one."""
        for name in ("train_molecules", "valid_molecules"):
            if not data[name]:
                raise InputError(f"{name} is 0: training needs molecules to train on and to validate on")
        self.folder.mkdir(parents=True, exist_ok=True)
        checkpoint = read_checkpoint(self.checkpoint_path)
        if is_first_process():
            path = self.folder / "settings.json"
            write_settings(path, model, self.config, data, resuming=checkpoint is not None)
        return checkpoint

    def lock_folder(self) -> tuple[FolderLock | None, dict[str, Any] | None]:
        """Lock the folder, in case the same command was started twice; return the lock and the checkpoint.

        Metrics of steps after the checkpoint and temporary files of killed processes are deleted.
        """
        lock = FolderLock(self.folder / "run") if is_first_process() else None
        checkpoint = read_checkpoint(self.checkpoint_path)
        if is_first_process():
            for path in leftover_temporary_files(self.folder):
                remove_leftover(path)
            MetricsFile(self.metrics_path).truncate(checkpoint["global_step"] if checkpoint else 0)
        return lock, checkpoint

    def trainer(
        self,
        accelerator: str,
        devices: int | str,
        nodes: int,
        strategy: str,
        progress_bar: bool,
        lock: FolderLock | None,
    ) -> lightning.Trainer:
        on_gpu = accelerator in ("gpu", "cuda") or (accelerator == "auto" and torch.cuda.is_available())
        return lightning.Trainer(
            accelerator=accelerator,
            devices=devices,
            num_nodes=nodes,
            strategy=strategy,
            precision="bf16-mixed" if on_gpu and self.config.precision in ("auto", "bf16") else "32-true",
            max_steps=self.config.max_steps,
            max_epochs=-1,
            gradient_clip_val=self.config.gradient_clip or None,
            val_check_interval=self.config.validate_every,
            check_val_every_n_epoch=None,
            num_sanity_val_steps=0,
            use_distributed_sampler=False,
            sync_batchnorm=on_gpu,  # not implemented for CPUs, where each process uses its own part of the batch
            logger=False,
            default_root_dir=self.folder,
            callbacks=self.callbacks(progress_bar),
            plugins=[AtomicCheckpointIO(lock)],
            enable_checkpointing=False,
            enable_progress_bar=progress_bar,
            enable_model_summary=False,
        )

    def callbacks(self, progress_bar: bool) -> list[Callback]:
        callbacks: list[Callback] = [StopAtLimit(), CompileDecoder(), SaveValidationMetrics(self.folder)]
        if self.config.patience:
            callbacks.append(EarlyStopping("valid/loss", patience=self.config.patience))
        if progress_bar:
            callbacks.append(RichProgressBar(console_kwargs={"stderr": True}))
        return [*callbacks, LastCheckpoint(self.checkpoint_path, self.config.checkpoint_every)]

    def result(self, model: Autoencoder) -> TrainingResult:
        """The state of the last checkpoint, which is the same for every process of the run."""
        checkpoint = read_checkpoint(self.checkpoint_path)
        if checkpoint is None:
            raise CheckpointError(f"{self.checkpoint_path} does not exist: the run wrote no checkpoint")
        load_weights(model, checkpoint)
        return TrainingResult(
            model=model.cpu().eval().requires_grad_(),
            steps=checkpoint["global_step"],
            minutes=checkpoint["minutes"],
            n_molecules=checkpoint["global_step"] * self.config.batch_size,
            metrics=latest_metrics(read_metrics(self.metrics_path)),
            batch_fraction=checkpoint["batch_fraction"],
            step_seconds=checkpoint["step_seconds"],
        )


class StopAtLimit(Callback):
    """Stops the run at its limit of steps or minutes, and reserves time for the validation at the end."""

    validation_start = 0.0

    def on_train_batch_end(self, trainer: lightning.Trainer, module: Any, *_: Any) -> None:
        module.timer.end_step()
        if module.progress_at_end() >= 1.0:
            trainer.should_stop = True

    def on_validation_start(self, _: lightning.Trainer, module: Any) -> None:
        self.validation_start = module.minutes()

    def on_validation_end(self, _: lightning.Trainer, module: Any) -> None:
        module.reserved_minutes = max(module.reserved_minutes, module.minutes() - self.validation_start)
        module.timer.pause()


class CompileDecoder(Callback):
    """Compiles the decoder for the duration of the run, if `TrainConfig.compile` is set."""

    def setup(self, _: lightning.Trainer, module: Any, stage: str) -> None:  # noqa: ARG002
        if module.config.compile:
            decoder = module.model.decoder
            if isinstance(decoder, GRUDecoder):  # disabled here because importing torch.compiler is slow
                decoder.forward_packed = torch.compiler.disable(decoder.forward_packed)  # type: ignore[method-assign]
            # in place, which keeps the names of the weights; dynamic, because batches differ in length
            decoder.compile(dynamic=True)

    def teardown(self, _: lightning.Trainer, module: Any, stage: str) -> None:  # noqa: ARG002
        module.model.decoder._compiled_call_impl = None
        vars(module.model.decoder).pop("forward_packed", None)


class SaveValidationMetrics(Callback):
    """Adds the metrics of each validation to metrics.csv and draws the learning curves."""

    def __init__(self, folder: Path) -> None:
        self.curves = CurveDrawer(folder)

    def on_validation_end(self, trainer: lightning.Trainer, module: Any) -> None:
        if trainer.is_global_zero:
            metrics = {k: float(v) for k, v in trainer.callback_metrics.items() if k.startswith("valid/")}
            module.metrics_file.add(trainer.global_step - 1, metrics)  # steps are counted from 0 in the file
            self.curves.draw()


def _initial_model(model_config: ModelConfig, config: TrainConfig, init_from: Autoencoder | None) -> Autoencoder:
    """A model with random weights, or with those of `init_from` where name and shape agree."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.random_state)
        model = Autoencoder.from_config(model_config)
    copied = set() if init_from is None else _copy_weights(init_from, model)
    if config.freeze_encoder:
        random = {name for name in model.state_dict() if not name.startswith("decoder.")} - copied
        if random:
            raise InputError(
                f"freeze_encoder: {min(random)} has random weights and must be trained; "
                "initialize from a model with this architecture"
            )
    return model


def _copy_weights(source: Autoencoder, target: Autoencoder) -> set[str]:
    """Copy the weights whose name and shape agree, and return their names."""
    source_state, target_state = source.state_dict(), target.state_dict()
    shared = [
        name for name, value in source_state.items() if name in target_state and target_state[name].shape == value.shape
    ]
    if not shared:
        raise InputError("no weight of the initial model fits: no name and shape agree with the model to train")
    for name in shared:
        target_state[name].copy_(source_state[name])
    return set(shared)
