"""The training step, as a Lightning module."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Protocol, Self, runtime_checkable

import lightning
import numpy as np
import torch
from torch import Tensor

from molvae.data.graph_dataset import GraphBatch, PackedGraphs
from molvae.data.neighbors import Neighbors
from molvae.nn.autoencoder import Autoencoder, Losses
from molvae.training.checkpoints import between_steps
from molvae.training.config import TrainConfig, kl_weight_at, rate_factor, run_progress
from molvae.training.metrics_file import MetricsFile
from molvae.training.row_order import RowOrder
from molvae.training.step_timer import StepClock

Probe = Callable[[Autoencoder, PackedGraphs], dict[str, float]]
"""Decodes with the model in training and says how well, e.g. {"exact": 0.9}; given from above.

The validation data it gets may lie on a GPU. In a run of several processes each of them calls it.
"""

Practice = Callable[[Autoencoder, PackedGraphs, Tensor], tuple[Tensor, dict[str, float]]]
"""Writes strings around some rows of the training data with the model in training; given from above.

What is to be made smaller so that it writes better ones, 0-d, and how good they were, e.g. {"valid": 0.97}.
"""


@runtime_checkable
class Remembering(Protocol):
    """A practice that goes by what was written before: a resumed run goes on from it."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


VALIDATION_BATCH = 256

TRAINING, VALIDATION, PROBE, PRACTICE = 0, 1, 2, 3
"""What random numbers are for: each purpose has its own."""


