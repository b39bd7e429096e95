"""The training and validation steps of an autoencoder, as a Lightning module."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any, Protocol, Self, runtime_checkable

import lightning
import torch
from torch import Tensor

from molvae.data.graph_dataset import GraphBatch, PackedGraphs
from molvae.data.neighbors import Neighbors
from molvae.nn.autoencoder import Autoencoder, Losses
from molvae.training.batches import VALIDATION_BATCH_SIZE, RowSampler
from molvae.training.checkpoints import reset_loop_counters
from molvae.training.config import TrainConfig, kl_weight_at, learning_rate_factor, run_progress
from molvae.training.curves import MetricsFile
from molvae.training.runtime import StepTimer, seeded

ValidationMetrics = Callable[[Autoencoder, PackedGraphs], dict[str, float]]
"""Computes additional validation metrics from the model and the validation data, e.g. ``{"exact": 0.9}``.

The data may be on a GPU. In a run of several processes each of them calls the function.
"""

PolicyGradientLoss = Callable[[Autoencoder, PackedGraphs, Tensor], tuple[Tensor, dict[str, float]]]
"""Samples molecules around rows of the training data (int64, shape (B,)) with the model in training.

Returns the loss, a scalar tensor, and metrics of the samples, e.g. ``{"valid": 0.97}``.
"""


@runtime_checkable
class Stateful(Protocol):
    """A policy-gradient loss whose state has to be saved in checkpoints."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


TRAINING, VALIDATION, METRICS, POLICY_GRADIENT = 0, 1, 2, 3
"""Independent streams of random numbers, one per purpose."""


