"""Learned priors: a density fitted to the latents of encoded molecules."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from molvae import checkpoint as checkpoints
from molvae.data.arguments import as_paths
from molvae.data.checked_arguments import checked_arguments
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
from molvae.training.runtime import Log

FLOW_STEPS, FLOW_BATCH_SIZE, FLOW_LEARNING_RATE, FLOW_WARMUP_STEPS = 4_000, 512, 1e-3, 200
MIXTURE_ITERATIONS = 30
COVARIANCE_RIDGE = 1e-4
"""Added to the diagonal of covariances: some directions of latents have a variance of almost 0."""


@checked_arguments
def fit_prior(
    model: str | Path,
    data: Sequence[str | Path],
    output: str | Path,
    *,
    kind: str = "mixture",
    noise_level: float | None = None,
    max_molecules: int = 60_000,
    column: str | None = None,
    random_state: int = 0,
    device: str = "auto",
    workers: int | None = None,
    log: Log = lambda _: None,
) -> Path:
    """Fit a prior to the latents of molecules and save it with the model.

    Samples of the model are then drawn from the learned prior unless the unit Gaussian is requested. The same data
    and random state give the same prior.

    Parameters
    ----------
    model
        Name of a shipped model, or a model directory.
    data
        Files of molecules or datasets (NAME or NAME:SPLIT), usually the training data of the model.
    output
        Model directory to write; may be that of the model.
    kind
        "mixture" (Gaussian mixture) or "flow" (flow matching).
    noise_level
        Noise added to samples of the prior, 0 to 1. Default: that of `PriorConfig`, or 0 if the decoder is not
        conditioned on the noise level.
    max_molecules
        Number of rows that are drawn at random from the data and encoded.
    column
        Column of the SMILES in tables.
    random_state
        Random seed of the rows, the latents and the fit.
    device
        "auto", "cpu", "cuda" or "cuda:N".
    workers
        Processes that parse molecules. Default: one per core.
    log
        Called with progress messages.

    Returns
    -------
    Path
        The model directory.

    Raises
    ------
    InputError
        If the model, the data or an option cannot be used.
    MissingExtraError
        If scikit-learn, which fits mixtures, is not installed.
    """
    try:
        folder = checkpoints.find_model(model)
    except CheckpointError as error:
        raise InputError(str(error)) from None
    check_output_folder(Path(output), checkpoints.CONFIG_FILE)
    checkpoint = checkpoints.load(folder, find_device(device))
    if noise_level is None:
        noise_level = PriorConfig.noise_level if checkpoint.defaults.noise_conditioned else 0.0
    config = checkpoint.model.prior().config.replace(kind=kind, noise_level=noise_level)
    sources = [resolve_source(item, column) for item in as_paths(data, "data")]
    packed, _, report = pack(
        sample_rows(sources, max_molecules, random_state),
        vocabulary=checkpoint.vocabulary,
        max_length=checkpoint.config.max_length,
        workers=workers,
    )
    log(report.summary())
    for row in [*report.invalid_rows[:MAX_INVALID_ROWS_SHOWN], *report.notes[:MAX_INVALID_ROWS_SHOWN]]:
        log(str(row))
    posterior = encode_dataset(checkpoint.model, packed)
    keys = row_keys(random_state, torch.arange(len(packed), device=posterior.mean.device))
    z = posterior.sample(normal(keys, posterior.noise_dim))
    prior = fit_density(z, config, random_state=random_state, log=log)
    names = ", ".join(Path(source.label).name for source in sources)
    density = f"Mixture of {config.components} Gaussians" if kind == "mixture" else "Flow matching model"
    card = {
        **_without_learned_prior_scores(checkpoint.card),
        "Learned prior": f"{density} fitted to {len(packed):,} encoded molecules of {names}, random seed "
        f"{random_state}; samples are perturbed by noise level {config.noise_level:g}.",
    }
    return checkpoints.save(dataclasses.replace(checkpoint, prior=prior, card=card), output)


def fit_density(z: Tensor, config: PriorConfig, *, random_state: int = 0, log: Log = lambda _: None) -> Prior:
    """Fit the density of latents.

    Parameters
    ----------
    z
        Latents, shape (N, latent_dim).
    config
        Kind and size of the density.
    random_state
        Random seed; the same latents and seed give the same density. Torch's random state is restored.
    log
        Called with progress messages.

    Raises
    ------
    InputError
        If there are fewer latents than components, or fewer than 2.
    MissingExtraError
        If scikit-learn, which fits mixtures, is not installed.
    """
    minimum = max(2, config.components) if config.kind == "mixture" else 2
    if len(z) < minimum:
        raise InputError(f"fitting a {config.kind} prior needs {minimum} molecules or more, got {len(z)}")
    fit = {"mixture": _fit_mixture, "flow": _fit_flow}[config.kind]
    with torch.random.fork_rng(devices=[z.device] if z.is_cuda else []):
        torch.manual_seed(random_state)
        return fit(z.float(), config, random_state, log).eval().requires_grad_(False)


def _fit_mixture(z: Tensor, config: PriorConfig, random_state: int, log: Log) -> Prior:
    """Fit a Gaussian mixture with full covariances by expectation maximization."""
    mixture, exceptions = import_extra("sklearn.mixture", "fit"), import_extra("sklearn.exceptions", "fit")
    model = mixture.GaussianMixture(
        config.components,
        max_iter=MIXTURE_ITERATIONS,
        tol=1e-2,
        reg_covar=COVARIANCE_RIDGE,
        init_params="k-means++",
        random_state=random_state,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", exceptions.ConvergenceWarning)  # an approximate optimum is sufficient
        model.fit(z.cpu().double().numpy())
    log(
        f"mixture of {config.components} Gaussians: {model.n_iter_} iterations, "
        f"mean log-density {model.lower_bound_:.1f} nats"
    )
    prior = MixturePrior(config)
    prior.weights.copy_(torch.from_numpy(model.weights_))
    prior.means.copy_(torch.from_numpy(model.means_))
    prior.factors.copy_(torch.linalg.cholesky(torch.from_numpy(model.covariances_)))
    return prior.to(z.device)


def _fit_flow(z: Tensor, config: PriorConfig, random_state: int, log: Log) -> Prior:  # noqa: ARG001
    """Train a velocity field by conditional flow matching on straight lines from noise to whitened latents."""
    prior = FlowPrior(config).to(z.device)
    prior.mean.copy_(z.mean(0))
    ridge = COVARIANCE_RIDGE * torch.eye(z.shape[1], device=z.device)
    prior.factor.copy_(torch.linalg.cholesky(torch.cov(z.T) + ridge))
    z = torch.linalg.solve_triangular(prior.factor, (z - prior.mean).T, upper=False).T.contiguous()
    optimizer = torch.optim.Adam(prior.parameters(), lr=FLOW_LEARNING_RATE)
    for step in range(FLOW_STEPS):
        end = z[torch.randint(len(z), (FLOW_BATCH_SIZE,), device=z.device)]  # (B, latent_dim)
        start, time = torch.randn_like(end), torch.rand(FLOW_BATCH_SIZE, 1, device=z.device)
        loss = (prior.velocity(torch.lerp(start, end, time), time) - (end - start)).square().mean()
        warmup, decay = min(1, step / FLOW_WARMUP_STEPS), 1 - step / FLOW_STEPS
        optimizer.param_groups[0]["lr"] = FLOW_LEARNING_RATE * warmup * decay
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if (step + 1) % 1_000 == 0:
            log(f"flow: step {step + 1:,} of {FLOW_STEPS:,}, mean squared error {float(loss.detach()):.3f}")
    return prior


def sample_rows(sources: Sequence[MoleculeSource], n: int, random_state: int) -> list[Record | InvalidRow]:
    """Draw `n` rows uniformly without replacement, or all rows if there are fewer, by reservoir sampling [1]_.

    References
    ----------
    .. [1] Vitter (1985), "Random sampling with a reservoir", ACM Transactions on Mathematical Software 11, 37-57.
    """
    if n < 1:
        raise InputError(f"the number of molecules must be 1 or more, got {n}")
    random, reservoir, n_read = np.random.default_rng(random_state), list[Record | InvalidRow](), 0
    for source in sources:
        for row in read_records(source.path, column=source.column):
            n_read += 1
            if len(reservoir) < n:
                reservoir.append(row)
            elif (index := int(random.integers(n_read))) < n:
                reservoir[index] = row
    return reservoir


def _without_learned_prior_scores(card: dict[str, Any]) -> dict[str, Any]:
    """A model card without the scores of the learned prior, which is replaced."""
    if "Evaluation" not in card:
        return card
    return {
        **card,
        "Evaluation": {name: value for name, value in card["Evaluation"].items() if "learned prior" not in name},
    }
