"""The model: a graph encoder, a latent distribution and a SMILES decoder."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from molvae.chem.tokenizer import PAD_ID, START_ID
from molvae.data.graph_dataset import GraphBatch
from molvae.nn.config import ModelConfig
from molvae.nn.decoders import DECODERS, GRUDecoder, TransformerDecoder
from molvae.nn.encoders import Encoder
from molvae.nn.latents import LATENTS, DeterministicLatent, Posterior, kl_divergence, mmd
from molvae.nn.priors import Prior, unit_prior


class Losses(NamedTuple):
    """Terms of the training loss.

    Parameters
    ----------
    reconstruction : Tensor, shape (B,)
        -log p(x|z) in nats per molecule.
    kl : Tensor, shape (B,)
        KL(q(z|x) || prior) in nats per molecule.
    mmd : Tensor, shape (1,) or (0,)
        Maximum mean discrepancy between the batch's latents and the prior; empty if not requested.
    """

    reconstruction: Tensor
    kl: Tensor
    mmd: Tensor


class Autoencoder(nn.Module):
    """Encodes molecular graphs to latents and decodes latents to SMILES; variational with a Gaussian latent.

    Parameters
    ----------
    encoder : Encoder
        Maps graphs to feature vectors.
    latent : DeterministicLatent
        Maps feature vectors to posteriors; the base class of all latent distributions.
    decoder : GRUDecoder or TransformerDecoder
        Maps latents to SMILES.
    """

    def __init__(self, encoder: Encoder, latent: DeterministicLatent, decoder: GRUDecoder | TransformerDecoder) -> None:
        super().__init__()
        self.encoder, self.latent, self.decoder = encoder, latent, decoder

    @classmethod
    def from_config(cls, config: ModelConfig) -> Autoencoder:
        """Create a model with random weights; they depend on the state of torch's random number generator."""
        encoder = Encoder(config)
        latent = LATENTS[config.latent](encoder.output_dim, config)
        return cls(encoder, latent, DECODERS[config.decoder](config))

    def encode(self, batch: GraphBatch) -> Posterior:
        """Posterior q(z|x) of each molecule of a batch."""
        posterior: Posterior = self.latent(self.encoder(batch))
        return posterior

    def prior(self) -> Prior:
        """The prior of the training loss: standard normal, or uniform on the sphere."""
        mean = self.latent.mean
        return unit_prior(mean.out_features, self.latent.spherical).to(mean.weight.device)

    def log_likelihood(self, z: Tensor, noise_level: Tensor, tokens: Tensor) -> Tensor:
        """Log-likelihood log p(tokens|z) in nats, shape (B,); see `token_log_likelihood` for the parameters."""
        return self.token_log_likelihood(z, noise_level, tokens).sum(1)

    def token_log_likelihood(self, z: Tensor, noise_level: Tensor, tokens: Tensor, temperature: float = 1.0) -> Tensor:
        """Log-likelihood of each token given the latent and the preceding tokens.

        Parameters
        ----------
        z : Tensor, shape (B, latent_dim)
            Latents.
        noise_level : Tensor, shape (B,)
            Noise level of each latent, 0 to 1.
        tokens : Tensor of int, shape (B, L)
            Token ids of each molecule, terminated by END and padded with PAD.
        temperature : float
            Sampling temperature, above 0; logits are divided by it.

        Returns
        -------
        Tensor, shape (B, L)
            Nats; 0 at padding.
        """
        inputs = functional.pad(tokens[:, :-1], (1, 0), value=START_ID)
        logits = self.decoder(z, noise_level, inputs, (tokens != PAD_ID).sum(1)).float() / temperature
        loss = functional.cross_entropy(logits.flatten(0, 1), tokens.flatten(), ignore_index=PAD_ID, reduction="none")
        return -loss.view_as(tokens)

    def losses(
        self,
        batch: GraphBatch,
        noise_level: Tensor,
        free_bits: float = 0.0,
        *,
        latent_noise: float = 0.0,
        mask_prob: float = 0.0,
        match_prior: bool = False,
    ) -> Losses:
        """Compute the terms of the training loss for z sampled from q(z|x) and perturbed by the noise level.

        Parameters
        ----------
        batch : GraphBatch
            B molecules with their tokens.
        noise_level : Tensor, shape (B,)
            Noise level of each molecule's latent, on which the decoder is conditioned.
        free_bits : float
            See `kl_divergence`.
        latent_noise : float
            Noise level of an additional perturbation on which the decoder is not conditioned.
        mask_prob : float
            Probability with which an atom's or bond's features are masked in the encoder's input.
        match_prior : bool
            Whether to compute the maximum mean discrepancy.

        Returns
        -------
        Losses
            The terms, not yet weighted.
        """
        posterior = self.encode(mask_features(batch, mask_prob) if mask_prob else batch)
        z = posterior.sample(torch.randn_like(posterior.mean))
        discrepancy = mmd(z, self.prior().sample(torch.randn_like(z)))[None] if match_prior else z.new_zeros(0)
        if latent_noise:
            z = posterior.perturb(z, latent_noise, torch.randn_like(z))
        z = posterior.perturb(z, noise_level[:, None], torch.randn_like(z))
        reconstruction = -self.log_likelihood(z, noise_level, batch.tokens)
        return Losses(reconstruction, kl_divergence(posterior, free_bits), discrepancy)


def mask_features(batch: GraphBatch, mask_prob: float) -> GraphBatch:
    """Mask features of random atoms and bonds, for training as a denoising autoencoder [1]_.

    All features of a masked atom or bond become 0. No unmasked atom has these features; a masked bond equals a plain
    single bond, in both directions. Tokens are unchanged, so the decoder has to complete the molecule.

    Parameters
    ----------
    batch : GraphBatch
        Molecules; not modified.
    mask_prob : float
        Probability with which an atom or bond is masked.

    References
    ----------
    .. [1] Vincent et al. 2008, "Extracting and composing robust features with denoising autoencoders".
    """
    bonds = torch.rand(len(batch.edge_attr) // 2, 1, device=batch.edge_attr.device) < mask_prob
    atoms = torch.rand(len(batch.x), 1, device=batch.x.device) < mask_prob
    return replace(
        batch, x=batch.x.masked_fill(atoms, 0), edge_attr=batch.edge_attr.masked_fill(torch.cat([bonds, bonds]), 0)
    )