class AutoencoderModule(lightning.LightningModule):
    """Trains an autoencoder on packed graphs, which are gathered on the device where they are stored.

    All random numbers of a step, including the choice of its rows, depend only on the random state, the step and the
    rank of the process, so a resumed run is identical to an uninterrupted one.

    Parameters
    ----------
    model, config
        The model to train and its hyperparameters.
    train_data, valid_data
        Molecules to train on and to validate on.
    metrics_file
        Table of the metrics of training, with a row every `log_every` steps.
    neighbors
        Neighbors of `train_data`. A perturbed latent is then decoded to a neighbor at about the distance given by
        the noise level, instead of the molecule itself.
    validation_metrics
        Additional metrics, computed at every validation.
    policy_gradient
        Additional loss, added with the weight ``config.rl_weight``.
    """

    def __init__(
        self,
        model: Autoencoder,
        config: TrainConfig,
        train_data: PackedGraphs,
        valid_data: PackedGraphs,
        metrics_file: MetricsFile,
        *,
        log_every: int,
        neighbors: Neighbors | None = None,
        validation_metrics: ValidationMetrics | None = None,
        policy_gradient: PolicyGradientLoss | None = None,
    ) -> None:
        super().__init__()
        self.model, self.config = model, config
        self.validation_metrics, self.policy_gradient = validation_metrics, policy_gradient
        for part in (model.encoder, model.latent):
            part.requires_grad_(not config.freeze_encoder)
        self.train_data, self.valid_data, self.neighbors = train_data, valid_data, neighbors
        self.metrics_file, self.log_every = metrics_file, log_every
        weights = None
        if config.length_weight_exponent:
            weights = train_data.token_start.diff().double() ** config.length_weight_exponent
        self.sampler = RowSampler(len(train_data), config.batch_size, config.random_state, weights)
        self.timer = StepTimer()
        self.start_time = time.monotonic()
        self.previous_minutes = 0.0  # of the runs that this run resumes
        self.reserved_minutes = 0.0  # duration of the longest validation: the run ends with one
        self.progress = 0.0
        self.train()  # Lightning does not change the mode of a module

    def train(self, mode: bool = True) -> Self:
        """Set the training mode; a frozen encoder stays in evaluation mode and keeps its running statistics."""
        super().train(mode)
        if self.config.freeze_encoder:
            for part in (self.model.encoder, self.model.latent):
                part.eval()
        return self

    def on_fit_start(self) -> None:
        """Move the data to the device of this process."""
        self.train_data = to_device_if_it_fits(self.train_data, self.device)
        self.valid_data = to_device_if_it_fits(self.valid_data, self.device)
        if self.neighbors is not None:
            self.neighbors = self.neighbors.to(self.train_data.device)

    # --- training ---

    def training_step(self, *_: Any) -> Tensor:
        with self.timer.gathering_batch(self.device):
            rows = self.sampler.rows(self.global_step, rank=self.global_rank, world_size=self.trainer.world_size)
            rows = rows.to(self.train_data.device)
            batch = self.train_data.gather(rows).to(self.device)
        with self._seeded(TRAINING, self.global_step, self.global_rank):
            noise_level = sample_noise_levels(batch.size, self.config, self.device)  # (B,)
            if self.neighbors is not None:
                batch, noise_level = self._with_neighbor_targets(batch, rows, noise_level, self.neighbors)
            losses = self.model.losses(
                batch,
                noise_level,
                self.config.free_bits,
                latent_noise=self.config.latent_noise,
                mask_prob=self.config.mask_prob,
                match_prior=self.config.mmd_weight > 0,
            )
        kl_weight = kl_weight_at(self.config, self.global_step, self.progress)
        loss, sample_metrics = total_loss(losses, kl_weight, self.config.mmd_weight), dict[str, float]()
        if self.policy_gradient is not None:
            with self._seeded(POLICY_GRADIENT, self.global_step, self.global_rank):
                policy_loss, sample_metrics = self.policy_gradient(self.model, self.train_data, rows)
            loss = loss + self.config.rl_weight * policy_loss
        if (self.global_step + 1) % self.log_every == 0:
            self._log_step(loss, losses, noise_level, kl_weight, sample_metrics)
        return loss

    def _with_neighbor_targets(
        self, batch: GraphBatch, rows: Tensor, noise_level: Tensor, neighbors: Neighbors
    ) -> tuple[GraphBatch, Tensor]:
        """Replace the targets of perturbed latents by neighbors, and the noise levels by their distances."""
        targets, noise_level = neighbors.nearest_to(rows, noise_level.to(rows.device))
        tokens = neighbors.gather_tokens(targets, self.train_data)
        return replace(batch, tokens=tokens.to(self.device)), noise_level.to(self.device)

    def _log_step(
        self, loss: Tensor, losses: Losses, noise_level: Tensor, kl_weight: float, sample_metrics: dict[str, float]
    ) -> None:
        parts = {name: float(values.detach().mean()) for name, values in loss_components(losses, noise_level).items()}
        parts |= {f"rl_{name}": value for name, value in sample_metrics.items()}
        learning_rate = self.trainer.optimizers[0].param_groups[0]["lr"]
        metrics = {**parts, "loss": float(loss.detach()), "kl_weight": kl_weight, "learning_rate": learning_rate}
        self.log_dict(parts, prog_bar=True, logger=False, batch_size=len(noise_level))
        if self.trainer.is_global_zero:
            self.metrics_file.add(self.global_step, {f"train/{name}": value for name, value in metrics.items()})

    # --- validation ---

    def validation_step(self, _: Any, index: int) -> None:
        start, end = index * VALIDATION_BATCH_SIZE, min((index + 1) * VALIDATION_BATCH_SIZE, len(self.valid_data))
        rows = torch.arange(start, end, device=self.valid_data.device)
        batch = self.valid_data.gather(rows).to(self.device)
        # validation molecules have no neighbors, so that their latents are perturbed only in training without neighbors
        config = self.config if self.neighbors is None else self.config.replace(noise_prob=0.0)
        with self._seeded(VALIDATION, index):
            noise_level = sample_noise_levels(batch.size, config, self.device)
            losses = self.model.losses(batch, noise_level, match_prior=self.config.mmd_weight > 0 and batch.size > 1)
        loss = total_loss(losses, self.config.kl_weight, self.config.mmd_weight)
        self.log("valid/loss", loss, batch_size=batch.size, prog_bar=True, logger=False)
        for name, values in loss_components(losses, noise_level).items():
            self.log(f"valid/{name}", values.mean(), batch_size=len(values), logger=False)

    def on_validation_epoch_end(self) -> None:
        if self.validation_metrics is not None:
            with self._seeded(METRICS, 0):
                metrics = self.validation_metrics(self.model, self.valid_data)
            self.log_dict({f"valid/{k}": float(v) for k, v in metrics.items()}, prog_bar=True, logger=False)

    def _seeded(self, purpose: int, index: int, rank: int = 0) -> AbstractContextManager[None]:
        return seeded([self.config.random_state, purpose, index, rank], self.device)

    # --- optimizer ---

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW; biases and other vectors are not decayed."""
        trained = [p for p in self.model.parameters() if p.requires_grad]
        groups = [
            {"params": [p for p in trained if p.ndim > 1], "weight_decay": self.config.weight_decay},
            {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
        ]
        return torch.optim.AdamW(groups, lr=self.config.learning_rate, betas=(0.9, 0.98), eps=1e-6)

    def on_train_batch_start(self, *_: Any) -> None:
        self.progress = self._synchronized_progress()
        factor = learning_rate_factor(self.config, self.global_step, self.progress)
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] = self.config.learning_rate * factor
        self.timer.start_step()

    # --- progress and checkpoints ---

    def minutes(self) -> float:
        """Minutes of training so far, including those of resumed runs."""
        return self.previous_minutes + (time.monotonic() - self.start_time) / 60

    def progress_at_end(self) -> float:
        """Completed fraction of the run after the current step, with the time at which the step began."""
        return max(self.progress, self.global_step / self.config.max_steps)

    def _synchronized_progress(self) -> float:
        """Progress of process 0: with clocks of their own the processes would use different learning rates."""
        progress = run_progress(self.config, self.global_step, self.minutes(), self.reserved_minutes)
        if self.trainer.world_size > 1 and self.config.max_minutes:
            shared = torch.tensor([progress], device=self.device)
            torch.distributed.broadcast(shared, 0)
            progress = float(shared)
        return progress

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        stopper = self.trainer.early_stopping_callback
        checkpoint["minutes"], checkpoint["reserved_minutes"] = self.minutes(), self.reserved_minutes
        checkpoint["batch_fraction"] = self.timer.batch_fraction
        checkpoint["step_seconds"] = self.timer.step_seconds
        checkpoint["stopped_early"] = stopper is not None and stopper.wait_count >= stopper.patience
        if isinstance(self.policy_gradient, Stateful):
            checkpoint["policy_gradient"] = self.policy_gradient.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        reset_loop_counters(checkpoint)
        self.previous_minutes, self.reserved_minutes = checkpoint["minutes"], checkpoint["reserved_minutes"]
        self.start_time = time.monotonic()
        if isinstance(self.policy_gradient, Stateful):
            self.policy_gradient.load_state_dict(checkpoint.get("policy_gradient", {}))


def total_loss(losses: Losses, kl_weight: float, mmd_weight: float) -> Tensor:
    """Weighted sum of the losses in nats per molecule, a scalar tensor."""
    return (losses.reconstruction + kl_weight * losses.kl).mean() + mmd_weight * losses.mmd.sum()


def loss_components(losses: Losses, noise_level: Tensor) -> dict[str, Tensor]:
    """Losses per molecule; components without values are left out.

    Reconstruction from unperturbed and from perturbed latents ("denoising") is reported separately, because the two
    differ by an order of magnitude.
    """
    clean, perturbed = losses.reconstruction[noise_level == 0], losses.reconstruction[noise_level > 0]
    parts = {"reconstruction": clean, "denoising": perturbed, "kl": losses.kl, "mmd": losses.mmd}
    return {name: values for name, values in parts.items() if len(values)}


def sample_noise_levels(size: int, config: TrainConfig, device: torch.device) -> Tensor:
    """Noise level of each molecule's latent, shape (size,): uniform with probability `noise_prob`, otherwise 0."""
    noise_level = config.noise_min + (config.noise_max - config.noise_min) * torch.rand(size, device=device)
    return torch.where(torch.rand(size, device=device) < config.noise_prob, noise_level, 0.0)


def to_device_if_it_fits(data: PackedGraphs, device: torch.device) -> PackedGraphs:
    """Move data to a GPU if it fits into half of the free memory; a step then transfers only row indices."""
    if device.type != "cuda":
        return data
    free_bytes, _ = torch.cuda.mem_get_info(device)
    return data.to(device) if data.nbytes < free_bytes / 2 else data
