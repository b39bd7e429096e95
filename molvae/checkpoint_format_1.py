"""Reads the names of model directory format 1 (molvae 0.x): files, settings and tensors.

Format 2 stores the same data under other names. `molvae.checkpoint` translates a directory of format 1 with the
functions of this module when it loads one, and writes format 2 only.
"""

from __future__ import annotations

from typing import Any

FORMAT_1 = "molvae-model-1"

FILES = {"seen.npz": "bloom_filter.npz", "usual.json": "likelihood_reference.json"}
"""File names of format 1 and their names in format 2."""

SETTINGS = {
    "vocabulary_size": "vocab_size",
    "encoder_width": "encoder_dim",
    "decoder_width": "decoder_dim",
    "embedding_width": "embedding_dim",
    "reading_width": "bilinear_dim",
    "latent_size": "latent_dim",
    "max_symbols": "max_length",
    "radius": "noise_level",
    "noise_aware": "noise_conditioned",
}
"""Settings of format 1 in config.json and their names in format 2."""

TENSORS = {
    "encoder.position.": "encoder.position_projection.",
    "encoder.messages.start.": "encoder.message_passing.input_layer.",
    "encoder.messages.update.": "encoder.message_passing.update_layers.",
    "encoder.messages.readout.": "encoder.message_passing.readout_layers.",
    "encoder.messages.": "encoder.message_passing.",
    "encoder.pooling.score.": "encoder.pooling.attention.",
    "encoder.pooling.value.": "encoder.pooling.value_projection.",
    "encoder.pooling.total.": "encoder.pooling.sum_projection.",
    "latent.standardise.": "latent.standardize.",
    "decoder.condition.latent.": "decoder.film.projection.",
    "decoder.condition.radius.": "decoder.film.modulation.",
    "decoder.reading.offer.latent.": "decoder.bilinear_head.latent_film.projection.",
    "decoder.reading.offer.radius.": "decoder.bilinear_head.latent_film.modulation.",
    "decoder.reading.ask.": "decoder.bilinear_head.state_projection.",
    "decoder.reading.place.": "decoder.bilinear_head.position_projection.",
    "decoder.reading.answer.": "decoder.bilinear_head.output.",
    "decoder.position.": "decoder.position_embedding.",
    ".before_attention.": ".attention_norm.",
    ".before_mlp.": ".mlp_norm.",
    ".out.": ".attention_output.",
}
"""Parts of tensor names of format 1 and their replacements; the first that occurs in a name is applied."""


def translate_config(config: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """The contents of config.json under the names of format 2, and the names on disk of renamed files."""
    translated = dict(config)
    for section, names in (("model", SETTINGS), ("defaults", SETTINGS), ("prior", SETTINGS), ("sha256", FILES)):
        if isinstance(config.get(section), dict):
            translated[section] = {names.get(name, name): value for name, value in config[section].items()}
    return translated, {new: old for old, new in FILES.items()}


def translate_tensor_name(name: str) -> str:
    """The name of a tensor in format 2."""
    for old, new in TENSORS.items():
        if old in name:
            return name.replace(old, new)
    return name
