"""Batched inference: applies a function of graph batches to many molecules, in parallel on CPUs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import torch
from torch import Tensor

from molvae.data.graph_dataset import GraphBatch, PackedGraphs
from molvae.data.parallel import chunked
from molvae.nn.autoencoder import Autoencoder
from molvae.nn.devices import TorchThreadPool, deterministic
from molvae.nn.latent_optimization import optimized_latents
from molvae.nn.latents import Posterior

BATCH_SIZE = 256
"""Molecules per batch."""

Result = TypeVar("Result")
Progress = Callable[[int], None]


def encode_dataset(
    model: Autoencoder, data: PackedGraphs, *, optimize_latents: bool = False, progress: Progress | None = None
) -> Posterior:
    """Encode molecules.

    Parameters
    ----------
    model : Autoencoder
        The model.
    data : PackedGraphs
        M molecules; with tokens if latents are optimized.
    optimize_latents : bool
        Optimize the means until the decoder reconstructs the molecules, see `latent_optimization`.
    progress : callable, optional
        Called with the number of molecules that are done.

    Returns
    -------
    Posterior
        q(z|x) of the M molecules, on the model's device.

    Raises
    ------
    CheckpointError
        If a latent is not finite, which only damaged weights give.
    """

    def encode(batch: GraphBatch) -> Posterior:
        posterior = model.encode(batch)
        if optimize_latents:
            posterior = replace(posterior, mean=optimized_latents(model, posterior.mean, batch.tokens))
        return posterior

    with torch.inference_mode():
        return Posterior.concatenate(map_batches(encode, data, model, progress)).checked()


def map_batches(
    function: Callable[[GraphBatch], Result],
    data: PackedGraphs,
    model: Autoencoder,
    progress: Progress | None = None,
) -> list[Result]:
    """Apply a function to each batch of molecules, without gradients, on the model's device.

    The results do not depend on the number of threads.

    Parameters
    ----------
    function : callable
        Function of a `GraphBatch`.
    data : PackedGraphs
        The molecules.
    model : Autoencoder
        Defines the device.
    progress : callable, optional
        Called with the number of molecules that are done.

    Returns
    -------
    list
        One result per batch of `BATCH_SIZE` molecules; empty without molecules.
    """
    device = next(model.parameters()).device

    @torch.inference_mode()
    def apply(rows: Tensor) -> Result:
        batch = data.gather(rows).to(device)
        if device.type == "cpu":  # threads of the pool are deterministic already
            return function(batch)
        with deterministic(device):
            return function(batch)

    rows = torch.arange(len(data), device=data.device)
    batches, results = rows.split(BATCH_SIZE) if len(rows) else (), list[Result]()
    with TorchThreadPool(device, len(batches)) as pool:
        for group in chunked(batches, pool.n_threads):
            results += pool.map(apply, group)
            if progress:
                progress(int(group[-1][-1]) + 1)
    return results
