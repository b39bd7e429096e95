"""Decoders step by step: what is written is what was scored as a whole, and 8 bits change little."""

from __future__ import annotations

import pytest
import torch
from tiny_decoders import LENGTH, ROWS, decoder, inputs

from molvae.errors import InputError
from molvae.nn.config import DECODERS as KINDS
from molvae.nn.incremental_decoding import PRECISIONS, stepper_of

TOLERANCE = {"32": 1e-5, "bf16": 0.02, "int8": 0.02}

pytestmark = pytest.mark.usefixtures("no_gradients")


@pytest.fixture
def no_gradients():
    with torch.inference_mode():
        yield


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("reading", [0, 3])
@pytest.mark.parametrize("precision", TOLERANCE)
def test_steps_are_the_whole(kind, layers, reading, precision):
    network = decoder(kind, decoder_layers=layers, bilinear_dim=reading)
    z, noise_level, symbols = inputs()
    whole = network(z, noise_level, symbols)
    stepper = stepper_of(network, precision)
    state = stepper.state(stepper.begin(z, noise_level), torch.arange(ROWS))
    for place in range(LENGTH):
        logits = stepper.step(symbols[:, place], state)
        assert logits.dtype == torch.float32
        torch.testing.assert_close(logits, whole[:, place], atol=TOLERANCE[precision], rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("precision", ["32", "int8"])
def test_strings_begin_as_the_rows_they_are_given(kind, precision):
    """In any order and number, and without a trace of the others."""
    stepper = stepper_of(decoder(kind), precision)
    z, noise_level, symbols = inputs()
    begun, index = stepper.begin(z, noise_level), torch.tensor([4, 0, 0, 3])
    everyone, some = stepper.state(begun, torch.arange(ROWS)), stepper.state(begun, index)
    for place in range(LENGTH):
        expected = stepper.step(symbols[:, place], everyone)
        torch.testing.assert_close(stepper.step(symbols[index, place], some), expected[index])


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_string_takes_the_place_of_one_that_ended(kind):
    """Slots 1 and 3 restart after four symbols, slot 4 does not, so that strings of two lengths stand side by side."""
    network = decoder(kind)
    z, noise_level, symbols = inputs()
    whole = network(z, noise_level, symbols)
    stepper = stepper_of(network, "32")
    begun = stepper.begin(z, noise_level)
    state = stepper.state(begun, torch.arange(ROWS))
    for place in range(4):
        stepper.step(symbols[:, place], state)
    state.restart(torch.tensor([3, 1, 4]), torch.tensor([True, True, False]), begun, torch.tensor([2, 0, 1]))
    source, offset = torch.tensor([0, 0, 2, 2, 4]), torch.tensor([4, 0, 4, 0, 4])
    for step in range(LENGTH - 4):
        logits = stepper.step(symbols[source, offset + step], state)
        torch.testing.assert_close(logits, whole[source, offset + step], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_strings_that_ended_may_run_along(kind):
    """Beyond the longest length, without an error and without harm to the others."""
    stepper = stepper_of(decoder(kind), "32")
    z, noise_level, symbols = inputs()
    state = stepper.state(stepper.begin(z, noise_level), torch.arange(ROWS))
    for place in range(3 * LENGTH):
        assert torch.isfinite(stepper.step(symbols[:, place % LENGTH], state)).all()


def test_integer_products_do_not_depend_on_the_rows_beside():
    """To the last bit, whatever the shape: the inputs' scale is of each row."""
    stepper = stepper_of(decoder("transformer"), "int8")
    layer = stepper.blocks[0].up
    x = torch.randn(64, 8, generator=torch.Generator().manual_seed(3)) * torch.logspace(-3, 3, 64)[:, None]
    together = layer(x)
    for row in (0, 17, 63):
        assert torch.equal(layer(x[row : row + 1])[0], together[row])
    assert torch.equal(layer(torch.zeros(1, 8))[0], layer.bias)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_every_precision_can_be_asked_for(precision):
    assert stepper_of(decoder("gru"), precision)


def test_an_unknown_precision():
    with pytest.raises(InputError, match="precision is one of auto, 32, bf16, int8; got 'fp8'"):
        stepper_of(decoder("gru"), "fp8")
