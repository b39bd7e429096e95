"""Decoders of a few numbers, and strings for them to score."""

from __future__ import annotations

import torch
from tiny_models import VOCABULARY, tiny

from molvae.chem.tokenizer import START_ID
from molvae.nn.decoders import DECODERS

ROWS, LENGTH = 5, 11


def decoder(kind, **settings):
    torch.manual_seed(0)
    return DECODERS[kind](tiny(decoder=kind, max_length=LENGTH, **settings)).eval()


def inputs():
    """Latents, noise levels, and symbols of which the first is the start."""
    generator = torch.Generator().manual_seed(1)
    symbols = torch.randint(3, len(VOCABULARY), (ROWS, LENGTH), generator=generator)
    symbols[:, 0] = START_ID
    return torch.randn(ROWS, 5, generator=generator), torch.linspace(0, 1, ROWS), symbols
