"""Decoders: strings scored as a whole."""

from __future__ import annotations

import pytest
import torch
from tiny_decoders import decoder, inputs

from molvae.nn.config import DECODERS as KINDS
from molvae.nn.decoders import waves


@pytest.mark.parametrize("kind", KINDS)
def test_a_symbol_does_not_see_those_after_it(kind):
    network = decoder(kind)
    z, noise_level, symbols = inputs()
    changed = symbols.clone()
    changed[:, 6:] = 3
    torch.testing.assert_close(network(z, noise_level, changed)[:, :6], network(z, noise_level, symbols)[:, :6])


@pytest.mark.parametrize("kind", KINDS)
def test_latent_and_noise_level_are_heard(kind):
    network = decoder(kind)
    z, noise_level, symbols = inputs()
    logits = network(z, noise_level, symbols)
    assert not torch.allclose(network(z + 1, noise_level, symbols), logits, atol=1e-4)
    assert not torch.allclose(network(z, noise_level * 0.5, symbols)[1:], logits[1:], atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_read_is_a_product_of_state_and_latent(kind):
    """Written out for each channel: the weight of the answer, times what the state asks, times what z offers."""
    network = decoder(kind)
    z, noise_level, symbols = inputs()
    states = []
    network.output.register_forward_pre_hook(lambda _, given: states.append(given[0]))
    logits = network(z, noise_level, symbols)
    reading, network.reading = network.reading, None
    without = network(z, noise_level, symbols)
    offer = reading.offer(z, noise_level)
    for row, place, symbol in [(0, 0, 3), (2, 5, 7), (4, 10, 1)]:
        read = 0.0
        for channel in range(3):
            asked = reading.ask.weight[channel] @ states[0][row, place] + reading.ask.bias[channel]
            asked += reading.place.weight[channel] @ waves(torch.tensor([place]))[0]
            read += reading.answer.weight[symbol, channel] * asked * offer[row, channel]
        torch.testing.assert_close(logits[row, place, symbol], without[row, place, symbol] + read)
    assert not torch.allclose(logits, without, atol=1e-4)
