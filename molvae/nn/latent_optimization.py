"""Latent optimization: gradient steps on latents until the decoder reconstructs their molecules.

The encoder predicts a latent in one pass. The likelihood under the decoder measures how well that latent reconstructs
the molecule, and its gradient improves the latent (semi-amortized inference [1]_). Samples around a latent that
reconstructs its molecule are more similar to the molecule and more often valid (docs/dev/model_choices.md).

References
----------
.. [1] Kim et al. 2018, "Semi-amortized variational autoencoders".
"""

from __future__ import annotations

from contextlib import nullcontext
from math import log

import torch
from torch import Tensor

from molvae.nn.autoencoder import Autoencoder
from molvae.nn.latents import project_to_sphere

MAX_ROUNDS, STEPS_PER_ROUND = 6, 5
"""Rounds of gradient steps; convergence is tested before each round. Most latents converge in the first."""

LEARNING_RATE = 0.05
"""Approximate step length per dimension of a latent space with standard deviation 1."""

MIN_LOG_LIKELIHOOD = log(0.8)
"""A latent has converged if each token has at least this log-likelihood (nats). The margin allows for int8 decoding."""


@torch.inference_mode(False)  # inference tensors cannot have gradients
def optimized_latents(model: Autoencoder, z: Tensor, tokens: Tensor) -> Tensor:
    """Optimize latents with Adam until the decoder reconstructs their molecules.

    Parameters
    ----------
    model : Autoencoder
        The model; its weights and gradients are not changed.
    z : Tensor, shape (B, latent_dim)
        Initial latents, such as posterior means.
    tokens : Tensor of int, shape (B, L)
        Token ids of the molecules, terminated by END and padded with PAD.

    Returns
    -------
    Tensor, shape (B, latent_dim)
        Optimized latents. Rows that meet the criterion at the start are unchanged; rows that never meet it
        are returned as they are after the last step.
    """
    z, tokens = z.detach().clone(), tokens.clone()
    if not len(z):
        return z
    for _ in range(MAX_ROUNDS):
        rows = torch.nonzero(~_has_converged(model, z, tokens)).squeeze(1)
        if not len(rows):
            break
        z[rows] = _optimization_round(model, z[rows], tokens[rows])
    return z


@torch.no_grad()
def _has_converged(model: Autoencoder, z: Tensor, tokens: Tensor) -> Tensor:
    """Whether every token of a row is likely enough, shape (B,)."""
    return (model.token_log_likelihood(z, z.new_zeros(len(z)), tokens) > MIN_LOG_LIKELIHOOD).all(1)


@torch.enable_grad()  # type: ignore[no-untyped-call, untyped-decorator]
def _optimization_round(model: Autoencoder, z: Tensor, tokens: Tensor) -> Tensor:
    noise_level, latents = z.new_zeros(len(z)), z.clone().requires_grad_()
    optimizer = torch.optim.Adam([latents], lr=LEARNING_RATE, betas=(0.9, 0.99))
    for _ in range(STEPS_PER_ROUND):
        # cuDNN's GRU has no gradient in evaluation mode. Its flags are global, so they are changed only on a GPU.
        with torch.backends.cudnn.flags(enabled=False) if z.is_cuda else nullcontext():
            log_likelihood = model.log_likelihood(latents, noise_level, tokens).sum()
            (latents.grad,) = torch.autograd.grad(-log_likelihood, [latents])
        optimizer.step()
    found = latents.detach()
    return project_to_sphere(found) if model.latent.spherical else found
