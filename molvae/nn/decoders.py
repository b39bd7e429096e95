"""Decoders: latents in, symbols of SMILES out, one at a time.

Both are told, beside z, how much noise z carries (the noise level of `latents.perturb`). A decoder that knows can
be exact where z is clean and fall back on what molecules look like where it is not, instead of writing broken
strings.

They score whole strings (teacher forcing); `stepping` writes with them, symbol by symbol.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from molvae.nn.config import ModelConfig
from molvae.nn.packed_gru import Symbols, unpadded_gru

WAVES = 16
"""Sine and cosine pairs, wavelengths from 4 to 400 places."""


def waves(place: Tensor) -> Tensor:
    """Sines and cosines of places at geometrically spaced wavelengths: N -> N x 2 WAVES (Vaswani et al. 2017)."""
    exponent = torch.linspace(0, 1, WAVES, device=place.device)
    angle = 2 * torch.pi * place[:, None] / (4 * 100**exponent)
    return torch.cat([angle.sin(), angle.cos()], dim=1)


class Condition(nn.Module):
    """z (B x D) and its noise level (B) into one vector (B x width)."""

    def __init__(self, config: ModelConfig, width: int) -> None:
        super().__init__()
        self.latent = nn.Linear(config.latent_dim, width)
        self.noise_level = nn.Sequential(nn.Linear(3, width), nn.SiLU(), nn.Linear(width, 2 * width))

    def forward(self, z: Tensor, noise_level: Tensor) -> Tensor:
        clean = (1 - noise_level.square()).clamp(min=0).sqrt()
        scale, shift = self.noise_level(torch.stack([noise_level, clean, noise_level.sqrt()], dim=1)).chunk(2, dim=1)
        out: Tensor = self.latent(z) * (1 + scale) + shift
        return out


class Reading(nn.Module):
    """What a state asks of z: their product, channel by channel, adds to the logits.

    So a state, and the place in the string, choose which part of z the next symbol hangs on; the sum of state and
    latent, which is all that a first state and an input can carry, has to be told apart by the state itself.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width, self.max_length = config.bilinear_dim, config.max_length
        self.offer = Condition(config, width)
        self.ask = nn.Linear(config.decoder_dim, width)
        self.place = nn.Linear(2 * WAVES, width, bias=False)
        self.answer = nn.Linear(width, config.vocab_size, bias=False)

    def places(self) -> Tensor:
        """What is asked at each place of a string, whatever the state: (max_length + 1) x R."""
        weight = self.place.weight
        asked: Tensor = self.place(waves(torch.arange(self.max_length + 1, device=weight.device)).to(weight.dtype))
        return asked

    def forward(self, states: Tensor, places: Tensor, offer: Tensor) -> Tensor:
        """States ... x H, their rows of `places()`, and what `offer` makes of their z and noise level, ... x R: ... x V."""
        logits: Tensor = self.answer((self.ask(states) + places) * offer)
        return logits


