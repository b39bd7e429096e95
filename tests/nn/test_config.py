"""Network settings: JSON round trip and validation."""

from __future__ import annotations

import json

import pytest

from molvae.errors import InputError
from molvae.nn.config import DECODERS, ENCODERS, LATENTS, ModelConfig


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("latent", LATENTS)
@pytest.mark.parametrize("decoder", DECODERS)
def test_json_round_trip(encoder, latent, decoder):
    config = ModelConfig(30, encoder=encoder, latent=latent, decoder=decoder, dropout=0.1)
    assert ModelConfig.from_json(config.to_json()) == config
    assert json.loads(config.to_json())["vocab_size"] == 30


def test_unknown_setting_is_an_error_with_a_suggestion():
    with pytest.raises(InputError, match=r"no setting 'latent_sise' \(did you mean 'latent_dim'"):
        ModelConfig.from_dict({"vocab_size": 9, "latent_sise": 4})
    with pytest.raises(InputError, match=r"no setting 'qqq'$"):
        ModelConfig(9).replace(qqq=4)


def test_missing_setting_is_an_error():
    with pytest.raises(InputError, match="vocab_size"):
        ModelConfig.from_json("{}")


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"encoder": "gin"}, "encoder.* one of .*; got 'gin' .did you mean 'gine'"),
        ({"latent": "uniform"}, "latent.* one of deterministic, gaussian, hypersphere; got 'uniform'"),
        ({"decoder": "lstm"}, "decoder.* one of gru, transformer; got 'lstm'"),
        ({"latent_dim": 0}, "latent_dim must be 1 or more, got 0"),
        ({"pooling_heads": 0}, "pooling_heads must be 1 or more, got 0"),
        ({"encoder_heads": 0}, "encoder_heads must be 1 or more, got 0"),
        ({"decoder_layers": -1}, "decoder_layers must be 1 or more, got -1"),
        ({"bilinear_dim": -1}, "bilinear_dim must be 0 or more, got -1"),
        ({"encoder_heads": 3}, "encoder_heads 3 must divide encoder_dim 128"),
        ({"decoder": "transformer", "decoder_heads": 7}, "decoder_heads 7 must divide decoder_dim 512"),
        ({"latent_dim": "128"}, "latent_dim must be of type int, got '128'"),
        ({"latent_dim": 1.5}, "latent_dim must be of type int, got 1.5"),
        ({"latent_dim": True}, "latent_dim must be of type int, got True"),
        ({"position_feature": 1}, "position_feature must be of type bool, got 1"),
        ({"encoder": None}, "encoder must be of type str, got None"),
        ({"dropout": 1.5}, "dropout must be 0 or more and less than 1, got 1.5"),
    ],
)
def test_invalid_value_is_an_error(setting, message):
    with pytest.raises(InputError, match=message):
        ModelConfig(9).replace(**setting)


def test_integer_is_accepted_as_float():
    assert ModelConfig(9).replace(dropout=0).dropout == 0


def test_decoder_heads_of_a_gru_are_not_checked():
    assert ModelConfig(9, decoder="gru", decoder_heads=7).decoder_heads == 7
