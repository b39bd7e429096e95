"""Decoders: what is written step by step is what was scored as a whole."""

from __future__ import annotations

import pytest
import torch
from tiny_models import VOCABULARY, tiny

from molvae.chem.tokens import START_ID
from molvae.models.config import DECODERS as KINDS
from molvae.models.decoders import DECODERS

ROWS, LENGTH = 5, 11


def decoder(kind, **settings):
    torch.manual_seed(0)
    config = tiny(decoder=kind, max_symbols=LENGTH, **settings)
    return DECODERS[kind](config).eval()


def inputs():
    generator = torch.Generator().manual_seed(1)
    symbols = torch.randint(3, len(VOCABULARY), (ROWS, LENGTH), generator=generator)
    symbols[:, 0] = START_ID
    return torch.randn(ROWS, 5, generator=generator), torch.linspace(0, 1, ROWS), symbols


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("layers", [1, 2])
def test_steps_are_the_whole(kind, layers):
    network = decoder(kind, decoder_layers=layers)
    z, radius, symbols = inputs()
    whole = network(z, radius, symbols)
    assert whole.shape == (ROWS, LENGTH, len(VOCABULARY))
    state = network.start(z, radius)
    for place in range(LENGTH):
        logits, state = network.step(symbols[:, place], state)
        torch.testing.assert_close(logits, whole[:, place], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("keep", [[], [2], [4, 0, 0, 3]])
def test_rows_picked_out_go_on_as_they_were(kind, keep):
    """Finished strings leave the batch; those that stay, in any order and number, must not notice."""
    network = decoder(kind)
    z, radius, symbols = inputs()
    index = torch.tensor(keep, dtype=torch.long)
    whole = network(z, radius, symbols)[index]
    state = network.start(z, radius)
    for place in range(4):
        _, state = network.step(symbols[:, place], state)
    state, symbols = state.rows(index), symbols[index]
    for place in range(4, LENGTH):
        logits, state = network.step(symbols[:, place], state)
        torch.testing.assert_close(logits, whole[:, place], atol=1e-5, rtol=1e-5)


@torch.no_grad()  # rows are written in place
@pytest.mark.parametrize("kind", KINDS)
def test_a_new_string_takes_the_place_of_a_finished_one(kind):
    """Rows 1 and 3 are replaced after four symbols, so that the batch holds strings of two lengths."""
    network = decoder(kind)
    z, radius, symbols = inputs()
    whole = network(z, radius, symbols)
    state = network.start(z, radius)
    for place in range(4):
        _, state = network.step(symbols[:, place], state)
    fresh = torch.tensor([1, 3])
    state.put(fresh, network.start(z[[0, 2]], radius[[0, 2]]))
    source, offset = torch.tensor([0, 0, 2, 2, 4]), torch.tensor([4, 0, 4, 0, 4])
    for step in range(LENGTH - 4):
        logits, state = network.step(symbols[source, offset + step], state)
        torch.testing.assert_close(logits, whole[source, offset + step], atol=1e-5, rtol=1e-5)


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