class GRUDecoder(nn.Module):
    """Gated recurrent units; the condition sets the first state and is added to every symbol's embedding."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.layers, self.width, self.max_length = config.decoder_layers, config.decoder_dim, config.max_length
        self.embedding = nn.Embedding(config.vocab_size, config.embedding_dim)
        self.condition = Condition(config, config.embedding_dim + self.layers * self.width)
        dropout = config.dropout if self.layers > 1 else 0.0
        self.gru = nn.GRU(config.embedding_dim, self.width, self.layers, batch_first=True, dropout=dropout)
        self.output = nn.Linear(self.width, config.vocab_size)
        self.reading = Reading(config) if config.bilinear_dim else None

    def start(self, z: Tensor, noise_level: Tensor) -> tuple[Tensor, Tensor]:
        """What is added to every symbol's embedding, B x E, and the first state, B x layers x H, in -1 to 1."""
        condition = self.condition(z, noise_level)
        bias, hidden = condition.split([self.embedding.embedding_dim, self.layers * self.width], dim=1)
        return bias, hidden.tanh().view(len(z), self.layers, self.width)

    def forward(self, z: Tensor, noise_level: Tensor, symbols: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Logits B x L x V of the symbol after each of `symbols` (B x L ids, the first is START).

        Given `lengths` (B), only as many of a row's logits mean something, which on a CPU saves the work on the others.
        """
        if lengths is not None and z.device.type == "cpu" and not torch.is_autocast_enabled("cpu"):
            short: Tensor = self.unpadded(z, noise_level, symbols, lengths)
            return short
        bias, hidden = self.start(z, noise_level)
        y, _ = self.gru(self.embedding(symbols) + bias[:, None], hidden.transpose(0, 1).contiguous())
        return _logits(self, y, z, noise_level)

    def unpadded(self, z: Tensor, noise_level: Tensor, symbols: Tensor, lengths: Tensor) -> Tensor:
        """The same without work on the others, which is nothing to compile."""
        bias, hidden = self.start(z, noise_level)
        real = Symbols.of(lengths)
        # the input is one of V embeddings plus one of B biases: so is what it adds to the gates
        weight, _, weight_bias, _ = self.gru.all_weights[0]
        of_symbol = functional.linear(self.embedding.weight, weight)  # V x 3H
        of_string = functional.linear(bias, weight, weight_bias)  # B x 3H
        gates = functional.embedding(symbols[real.row, real.step], of_symbol)
        gates = gates + functional.embedding(real.row, of_string)  # quicker than an index, whose gradient is slow
        y = unpadded_gru(self.gru, gates, hidden, real)
        logits: Tensor = self.output(y)
        if self.reading is not None:
            places = functional.embedding(real.step, self.reading.places())
            offer = functional.embedding(real.row, self.reading.offer(z, noise_level))
            logits = logits + self.reading(y, places, offer)
        return real.padded(logits, symbols.shape[1])


class TransformerDecoder(nn.Module):
    """Causal self-attention, the condition added to every symbol. Keys and values are kept between steps."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width, self.max_length = config.decoder_dim, config.max_length
        self.embedding = nn.Embedding(config.vocab_size, width)
        self.position = nn.Embedding(config.max_length + 1, width)
        nn.init.normal_(self.embedding.weight, std=0.02)
        nn.init.normal_(self.position.weight, std=0.02)
        self.condition = Condition(config, width)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.decoder_layers))
        self.norm = nn.LayerNorm(width)
        self.output = nn.Linear(width, config.vocab_size)
        self.reading = Reading(config) if config.bilinear_dim else None

    def forward(self, z: Tensor, noise_level: Tensor, symbols: Tensor, lengths: Tensor | None = None) -> Tensor:  # noqa: ARG002
        """Logits B x L x V of the symbol after each of `symbols` (B x L ids, the first is START); see `GRUDecoder`."""
        position = self.position.weight[: symbols.shape[1]]
        x = self.embedding(symbols) + position + self.condition(z, noise_level)[:, None]
        for block in self.blocks:
            x = block(x)
        y = self.norm(x)
        return _logits(self, y, z, noise_level)


def _logits(decoder: GRUDecoder | TransformerDecoder, states: Tensor, z: Tensor, noise_level: Tensor) -> Tensor:
    """States B x L x H into logits B x L x V: their own, and what they read of z."""
    logits: Tensor = decoder.output(states)
    if decoder.reading is not None:
        places = decoder.reading.places()[: states.shape[1]]
        logits = logits + decoder.reading(states, places, decoder.reading.offer(z, noise_level)[:, None])
    return logits


class Block(nn.Module):
    """Pre-norm causal attention and feed-forward."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width, self.heads = config.decoder_dim, config.decoder_heads
        self.before_attention, self.before_mlp = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.dropout(self.out(self.attend(self.before_attention(x))))
        y: Tensor = x + self.dropout(self.mlp(self.before_mlp(x)))
        return y

    def attend(self, x: Tensor) -> Tensor:
        rows, length, width = x.shape
        # each B x heads x L x d
        q, k, v = self.qkv(x).view(rows, length, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        y = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        return y.transpose(1, 2).reshape(rows, length, width)


DECODERS: dict[str, type[GRUDecoder] | type[TransformerDecoder]] = {
    "gru": GRUDecoder,
    "transformer": TransformerDecoder,
}
