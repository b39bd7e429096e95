"""The training step, as a Lightning module."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import lightning
import torch
from torch import Tensor

from molvae.data.packed import PackedGraphs
from molvae.models.autoencoder import Autoencoder, Losses
from molvae.training.config import TrainConfig, kl_weight_at, rate_factor

Probe = Callable[[Autoencoder, PackedGraphs], dict[str, float]]
"""Decodes with the model in training and says how well, e.g. {"exact": 0.9}; given from above."""


class AutoencoderTraining(lightning.LightningModule):
    """Trains an autoencoder on packed graphs; rows come by number and are gathered where the data lives.

    All randomness of a step is a function of seed, step and process, so a resumed run repeats an uninterrupted one.
    """

    def __init__(
        self, model: Autoencoder, config: TrainConfig, train: PackedGraphs, valid: PackedGraphs, probe: Probe | None
    ) -> None:
        super().__init__()
        self.model, self.config, self.probe = model, config, probe
        self.train_data, self.valid_data = train, valid
        self.minutes_before = 0.0  # spent by the runs that this one resumes
        self.started = time.monotonic()
        self.data_seconds = 0.0

    def training_step(self, rows: Tensor, _: int) -> Tensor:
        begin = time.perf_counter()
        batch = self.train_data.gather(rows.to(self.train_data.device)).to(self.device)
        self.data_seconds += time.perf_counter() - begin
        with self._random(self.global_step):
            radius = random_radius(batch.size, self.config.noise_share, self.device)
            losses = self.model.losses(batch, radius, self.config.free_bits)
        weight = kl_weight_at(self.config, self.global_step)
        loss = (losses.reconstruction + weight * losses.kl).mean()
        self._log_parts("train", losses, radius)
        self.log_dict({"train/loss": loss, "train/kl_weight": weight}, batch_size=batch.size)
        return loss

    def validation_step(self, rows: Tensor, index: int) -> None:
        batch = self.valid_data.gather(rows.to(self.valid_data.device)).to(self.device)
        with self._random(-1 - index):
            radius = random_radius(batch.size, self.config.noise_share, self.device)
            losses = self.model.losses(batch, radius)
        self._log_parts("valid", losses, radius)
        loss = (losses.reconstruction + self.config.kl_weight * losses.kl).mean()
        self.log("valid/loss", loss, batch_size=batch.size, prog_bar=True, sync_dist=True)

    def on_validation_epoch_end(self) -> None:
        if self.probe is not None and not self.trainer.sanity_checking:
            found = self.probe(self.model, self.valid_data)
            self.log_dict({f"valid/{k}": v for k, v in found.items()}, prog_bar=True, sync_dist=True)

    def _log_parts(self, stage: str, losses: Losses, radius: Tensor) -> None:
        """Reconstruction of clean and of perturbed latents apart: they differ by an order of magnitude."""
        size = len(radius)
        for name, rows in (("reconstruction", radius == 0), ("denoising", radius > 0)):
            if rows.any():
                value = losses.reconstruction[rows].mean()
                self.log(f"{stage}/{name}", value, batch_size=size, prog_bar=stage == "train")
        self.log(f"{stage}/kl", losses.kl.mean(), batch_size=size)

    def _random(self, step: int) -> Any:
        return _seeded(hash((self.config.seed, step, self.global_rank)) % 2**63, self.device)

    # --- optimiser ---

    def configure_optimizers(self) -> torch.optim.Optimizer:
        decayed = [p for p in self.model.parameters() if p.ndim > 1]
        others = [p for p in self.model.parameters() if p.ndim <= 1]
        groups = [{"params": decayed, "weight_decay": self.config.weight_decay}, {"params": others, "weight_decay": 0}]
        return torch.optim.AdamW(groups, lr=self.config.learning_rate, betas=(0.9, 0.98), eps=1e-6)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:  # noqa: ARG002
        rate = self.config.learning_rate * rate_factor(self.config, self.global_step, self.progress())
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] = rate
        self.log("train/learning_rate", rate)

    # --- how far the run is ---

    def minutes(self) -> float:
        """Minutes of training so far, those of resumed runs included."""
        return self.minutes_before + (time.monotonic() - self.started) / 60

    def data_share(self) -> float:
        """Of this run's time, the share that went into gathering batches (on a GPU: into launching that)."""
        return self.data_seconds / max(1e-9, time.monotonic() - self.started)

    def progress(self) -> float:
        """0 to 1: in steps or in the time box, whichever is further."""
        steps = self.global_step / self.config.max_steps
        timed = self.minutes() / self.config.max_minutes if self.config.max_minutes else 0.0
        return max(steps, timed)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["minutes"] = self.minutes()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.minutes_before = checkpoint["minutes"]
        self.started = time.monotonic()


def random_radius(size: int, noise_share: float, device: torch.device) -> Tensor:
    """How far each molecule's latent is moved: a radius from (0, 1) for `noise_share` of them, else 0."""
    radius = torch.rand(size, device=device)
    return torch.where(torch.rand(size, device=device) < noise_share, radius, 0.0)


class _seeded:
    """Inside the block torch's generators are seeded; afterwards they are as they were."""

    def __init__(self, seed: int, device: torch.device) -> None:
        self.seed = seed
        self.fork = torch.random.fork_rng([device] if device.type == "cuda" else [])

    def __enter__(self) -> None:
        self.fork.__enter__()
        torch.manual_seed(self.seed)

    def __exit__(self, *error: Any) -> None:
        self.fork.__exit__(*error)
