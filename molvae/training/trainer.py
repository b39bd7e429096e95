"""One training run in one folder: settings, checkpoints, curves; started, stopped and resumed."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping, RichProgressBar
from lightning.pytorch.utilities import rank_zero_only

from molvae.data.files import Claim
from molvae.data.graph_dataset import PackedGraphs
from molvae.data.neighbors import Neighbors
from molvae.errors import CheckpointError, InputError
from molvae.nn.autoencoder import Autoencoder
from molvae.nn.config import ModelConfig
from molvae.training.callbacks import Compilation, TimeBox, ValidationRow
from molvae.training.checkpoints import (
    AtomicCheckpointIO,
    LastCheckpoint,
    finished,
    load_weights,
    read_checkpoint,
)
from molvae.training.config import TrainConfig
from molvae.training.data_module import Ticks
from molvae.training.metrics_file import MetricsFile, last_figures, read_metrics
from molvae.training.module import AutoencoderTraining, Practice, Probe
from molvae.training.process_state import left_as_it_was, matrix_products
from molvae.training.run_settings import keep_settings


@dataclass(frozen=True)
class Trained:
    """What a run gave: the model, how long it took, and its last logged figures."""

    model: Autoencoder
    steps: int
    minutes: float
    molecules: int  # training molecules seen, repeats counted
    metrics: dict[str, float]
    data_share: float  # of a step's time, spent on getting its batch
    step_seconds: float  # of the last run, in training steps: validations and checkpoints are not in it


def train(
    folder: Path,
    train_data: PackedGraphs,
    valid_data: PackedGraphs,
    model_config: ModelConfig,
    config: TrainConfig,
    *,
    neighbors: Neighbors | None = None,
    probe: Probe | None = None,
    practice: Practice | None = None,
    start_from: Autoencoder | None = None,
    accelerator: str = "auto",
    devices: int | str = "auto",
    nodes: int = 1,
    strategy: str = "auto",
    progress: bool = True,
    log_every: int = 50,
    data: dict[str, Any] | None = None,
    command: str | None = None,
) -> Trained:
    """Train in `folder`, going on from its last checkpoint where there is one; a finished run is just read back.

    The same seed, data and settings give the same losses, interrupted or not (a time box apart: it ends by
    the clock). `start_from` gives the first weights, where a run is not resumed. `strategy` is Lightning's.

    With `neighbors`, of `train_data`, a latent that was moved is decoded to a neighbor of its molecule about as far
    away as it was moved (`data.neighbors`), and not to the molecule itself. With `practice` what that gives counts as
    the configuration says.

    The folder gets last.ckpt, metrics.csv (a row every `log_every` steps and one per validation), settings.json,
    in which `data` (files, counts, checksums) and `command` are recorded too, and, with matplotlib, curves.png.
    Progress is shown on stderr, if that is a terminal.

    Raises `CheckpointError` when the folder's checkpoint is of other settings or damaged, `InputError` on data or
    batches too small, neighbors of other data, a new encoder that is to stay as it is, or a practice that is missing,
    `MolvaeError` when another run begins in the folder, which goes on alone.
    """
    run = Run(Path(folder), config, log_every)
    if neighbors is not None and len(neighbors) != len(train_data):
        raise InputError(f"neighbors of {len(neighbors):,} molecules, but there are {len(train_data):,} to train on")
    if config.rl_weight and practice is None:
        raise InputError("rl_weight counts what a practice gives: pass one, or leave it at 0")
    described = {**(data or {}), "train_molecules": len(train_data), "valid_molecules": len(valid_data)}
    before = run.prepare(model_config, described, command)
    model = _first_model(model_config, config, start_from)
    if before is None or not finished(before, config):
        claim, before = run.begin()
        metrics = MetricsFile(run.metrics.path, claim)
        module = AutoencoderTraining(
            model, config, train_data, valid_data, probe, metrics, log_every, neighbors,
            practice if config.rl_weight else None,
        )  # fmt: skip
        with left_as_it_was(), matrix_products(config.precision):
            trainer = run.trainer(accelerator, devices, nodes, strategy, progress and sys.stderr.isatty(), claim)
            resumed = str(run.checkpoint) if before else None
            trainer.fit(module, datamodule=Ticks(len(valid_data)), ckpt_path=resumed, weights_only=True)
        if claim is not None:
            claim.release()
    return run.result(model)


def first_process() -> bool:
    """Whether this is the process that writes, of those that share a run."""
    return getattr(rank_zero_only, "rank", 0) == 0


@dataclass(frozen=True)
class Run:
    """A run's folder and what belongs to it."""

    folder: Path
    config: TrainConfig
    log_every: int

    @property
    def checkpoint(self) -> Path:
        return self.folder / "last.ckpt"

    @property
    def metrics(self) -> MetricsFile:
        return MetricsFile(self.folder / "metrics.csv")

    def prepare(self, model: ModelConfig, data: dict[str, Any], command: str | None) -> dict[str, Any] | None:
        """Make the folder ready, or see that it holds this run, and return its checkpoint, if there is one."""
        for name in ("train_molecules", "valid_molecules"):
            if not data[name]:
                raise InputError(f"{name} is 0: training needs some of both")
        self.folder.mkdir(parents=True, exist_ok=True)
        found = read_checkpoint(self.checkpoint)
        if first_process():  # the other processes of a run find the folder made
            path = self.folder / "settings.json"
            keep_settings(path, model, self.config, data, command=command, resuming=found is not None)
        return found

    def begin(self) -> tuple[Claim | None, dict[str, Any] | None]:
        """The folder as this run's, for the same command may have been begun twice, and the checkpoint to go on from.

        What was logged behind that is forgotten.
        """
        claim = Claim(self.folder / "run") if first_process() else None
        found = read_checkpoint(self.checkpoint)
        if first_process():
            self.metrics.keep_before(found["global_step"] if found else 0)
        return claim, found

    def trainer(
        self, accelerator: str, devices: int | str, nodes: int, strategy: str, progress: bool, claim: Claim | None
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
            sync_batchnorm=on_gpu,  # torch has none for CPUs: there each process standardizes by its own part
            logger=False,
            default_root_dir=self.folder,
            callbacks=self.callbacks(progress),
            plugins=[AtomicCheckpointIO(claim)],
            enable_checkpointing=False,
            enable_progress_bar=progress,
            enable_model_summary=False,
        )

    def callbacks(self, progress: bool) -> list[Callback]:
        found: list[Callback] = [TimeBox(), Compilation(), ValidationRow(self.folder)]
        if self.config.patience:
            found.append(EarlyStopping("valid/loss", patience=self.config.patience))
        if progress:
            found.append(RichProgressBar(console_kwargs={"stderr": True}))
        return [*found, LastCheckpoint(self.checkpoint, self.config.checkpoint_every)]

    def result(self, model: Autoencoder) -> Trained:
        """What the run's last checkpoint holds: the one truth, whichever processes did the training."""
        last = read_checkpoint(self.checkpoint)
        if last is None:
            raise CheckpointError(f"{self.checkpoint} is gone: the run left no checkpoint")
        load_weights(model, last)
        return Trained(
            model=model.cpu().eval().requires_grad_(),
            steps=last["global_step"],
            minutes=last["minutes"],
            molecules=last["global_step"] * self.config.batch_size,
            metrics=last_figures(read_metrics(self.metrics.path)),
            data_share=last.get("data_share", 0.0),
            step_seconds=last.get("step_seconds", 0.0),
        )


def _first_model(config: ModelConfig, training: TrainConfig, start_from: Autoencoder | None) -> Autoencoder:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(training.random_state)
        model = Autoencoder.from_config(config)
    given = set() if start_from is None else _copy_weights(start_from, model)
    if training.freeze_encoder and (new := {n for n in model.state_dict() if not n.startswith("decoder.")} - given):
        raise InputError(f"freeze_encoder: {min(new)} is new and has to be trained; start from a model of this shape")
    return model


def _copy_weights(source: Autoencoder, target: Autoencoder) -> set[str]:
    """Weights that both models have, by name; what only one has (a variance, say) stays as it is."""
    known, given = target.state_dict(), source.state_dict()
    shared = [name for name in given if name in known and known[name].shape == given[name].shape]
    if not shared:
        raise InputError("the model to start from has no weight of a shape that the one to train has")
    for name in shared:
        known[name].copy_(given[name])
    return set(shared)
