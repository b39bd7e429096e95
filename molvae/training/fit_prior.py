"""Fitting a learned prior to the latents of encoded molecules."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from molvae import checkpoint as checkpoints
from molvae.data.datasets import MoleculeSource, resolve_source
from molvae.data.files import check_output_folder
from molvae.data.packing import pack
from molvae.data.readers import read_records
from molvae.data.rows import MAX_INVALID_ROWS_SHOWN, InvalidRow, Record
from molvae.errors import CheckpointError, InputError, import_extra
from molvae.generation.rng import normal, row_keys
from molvae.nn.devices import find_device
from molvae.nn.inference import encode_dataset
from molvae.nn.priors import FlowPrior, MixturePrior, Prior, PriorConfig

FLOW_STEPS, FLOW_BATCH, FLOW_RATE = 4_000, 512, 1e-3
MIXTURE_ROUNDS = 30
RIDGE = 1e-4
"""Added to variances: latents have some nearly empty directions."""

Tell = Callable[[str], None]


def fit_prior(z: Tensor, config: PriorConfig, *, seed: int = 0, tell: Tell = lambda _: None) -> Prior:
    """The density of latents z, N x D, as `config` says; the same seed and latents give the same.

    Raises `InputError` for too few latents, `MissingExtraError` for a mixture without scikit-learn.
    """
    least = max(2, config.components) if config.kind == "mixture" else 2
    if len(z) < least:
        raise InputError(f"a prior of this kind is fitted to {least} molecules or more, got {len(z)}")
    fit = {"mixture": fit_mixture, "flow": fit_flow}[config.kind]
    with torch.random.fork_rng(devices=[z.device] if z.is_cuda else []):
        torch.manual_seed(seed)
        return fit(z.float(), config, seed, tell).eval().requires_grad_(False)


def fit_mixture(z: Tensor, config: PriorConfig, seed: int, tell: Tell) -> Prior:
    """Expectation maximization by scikit-learn."""
    mixture, exceptions = import_extra("sklearn.mixture", "fit"), import_extra("sklearn.exceptions", "fit")
    model = mixture.GaussianMixture(
        config.components,
        max_iter=MIXTURE_ROUNDS,
        tol=1e-2,
        reg_covar=RIDGE,
        init_params="k-means++",
        random_state=seed,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", exceptions.ConvergenceWarning)  # the last digits of a density are not needed
        model.fit(z.cpu().double().numpy())
    tell(f"{config.components} Gaussians, {model.n_iter_} rounds, log-density {model.lower_bound_:.1f} nats a latent")
    prior = MixturePrior(config)
    prior.weights.copy_(torch.from_numpy(model.weights_))
    prior.means.copy_(torch.from_numpy(model.means_))
    prior.factors.copy_(torch.linalg.cholesky(torch.from_numpy(model.covariances_)))
    return prior.to(z.device)


def fit_flow(z: Tensor, config: PriorConfig, seed: int, tell: Tell) -> Prior:  # noqa: ARG001
    """Conditional flow matching: regress the straight way from noise to a latent, at a random point of it."""
    prior = FlowPrior(config).to(z.device)
    prior.mean.copy_(z.mean(0))
    prior.factor.copy_(torch.linalg.cholesky(torch.cov(z.T) + RIDGE * torch.eye(z.shape[1], device=z.device)))
    z = torch.linalg.solve_triangular(prior.factor, (z - prior.mean).T, upper=False).T.contiguous()
    optimizer = torch.optim.Adam(prior.parameters(), lr=FLOW_RATE)
    for step in range(FLOW_STEPS):
        end = z[torch.randint(len(z), (FLOW_BATCH,), device=z.device)]
        start, time = torch.randn_like(end), torch.rand(FLOW_BATCH, 1, device=z.device)
        loss = (prior.velocity(torch.lerp(start, end, time), time) - (end - start)).square().mean()
        optimizer.param_groups[0]["lr"] = FLOW_RATE * min(1, step / 200) * (1 - step / FLOW_STEPS)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if (step + 1) % 1_000 == 0:
            tell(f"flow: step {step + 1:,} of {FLOW_STEPS:,}, squared error {float(loss.detach()):.3f}")
    return prior


MOLECULES = 60_000


def learn_prior(
    model: str | Path,
    data: Sequence[str | Path],
    output: str | Path,
    *,
    kind: str = "mixture",
    noise_level: float | None = None,
    molecules: int = MOLECULES,
    column: str | None = None,
    seed: int = 0,
    device: str = "auto",
    workers: int | None = None,
    tell: Tell = lambda _: None,
) -> Path:
    """Fit a prior to the latents of `data` (files, or datasets: NAME or NAME:SPLIT); saved with the model in `output`.

    Up to `molecules` rows are drawn at random. `kind` is "mixture" or "flow"; `noise level` the noise that its draws are
    moved by, 0 to 1, by default `PriorConfig`'s, or none where the decoder is not told of it. `output` may be the
    model's own directory. The same seed and data give the same prior. Raises `InputError` for a model, data or settings
    that cannot be used.
    """
    try:
        folder = checkpoints.find_model(model)
    except CheckpointError as error:
        raise InputError(str(error)) from None
    check_output_folder(Path(output), checkpoints.CONFIG_FILE)
    checkpoint = checkpoints.load(folder, find_device(device))
    default = PriorConfig.noise_level if checkpoint.defaults.noise_conditioned else 0.0
    config = checkpoint.model.prior().config.replace(
        kind=kind, noise_level=default if noise_level is None else noise_level
    )
    sources = [resolve_source(item, column) for item in data]
    rows = drawn_rows(sources, molecules, seed)
    packed, _, packing = pack(
        rows, vocabulary=checkpoint.vocabulary, max_length=checkpoint.config.max_length, workers=workers
    )
    tell(packing.summary())
    for invalid_row in packing.invalid_rows[:MAX_INVALID_ROWS_SHOWN]:
        tell(str(invalid_row))
    posterior = encode_dataset(checkpoint.model, packed)
    keys = row_keys(seed, torch.arange(len(packed), device=posterior.mean.device))
    prior = fit_prior(posterior.sample(normal(keys, posterior.noise_dim)), config, seed=seed, tell=tell)
    note = (
        f"{kind} of {len(packed):,} encoded molecules of {', '.join(Path(s.label).name for s in sources)}, seed {seed}"
    )
    card = {
        **_without_prior(checkpoint.card),
        "Learned prior": f"{note}, draws moved by noise level {config.noise_level:g}",
    }
    return checkpoints.save(dataclasses.replace(checkpoint, prior=prior, card=card), output)


def _without_prior(card: dict[str, Any]) -> dict[str, Any]:
    """A card without the figures of a learned prior that is replaced."""
    if "Scores" not in card:
        return card
    return {**card, "Scores": {name: value for name, value in card["Scores"].items() if "learned prior" not in name}}


def drawn_rows(sources: Sequence[MoleculeSource], count: int, seed: int) -> list[Record | InvalidRow]:
    """`count` rows at random, each as likely, all where there are no more: reservoir sampling (Vitter 1985)."""
    if count < 1:
        raise InputError(f"the number of molecules must be 1 or more, got {count}")
    random, kept, read = np.random.default_rng(seed), list[Record | InvalidRow](), 0
    for source in sources:
        for row in read_records(source.path, column=source.column):
            read += 1
            if len(kept) < count:
                kept.append(row)
            elif (place := int(random.integers(read))) < count:
                kept[place] = row
    return kept
