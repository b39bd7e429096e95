"""Many molecules through a network, in batches; into their latents above all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import torch
from torch import Tensor

from molvae.data.graph_dataset import GraphBatch, PackedGraphs
from molvae.data.parallel import chunked
from molvae.nn.autoencoder import Autoencoder
from molvae.nn.devices import Lanes, repeatable
from molvae.nn.latent_optimization import refined
from molvae.nn.latents import Posterior

BATCH = 256  # molecules

Result = TypeVar("Result")
Progress = Callable[[int], None]


def posteriors(
    model: Autoencoder, data: PackedGraphs, *, refine: bool = False, progress: Progress | None = None
) -> Posterior:
    """q(z given x) of every molecule of `data`, M x D, on the model's device.

    `refine`: means are moved until the decoder would write the molecule from them, for which `data` has to have its
    tokens. `progress` is called with the number of molecules done.
    """

    def encoded(batch: GraphBatch) -> Posterior:
        posterior = model.encode(batch)
        return replace(posterior, mean=refined(model, posterior.mean, batch.tokens)) if refine else posterior

    with torch.inference_mode():
        return Posterior.concatenate(in_batches(encoded, data, model, progress))


def in_batches(
    function: Callable[[GraphBatch], Result],
    data: PackedGraphs,
    model: Autoencoder,
    progress: Progress | None = None,
) -> list[Result]:
    """What a function makes of each batch on the model's device, without gradients; the same on however many cores.

    Of no molecules there is no batch.
    """
    device = next(model.parameters()).device

    @torch.inference_mode()
    def done(rows: Tensor) -> Result:
        batch = data.gather(rows).to(device)
        if device.type == "cpu":  # a lane has one thread
            return function(batch)
        with repeatable(device):
            return function(batch)

    rows = torch.arange(len(data), device=data.device)
    batches, results = rows.split(BATCH) if len(rows) else (), list[Result]()
    with Lanes(device, len(batches)) as lanes:
        for group in chunked(batches, lanes.count):
            results += lanes.map(done, group)
            if progress:
                progress(int(group[-1][-1]) + 1)
    return results
