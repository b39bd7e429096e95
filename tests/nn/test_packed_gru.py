"""The GRU that leaves padding out gives what torch.nn.GRU gives."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_decoders import decoder, inputs
from torch.nn import functional

from molvae.nn.packed_gru import Symbols, unpadded_gru


def unpadded(gru, x, first, lengths):
    """Ours, of an input as torch's takes it."""
    symbols = Symbols.of(lengths)
    gates = functional.linear(x[symbols.row, symbols.step], gru.weight_ih_l0, gru.bias_ih_l0)
    return symbols.padded(unpadded_gru(gru, gates, first, symbols), x.shape[1])


def padded(gru, x, first, lengths):
    """torch's own, with what lies beyond a string's end set to 0."""
    y, _ = gru(x, first.transpose(0, 1).contiguous())
    return y * (torch.arange(x.shape[1]) < lengths[:, None])[..., None]


def with_gradients(function, gru, x, first, lengths):
    """The output, and the gradients of a sum that weighs every number of it differently."""
    x, first = x.clone().requires_grad_(), first.clone().requires_grad_()
    y = function(gru, x, first, lengths)
    weights = torch.linspace(-1, 1, y.numel(), dtype=y.dtype).view_as(y)
    return y, *torch.autograd.grad((y * weights).sum(), [x, first, *gru.parameters()])


@settings(max_examples=30, deadline=None)
@given(lengths=st.lists(st.integers(1, 9), min_size=1, max_size=7), layers=st.integers(1, 2), spare=st.integers(0, 2))
def test_states_and_gradients_are_those_of_torch(lengths, layers, spare):
    torch.manual_seed(0)
    gru = torch.nn.GRU(3, 4, layers, batch_first=True).double()
    x = torch.randn(len(lengths), max(lengths) + spare, 3, dtype=torch.double)
    first = torch.randn(len(lengths), layers, 4, dtype=torch.double)
    both = [with_gradients(f, gru, x, first, torch.tensor(lengths)) for f in (unpadded, padded)]
    for ours, theirs in zip(*both, strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("layers", [1, 2])
def test_a_decoder_that_knows_the_lengths_gives_the_same_logits_within_them(layers):
    network = decoder("gru", decoder_layers=layers)
    z, noise_level, symbols = inputs()
    lengths = torch.tensor([11, 1, 5, 5, 8])
    within = torch.arange(symbols.shape[1]) < lengths[:, None]
    whole, short = network(z, noise_level, symbols), network(z, noise_level, symbols, lengths)
    torch.testing.assert_close(short[within], whole[within])
    assert not short[~within].any()


def test_its_gradients_are_those_of_the_whole():
    network = decoder("gru", decoder_layers=2)
    z, noise_level, symbols = inputs()
    lengths = torch.tensor([11, 1, 5, 5, 8])
    within = torch.arange(symbols.shape[1]) < lengths[:, None]
    weights = list(network.parameters())
    losses = [network(z, noise_level, symbols, known)[within].square().sum() for known in (None, lengths)]
    for theirs, ours in zip(*(torch.autograd.grad(loss, weights) for loss in losses), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
