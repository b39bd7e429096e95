"""Incremental decoding: the logits equal those of whole sequences, up to the rounding of reduced precision."""

from __future__ import annotations

import pytest
import torch
from tiny_decoders import BATCH_SIZE, LENGTH, decoder_inputs, tiny_decoder

from molvae.errors import InputError
from molvae.nn.config import DECODERS
from molvae.nn.incremental_decoding import PRECISIONS, incremental_decoder

TOLERANCE = {"32": 1e-5, "bf16": 0.02, "int8": 0.02}

pytestmark = pytest.mark.usefixtures("inference_mode")


@pytest.fixture
def inference_mode():
    with torch.inference_mode():
        yield


@pytest.mark.parametrize("kind", DECODERS)
@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("bilinear_dim", [0, 3])
@pytest.mark.parametrize("precision", TOLERANCE)
def test_steps_equal_the_whole_sequence(kind, layers, bilinear_dim, precision):
    decoder = tiny_decoder(kind, decoder_layers=layers, bilinear_dim=bilinear_dim)
    z, noise_level, tokens = decoder_inputs()
    expected = decoder(z, noise_level, tokens)
    incremental = incremental_decoder(decoder, precision)
    state = incremental.initial_state(incremental.condition(z, noise_level), torch.arange(BATCH_SIZE))
    for position in range(LENGTH):
        logits = incremental.step(tokens[:, position], state)
        assert logits.dtype == torch.float32
        torch.testing.assert_close(logits, expected[:, position], atol=TOLERANCE[precision], rtol=1e-5)


@pytest.mark.parametrize("kind", DECODERS)
@pytest.mark.parametrize("precision", ["32", "int8"])
def test_initial_state_selects_rows_of_the_conditioning(kind, precision):
    """Rows are selected in any order and number, and sequences do not influence each other."""
    incremental = incremental_decoder(tiny_decoder(kind), precision)
    z, noise_level, tokens = decoder_inputs()
    conditioning, rows = incremental.condition(z, noise_level), torch.tensor([4, 0, 0, 3])
    all_rows = incremental.initial_state(conditioning, torch.arange(BATCH_SIZE))
    some_rows = incremental.initial_state(conditioning, rows)
    for position in range(LENGTH):
        expected = incremental.step(tokens[:, position], all_rows)
        torch.testing.assert_close(incremental.step(tokens[rows, position], some_rows), expected[rows])


@pytest.mark.parametrize("kind", DECODERS)
def test_reset_starts_new_sequences_in_finished_slots(kind):
    """Slots 1 and 3 are reset after four tokens and slot 4 is not, so sequences of two lengths are decoded together."""
    decoder = tiny_decoder(kind)
    z, noise_level, tokens = decoder_inputs()
    expected = decoder(z, noise_level, tokens)
    incremental = incremental_decoder(decoder, "32")
    conditioning = incremental.condition(z, noise_level)
    state = incremental.initial_state(conditioning, torch.arange(BATCH_SIZE))
    for position in range(4):
        incremental.step(tokens[:, position], state)
    state.reset(torch.tensor([3, 1, 4]), torch.tensor([True, True, False]), conditioning, torch.tensor([2, 0, 1]))
    row, offset = torch.tensor([0, 0, 2, 2, 4]), torch.tensor([4, 0, 4, 0, 4])
    for step in range(LENGTH - 4):
        logits = incremental.step(tokens[row, offset + step], state)
        torch.testing.assert_close(logits, expected[row, offset + step], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", DECODERS)
def test_steps_beyond_the_maximum_length_are_finite(kind):
    incremental = incremental_decoder(tiny_decoder(kind), "32")
    z, noise_level, tokens = decoder_inputs()
    state = incremental.initial_state(incremental.condition(z, noise_level), torch.arange(BATCH_SIZE))
    for position in range(3 * LENGTH):
        assert torch.isfinite(incremental.step(tokens[:, position % LENGTH], state)).all()


def test_int8_products_do_not_depend_on_other_rows():
    """Results are identical to the last bit at any magnitude, because the input has a scale per row."""
    layer = incremental_decoder(tiny_decoder("transformer"), "int8").blocks[0].mlp_in
    x = torch.randn(64, 8, generator=torch.Generator().manual_seed(3)) * torch.logspace(-3, 3, 64)[:, None]
    together = layer(x)
    for row in (0, 17, 63):
        assert torch.equal(layer(x[row : row + 1])[0], together[row])
    assert torch.equal(layer(torch.zeros(1, 8))[0], layer.bias)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_every_precision_is_available_on_a_cpu(precision):
    assert incremental_decoder(tiny_decoder("gru"), precision)


def test_unknown_precision_is_an_error():
    with pytest.raises(InputError, match="precision must be one of auto, 32, bf16, int8; got 'fp8'"):
        incremental_decoder(tiny_decoder("gru"), "fp8")
