"""Decoders: strings scored as a whole."""

from __future__ import annotations

import pytest
import torch
from tiny_decoders import decoder, inputs

from molvae.models.config import DECODERS as KINDS


@pytest.mark.parametrize("kind", KINDS)
def test_a_symbol_does_not_see_those_after_it(kind):
    network = decoder(kind)
    z, radius, symbols = inputs()
    changed = symbols.clone()
    changed[:, 6:] = 3
    torch.testing.assert_close(network(z, radius, changed)[:, :6], network(z, radius, symbols)[:, :6])


@pytest.mark.parametrize("kind", KINDS)
def test_latent_and_radius_are_heard(kind):
    network = decoder(kind)
    z, radius, symbols = inputs()
    logits = network(z, radius, symbols)
    assert not torch.allclose(network(z + 1, radius, symbols), logits, atol=1e-4)
    assert not torch.allclose(network(z, radius * 0.5, symbols)[1:], logits[1:], atol=1e-4)
