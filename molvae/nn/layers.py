"""Building blocks of the decoders: sinusoidal encoding, FiLM conditioning, bilinear output head, transformer block."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from molvae.nn.config import ModelConfig

N_FREQUENCIES = 16
"""Sine and cosine pairs of `sinusoidal_encoding`, with wavelengths from 4 to 400 positions."""

ENCODING_DIM = 2 * N_FREQUENCIES


def sinusoidal_encoding(positions: Tensor) -> Tensor:
    """Encode positions as sines and cosines of geometrically spaced wavelengths [1]_.

    Parameters
    ----------
    positions : Tensor, shape (N,)
        Positions in a sequence, as integers or floats.

    Returns
    -------
    Tensor, shape (N, ENCODING_DIM)
        Sines, then cosines.

    References
    ----------
    .. [1] Vaswani et al. 2017, "Attention is all you need".
    """
    exponent = torch.linspace(0, 1, N_FREQUENCIES, device=positions.device)
    angle = 2 * torch.pi * positions[:, None] / (4 * 100**exponent)
    return torch.cat([angle.sin(), angle.cos()], dim=1)


class FiLM(nn.Module):
    """Projects a latent to features that are scaled and shifted by functions of its noise level [1]_.

    Parameters
    ----------
    config : ModelConfig
        Gives `latent_dim`.
    dim : int
        Number of features.

    References
    ----------
    .. [1] Perez et al. 2018, "FiLM: visual reasoning with a general conditioning layer".
    """

    def __init__(self, config: ModelConfig, dim: int) -> None:
        super().__init__()
        self.projection = nn.Linear(config.latent_dim, dim)
        self.modulation = nn.Sequential(nn.Linear(3, dim), nn.SiLU(), nn.Linear(dim, 2 * dim))

    def forward(self, z: Tensor, noise_level: Tensor) -> Tensor:
        """Latents (B, latent_dim) and noise levels (B,) in 0 to 1 -> (B, dim)."""
        signal = (1 - noise_level.square()).clamp(min=0).sqrt()  # weight of the unperturbed latent, see `perturb`
        features = torch.stack([noise_level, signal, noise_level.sqrt()], dim=1)  # B x 3
        scale, shift = self.modulation(features).chunk(2, dim=1)
        out: Tensor = self.projection(z) * (1 + scale) + shift
        return out


class BilinearLatentHead(nn.Module):
    """Adds to the logits a bilinear function of the hidden state and the latent.

    The hidden state and the position select, feature by feature, which part of the latent the next token depends
    on. Without this head the latent enters the decoder only as a sum (initial state and input), and the recurrent
    network has to learn this selection.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        dim, self.max_length = config.bilinear_dim, config.max_length
        self.latent_film = FiLM(config, dim)
        self.state_projection = nn.Linear(config.decoder_dim, dim)
        self.position_projection = nn.Linear(ENCODING_DIM, dim, bias=False)
        self.output = nn.Linear(dim, config.vocab_size, bias=False)

    def position_features(self) -> Tensor:
        """Projected encodings of all positions, shape (max_length + 1, bilinear_dim)."""
        weight = self.position_projection.weight
        encoding = sinusoidal_encoding(torch.arange(self.max_length + 1, device=weight.device))
        features: Tensor = self.position_projection(encoding.to(weight.dtype))
        return features

    def forward(self, states: Tensor, position_features: Tensor, latent_features: Tensor) -> Tensor:
        """Contribution to the logits.

        Parameters
        ----------
        states : Tensor, shape (..., decoder_dim)
            Hidden states.
        position_features : Tensor, shape (..., bilinear_dim)
            Rows of `position_features()` at the states' positions.
        latent_features : Tensor, shape (..., bilinear_dim)
            Output of `latent_film` for the states' latents.

        Returns
        -------
        Tensor, shape (..., vocab_size)
        """
        logits: Tensor = self.output((self.state_projection(states) + position_features) * latent_features)
        return logits


class TransformerBlock(nn.Module):
    """Pre-norm causal self-attention and feed-forward network."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        dim, self.heads = config.decoder_dim, config.decoder_heads
        self.attention_norm, self.mlp_norm = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.qkv, self.attention_output = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.mlp = nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim))
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, decoder_dim) -> (B, L, decoder_dim)."""
        x = x + self.dropout(self.attention_output(self.attend(self.attention_norm(x))))
        y: Tensor = x + self.dropout(self.mlp(self.mlp_norm(x)))
        return y

    def attend(self, x: Tensor) -> Tensor:
        """Causal multi-head attention without the output projection, (B, L, decoder_dim)."""
        rows, length, dim = x.shape
        # each B x heads x L x d
        q, k, v = self.qkv(x).view(rows, length, 3, self.heads, dim // self.heads).permute(2, 0, 3, 1, 4)
        y = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        return y.transpose(1, 2).reshape(rows, length, dim)
