"""Many molecules into their latents, in batches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch

from molvae.data.packed import PackedGraphs
from molvae.models.autoencoder import Autoencoder
from molvae.models.latents import Posterior
from molvae.models.refinement import refined

BATCH = 256  # molecules


@torch.inference_mode()
def posteriors(
    model: Autoencoder,
    data: PackedGraphs,
    *,
    refine: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Posterior:
    """q(z given x) of every molecule of `data`, M x D, on the model's device.

    `refine`: means are moved until the decoder would write the molecule from them, for which `data` has to have its
    tokens. `progress` is called with the number of molecules done.
    """
    device, parts = next(model.parameters()).device, []
    for rows in torch.arange(len(data), device=data.device).split(BATCH):
        batch = data.gather(rows).to(device)
        posterior = model.encode(batch)
        if refine:
            posterior = replace(posterior, mean=refined(model, posterior.mean, batch.tokens))
        parts.append(posterior)
        if progress:
            progress(int(rows[-1]) + 1)
    return Posterior.concatenate(parts)
