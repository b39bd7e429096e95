"""Latents from which the decoder writes the very molecule: where the encoder's are off, a few gradient steps mend them.

An encoder guesses in one go; how likely a latent makes its molecule can be asked of the decoder itself (semi-amortised
inference, Kim et al. 2018). What is drawn around a latent that gives back its molecule is nearer to the molecule, and
more of it is valid (docs/model_choices.md).
"""

from __future__ import annotations

from contextlib import nullcontext
from math import log

import torch
from torch import Tensor

from molvae.nn.autoencoder import Autoencoder
from molvae.nn.latents import on_sphere

BOUTS, STEPS = 6, 5
"""How often a latent is asked whether it has got there, and the steps between; most that were off take one bout."""

RATE = 0.05
"""How far a step goes in each dimension; latents have spread 1."""

SURE = log(0.8)
"""What is this likely is written, whatever the precision of the decoder. Surer still costs more than it gives."""


@torch.inference_mode(False)  # in which no gradient could be taken of what is made here
def refined(model: Autoencoder, z: Tensor, tokens: Tensor) -> Tensor:
    """Latents (B x D) near `z` from which `tokens` (B x L) are written for certain; rows that are so already stay.

    Adam on log p(tokens given z), in bouts until each symbol is sure; rows that never get there are where they got to.
    Tokens end with END and are padded by PAD.
    """
    z, tokens = z.detach().clone(), tokens.clone()
    if not len(z):
        return z
    for _ in range(BOUTS):
        rows = torch.nonzero(~_sure(model, z, tokens)).squeeze(1)
        if not len(rows):
            break
        z[rows] = _bout(model, z[rows], tokens[rows])
    return z


@torch.no_grad()
def _sure(model: Autoencoder, z: Tensor, tokens: Tensor) -> Tensor:
    """Which rows give back their molecule for certain, B."""
    return (model.symbol_log_likelihood(z, z.new_zeros(len(z)), tokens) > SURE).all(1)


@torch.enable_grad()  # type: ignore[no-untyped-call, untyped-decorator]
def _bout(model: Autoencoder, z: Tensor, tokens: Tensor) -> Tensor:
    clean, moving = z.new_zeros(len(z)), z.clone().requires_grad_()
    climb = torch.optim.Adam([moving], lr=RATE, betas=(0.9, 0.99))
    for _ in range(STEPS):
        # cuDNN's GRU has no gradient outside training; its flags are the process's, and not touched without need
        with torch.backends.cudnn.flags(enabled=False) if z.is_cuda else nullcontext():
            likelihood = model.log_likelihood(moving, clean, tokens).sum()
            (moving.grad,) = torch.autograd.grad(-likelihood, [moving])
        climb.step()
    found = moving.detach()
    return on_sphere(found) if model.latent.spherical else found
