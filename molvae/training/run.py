"""One training run in one folder: settings, checkpoints, curves; started, stopped and resumed."""

from __future__ import annotations

import json
import logging
import platform
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint, RichProgressBar
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor
from torch.utils.data import DataLoader

from molvae.data.packed import PackedGraphs
from molvae.errors import CheckpointError
from molvae.models.autoencoder import Autoencoder
from molvae.models.config import ModelConfig
from molvae.training.config import TrainConfig
from molvae.training.module import AutoencoderTraining, Probe
from molvae.training.order import RowOrder

VALIDATION_BATCH = 256


@dataclass(frozen=True)
class Trained:
    """What a run gave: the model, how long it took, and its last logged figures."""

    model: Autoencoder
    steps: int
    minutes: float
    molecules: int  # training molecules seen, repeats counted
    metrics: dict[str, float]
    data_share: float  # of a step's time, spent on gathering its batch


def train(
    folder: Path,
    train_data: PackedGraphs,
    valid_data: PackedGraphs,
    model_config: ModelConfig,
    config: TrainConfig,
    *,
    probe: Probe | None = None,
    start_from: Autoencoder | None = None,
    accelerator: str = "auto",
    devices: int | str = "auto",
    nodes: int = 1,
    progress: bool = True,
) -> Trained:
    """Train in `folder`, going on from its last checkpoint where there is one.

    The same seed, data and settings give the same losses, interrupted or not (a time box apart: it ends by the clock).
    `start_from` gives the first weights, where a run is not resumed. Raises `CheckpointError` when the folder's
    checkpoint is of other settings or damaged.
    """
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint = folder / "last.ckpt"
    _keep_settings(folder, model_config, config, resuming=checkpoint.exists())
    with _seeded(config.seed):
        model = Autoencoder.from_config(model_config)
    if start_from is not None:
        _copy_weights(start_from, model)
    module = AutoencoderTraining(model, config, _placed(train_data, accelerator), valid_data, probe)
    with _quiet_lightning():
        trainer = _trainer(folder, config, accelerator, devices, nodes, progress)
        if config.compile:
            model.decoder.compile()
        trainer.fit(
            module, datamodule=Rows(len(train_data), len(valid_data), config), ckpt_path=_usable(checkpoint), weights_only=True
        )
        trainer.save_checkpoint(checkpoint)
    return Trained(
        model=model.cpu().eval(),
        steps=trainer.global_step,
        minutes=module.minutes(),
        molecules=trainer.global_step * config.batch_size,
        metrics={k: float(v) for k, v in trainer.logged_metrics.items()},
        data_share=module.data_share(),
    )


class Rows(lightning.LightningDataModule):
    """Row numbers for the steps; the graphs themselves stay packed where they are."""

    def __init__(self, train_size: int, valid_size: int, config: TrainConfig) -> None:
        super().__init__()
        self.train_size, self.valid_size, self.config = train_size, valid_size, config

    def train_dataloader(self) -> DataLoader[Tensor]:
        assert self.trainer is not None
        rank, world = self.trainer.global_rank, self.trainer.world_size
        order = RowOrder(self.train_size, self.config.batch_size, self.config.seed, rank=rank, world=world)
        order.step = self.trainer.global_step
        return DataLoader(order, batch_size=None)

    def val_dataloader(self) -> DataLoader[Tensor]:
        batches = list(torch.arange(self.valid_size).split(VALIDATION_BATCH))
        return DataLoader(batches, batch_size=None)  # type: ignore[arg-type]


class TimeBox(Callback):
    """Stops the run when its time or its steps are used up."""

    def on_train_batch_end(self, trainer: lightning.Trainer, module: Any, *_: Any) -> None:
        if module.progress() >= 1.0:
            trainer.should_stop = True


def _trainer(
    folder: Path, config: TrainConfig, accelerator: str, devices: int | str, nodes: int, progress: bool
) -> lightning.Trainer:
    callbacks: list[Callback] = [
        TimeBox(),
        ModelCheckpoint(folder, "last", every_n_train_steps=config.checkpoint_every, enable_version_counter=False),
    ]
    if config.patience:
        callbacks.append(EarlyStopping("valid/loss", patience=config.patience))
    if progress:
        callbacks.append(RichProgressBar(console_kwargs={"stderr": True}))
    on_gpu = accelerator in ("gpu", "cuda") or (accelerator == "auto" and torch.cuda.is_available())
    bf16 = config.precision == "bf16" or (config.precision == "auto" and on_gpu)
    return lightning.Trainer(
        accelerator=accelerator,
        devices=devices,
        num_nodes=nodes,
        precision="bf16-mixed" if bf16 else "32-true",
        max_steps=config.max_steps,
        max_epochs=-1,
        gradient_clip_val=config.gradient_clip or None,
        val_check_interval=config.validate_every,
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        sync_batchnorm=True,
        log_every_n_steps=50,
        logger=CSVLogger(folder, name=None, version="", flush_logs_every_n_steps=50),
        callbacks=callbacks,
        enable_progress_bar=progress,
        enable_model_summary=False,
    )


def _placed(data: PackedGraphs, accelerator: str) -> PackedGraphs:
    """On the GPU when it fits in half of what is free, so that a step moves nothing but row numbers."""
    if accelerator == "cpu" or not torch.cuda.is_available():
        return data
    free, _ = torch.cuda.mem_get_info()
    return data.to("cuda") if data.bytes < free / 2 else data


def _keep_settings(folder: Path, model: ModelConfig, config: TrainConfig, *, resuming: bool) -> None:
    """Write what is needed to repeat the run, or check that a resumed run has the settings it began with."""
    path = folder / "settings.json"
    now = {"model": json.loads(model.to_json()), "training": json.loads(config.to_json())}
    if resuming and path.exists():
        before = json.loads(path.read_text(encoding="utf-8"))
        changed = [
            f"{key} {before[part].get(key)!r} -> {value!r}"
            for part in now
            for key, value in now[part].items()
            if before[part].get(key) != value and key not in ("max_steps", "max_minutes")
        ]
        if changed:
            raise CheckpointError(
                f"{folder} holds a run with other settings ({'; '.join(changed)}): resume it with its own, "
                "or choose another folder"
            )
    versions = {"python": platform.python_version(), "torch": torch.__version__, "lightning": lightning.__version__}
    text = json.dumps({**now, "versions": versions, "machine": platform.platform()}, indent=2)
    path.write_text(text, encoding="utf-8")


def _usable(checkpoint: Path) -> str | None:
    if not checkpoint.exists():
        return None
    try:
        torch.load(checkpoint, map_location="cpu", weights_only=True)
    except Exception as error:
        raise CheckpointError(f"{checkpoint} is damaged ({error}); delete it to start the run again") from None
    return str(checkpoint)


def _copy_weights(source: Autoencoder, target: Autoencoder) -> None:
    """Weights that both models have; what only one has (a variance, say) stays as it is."""
    known = target.state_dict()
    for name, value in source.state_dict().items():
        if name in known and known[name].shape == value.shape:
            known[name].copy_(value)


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


@contextmanager
def _quiet_lightning() -> Iterator[None]:
    """Lightning's notices on hardware and workers are about settings that are chosen here on purpose."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning")
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
