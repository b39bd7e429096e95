"""The packed GRU equals torch.nn.GRU, including gradients."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_decoders import decoder_inputs, tiny_decoder
from torch.nn import functional

from molvae.nn.packed_gru import PackedTokens, packed_gru

LENGTHS = torch.tensor([11, 1, 5, 5, 8])


def packed_output(gru, x, initial, lengths):
    """The output of `packed_gru` for the input of torch.nn.GRU."""
    packed = PackedTokens.from_lengths(lengths)
    gates = functional.linear(x[packed.row, packed.step], gru.weight_ih_l0, gru.bias_ih_l0)
    return packed.to_padded(packed_gru(gru, gates, initial, packed), x.shape[1])


def torch_output(gru, x, initial, lengths):
    """The output of torch.nn.GRU, with 0 at padding."""
    y, _ = gru(x, initial.transpose(0, 1).contiguous())
    return y * (torch.arange(x.shape[1]) < lengths[:, None])[..., None]


def with_gradients(function, gru, x, initial, lengths):
    """The output, and the gradients of a sum in which every element has a different weight."""
    x, initial = x.clone().requires_grad_(), initial.clone().requires_grad_()
    y = function(gru, x, initial, lengths)
    weights = torch.linspace(-1, 1, y.numel(), dtype=y.dtype).view_as(y)
    return y, *torch.autograd.grad((y * weights).sum(), [x, initial, *gru.parameters()])


@settings(max_examples=30, deadline=None)
@given(lengths=st.lists(st.integers(1, 9), min_size=1, max_size=7), layers=st.integers(1, 2), padding=st.integers(0, 2))
def test_output_and_gradients_equal_torch(lengths, layers, padding):
    torch.manual_seed(0)
    gru = torch.nn.GRU(3, 4, layers, batch_first=True).double()
    x = torch.randn(len(lengths), max(lengths) + padding, 3, dtype=torch.double)
    initial = torch.randn(len(lengths), layers, 4, dtype=torch.double)
    both = [with_gradients(f, gru, x, initial, torch.tensor(lengths)) for f in (packed_output, torch_output)]
    for found, expected in zip(*both, strict=True):
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("layers", [1, 2])
def test_decoder_logits_with_lengths_equal_those_without(layers):
    decoder = tiny_decoder("gru", decoder_layers=layers)
    z, noise_level, tokens = decoder_inputs()
    within = torch.arange(tokens.shape[1]) < LENGTHS[:, None]
    full, packed = decoder(z, noise_level, tokens), decoder(z, noise_level, tokens, LENGTHS)
    torch.testing.assert_close(packed[within], full[within])
    assert not packed[~within].any()


def test_decoder_gradients_with_lengths_equal_those_without():
    decoder = tiny_decoder("gru", decoder_layers=2)
    z, noise_level, tokens = decoder_inputs()
    within = torch.arange(tokens.shape[1]) < LENGTHS[:, None]
    weights = list(decoder.parameters())
    losses = [decoder(z, noise_level, tokens, lengths)[within].square().sum() for lengths in (None, LENGTHS)]
    for expected, found in zip(*(torch.autograd.grad(loss, weights) for loss in losses), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
