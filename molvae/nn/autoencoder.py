"""The model: an encoder, a latent and a decoder."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from molvae.chem.tokenizer import PAD_ID, START_ID
from molvae.data.graph_dataset import GraphBatch
from molvae.nn.config import ModelConfig
from molvae.nn.decoders import DECODERS, GRUDecoder, TransformerDecoder
from molvae.nn.encoders import Encoder
from molvae.nn.feature_masking import corrupted
from molvae.nn.latents import LATENTS, DeterministicLatent, Posterior, kl_divergence, mmd
from molvae.nn.priors import Prior, unit_prior


class Losses(NamedTuple):
    """Nats per molecule, B each: -log p(x given z), and KL(q(z given x) || prior).

    `mmd`: the discrepancy of the batch's latents from the prior, one number, or none where it was not asked for.
    """

    reconstruction: Tensor
    kl: Tensor
    mmd: Tensor


class Autoencoder(nn.Module):
    """Molecular graphs to latents to SMILES. With a Gaussian latent it is a variational autoencoder."""

    def __init__(self, encoder: Encoder, latent: DeterministicLatent, decoder: GRUDecoder | TransformerDecoder) -> None:
        super().__init__()
        self.encoder, self.latent, self.decoder = encoder, latent, decoder

    @classmethod
    def from_config(cls, config: ModelConfig) -> Autoencoder:
        """A model with fresh weights (seed torch's generator before, for repeatable ones)."""
        encoder = Encoder(config)
        latent = LATENTS[config.latent](encoder.output_width, config)
        return cls(encoder, latent, DECODERS[config.decoder](config))

    def encode(self, batch: GraphBatch) -> Posterior:
        """q(z given x) of each molecule, B x D."""
        posterior: Posterior = self.latent(self.encoder(batch))
        return posterior

    def prior(self) -> Prior:
        """The prior that training aims at: the unit Gaussian, or uniform on the sphere."""
        mean = self.latent.mean
        return unit_prior(mean.out_features, self.latent.spherical).to(mean.weight.device)

    def log_likelihood(self, z: Tensor, noise_level: Tensor, tokens: Tensor) -> Tensor:
        """log p(tokens given z) in nats, B; `tokens` B x L end with END and are padded by PAD."""
        return self.symbol_log_likelihood(z, noise_level, tokens).sum(1)

    def symbol_log_likelihood(self, z: Tensor, noise_level: Tensor, tokens: Tensor, temperature: float = 1.0) -> Tensor:
        """Of each symbol given z and the symbols before it, drawn at a `temperature`, B x L; 0 of PAD."""
        symbols = functional.pad(tokens[:, :-1], (1, 0), value=START_ID)
        logits = self.decoder(z, noise_level, symbols, (tokens != PAD_ID).sum(1)).float() / temperature
        loss = functional.cross_entropy(logits.flatten(0, 1), tokens.flatten(), ignore_index=PAD_ID, reduction="none")
        return -loss.view_as(tokens)

    def losses(
        self,
        batch: GraphBatch,
        noise_level: Tensor,
        free_bits: float = 0.0,
        *,
        latent_noise: float = 0.0,
        corruption: float = 0.0,
        match_prior: bool = False,
    ) -> Losses:
        """The parts of the loss, with z drawn from q, then moved by `noise level` (B), as the decoder is told.

        `latent_noise` is a noise level that it is not told, `corruption` the share of the input that is masked;
        `match_prior` asks for the `mmd`.
        """
        posterior = self.encode(corrupted(batch, corruption) if corruption else batch)
        z = posterior.draw(torch.randn_like(posterior.mean))
        discrepancy = mmd(z, self.prior().draw(torch.randn_like(z)))[None] if match_prior else z.new_zeros(0)
        if latent_noise:
            z = posterior.perturb(z, latent_noise, torch.randn_like(z))
        z = posterior.perturb(z, noise_level[:, None], torch.randn_like(z))
        reconstruction = -self.log_likelihood(z, noise_level, batch.tokens)
        return Losses(reconstruction, kl_divergence(posterior, free_bits), discrepancy)
