"""Autoregressive decoders: log-probabilities of SMILES tokens given a latent vector.

Both decoders are conditioned on the latent and on its noise level (`latents.perturb`). A noise-conditioned decoder
reproduces a molecule from a clean latent and relies on the distribution of molecules where the latent is noisy, which
keeps its samples valid.

The modules here compute logits of whole sequences (teacher forcing); `incremental_decoding` samples token by token.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from molvae.nn.config import ModelConfig
from molvae.nn.layers import BilinearLatentHead, FiLM, TransformerBlock
from molvae.nn.packed_gru import PackedTokens, packed_gru


class GRUDecoder(nn.Module):
    """GRU decoder: the conditioning sets the initial state and is added to every token embedding."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.layers, self.hidden_dim, self.max_length = config.decoder_layers, config.decoder_dim, config.max_length
        self.embedding = nn.Embedding(config.vocab_size, config.embedding_dim)
        self.film = FiLM(config, config.embedding_dim + self.layers * self.hidden_dim)
        dropout = config.dropout if self.layers > 1 else 0.0
        self.gru = nn.GRU(config.embedding_dim, self.hidden_dim, self.layers, batch_first=True, dropout=dropout)
        self.output = nn.Linear(self.hidden_dim, config.vocab_size)
        self.bilinear_head = BilinearLatentHead(config) if config.bilinear_dim else None

    def initial_state(self, z: Tensor, noise_level: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the input bias, shape (B, embedding_dim), and the initial state, shape (B, layers, hidden_dim).

        The bias is added to every token embedding. The initial state lies in -1 to 1, as all later states do.
        """
        bias, hidden = self.film(z, noise_level).split(
            [self.embedding.embedding_dim, self.layers * self.hidden_dim], dim=1
        )
        return bias, hidden.tanh().view(len(z), self.layers, self.hidden_dim)

    def forward(self, z: Tensor, noise_level: Tensor, tokens: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Logits of the next token after each input token.

        Parameters
        ----------
        z : Tensor, shape (B, latent_dim)
            Latents.
        noise_level : Tensor, shape (B,)
            Noise level of each latent, 0 to 1.
        tokens : Tensor of int, shape (B, L)
            Token ids; the first is START.
        lengths : Tensor of int, shape (B,), optional
            Number of tokens of each row whose logits are needed. On a CPU the others are not computed and are 0.

        Returns
        -------
        Tensor, shape (B, L, vocab_size)
        """
        if lengths is not None and z.device.type == "cpu" and not torch.is_autocast_enabled("cpu"):
            packed: Tensor = self.forward_packed(z, noise_level, tokens, lengths)
            return packed
        bias, hidden = self.initial_state(z, noise_level)
        y, _ = self.gru(self.embedding(tokens) + bias[:, None], hidden.transpose(0, 1).contiguous())
        return _logits(self, y, z, noise_level)

    def forward_packed(self, z: Tensor, noise_level: Tensor, tokens: Tensor, lengths: Tensor) -> Tensor:
        """`forward` without computation on padding; excluded from `torch.compile`."""
        bias, hidden = self.initial_state(z, noise_level)
        packed = PackedTokens.from_lengths(lengths)
        # The product with the input weights is linear: one row per token of the vocabulary plus one row per molecule.
        weight, _, weight_bias, _ = self.gru.all_weights[0]
        token_gates = functional.linear(self.embedding.weight, weight)  # V x 3H
        row_gates = functional.linear(bias, weight, weight_bias)  # B x 3H
        gates = functional.embedding(tokens[packed.row, packed.step], token_gates)
        gates = gates + functional.embedding(packed.row, row_gates)  # the gradient of indexing is slower
        y = packed_gru(self.gru, gates, hidden, packed)
        logits: Tensor = self.output(y)
        if self.bilinear_head is not None:
            positions = functional.embedding(packed.step, self.bilinear_head.position_features())
            latents = functional.embedding(packed.row, self.bilinear_head.latent_film(z, noise_level))
            logits = logits + self.bilinear_head(y, positions, latents)
        return packed.to_padded(logits, tokens.shape[1])


class TransformerDecoder(nn.Module):
    """Causal transformer decoder: the conditioning is added to every token embedding."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        dim, self.max_length = config.decoder_dim, config.max_length
        self.embedding = nn.Embedding(config.vocab_size, dim)
        self.position_embedding = nn.Embedding(config.max_length + 1, dim)
        nn.init.normal_(self.embedding.weight, std=0.02)
        nn.init.normal_(self.position_embedding.weight, std=0.02)
        self.film = FiLM(config, dim)
        self.blocks = nn.ModuleList(TransformerBlock(config) for _ in range(config.decoder_layers))
        self.norm = nn.LayerNorm(dim)
        self.output = nn.Linear(dim, config.vocab_size)
        self.bilinear_head = BilinearLatentHead(config) if config.bilinear_dim else None

    def forward(self, z: Tensor, noise_level: Tensor, tokens: Tensor, lengths: Tensor | None = None) -> Tensor:  # noqa: ARG002
        """Logits of the next token after each input token; see `GRUDecoder.forward` for the parameters."""
        position = self.position_embedding.weight[: tokens.shape[1]]
        x = self.embedding(tokens) + position + self.film(z, noise_level)[:, None]
        for block in self.blocks:
            x = block(x)
        return _logits(self, self.norm(x), z, noise_level)


def _logits(decoder: GRUDecoder | TransformerDecoder, states: Tensor, z: Tensor, noise_level: Tensor) -> Tensor:
    """Logits (B, L, vocab_size) of hidden states (B, L, decoder_dim): linear output plus bilinear head."""
    logits: Tensor = decoder.output(states)
    head = decoder.bilinear_head
    if head is not None:
        logits = logits + head(
            states, head.position_features()[: states.shape[1]], head.latent_film(z, noise_level)[:, None]
        )
    return logits


DECODERS: dict[str, type[GRUDecoder] | type[TransformerDecoder]] = {
    "gru": GRUDecoder,
    "transformer": TransformerDecoder,
}
