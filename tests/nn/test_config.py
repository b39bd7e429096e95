"""Settings: to JSON and back, and every mistake in them named."""

from __future__ import annotations

import json

import pytest

from molvae.errors import InputError
from molvae.nn.config import DECODERS, ENCODERS, LATENTS, ModelConfig


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("latent", LATENTS)
@pytest.mark.parametrize("decoder", DECODERS)
def test_to_json_and_back(encoder, latent, decoder):
    config = ModelConfig(30, encoder=encoder, latent=latent, decoder=decoder, dropout=0.1)
    assert ModelConfig.from_json(config.to_json()) == config
    assert json.loads(config.to_json())["vocab_size"] == 30


def test_an_unknown_setting_names_the_nearest():
    with pytest.raises(InputError, match=r"no setting 'latent_sise' \(did you mean 'latent_dim'"):
        ModelConfig.from_dict({"vocab_size": 9, "latent_sise": 4})
    with pytest.raises(InputError, match=r"no setting 'qqq'$"):
        ModelConfig(9).replace(qqq=4)


def test_a_missing_setting_is_named():
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
def test_bad_values_are_named(setting, message):
    with pytest.raises(InputError, match=message):
        ModelConfig(9).replace(**setting)


def test_a_whole_number_is_a_float_too():
    assert ModelConfig(9).replace(dropout=0).dropout == 0


def test_heads_of_a_decoder_without_heads_do_not_matter():
    assert ModelConfig(9, decoder="gru", decoder_heads=7).decoder_heads == 7
