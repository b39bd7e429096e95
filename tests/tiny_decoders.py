"""Small decoders with random weights, and inputs for them."""

from __future__ import annotations

import torch
from tiny_models import VOCABULARY, tiny_config

from molvae.chem.tokenizer import START_ID
from molvae.nn.decoders import DECODERS

BATCH_SIZE, LENGTH = 5, 11


def tiny_decoder(kind, **settings):
    torch.manual_seed(0)
    return DECODERS[kind](tiny_config(decoder=kind, max_length=LENGTH, **settings)).eval()


def decoder_inputs():
    """Latents (B x 5), noise levels (B) and token ids (B x LENGTH) that begin with START."""
    generator = torch.Generator().manual_seed(1)
    tokens = torch.randint(3, len(VOCABULARY), (BATCH_SIZE, LENGTH), generator=generator)
    tokens[:, 0] = START_ID
    return torch.randn(BATCH_SIZE, 5, generator=generator), torch.linspace(0, 1, BATCH_SIZE), tokens
