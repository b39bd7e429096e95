"""Many molecules into their latents, in batches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from molvae.data.featurise import in_chunks
from molvae.data.packed import PackedGraphs
from molvae.models.autoencoder import Autoencoder
from molvae.models.devices import Lanes
from molvae.models.latents import Posterior
from molvae.models.refinement import refined

BATCH = 256  # molecules


def posteriors(
    model: Autoencoder,
    data: PackedGraphs,
    *,
    refine: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Posterior:
    """q(z given x) of every molecule of `data`, M x D, on the model's device; the same on however many cores.

    `refine`: means are moved until the decoder would write the molecule from them, for which `data` has to have its
    tokens. `progress` is called with the number of molecules done.
    """
    device = next(model.parameters()).device

    @torch.inference_mode()
    def encoded(rows: Tensor) -> Posterior:
        batch = data.gather(rows).to(device)
        posterior = model.encode(batch)
        return replace(posterior, mean=refined(model, posterior.mean, batch.tokens)) if refine else posterior

    batches, parts = torch.arange(len(data), device=data.device).split(BATCH), list[Posterior]()
    with Lanes.on(device, len(batches)) as lanes:
        for group in in_chunks(batches, lanes.count):
            parts += lanes.map(encoded, group)
            if progress:
                progress(int(group[-1][-1]) + 1)
    with torch.inference_mode():
        return Posterior.concatenate(parts)
