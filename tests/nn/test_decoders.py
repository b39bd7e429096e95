"""Logits of whole sequences: causality, conditioning, and the bilinear head."""

from __future__ import annotations

import pytest
import torch
from tiny_decoders import decoder_inputs, tiny_decoder

from molvae.nn.config import DECODERS
from molvae.nn.layers import sinusoidal_encoding


@pytest.mark.parametrize("kind", DECODERS)
def test_logits_do_not_depend_on_later_tokens(kind):
    decoder = tiny_decoder(kind)
    z, noise_level, tokens = decoder_inputs()
    changed = tokens.clone()
    changed[:, 6:] = 3
    torch.testing.assert_close(decoder(z, noise_level, changed)[:, :6], decoder(z, noise_level, tokens)[:, :6])


@pytest.mark.parametrize("kind", DECODERS)
def test_logits_depend_on_latent_and_noise_level(kind):
    decoder = tiny_decoder(kind)
    z, noise_level, tokens = decoder_inputs()
    logits = decoder(z, noise_level, tokens)
    assert not torch.allclose(decoder(z + 1, noise_level, tokens), logits, atol=1e-4)
    assert not torch.allclose(decoder(z, noise_level * 0.5, tokens)[1:], logits[1:], atol=1e-4)


@pytest.mark.parametrize("kind", DECODERS)
def test_bilinear_head_equals_its_definition(kind):
    """Per feature: output weight x (projected state + projected position) x latent feature."""
    decoder = tiny_decoder(kind)
    z, noise_level, tokens = decoder_inputs()
    states = []
    decoder.output.register_forward_pre_hook(lambda _, arguments: states.append(arguments[0]))
    logits = decoder(z, noise_level, tokens)
    head, decoder.bilinear_head = decoder.bilinear_head, None
    without_head = decoder(z, noise_level, tokens)
    latent_features = head.latent_film(z, noise_level)
    for row, position, token in [(0, 0, 3), (2, 5, 7), (4, 10, 1)]:
        contribution = 0.0
        for feature in range(3):
            value = head.state_projection.weight[feature] @ states[0][row, position]
            value += head.state_projection.bias[feature]
            value += head.position_projection.weight[feature] @ sinusoidal_encoding(torch.tensor([position]))[0]
            contribution += head.output.weight[token, feature] * value * latent_features[row, feature]
        torch.testing.assert_close(logits[row, position, token], without_head[row, position, token] + contribution)
    assert not torch.allclose(logits, without_head, atol=1e-4)