class AutoencoderTraining(lightning.LightningModule):
    """Trains an autoencoder on packed graphs; rows come by number and are gathered where the data lives.

    Everything random in a step, the choice of its rows included, is a function of seed, step and process, so
    that a resumed run repeats an uninterrupted one.
    """

    def __init__(
        self,
        model: Autoencoder,
        config: TrainConfig,
        train: PackedGraphs,
        valid: PackedGraphs,
        probe: Probe | None,
        metrics: MetricsFile,
        log_every: int,
        neighbors: Neighbors | None = None,
        practice: Practice | None = None,
    ) -> None:
        super().__init__()
        self.model, self.config, self.probe, self.practice = model, config, probe, practice
        for part in (model.encoder, model.latent):
            part.requires_grad_(not config.freeze_encoder)
        self.train_data, self.valid_data, self.neighbors = train, valid, neighbors
        self.metrics, self.log_every = metrics, log_every
        often = (
            train.token_start.diff().double() ** config.length_weight_exponent
            if config.length_weight_exponent
            else None
        )
        self.order = RowOrder(len(train), config.batch_size, config.random_state, often)
        self.clock = StepClock()
        self.started = time.monotonic()
        self.minutes_before = 0.0  # spent by the runs that this one resumes
        self.reserve = 0.0  # minutes of the longest validation so far: there is one at the end
        self.progress = 0.0
        self.train()  # Lightning takes a module as it is

    def train(self, mode: bool = True) -> Self:
        """A frozen encoder does not learn what its latents' mean and spread are, either."""
        super().train(mode)
        if self.config.freeze_encoder:
            for part in (self.model.encoder, self.model.latent):
                part.eval()
        return self

    def on_fit_start(self) -> None:
        """Each process puts the data on its own device."""
        self.train_data = placed(self.train_data, self.device)
        self.valid_data = placed(self.valid_data, self.device)
        if self.neighbors is not None:
            self.neighbors = self.neighbors.to(self.train_data.device)

    def training_step(self, *_: Any) -> Tensor:
        with self.clock.data(self.device):
            rows = self.order.rows(self.global_step, rank=self.global_rank, world=self.trainer.world_size)
            rows = rows.to(self.train_data.device)
            batch = self.train_data.gather(rows).to(self.device)
        with self._random(TRAINING, self.global_step, self.global_rank):
            noise_level = random_noise_level(batch.size, self.config, self.device)
            if self.neighbors is not None:
                batch, noise_level = self._to_neighbors(batch, rows, noise_level, self.neighbors)
            losses = self.model.losses(
                batch,
                noise_level,
                self.config.free_bits,
                latent_noise=self.config.latent_noise,
                corruption=self.config.mask_prob,
                match_prior=self.config.mmd_weight > 0,
            )
        weight = kl_weight_at(self.config, self.global_step, self.progress)
        loss, practised = weighted(losses, weight, self.config.mmd_weight), dict[str, float]()
        if self.practice is not None:
            with self._random(PRACTICE, self.global_step, self.global_rank):
                better, practised = self.practice(self.model, self.train_data, rows)
            loss = loss + self.config.rl_weight * better
        if (self.global_step + 1) % self.log_every == 0:
            self._log_step(loss, losses, noise_level, weight, practised)
        return loss

    def _to_neighbors(
        self, batch: GraphBatch, rows: Tensor, noise_level: Tensor, neighbors: Neighbors
    ) -> tuple[GraphBatch, Tensor]:
        """The same input, but where a latent is moved the decoder is to write a neighbor about as far away."""
        targets, noise_level = neighbors.at(rows, noise_level.to(rows.device))
        tokens = neighbors.tokens_of(targets, self.train_data)
        return replace(batch, tokens=tokens.to(self.device)), noise_level.to(self.device)

    def _log_step(
        self, loss: Tensor, losses: Losses, noise_level: Tensor, kl_weight: float, practised: dict[str, float]
    ) -> None:
        parts = {name: float(values.detach().mean()) for name, values in split_losses(losses, noise_level).items()}
        parts |= {f"practice_{name}": value for name, value in practised.items()}
        rate = self.trainer.optimizers[0].param_groups[0]["lr"]
        figures = {**parts, "loss": float(loss.detach()), "kl_weight": kl_weight, "learning_rate": rate}
        self.log_dict(parts, prog_bar=True, logger=False, batch_size=len(noise_level))
        if self.trainer.is_global_zero:
            self.metrics.add(self.global_step, {f"train/{name}": value for name, value in figures.items()})

    # --- validation ---

    def validation_step(self, _: Any, index: int) -> None:
        first, last = index * VALIDATION_BATCH, min((index + 1) * VALIDATION_BATCH, len(self.valid_data))
        rows = torch.arange(first, last, device=self.valid_data.device)
        batch = self.valid_data.gather(rows).to(self.device)
        # neighbors of validation molecules are not known: they are only asked to come back
        config = self.config if self.neighbors is None else self.config.replace(noise_prob=0.0)
        with self._random(VALIDATION, index):
            noise_level = random_noise_level(batch.size, config, self.device)
            losses = self.model.losses(batch, noise_level, match_prior=self.config.mmd_weight > 0 and batch.size > 1)
        loss = weighted(losses, self.config.kl_weight, self.config.mmd_weight)
        self.log("valid/loss", loss, batch_size=batch.size, prog_bar=True, logger=False)
        for name, values in split_losses(losses, noise_level).items():
            self.log(f"valid/{name}", values.mean(), batch_size=len(values), logger=False)

    def on_validation_epoch_end(self) -> None:
        if self.probe is not None:
            with self._random(PROBE, 0):
                found = self.probe(self.model, self.valid_data)
            self.log_dict({f"valid/{k}": float(v) for k, v in found.items()}, prog_bar=True, logger=False)

    def _random(self, purpose: int, index: int, rank: int = 0) -> Any:
        state = np.random.SeedSequence([self.config.random_state, purpose, index, rank]).generate_state(1, np.uint64)
        return _seeded(int(state[0] >> 1), self.device)

    # --- optimizer ---

    def configure_optimizers(self) -> torch.optim.Optimizer:
        trained = [p for p in self.model.parameters() if p.requires_grad]
        decayed = [p for p in trained if p.ndim > 1]
        others = [p for p in trained if p.ndim <= 1]
        groups = [
            {"params": decayed, "weight_decay": self.config.weight_decay},
            {"params": others, "weight_decay": 0.0},
        ]
        return torch.optim.AdamW(groups, lr=self.config.learning_rate, betas=(0.9, 0.98), eps=1e-6)

    def on_train_batch_start(self, *_: Any) -> None:
        self.progress = self._agreed_progress()
        rate = self.config.learning_rate * rate_factor(self.config, self.global_step, self.progress)
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] = rate
        self.clock.step_begins()

    # --- how far the run is ---

    def minutes(self) -> float:
        """Minutes of training so far, those of resumed runs included."""
        return self.minutes_before + (time.monotonic() - self.started) / 60

    def progress_at_end(self) -> float:
        """Of the step that was just done; the clock was read at its beginning, by all processes alike."""
        return max(self.progress, self.global_step / self.config.max_steps)

    def _agreed_progress(self) -> float:
        """Process 0's, since clocks differ: with rates of their own the processes would drift apart."""
        progress = run_progress(self.config, self.global_step, self.minutes(), self.reserve)
        if self.trainer.world_size > 1 and self.config.max_minutes:
            told = torch.tensor([progress], device=self.device)
            torch.distributed.broadcast(told, 0)
            progress = float(told)
        return progress

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        stopper = self.trainer.early_stopping_callback
        checkpoint["minutes"], checkpoint["reserve"] = self.minutes(), self.reserve
        checkpoint["data_share"], checkpoint["step_seconds"] = self.clock.share, self.clock.steps
        checkpoint["stopped_early"] = stopper is not None and stopper.wait_count >= stopper.patience
        if isinstance(self.practice, Remembering):
            checkpoint["practice"] = self.practice.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        between_steps(checkpoint)
        self.minutes_before, self.reserve = checkpoint["minutes"], checkpoint.get("reserve", 0.0)
        self.started = time.monotonic()
        if isinstance(self.practice, Remembering):
            self.practice.load_state_dict(checkpoint.get("practice", {}))


def weighted(losses: Losses, kl_weight: float, mmd_weight: float) -> Tensor:
    """What is minimized, nats a molecule, 0-d."""
    return (losses.reconstruction + kl_weight * losses.kl).mean() + mmd_weight * losses.mmd.sum()


def split_losses(losses: Losses, noise_level: Tensor) -> dict[str, Tensor]:
    """Reconstruction of clean and of perturbed latents apart, as they differ by an order of magnitude; the others."""
    clean, moved = losses.reconstruction[noise_level == 0], losses.reconstruction[noise_level > 0]
    parts = {"reconstruction": clean, "denoising": moved, "kl": losses.kl, "mmd": losses.mmd}
    return {name: values for name, values in parts.items() if len(values)}


def random_noise_level(size: int, config: TrainConfig, device: torch.device) -> Tensor:
    """How far each molecule's latent is moved: for a share of them by a noise level as `config` has it, else 0."""
    noise_level = config.noise_min + (config.noise_max - config.noise_min) * torch.rand(size, device=device)
    return torch.where(torch.rand(size, device=device) < config.noise_prob, noise_level, 0.0)


def placed(data: PackedGraphs, device: torch.device) -> PackedGraphs:
    """On the GPU when it fits in half of what is free, so that a step moves nothing but row numbers."""
    if device.type != "cuda":
        return data
    free, _ = torch.cuda.mem_get_info(device)
    return data.to(device) if data.bytes < free / 2 else data


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
