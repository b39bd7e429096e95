"""Network settings as data: saved as JSON with the weights and validated when read."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any, Self

from molvae.data.json_files import check_limits, from_json, option
from molvae.errors import InputError


class JsonConfig:
    """Base class of frozen dataclasses that are stored as JSON; names, types and limits are validated when read."""

    def to_json(self) -> str:
        """Return the settings as indented JSON."""
        return json.dumps(dataclasses.asdict(self), indent=2)  # type: ignore[call-overload]

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Create a configuration from a dictionary.

        Raises
        ------
        InputError
            If a setting is unknown (the message suggests the closest name), missing, of the wrong type, or outside its
            limits.
        """
        return from_json(cls, values)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Create a configuration from JSON; raises as `from_dict` does."""
        return cls.from_dict(json.loads(text))

    def replace(self, **changes: Any) -> Self:
        """Return a copy with some settings changed; raises as `from_dict` does."""
        return self.from_dict({**dataclasses.asdict(self), **changes})  # type: ignore[call-overload]


ENCODERS = ("gine", "gatv2", "dmpnn", "gps")
LATENTS = ("deterministic", "gaussian", "hypersphere")
DECODERS = ("gru", "transformer")
_BOUNDED_SETTINGS = (
    "vocab_size", "encoder_dim", "encoder_layers", "encoder_heads", "pooling_heads", "latent_dim",
    "decoder_dim", "decoder_layers", "decoder_heads", "embedding_dim", "max_length",
)  # fmt: skip
MAX_DIM, MAX_LAYERS = 100_000, 1_000
"""Upper bounds of sizes. They prevent a damaged or malicious config.json from exhausting the memory."""


@dataclass(frozen=True)
class ModelConfig(JsonConfig):
    """Settings of the encoder, the latent distribution and the decoder, which can be combined freely."""

    vocab_size: int = field(metadata=option("Tokens in the vocabulary, the three special tokens included.", min=1))
    encoder: str = field(default="dmpnn", metadata=option("Graph encoder.", choices=ENCODERS))
    encoder_dim: int = field(default=128, metadata=option("Channels of each atom's hidden state.", min=1))
    encoder_layers: int = field(default=4, metadata=option("Message-passing layers.", min=1))
    encoder_heads: int = field(
        default=4, metadata=option("Attention heads of the gatv2 and gps encoders; must divide encoder_dim.", min=1)
    )
    pooling_heads: int = field(
        default=32, metadata=option("Attention heads of the pooling layer, in addition to a sum.", min=1)
    )
    position_feature: bool = field(
        default=True, metadata=option("Give the encoder each atom's position in the canonical SMILES.")
    )
    latent: str = field(
        default="gaussian",
        metadata=option(
            "Latent space: gaussian (a VAE), deterministic (an autoencoder) or hypersphere.", choices=LATENTS
        ),
    )
    latent_dim: int = field(default=128, metadata=option("Dimensions of the latent vector z.", min=1))
    decoder: str = field(default="gru", metadata=option("SMILES decoder.", choices=DECODERS))
    decoder_dim: int = field(default=512, metadata=option("Channels of the decoder's hidden state.", min=1))
    decoder_layers: int = field(default=1, metadata=option("Decoder layers.", min=1))
    decoder_heads: int = field(
        default=8, metadata=option("Attention heads of the transformer decoder; must divide decoder_dim.", min=1)
    )
    bilinear_dim: int = field(
        default=256,
        metadata=option("Channels of the bilinear product of the decoder's state with z; 0 disables it.", min=0),
    )
    embedding_dim: int = field(
        default=128, metadata=option("Channels of a token embedding (the transformer uses decoder_dim).", min=1)
    )
    dropout: float = field(default=0.0, metadata=option("Dropout probability, 0 to 1 (1 excluded)."))
    max_length: int = field(
        default=160,
        metadata=option("Longest SMILES that the decoder generates, in tokens, without the end token.", min=1),
    )

    def __post_init__(self) -> None:
        from molvae.chem.smiles import MAX_SMILES_LENGTH  # imports RDKit, which the command line's help does not need

        check_limits(self)
        for name in _BOUNDED_SETTINGS:
            value = getattr(self, name)
            upper = MAX_LAYERS if name.endswith("layers") else MAX_SMILES_LENGTH if name == "max_length" else MAX_DIM
            if value > upper:
                raise InputError(f"{name} must be {upper:,} or less, got {value:,}")
        if not 0 <= self.dropout < 1:
            raise InputError(f"dropout must be 0 or more and less than 1, got {self.dropout}")
        if self.encoder_dim % self.encoder_heads:
            raise InputError(f"encoder_heads {self.encoder_heads} must divide encoder_dim {self.encoder_dim}")
        if self.decoder == "transformer" and self.decoder_dim % self.decoder_heads:
            raise InputError(f"decoder_heads {self.decoder_heads} must divide decoder_dim {self.decoder_dim}")
